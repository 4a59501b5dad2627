"""Reading a table of side effects: every statistic of `graph` with its interval, beside the nulls it has to beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from age_core.concepts import ConceptSet
from age_core.evaluation import draw_and_judge, noise_shift
from age_core.graph import (
    Interval,
    abnormal,
    asymmetry,
    damage_of,
    excess,
    nearest,
    pairs,
    rank_correlation,
    same_group,
    shuffled,
    stability,
)
from age_core.metrics import pair_distance
from age_core.original import Original
from age_core.prediction import output_distance, text_distance, text_overlap
from age_core.side_effects import Bench, Task, side_effect_rows
from age_core.weights import Eraser

NEAREST = 5
Statistic = Callable[[pd.DataFrame], Interval]


def measures(world: ConceptSet, distances: Mapping[str, pd.DataFrame], k: int = NEAREST) -> dict[str, Statistic]:
    """The statistics by name; each takes a damage of the shape of `distances` ("words", "looks").

    Locality is in units of the mean damage, so that damages on different scales compare: how much more the inside is
    hurt than the outside.
    """

    def local(inside: Callable[[pd.DataFrame], pd.DataFrame]) -> Statistic:
        return lambda damage: excess(damage / np.nanmean(np.abs(damage.to_numpy(float))), inside(damage))

    def near(distance: pd.DataFrame) -> Statistic:
        return local(lambda damage: nearest(distance.reindex_like(damage), k))

    found: dict[str, Statistic] = {"excess in the same group": local(lambda damage: same_group(world, damage))}
    found |= {f"excess among the {k} nearest in {how}": near(distance) for how, distance in distances.items()}
    for how, distance in distances.items():
        found[f"rank correlation with nearness in {how}"] = partial(rank_correlation, other=-distance)
    return found | {"one-way share": lambda damage: (asymmetry(damage), float("nan"), float("nan"))}


def statistics(
    damage: pd.DataFrame,
    world: ConceptSet,
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
    for name, statistic in measures(world, distances, k).items():
        value, low, high = statistic(damage)
        null = shuffled(damage, statistic, rounds)
        row: dict[str, object] = {"statistic": name, "value": value, "low": low, "high": high}
        row |= dict(zip(("shuffled", "shuffled_low", "shuffled_high"), null, strict=True))
        rows.append(row | {"overlap": statistic(overlap.reindex_like(damage))[0]})
    return pd.DataFrame(rows)


def read(bench: Bench, table: pd.DataFrame, metric: str, method: str, k: int = NEAREST) -> dict[str, pd.DataFrame]:
    """ "statistics" as above, "abnormal" concepts, and "stability": across the seeds, and against other methods.

    Raises AgeError where the table holds nothing of that metric and method.
    """
    world, found = bench.watched, pairs(table, metric, method)
    damage = damage_of(found).reindex(columns=list(world.names))
    erased = list(damage.index)
    distances = {
        "words": text_distance(bench.pipe, world, erased),
        "looks": output_distance(bench.pipe, bench.probe, world, erased),
    }
    overlap = text_overlap(bench.pipe, world, erased)
    sure = damage_of(found, "low").reindex_like(damage) > 0
    return {
        "statistics": statistics(damage, world, distances, overlap, k),
        "abnormal": abnormal(sure).head(10),
        "stability": stabilities(table, metric, method),
    }


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


def noise_floor(bench: Bench, task: Task, folder: Path) -> pd.DataFrame:
    """What the metrics read where nothing was erased; rows like those of any erasure, with erased "".

    "no edit": everything measured again on the same seeds. "no edit, other seeds": DS on as many other pictures, which
    is what a graph whose before and after came from different seeds would take for damage.
    """
    pipe, probe, world = bench.pipe, bench.probe, bench.watched
    original = Original.open(pipe, probe, world, task.images, folder)
    before, pictures = original.without("")
    labels: dict[str, object] = {"model": bench.model, "target": "", "erased": "", "seed": 0}
    again, drawn = draw_and_judge(pipe, probe, world, list(world), task.images, Eraser({}))
    others, _ = draw_and_judge(pipe, probe, world, list(world), task.images, first=task.images)
    tables = []
    for k in (1, 5):
        for method, after in (("no edit", again), ("no edit, other seeds", others)):
            tables.append(side_effect_rows(before, after, f"DS-{k}", f"top{k}", method=method, **labels))
    far = again.assign(distance=pair_distance(probe, pictures, drawn))
    tables.append(
        side_effect_rows(before.assign(distance=0.0), far, "distance", "distance", method="no edit", **labels)
    )
    shift = noise_shift(pipe, original.reference, Eraser({}))
    tables.append(side_effect_rows(shift.assign(kept=1.0), shift, "noise-shift", "kept", method="no edit", **labels))
    return pd.concat(tables, ignore_index=True)
