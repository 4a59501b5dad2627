"""How the captions were written that a model was trained on, and so how its prompts are."""

from __future__ import annotations

from collections.abc import Sequence

from diffusers import DiffusionPipeline

from age_core.concepts.articles import Article, by_letter, by_sound
from age_core.concepts.concept_set import fill
from age_core.models.families import family_of


def article_of(pipe: DiffusionPipeline) -> Article:
    """The rule of a model's articles. Those that `age_core.emoji` made, whose captions go by letter, read by BERT."""
    kinds = {encoder.config.model_type for _, encoder in family_of(pipe).text_parts(pipe)}
    return by_letter if "bert" in kinds else by_sound


def prompts_of(pipe: DiffusionPipeline, words: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Every word in every template, word by word; the empty word is the empty prompt, without any template."""
    article = article_of(pipe)
    return [fill(template, word, article) if word else "" for word in words for template in templates]
