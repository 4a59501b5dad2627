"""Reading a table of side effects: every statistic of `graph` with its interval, beside the nulls it has to beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from age_core.concepts.concept_set import ConceptSet
from age_core.erasure.target_words import neighbours
from age_core.measure.noise_shift import noise_reference
from age_core.measure.verdicts import draw_and_judge
from age_core.models.eraser import Eraser
from age_core.study.baseline import Original
from age_core.study.build import MeasureSetup, Task, measure, side_effect_rows
from age_core.study.predict import look_ahead_damage, output_distance, text_distance, text_overlap
from age_core.study.statistics import (
    Interval,
    abnormal,
    asymmetry,
    damage_of,
    excess,
    mean_with_interval,
    nearest,
    pairs,
    rank_correlation,
    same_group,
    shuffled,
    spearman,
    stability,
)

NEAREST = 5
EVERYBODY = 0.9  # share of surely hurt pairs beyond which that tells nobody apart
Statistic = Callable[[pd.DataFrame], Interval]


def measures(concepts: ConceptSet, distances: Mapping[str, pd.DataFrame], k: int = NEAREST) -> dict[str, Statistic]:
    """The statistics by name; each takes a damage of the shape of `distances` ("words", "looks").

    Locality is in units of the mean damage, so that damages on different scales compare: how much more the inside is
    hurt than the outside.
    """

    def local(inside: Callable[[pd.DataFrame], pd.DataFrame]) -> Statistic:
        return lambda damage: excess(damage / np.nanmean(np.abs(damage.to_numpy(float))), inside(damage))

    def near(distance: pd.DataFrame) -> Statistic:
        return local(lambda damage: nearest(distance.reindex_like(damage), k))

    found: dict[str, Statistic] = {"excess in the same group": local(lambda damage: same_group(concepts, damage))}
    found |= {f"excess among the {k} nearest in {how}": near(distance) for how, distance in distances.items()}
    for how, distance in distances.items():
        found[f"rank correlation with nearness in {how}"] = partial(rank_correlation, other=-distance)
    return found | {"one-way share": lambda damage: (asymmetry(damage), float("nan"), float("nan"))}


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
    text-overlap null (`prediction.text_overlap`), which knows how the encodings overlap and no picture.
    """
    rows = []
    for name, statistic in measures(concepts, distances, k).items():
        value, low, high = statistic(damage)
        null = shuffled(damage, statistic, rounds)
        row: dict[str, object] = {"statistic": name, "value": value, "low": low, "high": high}
        row |= dict(zip(("shuffled", "shuffled_low", "shuffled_high"), null, strict=True))
        rows.append(row | {"overlap": statistic(overlap.reindex_like(damage))[0]})
    return pd.DataFrame(rows)


def read(
    setup: MeasureSetup, table: pd.DataFrame, metric: str, methods: Sequence[str], k: int = NEAREST, ahead: bool = False
) -> dict[str, dict[str, pd.DataFrame]]:
    """By method: "statistics" as above, "abnormal" concepts, and "stability" across seeds and against other methods.

    With `ahead` also "prediction": how well the damage was told before training, the look-ahead being UCE's edit to the
    nearest word (as in `studio`). Distances, the text-overlap null and the look-ahead are computed once for all. Raises
    AgeError, before that, where the table holds nothing of the metric and a method.
    """
    concepts = setup.watched
    found = {method: pairs(table, metric, method) for method in methods}
    erased = list(dict.fromkeys(name for rows in found.values() for name in rows["erased"]))
    distances = {
        "words": text_distance(setup.pipe, concepts, erased),
        "looks": output_distance(setup.pipe, setup.judge, concepts, erased),
    }
    overlap = text_overlap(setup.pipe, concepts, erased)
    looked = {}
    if ahead:
        words = {name: neighbours(setup.pipe, concepts[name], setup.concepts, 1).names[0] for name in erased}
        reference = noise_reference(setup.pipe, concepts, 2)
        looked["look-ahead"] = look_ahead_damage(setup.pipe, concepts, erased, reference, words)
    read: dict[str, dict[str, pd.DataFrame]] = {}
    for method, rows in found.items():
        damage = damage_of(rows).reindex(columns=list(concepts.names))
        mine = {how: distance.reindex_like(damage) for how, distance in distances.items()}
        read[method] = {
            "statistics": statistics(damage, concepts, mine, overlap, k),
            "abnormal": abnormal(hurt(damage, damage_of(rows, "low").reindex_like(damage))).head(10),
            "stability": stabilities(table, metric, method),
        }
        if ahead:
            near = {f"nearness in {how}": -distance for how, distance in distances.items()}
            read[method]["prediction"] = predictions(damage, looked | near | {"text overlap": overlap})
    return read


def hurt(damage: pd.DataFrame, low: pd.DataFrame) -> pd.DataFrame:
    """Who is hurt by which erasure, for `abnormal`; bool: whose interval lies above zero.

    Where that is nearly everybody, as with noise shift, which every edit moves: the strongest twentieth of an erasure.
    """
    sure = low > 0
    if sure.where(damage.notna()).mean(axis=None) < EVERYBODY:
        return sure
    return damage.rank(axis=1, pct=True) > 0.95


def predictions(damage: pd.DataFrame, predictors: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """How each predictor's order agrees with that of the damage; one row a predictor, the first being the favourite.

    correlation, low, high: Spearman's, mean over erased concepts with interval. ahead, ahead_low, ahead_high: how much
    better the favourite does, on the same erased concepts.
    """
    found = {name: spearman(damage, predicted) for name, predicted in predictors.items()}
    best = next(iter(found.values()))
    rows = []
    for name, one in found.items():
        row: dict[str, object] = {"predictor": name}
        row |= dict(zip(("correlation", "low", "high"), mean_with_interval(one.dropna().to_numpy()), strict=True))
        if one is not best:
            gap = mean_with_interval((best - one).dropna().to_numpy())
            row |= dict(zip(("ahead", "ahead_low", "ahead_high"), gap, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def stabilities(table: pd.DataFrame, metric: str, method: str) -> pd.DataFrame:
    """Mean rank correlation of all damages: between the method's seeds, and with each other method (seeds together)."""
    mine = table[(table["metric"] == metric) & (table["method"] == method)]
    by_seed = [damage_of(pairs(rows, metric, method)) for _, rows in mine.groupby("seed")]
    rows = [{"compared": "its own seeds", "erasers": len(by_seed), "correlation": stability(by_seed)}]
    own = damage_of(pairs(mine, metric, method))
    for other in dict.fromkeys(table.loc[table["metric"] == metric, "method"]):
        if other != method:
            theirs = damage_of(pairs(table, metric, other))
            rows.append({"compared": other, "erasers": len(theirs), "correlation": stability([own, theirs])})
    return pd.DataFrame(rows)


def noise_floor(setup: MeasureSetup, task: Task, folder: Path) -> pd.DataFrame:
    """What the metrics read where nothing was erased; rows like those of any erasure, with erased "".

    "no edit": everything measured again on the same seeds. "no edit, other seeds": DS on as many other pictures, which
    is what a graph whose before and after came from different seeds would take for damage.
    """
    original = Original.open(setup.pipe, setup.judge, setup.watched, task.images, folder)
    labels: dict[str, object] = {"target": "", "seed": 0}
    tables = [measure(setup, original, task, Eraser({}), "", method="no edit", **labels)]
    before, _ = original.without("")
    others, _ = draw_and_judge(
        setup.pipe, setup.judge, setup.watched, list(setup.watched), task.images, first=task.images
    )
    labels |= {"model": setup.model, "erased": "", "method": "no edit, other seeds"}
    tables += [side_effect_rows(before, others, f"DS-{k}", f"top{k}", **labels) for k in (1, 5)]
    return pd.concat(tables, ignore_index=True)
