"""Which concepts the benchmarks erase and watch, what an eraser did to them, and how sure a mean of that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from age_core import ConceptSet, Eraser
from age_core.concepts.candidates import near_and_far, rank_others
from age_core.measure.intervals import mean_interval
from age_core.measure.pictures import pair_distance
from age_core.measure.verdicts import draw_and_judge
from age_core.study.graph import relation
from age_core.study.robustness import recovery_rates

# One each of eight groups, all with a synonym that the model knows.
CONCEPTS = ["dog", "duck", "apple", "hamburger", "mushroom", "car", "guitar", "castle"]
OTHERS = ("near", "far")
ELSEWHERE = "a drawing of {a_noun}"  # a prompt in which nothing is erased, protected or judged otherwise
# Between what a measure can lie, by the first part of its name.
LIMITS = dict.fromkeys(("esr1", "esr5", "psr1", "psr5", "back"), (0, 100)) | {"distance": (0, np.inf)}
FREE = (-np.inf, np.inf)


def columns(measure: str, values: pd.Series, reference: pd.Series | None = None) -> dict[str, float]:
    """Mean of `values` by (concept, seed) with its 95 % interval, and how much higher the reference is on the same.

    The intervals are of concepts, each with the mean of its seeds: seeds of one concept are no independent evidence.
    Of a single concept there is none (nan).
    """
    limits = LIMITS.get(measure.split("_")[0], FREE)
    summary = _summary(measure, values.dropna(), limits)
    if reference is not None:
        summary |= _summary(f"{measure}_gap", (reference - values).dropna(), FREE)
    return summary


def _summary(name: str, numbers: pd.Series, limits: tuple[float, float]) -> dict[str, float]:
    if numbers.empty:
        return {}
    means = numbers.groupby(level="concept").mean().to_numpy()
    low, high = np.clip(mean_interval(means), *limits)
    return {name: float(means.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}


class Judge:
    """Who is watched for each erased concept, and what the original model draws of them."""

    def __init__(self, pipe, probe, concepts: ConceptSet):
        self._parts = pipe, probe, concepts
        self._watched: dict[str, dict[str, tuple[Sequence[str], int]]] = {}
        self._originals: dict[str, dict[str, list[Image.Image]]] = {}

    def watched(self, concept: str) -> dict[str, tuple[Sequence[str], int]]:
        """(names, pictures of each): the erased concept, the nearest others, and a spread of the rest."""
        if concept not in self._watched:  # ranking the world reads every name: once a concept, not at each drawing
            pipe, _, concepts = self._parts
            near, far = near_and_far(rank_others(pipe, concepts, concepts[concept]))
            others: dict[str, tuple[Sequence[str], int]] = {"near": (near, 4), "far": (far, 4), "elsewhere": (near, 2)}
            self._watched[concept] = {"own": ([concept], 16)} | others
        return self._watched[concept]

    def draw(self, side: str, concept: str, eraser: Eraser | None) -> tuple[pd.DataFrame, list[Image.Image]]:
        pipe, probe, concepts = self._parts
        names, images = self.watched(concept)[side]
        if side == "elsewhere":
            concepts = replace(concepts, template=ELSEWHERE, contents=())
        return draw_and_judge(pipe, probe, concepts, [concepts[name] for name in names], images, eraser)

    def originals(self, concept: str) -> dict[str, list[Image.Image]]:
        """Pictures by the unedited model, drawn once for all rows of a concept."""
        if concept not in self._originals:
            self._originals = {concept: {side: self.draw(side, concept, None)[1] for side in (*OTHERS, "elsewhere")}}
        return self._originals[concept]

    def recovery_rates(self, concept: str, eraser: Eraser, images: int) -> dict[str, float]:
        """Share of pictures, by kind of attempt, that still show the concept."""
        pipe, probe, concepts = self._parts
        found = recovery_rates(pipe, probe, concepts, concept, eraser, images, upper_bounds=False)
        return {
            f"back_{kind.replace(' ', '_')}": share for kind, share in found.groupby("kind")["shown"].mean().items()
        }

    def verdict(self, concept: str, eraser: Eraser | None, sides: Sequence[str] = OTHERS) -> dict[str, Any]:
        """ESR-k of the concept; PSR-k and distance to the original's pictures of each of `sides`.

        With the near ones also `distance_elsewhere`, theirs in another prompt (ELSEWHERE), and `distance_apart`, of
        those that share no word with the erased one ("hot dog" with "dog"). `distance_of` has each watched one's own.
        """
        gone, _ = self.draw("own", concept, eraser)
        row: dict[str, Any] = {f"esr{k}": 100 * (1 - gone[f"top{k}"].mean()) for k in (1, 5)}
        row["distance_of"] = {}
        for side in sides:
            kept, pictures = self.draw(side, concept, eraser)
            row |= {f"psr{k}_{side}": 100 * kept[f"top{k}"].mean() for k in (1, 5)}
            before = self.originals(concept)[side]
            distance = pd.Series(1000.0 * pair_distance(self._parts[1], before, pictures).astype(float))
            row[f"distance_{side}"] = round(distance.mean(), 2)
            row["distance_of"] |= distance.groupby(kept["concept"]).mean().round(2).to_dict()
        if "near" in sides:
            near, concepts = self.watched(concept)["near"][0], self._parts[2]
            apart = [name for name in near if relation(concepts, concept, name) != "shared word"]
            pictures = self.draw("elsewhere", concept, eraser)[1]
            before = self.originals(concept)["elsewhere"]
            row["distance_elsewhere"] = round(1000 * float(pair_distance(self._parts[1], before, pictures).mean()), 2)
            row["distance_apart"] = round(float(np.mean([row["distance_of"][name] for name in apart])), 2)
        return row
