"""From the numbers of single pictures to side effects: means and intervals over the pictures of each pair of concepts.

`numbers`: the rows of one or more erasures, sorted by erased, affected and picture, as `RecordedWorld` reads them. A
world has 200,000 pairs, so that all with as many pictures are computed together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd

from age_core.measure.intervals import few_intervals, share_change_intervals


def distances(numbers: pd.DataFrame) -> pd.DataFrame:
    """A row a pair: erased, affected, distance (mean), low, high (nan of one picture), pictures (how many)."""
    rows = numbers[numbers["distance"].notna()]
    values = rows["distance"].to_numpy(float)
    tables = []
    for grid in _grids(rows):
        low, high = few_intervals(values[grid])
        columns = {"distance": values[grid].mean(axis=1), "low": np.maximum(low, 0.0), "high": high}
        tables.append(_pairs(rows, grid).assign(**columns, pictures=grid.shape[1]))
    return pd.concat(tables, ignore_index=True)


def share_changes(numbers: pd.DataFrame, top: int) -> pd.DataFrame:
    """A row a pair: erased, affected, and of the pictures that the original drew as well: before and after, the shares
    in which the concept is among the probe's first `top` guesses, and delta, how much was lost, with low and high.
    """
    rows = numbers[numbers[f"before{top}"].notna()]
    before, after = rows[f"before{top}"].to_numpy(float), rows[f"top{top}"].to_numpy(float)
    tables = []
    for grid in _grids(rows):
        low, high = share_change_intervals(before[grid], after[grid])
        columns = {"before": before[grid].mean(axis=1), "after": after[grid].mean(axis=1), "low": low, "high": high}
        tables.append(_pairs(rows, grid).assign(**columns))
    table = pd.concat(tables, ignore_index=True)
    return table.assign(delta=table["before"] - table["after"])


def _distance_rows(numbers: pd.DataFrame) -> pd.DataFrame:
    far = distances(numbers)
    return _named(far.assign(before=0.0, after=far["distance"], delta=far["distance"]))


def _shift_rows(numbers: pd.DataFrame) -> pd.DataFrame:
    first = numbers[numbers["picture"] == 0]
    shift = first["noise_shift"].to_numpy(float)
    return _named(first.assign(before=1.0, after=1 - shift, delta=shift, low=np.nan, high=np.nan))


def _share_rows(top: int, numbers: pd.DataFrame) -> pd.DataFrame:
    return _named(share_changes(numbers, top))


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.astype({"erased": "str", "affected": "str"})


# What makes the rows of each metric: a row a pair with erased, affected, before, after, delta, low and high.
METRICS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "distance": _distance_rows,
    "noise-shift": _shift_rows,
    "DS-1": partial(_share_rows, 1),
    "DS-5": partial(_share_rows, 5),
}


def _grids(rows: pd.DataFrame) -> Iterator[np.ndarray]:
    """The rows of each pair, for all pairs with as many pictures at once: places (pairs, pictures)."""
    pair = rows["erased"].cat.codes.to_numpy(int) * len(rows["erased"].cat.categories) + rows["affected"].cat.codes
    starts = np.flatnonzero(np.diff(pair, prepend=-1))
    counts = np.diff(starts, append=len(rows))
    for count in np.unique(counts):
        yield starts[counts == count][:, None] + np.arange(count)


def _pairs(rows: pd.DataFrame, grid: np.ndarray) -> pd.DataFrame:
    return rows[["erased", "affected"]].iloc[grid[:, 0]]
