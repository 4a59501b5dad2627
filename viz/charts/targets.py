"""The ablation of the target as figures: a table with a row a method, a column a measure and its interval."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from viz.charts import plots
from viz.charts.lesson import Act
from viz.components.theme import LIGHT

# Methods of the ablation as people call their targets, from near ones to far ones.
TARGETS = {
    "synonym": "a synonym",
    "nearest": "the nearest word",
    "in-class": "one of its kind",
    "random": "a random neighbour",
    "age-unprotected": "adaptive (AGE)",
    "age": "adaptive (AGE)",
    "general": "the general word",
    "unrelated": "an unrelated word",
    "empty": "the empty prompt",
}
# What the targets can be ranked by.
MEASURES = {
    "distance_near": "Damage: distance of near concepts, × 1000",
    "distance_far": "Damage: distance of far concepts, × 1000",
    "psr1_near": "Near concepts still recognised, %",
    "esr5": "Erased: not among the probe's first five, %",
    "back_completion": "Comes back when a picture is completed, %",
    "back_synonym": "Comes back when asked for by a synonym, %",
}
HIGH_IS_GOOD = ("esr5", "psr1_near")
PLANE_TITLE = "Erasure and damage by target"


def range_of(row: pd.Series, column: str) -> str:
    """A cell in whole numbers, with its interval where the table has one."""
    low, high = row.get(f"{column}_low", float("nan")), row.get(f"{column}_high", float("nan"))
    return f"{row[column]:.0f}" + ("" if pd.isna(low) or pd.isna(high) else f" ({low:.0f} to {high:.0f})")


def five(summary: pd.DataFrame) -> pd.DataFrame:
    """The rows of the five targets that are compared."""
    return summary[summary.index.isin(["empty", "general", "in-class", "random", "age-unprotected"])]


def rankings(summary: pd.DataFrame) -> tuple[Act, ...]:
    """Five targets ranked by each measure there is."""
    rows = five(summary)
    return tuple(ranking(rows, column, title) for column, title in MEASURES.items() if column in rows)


def guarded_rankings(protection: pd.DataFrame) -> tuple[Act, ...]:
    """The same where all targets guard the same words: `protection` has a row a target."""
    titles = {
        "back_completion": "Neighbours guarded alike: comes back when a picture is completed, %",
        "distance_near": "Neighbours guarded alike: distance of near concepts, × 1000",
    }
    rows = protection[protection.index.isin(TARGETS)]
    return tuple(ranking(rows, column, title) for column, title in titles.items() if column in rows)


def guarded_alike(protection: pd.DataFrame) -> str:
    """What the target decides where the words to spare are guarded whatever the target, in two sentences.

    "" where it was not measured.
    """
    rows = protection[protection.index.isin(TARGETS)].dropna(subset=["distance_near", "back_completion"])
    if "age" not in rows.index or len(rows) < 2:
        return ""
    damage = rows["distance_near"]
    age, others = rows.loc["age"], rows.drop(index="age")
    returns = "; ".join(
        f"{TARGETS[str(name)]} {range_of(row, 'back_completion')}"
        for name, row in others.sort_values("back_completion").iterrows()
    )
    return (
        f"Guard the neighbours alike, and near concepts move by {damage.min():.1f} to {damage.max():.1f} whatever the "
        f"target. The target then decides how easily the concept is lured back: a picture that the original began "
        f"shows it again in {range_of(age, 'back_completion')} % after the adaptive target; {returns}."
    )


def ranking(rows: pd.DataFrame, column: str, title: str) -> Act:
    """The targets as bars, the best first, with intervals where there are any."""
    high_is_good = column in HIGH_IS_GOOD
    ordered = rows.dropna(subset=column).sort_values(column, ascending=not high_is_good)
    intervals: dict[str, Any] = {}
    if {f"{column}_low", f"{column}_high"} <= set(ordered):
        intervals["error_x"] = {
            "type": "data",
            "symmetric": False,
            "array": (ordered[f"{column}_high"] - ordered[column]).tolist(),
            "arrayminus": (ordered[column] - ordered[f"{column}_low"]).tolist(),
            "thickness": 1,
        }
    names = [TARGETS[str(name)] for name in ordered.index]
    colour = {"color": LIGHT["gain"] if high_is_good else LIGHT["damage"]}

    def draw() -> go.Figure:
        figure = go.Figure(go.Bar(y=names, x=ordered[column], orientation="h", marker=colour, **intervals))
        return plots.styled(figure, title, "", "", 300).update_yaxes(autorange="reversed")

    return Act(title, f"Best by this measure: {names[0]} ({ordered[column].iloc[0]:.1f}).", draw)


def plane(rows: pd.DataFrame, only: str = "") -> go.Figure:
    """Erasure against damage, a point for each target; all but `only`, if given, are pale."""
    points = pd.DataFrame(
        {
            "name": [TARGETS[str(name)] for name in rows.index],
            "x": rows["esr5"],
            "x_low": rows["esr5_low"],
            "x_high": rows["esr5_high"],
            "y": rows["distance_near"],
            "y_low": rows["distance_near_low"],
            "y_high": rows["distance_near_high"],
        }
    )
    across, up = "erased from the probe's first five, %", "damage: distance near, × 1000"
    figure = plots.trade_off_figure(points, PLANE_TITLE, across, up)
    for name, trace in zip(rows.index, figure.data, strict=True):
        trace.opacity = 1.0 if only in ("", name) else 0.2
    return figure
