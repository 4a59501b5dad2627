"""How much was erased, and what else was lost, as a probe sees it: ESR and PSR."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from diffusers import DiffusionPipeline
from PIL import Image

from age_core.concepts.concept_set import Concept, ConceptSet
from age_core.measure.pictures import pair_distance
from age_core.models.eraser import Eraser
from age_core.models.probes import AnyProbe
from age_core.models.sampling import generate

STEPS, GUIDANCE = 4, 3.0  # the sampler that judges; the same for every number that is compared
AT_ONCE = 64  # pictures of each model that are held in memory


@dataclass(frozen=True)
class Drawn:
    """Pictures by one model, and what each was drawn of."""

    concepts: list[Concept]
    seeds: list[int]
    prompts: list[str]
    pictures: list[Image.Image]

    def __add__(self, other: Drawn) -> Drawn:
        return Drawn(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(Drawn)))


def seeds_of(name: str, count: int, first: int = 0) -> list[int]:
    """Fixed seeds of a concept: the same in every run, different between concepts."""
    base = zlib.crc32(name.encode()) % 1_000_000
    return [base * 1000 + first + row for row in range(count)]


def hits(
    pipe: DiffusionPipeline,
    probe: AnyProbe,
    concepts: ConceptSet,
    names: Sequence[str | Concept],
    images: int,
    eraser: Eraser | None = None,
    first: int = 0,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
) -> pd.DataFrame:
    """Is one of each picture's own labels the probe's first, or among its first five?

    One row a picture: concept, seed, top1, top5 (bool). `images` pictures of each concept, on fixed seeds. Names may be
    synonyms; a Concept need not be in the set. Raises AgeError, before anything is drawn, on an unknown name or label.
    """
    asked_concepts = [known(concepts, name) for name in names]
    for concept in asked_concepts:
        probe.rows(concept.labels)
    return draw_and_judge(pipe, probe, concepts, asked_concepts, images, eraser, first, steps, guidance)[0]


def known(concepts: ConceptSet, name: str | Concept) -> Concept:
    """A concept by its name; a synonym stays the word that is asked for, but is seen where its concept is seen."""
    if isinstance(name, Concept):
        return name
    concept = concepts.find(name)
    return concept if concept.name == name else Concept(name, concept.group, concept.general, labels=concept.labels)


def draw_and_judge(
    pipe: DiffusionPipeline,
    probe: AnyProbe,
    concepts: ConceptSet,
    chosen: Sequence[Concept],
    images: int,
    eraser: Eraser | None = None,
    first: int = 0,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
) -> tuple[pd.DataFrame, list[Image.Image]]:
    """The table of `hits` and the pictures it tells of, in the same order."""
    drawn = draw(pipe, concepts, chosen, images, eraser, first, steps, guidance)
    return judge(probe, drawn), drawn.pictures


def draw(
    pipe: DiffusionPipeline,
    concepts: ConceptSet,
    chosen: Sequence[Concept],
    images: int,
    eraser: Eraser | None = None,
    first: int = 0,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
) -> Drawn:
    """`images` pictures of each concept, concept by concept, by the original or the edited model."""
    owners = [concept for concept in chosen for _ in range(images)]
    seeds = [seed for concept in chosen for seed in seeds_of(concept.name, images, first)]
    prompts = [concepts.prompt(concept.name, picture) for concept in chosen for picture in range(images)]
    with eraser.applied_to(pipe) if eraser else nullcontext():
        return Drawn(owners, seeds, prompts, generate(pipe, prompts, seeds, steps, guidance))


def judge(probe: AnyProbe, drawn: Drawn) -> pd.DataFrame:
    """The table of `hits` for pictures that are there."""
    order = np.argsort(-probe.scores(drawn.pictures), axis=1)[:, :5]
    owned = zip(order, drawn.concepts, strict=True)
    match = np.stack([np.isin(best, probe.rows(concept.labels)) for best, concept in owned])
    names = [concept.name for concept in drawn.concepts]
    return pd.DataFrame({"concept": names, "seed": drawn.seeds, "top1": match[:, 0], "top5": match.any(1)})


def draw_by_each(
    pipe: DiffusionPipeline,
    concepts: ConceptSet,
    chosen: Sequence[Concept],
    images: int,
    erasers: Mapping[str, Eraser],
    steps: int = STEPS,
    guidance: float = GUIDANCE,
) -> Iterator[tuple[str, Drawn, Drawn]]:
    """Some of the pictures by the original model and by every eraser: its name, what it drew, what the original drew.

    Concept by concept in the order of `chosen`, so that few pictures need be in memory at once; "original" comes first
    each time, and draws once.
    """
    at_once = max(1, AT_ONCE // images)  # concepts
    for start in range(0, len(chosen), at_once):
        some = chosen[start : start + at_once]
        original = draw(pipe, concepts, some, images, None, 0, steps, guidance)
        yield "original", original, original
        for method, eraser in erasers.items():
            yield method, draw(pipe, concepts, some, images, eraser, 0, steps, guidance), original


def judged(probe: AnyProbe, method: str, drawn: Drawn, original: Drawn) -> pd.DataFrame:
    """The table of `hits` with the columns method and distance, the pairs' `pair_distance` to the original's."""
    same = drawn is original  # whose pictures need not be looked at twice more to be found alike
    distance = 0.0 if same else pair_distance(probe, original.pictures, drawn.pictures)
    return judge(probe, drawn).assign(method=method, distance=distance)
