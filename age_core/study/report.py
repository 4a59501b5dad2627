"""What a table of side effects says: every statistic with interval, beside the nulls it has to beat, and the graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from age_core.concepts.concept_set import ConceptSet
from age_core.erasure.target_words import neighbours
from age_core.measure.noise_shift import noise_reference
from age_core.models.eraser import Eraser
from age_core.study.baseline import Original
from age_core.study.build import MeasureSetup, Task, measure, unedited_rows
from age_core.study.graph import concept_graph, graph_statistics, strengths
from age_core.study.labels import label_of
from age_core.study.predict import look_ahead_damage, output_distance, text_distance, text_overlap
from age_core.study.statistics import (
    Interval,
    asymmetry,
    excess,
    mean_with_interval,
    nearest,
    rank_correlation,
    same_group,
    shuffled,
    spearman,
    stability,
)
from age_core.study.tables import SideEffects, Source

NEAREST = 5
SHOWN = 10  # concepts in a table of the strongest, or of the abnormal
Statistic = Callable[[pd.DataFrame], Interval]


def named_statistics(
    concepts: ConceptSet, distances: Mapping[str, pd.DataFrame], k: int = NEAREST
) -> dict[str, Statistic]:
    """The statistics by name; each takes a damage of the shape of `distances` ("words", "looks").

    Locality is in units of the mean damage, so that damages on different scales compare: how much more the inside is
    hurt than the outside.
    """

    def local(inside: Callable[[pd.DataFrame], pd.DataFrame]) -> Statistic:
        return lambda damage: excess(damage / np.nanmean(np.abs(damage.to_numpy(float))), inside(damage))

    def near(distance: pd.DataFrame) -> Statistic:
        return local(lambda damage: nearest(distance.reindex_like(damage), k))

    statistics_of: dict[str, Statistic] = {
        "excess in the same group": local(lambda damage: same_group(concepts, damage))
    }
    statistics_of |= {f"excess among the {k} nearest in {how}": near(distance) for how, distance in distances.items()}
    for how, distance in distances.items():
        statistics_of[f"rank correlation with nearness in {how}"] = partial(rank_correlation, other=-distance)
    return statistics_of | {"one-way share": lambda damage: (asymmetry(damage), float("nan"), float("nan"))}


def statistics(
    damage: pd.DataFrame,
    concepts: ConceptSet,
    distances: Mapping[str, pd.DataFrame],
    overlap: pd.DataFrame,
    k: int = NEAREST,
    rounds: int = 200,
) -> pd.DataFrame:
    """A row a statistic: value, low, high; shuffled, shuffled_low, shuffled_high; overlap.

    shuffled: the same statistic of the same damages dealt out anew, mean and 95 % range. overlap: the statistic of the
    text-overlap null (`predict.text_overlap`), which knows how the encodings overlap and no picture.
    """
    rows = []
    for name, statistic in named_statistics(concepts, distances, k).items():
        value, low, high = statistic(damage)
        null = shuffled(damage, statistic, rounds)
        row: dict[str, object] = {"statistic": name, "value": value, "low": low, "high": high}
        row |= dict(zip(("shuffled", "shuffled_low", "shuffled_high"), null, strict=True))
        rows.append(row | {"overlap": statistic(overlap.reindex_like(damage))[0]})
    return pd.DataFrame(rows)


def side_effect_report(
    setup: MeasureSetup,
    effects: SideEffects,
    metric: str,
    methods: Sequence[str],
    k: int = NEAREST,
    ahead: bool = False,
) -> dict[str, dict[str, pd.DataFrame]]:
    """By method: "statistics" as above, the "floor", what the "graph" says, who "harm most", who are "hurt most" or
    "abnormal", and "stability" across seeds and against other methods.

    With `ahead` also "prediction": how well the damage was told before training, the look-ahead being UCE's edit to the
    nearest word (as in the explorer). Distances, the text-overlap null and the look-ahead are computed once for all.
    Raises AgeError, before that, where the table holds nothing of the metric and a method.
    """
    concepts = setup.watched
    damages = {method: effects.damage((method, metric)) for method in methods}
    erased = list(dict.fromkeys(name for damage in damages.values() for name in damage.index))
    distances = {
        "words": text_distance(setup.pipe, concepts, erased),
        "looks": output_distance(setup.pipe, setup.judge, concepts, erased),
    }
    overlap = text_overlap(setup.pipe, concepts, erased)
    predictors = {}
    if ahead:
        words = {name: neighbours(setup.pipe, concepts[name], setup.concepts, 1).names[0] for name in erased}
        reference = noise_reference(setup.pipe, concepts, 2)
        predictors["look-ahead"] = look_ahead_damage(setup.pipe, concepts, erased, reference, words)
        predictors |= {f"nearness in {how}": -distance for how, distance in distances.items()}
        predictors["text overlap"] = overlap
    report: dict[str, dict[str, pd.DataFrame]] = {}
    for method in methods:
        source = (method, metric)
        damage = damages[method].reindex(columns=list(concepts.names))
        near = {how: distance.reindex_like(damage) for how, distance in distances.items()}
        graph = concept_graph(effects, source, concepts)
        report[method] = {
            "statistics": statistics(damage, concepts, near, overlap, k),
            "floor": floor_row(effects, source),
            "graph": graph_statistics(graph),
            "harm most": strengths(graph).head(SHOWN),
            "hurt most": strengths(graph).sort_values("hurt", ascending=False, kind="stable").head(SHOWN),
            "abnormal": effects.abnormal(source).head(SHOWN),
            "stability": stabilities(effects, source),
        }
        if ahead:
            report[method]["prediction"] = predictions(damage, predictors)
    return report


def floor_row(effects: SideEffects, source: Source) -> pd.DataFrame:
    """One row: the noise floor, how many of all effects are clear of it, and how it was obtained."""
    floor, clear = effects.floor(source), effects.pairs(source)["clear"]
    return pd.DataFrame([{"floor": floor.value, "clear": int(clear.sum()), "effects": len(clear), "how": floor.how}])


def predictions(damage: pd.DataFrame, predictors: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """How each predictor's order agrees with that of the damage; one row a predictor, the first being the favourite.

    correlation, low, high: Spearman's, mean over erased concepts with interval. ahead, ahead_low, ahead_high: how much
    better the favourite does, on the same erased concepts.
    """
    correlations = {name: spearman(damage, predicted) for name, predicted in predictors.items()}
    best = next(iter(correlations.values()))
    rows = []
    for name, one in correlations.items():
        row: dict[str, object] = {"predictor": name}
        row |= dict(zip(("correlation", "low", "high"), mean_with_interval(one.dropna().to_numpy()), strict=True))
        if one is not best:
            gap = mean_with_interval((best - one).dropna().to_numpy())
            row |= dict(zip(("ahead", "ahead_low", "ahead_high"), gap, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def stabilities(effects: SideEffects, source: Source) -> pd.DataFrame:
    """Mean rank correlation of all damages: between the method's seeds, and with each other method (seeds together)."""
    by_seed = effects.by_seed(source)
    rows = [{"compared": "its own seeds", "erasers": len(by_seed), "correlation": stability(by_seed)}]
    damage = effects.damage(source)
    for other in effects.sources:
        if other[1] == source[1] and other[0] != source[0]:
            theirs = effects.damage(other)
            both = stability([damage, theirs])
            rows.append({"compared": label_of(other[0]), "erasers": len(theirs), "correlation": both})
    return pd.DataFrame(rows)


def noise_floor(setup: MeasureSetup, task: Task, folder: Path) -> pd.DataFrame:
    """What the metrics read where nothing was erased; rows like those of any erasure, with erased "".

    "no edit": everything measured again on the same seeds. "no edit, other seeds": see `unedited_rows`.
    """
    original = Original.open(setup.pipe, setup.judge, setup.watched, task.images, folder)
    same = measure(setup, original, task, Eraser({}), "", method="no edit", target="", seed=0)
    return pd.concat([same, unedited_rows(setup, original, task)], ignore_index=True)
