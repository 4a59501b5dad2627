"""How much was erased, and what else was lost, as a probe sees it: ESR and PSR."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import numpy as np
import pandas as pd
from diffusers import DiffusionPipeline
from PIL import Image

from age_core.concepts.concept_set import Concept, ConceptSet
from age_core.errors import AgeError
from age_core.measure.intervals import hierarchical_bootstrap
from age_core.measure.pictures import pair_distance
from age_core.models.eraser import Eraser
from age_core.models.probes import AnyProbe
from age_core.models.sampling import generate

STEPS, GUIDANCE = 4, 3.0  # the sampler that judges; the same for every number that is compared
AT_ONCE = 64  # pictures of each model that are held in memory


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
    asked = [known(concepts, name) for name in names]
    for concept in asked:
        probe.rows(concept.labels)
    return draw_and_judge(pipe, probe, concepts, asked, images, eraser, first, steps, guidance)[0]


def known(concepts: ConceptSet, name: str | Concept) -> Concept:
    """A concept by its name; a synonym stays the word that is asked for, but is seen where its concept is seen."""
    if isinstance(name, Concept):
        return name
    found = concepts.find(name)
    return found if found.name == name else Concept(name, found.group, found.general, labels=found.labels)


def draw_and_judge(
    pipe: DiffusionPipeline,
    probe: AnyProbe,
    concepts: ConceptSet,
    asked: Sequence[Concept],
    images: int,
    eraser: Eraser | None = None,
    first: int = 0,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
) -> tuple[pd.DataFrame, list[Image.Image]]:
    """The table of `hits` and the pictures it tells of, in the same order."""
    owner = [concept for concept in asked for _ in range(images)]
    seeds = [seed for concept in asked for seed in seeds_of(concept.name, images, first)]
    prompts = [concepts.prompt(concept.name, picture) for concept in asked for picture in range(images)]
    with eraser.applied_to(pipe) if eraser else nullcontext():
        pictures = generate(pipe, prompts, seeds, steps, guidance)
    order = np.argsort(-probe.scores(pictures), axis=1)[:, :5]
    match = np.stack([np.isin(best, probe.rows(c.labels)) for best, c in zip(order, owner, strict=True)])
    names = [concept.name for concept in owner]
    table = pd.DataFrame({"concept": names, "seed": seeds, "top1": match[:, 0], "top5": match.any(1)})
    return table, pictures


def evaluate(
    pipe: DiffusionPipeline,
    probe: AnyProbe,
    concepts: ConceptSet,
    erased: Sequence[str | Concept],
    erasers: Mapping[str, Eraser],
    images: int = 4,
    erased_images: int = 16,
    others: Sequence[str | Concept] | None = None,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
) -> pd.DataFrame:
    """ESR-k and PSR-k in percent, a row for the original model and for each eraser.

    ESR-k: pictures of erased concepts none of whose labels is in the top k; PSR-k: pictures of the others one of whose
    labels is (method.md, section E; k = 1, 5). `erased` and `others` may be names, synonyms, or Concepts of your own,
    such as `concepts.of_general("fruit")`; whatever shares a label with an erased concept is not among the others.
    `<column>_low`, `<column>_high`: 95 % interval by `hierarchical_bootstrap`. `distance`: mean `pair_distance` between
    the original's and the edited model's pictures of the others. `probe`, `probe_version`: who judged.
    """
    gone = [known(concepts, name) for name in erased]
    labels = {label.lower() for concept in gone for label in concept.labels}
    everyone = [known(concepts, name) for name in (others or concepts.names)]
    kept = [concept for concept in everyone if labels.isdisjoint(label.lower() for label in concept.labels)]
    if not gone or not kept:
        raise AgeError("To evaluate, name at least one erased concept and leave at least one that is not.")
    if images < 1 or erased_images < 1:
        raise AgeError(f"Each concept needs at least one picture, not {min(images, erased_images)}.")
    for concept in [*gone, *kept]:
        probe.rows(concept.labels)  # an unknown label is refused before an hour is spent on drawing

    rows: list[dict[str, object]] = []
    parts = {
        "esr": judged(pipe, probe, concepts, gone, erased_images, erasers, steps, guidance),
        "psr": judged(pipe, probe, concepts, kept, images, erasers, steps, guidance),
    }
    for method in parts["psr"]["method"].unique():
        shares: dict[str, object] = {}
        bounds: dict[str, object] = {}
        for part, asked in (("esr", gone), ("psr", kept)):
            table = parts[part][parts[part]["method"] == method]
            for k in (1, 5):
                seen = table[f"top{k}"].to_numpy(float).reshape(len(asked), -1)  # (concepts, images)
                counted = 100 * (1 - seen if part == "esr" else seen)
                shares[f"{part}{k}"] = counted.mean()
                bounds[f"{part}{k}_low"], bounds[f"{part}{k}_high"] = hierarchical_bootstrap(counted)
        distance = table["distance"].mean()  # of the kept concepts, judged last
        rows.append({"method": method} | shares | bounds | {"distance": distance})
    return pd.DataFrame(rows).assign(probe=probe.name, probe_version=probe.version)


def judged(
    pipe: DiffusionPipeline,
    probe: AnyProbe,
    concepts: ConceptSet,
    asked: Sequence[Concept],
    images: int,
    erasers: Mapping[str, Eraser],
    steps: int = STEPS,
    guidance: float = GUIDANCE,
) -> pd.DataFrame:
    """The table of `hits` of the original model and of every eraser, with the columns method and distance.

    Concept by concept in the order of `asked`, so that few pictures are in memory at once.
    """
    models: dict[str, Eraser | None] = {"original": None, **erasers}
    tables = []
    at_once = max(1, AT_ONCE // images)  # concepts
    for start in range(0, len(asked), at_once):
        before: list[Image.Image] = []
        for method, eraser in models.items():
            table, pictures = draw_and_judge(
                pipe, probe, concepts, asked[start : start + at_once], images, eraser, 0, steps, guidance
            )
            before = before or pictures  # the original model comes first
            tables.append(table.assign(method=method, distance=pair_distance(probe, before, pictures)))
    return pd.concat(tables, ignore_index=True)
