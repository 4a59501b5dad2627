"""What the student draws while it trains: the erased concept and what is nearest to it, as the atlas draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import DiffusionPipeline
from PIL import Image

from age_core.concepts.candidates import rank_others
from age_core.concepts.concept_set import Concept, ConceptSet, fill
from age_core.erasure.options import EraseOptions
from age_core.erasure.selectors import SELECTORS
from age_core.erasure.student import Student
from age_core.erasure.torch_modes import arithmetic
from age_core.measure.verdicts import GUIDANCE, STEPS, seeds_of
from age_core.models.families import encode_text
from age_core.models.sampling import decode, sample_latents

NEAREST = 8  # besides the concept itself


@dataclass(frozen=True)
class Preview:
    """One picture to draw again and again: of which concept, by which prompt, from which seed."""

    concept: str
    prompt: str
    seed: int


def previews_around(pipe: DiffusionPipeline, concept: Concept, concepts: ConceptSet) -> tuple[Preview, ...]:
    """The concept and those nearest to it in words, each by the prompt and seed of its first judged picture."""
    others = rank_others(pipe, concepts, concept)[:NEAREST] if len(concepts) > 1 else ()
    return tuple(Preview(name, concepts.prompt(name), seeds_of(name, 1)[0]) for name in (concept.name, *others))


def previews_of_words(concept: str, candidates: Sequence[str], options: EraseOptions) -> tuple[Preview, ...]:
    """Where there are words and no concept set: the concept and, unless its target is one word from the start, three
    candidates, the nearest."""
    words = (concept,) if SELECTORS[options.target].takes_word else (concept, *candidates[:3])
    return tuple(Preview(word, fill(options.templates[-1], word), options.seed) for word in words if word)


@torch.no_grad()
def draw_previews(
    pipe: DiffusionPipeline, student: Student, previews: Sequence[Preview], options: EraseOptions
) -> tuple[Image.Image, ...]:
    """Pictures from the student in mid-training, by the sampler that judges."""
    states = encode_text(pipe, [preview.prompt for preview in previews])
    with arithmetic(pipe, options), student.active():
        latents = sample_latents(pipe, states, [preview.seed for preview in previews], STEPS, GUIDANCE)
    return tuple(decode(pipe, latents))
