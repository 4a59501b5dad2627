"""How the captions were written that a model was trained on, and so how its prompts are."""

from __future__ import annotations

from diffusers import DiffusionPipeline

from age_core.concepts.articles import Article, by_letter, by_sound
from age_core.models.families import family_of


def article_of(pipe: DiffusionPipeline) -> Article:
    """The rule of a model's articles. Those that `age_core.emoji` made, whose captions go by letter, read by BERT."""
    kinds = {encoder.config.model_type for _, encoder in family_of(pipe).text_parts(pipe)}
    return by_letter if "bert" in kinds else by_sound
