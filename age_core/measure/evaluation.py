"""Erasers beside the original model in one table: what is gone (ESR), what is kept (PSR), and measures of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from diffusers import DiffusionPipeline

from age_core.concepts.candidates import near_and_far, rank_others
from age_core.concepts.concept_set import Concept, ConceptSet
from age_core.errors import AgeError
from age_core.measure.intervals import hierarchical_bootstrap
from age_core.measure.metrics import DEFAULT, METRICS, VERDICTS, open_metrics
from age_core.measure.verdicts import GUIDANCE, STEPS, Drawn, draw_by_each, judged, known
from age_core.models.eraser import Eraser
from age_core.models.families import device_of
from age_core.models.probes import AnyProbe

Others = Sequence[str | Concept] | Literal["all"] | None


def evaluate(
    pipe: DiffusionPipeline,
    probe: AnyProbe | None,
    concepts: ConceptSet,
    erased: Sequence[str | Concept],
    erasers: Mapping[str, Eraser],
    images: int = 4,
    erased_images: int = 16,
    others: Others = None,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    metrics: Sequence[str] = DEFAULT,
) -> pd.DataFrame:
    """ESR-k and PSR-k in percent, a row for the original model and for each eraser.

    ESR-k: pictures of erased concepts none of whose labels is in the top k; PSR-k: pictures of the others one of whose
    labels is (method.md, section E; k = 1, 5). `erased` and `others` may be names, synonyms, or Concepts of your own,
    such as `concepts.of_general("fruit")`. The others are, unless named, the concepts near and far (`near_and_far`) of
    each erased one, or "all" of the set: slow, and what is far from the erased is hardly hurt. Whatever shares a label
    with an erased concept is not among them.
    `<column>_low`, `<column>_high`: 95 % interval by `hierarchical_bootstrap`. `distance`: mean `pair_distance` between
    the original's and the edited model's pictures of the others. `probe`, `probe_version`: who judged.

    `metrics`: "esr", "psr", and measures of pictures by their names in `metrics.METRICS`, "name=source" with weights of
    one's own ("clip-score=FOLDER"); each adds a column, or one with the ending _erased for the erased concepts'
    pictures. Raises AgeError, before anything is drawn, on what cannot be judged or measured.
    """
    members = {"erased": [known(concepts, name) for name in erased]}
    members["others"] = _others(pipe, concepts, members["erased"], others)
    _check(members, erasers, {"erased": erased_images, "others": images}, metrics)
    measures = open_metrics(metrics, probe, str(device_of(pipe)))
    judging = {part: name for name, part in VERDICTS.items() if name in metrics}  # by part
    for part in judging:
        for concept in members[part]:
            assert probe is not None  # `open_metrics` has checked
            probe.rows(concept.labels)  # an unknown label is refused before an hour is spent on drawing

    shares, bounds, rest = ({method: dict[str, float]() for method in ("original", *erasers)} for _ in range(3))
    for part, count in (("erased", erased_images), ("others", images)):
        measuring = {name: measure for name, measure in measures.items() if part in METRICS[name].parts}
        if part not in judging and not measuring:
            continue
        verdicts: list[pd.DataFrame] = []
        drawn: dict[str, Drawn] = {}
        for method, pictures, original in draw_by_each(pipe, concepts, members[part], count, erasers, steps, guidance):
            if part in judging and probe is not None:
                verdicts.append(judged(probe, method, pictures, original))
            if measuring:  # of whole sets
                drawn[method] = drawn[method] + pictures if method in drawn else pictures
        for method, table in pd.concat(verdicts).groupby("method") if verdicts else ():
            _rates(table, judging[part], len(members[part]), shares[method], bounds[method])
            rest[method] |= {"distance": table["distance"].mean()} if part == "others" else {}
        for method, pictures in drawn.items():
            for name, measure in measuring.items():
                column = name.replace("-", "_") + ("_erased" if part == "erased" else "")
                rest[method][column] = measure(pictures, drawn["original"])
    table = pd.DataFrame([{"method": m, **shares[m], **bounds[m], **rest[m]} for m in shares])
    return table if probe is None else table.assign(probe=probe.name, probe_version=probe.version)


def _others(pipe: DiffusionPipeline, concepts: ConceptSet, erased: Sequence[Concept], others: Others) -> list[Concept]:
    """Those who are to be kept: whatever shares a label with an erased concept is not among them."""
    if isinstance(others, str) and others != "all":
        raise AgeError(f"The others to judge are a list of concepts, or 'all', not {others!r}.")
    if others is None:
        sides = [near_and_far(rank_others(pipe, concepts, concept)) for concept in erased]
        others = tuple(dict.fromkeys(name for near, far in sides for name in (*near, *far)))
    labels = {label.lower() for concept in erased for label in concept.labels}
    everyone = [known(concepts, name) for name in (concepts.names if others == "all" else others)]
    return [concept for concept in everyone if labels.isdisjoint(label.lower() for label in concept.labels)]


def _check(
    members: Mapping[str, Sequence[Concept]],
    erasers: Mapping[str, Eraser],
    images: Mapping[str, int],
    metrics: Sequence[str],
) -> None:
    if not members["erased"] or not members["others"]:
        raise AgeError("To evaluate, name at least one erased concept and leave at least one that is not.")
    if min(images.values()) < 1:
        raise AgeError(f"Each concept needs at least one picture, not {min(images.values())}.")
    if "original" in erasers:
        raise AgeError("An eraser cannot be called 'original': so is the unedited model.")
    if not metrics:
        raise AgeError("There is nothing to measure: name a metric, such as esr.")


def _rates(table: pd.DataFrame, name: str, concepts: int, shares: dict[str, float], bounds: dict[str, float]) -> None:
    """Add a method's ESR-k or PSR-k, and the ends of their intervals."""
    for k in (1, 5):
        seen = table[f"top{k}"].to_numpy(float).reshape(concepts, -1)  # (concepts, images)
        counted = 100 * (1 - seen if name == "esr" else seen)
        shares[f"{name}{k}"] = float(np.mean(counted))
        bounds[f"{name}{k}_low"], bounds[f"{name}{k}_high"] = hierarchical_bootstrap(counted)
