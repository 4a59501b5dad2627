"""Erasers beside the original model in one table: what is gone (ESR), what is kept (PSR), and measures of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import pandas as pd
from diffusers import DiffusionPipeline

from age_core.concepts.candidates import near_and_far, rank_others
from age_core.concepts.concept_set import Concept, ConceptSet
from age_core.errors import AgeError
from age_core.measure.intervals import share_interval
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
    labels is (docs/method.md, section E; k = 1, 5). `erased` and `others` may be names, synonyms, or Concepts of your
    own, such as `concepts.of_general("fruit")`. The others are, unless named, the concepts near and far
    (`near_and_far`) of each erased one, or "all" of the set: slow, and what is far from the erased is hardly hurt.
    Whatever shares a label with an erased concept is not among them.
    `<column>_low`, `<column>_high`: 95 % interval by `share_interval`. `distance`: mean `pair_distance` between
    the original's and the edited model's pictures of the others. `probe`, `probe_version`: who judged.

    `metrics`: "esr", "psr", and measures of pictures by their names in `metrics.METRICS`, "name=source" with weights of
    one's own ("clip-score=FOLDER"); each adds a column, or one with the ending _erased for the erased concepts'
    pictures. Raises AgeError, before anything is drawn, on what cannot be judged or measured.
    """
    members = {"erased": [known(concepts, name) for name in erased]}
    members["others"] = _others(pipe, concepts, members["erased"], others)
    counts = {"erased": erased_images, "others": images}
    _check(members, counts, erasers, metrics)
    measures = open_metrics(metrics, probe, str(device_of(pipe)))
    judges = {part: probe for name, part in VERDICTS.items() if name in metrics and probe}
    for part, judge in judges.items():
        for concept in members[part]:
            judge.rows(concept.labels)  # an unknown label is refused before an hour is spent on drawing

    rows: dict[str, dict[str, object]] = {method: {"method": method} for method in ("original", *erasers)}
    for part, chosen in members.items():
        measuring = {name: measure for name, measure in measures.items() if part in METRICS[name].parts}
        if part not in judges and not measuring:
            continue
        verdicts: dict[str, list[pd.DataFrame]] = {method: [] for method in rows}
        drawn: dict[str, Drawn] = {}
        for method, some, original in draw_by_each(pipe, concepts, chosen, counts[part], erasers, steps, guidance):
            if part in judges:
                verdicts[method].append(judged(judges[part], method, some, original))
            if measuring:  # of the whole set at once
                drawn[method] = drawn[method] + some if method in drawn else some
        for method, row in rows.items():
            row |= _rates(part, verdicts[method], len(chosen)) if part in judges else {}
            for name, measure in measuring.items():
                row[_column(name, part)] = measure(drawn[method], drawn["original"])
    table = pd.DataFrame(list(rows.values()))
    return table if probe is None else table.assign(probe=probe.name, probe_version=probe.version)


def _column(metric: str, part: str) -> str:
    return metric.replace("-", "_") + ("_erased" if part == "erased" else "")


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
    counts: Mapping[str, int],
    erasers: Mapping[str, Eraser],
    metrics: Sequence[str],
) -> None:
    if not all(members.values()):
        raise AgeError("To evaluate, name at least one erased concept and leave at least one that is not.")
    if min(counts.values()) < 1:
        raise AgeError(f"Each concept needs at least one picture, not {min(counts.values())}.")
    if "original" in erasers:
        raise AgeError("An eraser cannot be called 'original': so is the unedited model.")
    if not metrics:
        raise AgeError("There is nothing to measure: name a metric, such as esr.")


def _rates(part: str, tables: Sequence[pd.DataFrame], concepts: int) -> dict[str, float]:
    """One model's ESR-k of the erased or PSR-k of the others, the ends of their intervals, and the others' distance."""
    verdicts, rates = pd.concat(tables), dict[str, float]()
    name = "esr" if part == "erased" else "psr"
    for k in (1, 5):
        hits = verdicts[f"top{k}"].to_numpy(float).reshape(concepts, -1)  # (concepts, images)
        successes = 1 - hits if name == "esr" else hits
        ends = share_interval(successes)
        rates[f"{name}{k}"] = 100 * float(successes.mean())
        rates[f"{name}{k}_low"], rates[f"{name}{k}_high"] = (100 * end for end in ends)
    return rates if part == "erased" else rates | {"distance": float(verdicts["distance"].mean())}
