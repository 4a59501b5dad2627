"""The tables of docs/results.md that tell of the recorded world, one function each."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from benchmarks.results.frames import frame
from benchmarks.results.tables import GROUP, WORDS, bounds, markdown, number, with_bounds

# The sets of recorded erasures (`benchmarks/evidence/world_tables.py`).
LABELS = {
    "esd": "ESD",
    "esd-of-2": "ESD, of what protected AGE erased, too",
    "age-of-2": "AGE, protected, of the same",
    "esd-of-3": "ESD, of emoji-netfive",
    "age-of-3": "AGE, protected, of the same",
    "age-unprotected-of-3": "AGE, unprotected, of the same",
}
NEAR = 50  # of how many nearest it is told
# of which sets damage by nearness is told, and what they are called there
CURVES = {"esd": "ESD", "age-of-2": "AGE, protected", "age-unprotected-of-3": "AGE, unprotected"}
MOST = 12  # abnormal concepts that are told
ABNORMAL = (("hurt_by", 0), ("expected", 1), ("p", 3))  # columns and decimals


def summary() -> str:
    """How local, symmetric and large the damage of the recorded erasures is, a row a set of them."""
    header = [
        "",
        "erasures",
        "of them whole",
        "still recognised in % of the erased one's pictures",
        "others visibly moved",
        f"of these among the {NEAR} nearest",
        "no longer recognised",
        "mean distance",
    ]
    header += [
        "excess in the same group",
        "shuffled",
        "rank correlation with nearness in words",
        "one-way share",
        "shuffled",
    ]
    rows = []
    for row in _sets():
        group, words, one_way = (_statistic(row["set"], name) for name in (GROUP, WORDS, "one-way share"))
        cells = [str(row["erased"]), str(row["whole"]), with_bounds(row, "still", 1, 1)]
        cells += [with_bounds(row, column, 1, 1) for column in ("moved", "near", "lost")]
        cells += [
            with_bounds(row, "distance", times=1000),
            with_bounds(group, "value", 1, 1),
            bounds(group, "shuffled"),
        ]
        cells += [with_bounds(words, "value", 2, 2), number(one_way["value"], 2), bounds(one_way, "shuffled", 2)]
        rows.append([LABELS[row["set"]], *cells])
    return markdown(header, rows)


def curve() -> str:
    """Distance by rank of nearness in words, a column for each of CURVES."""
    every = frame("recorded-curve")
    curves = {name: every[every["set"] == name] for name in CURVES}
    rows = []
    for place, (_, first) in enumerate(next(iter(curves.values())).iterrows()):
        ranks = str(first["first"]) if first["first"] == first["last"] else f"{first['first']} to {first['last']}"
        rows.append([ranks, *(with_bounds(curve.iloc[place], "damage", times=1000) for curve in curves.values())])
    return markdown(["rank by nearness in words", *(f"distance: {title}" for title in CURVES.values())], rows)


def abnormal() -> str:
    """Who is hurt by more recorded erasures than chance allows."""
    rows = frame("recorded-abnormal")
    rows = rows[(rows["p"] < 0.05) & (rows["set"] == "esd")].head(MOST)
    cells = [[str(row["concept"]), *(number(row[c], n) for c, n in ABNORMAL)] for _, row in rows.iterrows()]
    return markdown(["concept", "visibly moved by erasures", "expected", "p"], cells)


def strongest() -> str:
    """The recorded erasures' greatest damages."""
    rows = frame("recorded-strongest")
    rows = rows[rows["set"] == "esd"]
    cells = [
        [str(row[c]) for c in ("erased", "affected", "relation")] + [number(1000 * row["delta"], 0)]
        for _, row in rows.iterrows()
    ]
    return markdown(["erased", "affected", "relation", "distance"], cells)


def _sets() -> list[pd.Series]:
    return [row for _, row in frame("recorded-counts").iterrows()]


def _statistic(name: str, statistic: str) -> pd.Series:
    rows = frame("recorded-statistics")
    return rows[(rows["set"] == name) & (rows["statistic"] == statistic)].iloc[0]


RECORDED: dict[str, Callable[[], str]] = {
    "recorded": summary,
    "recorded-curve": curve,
    "recorded-abnormal": abnormal,
    "recorded-strongest": strongest,
}
