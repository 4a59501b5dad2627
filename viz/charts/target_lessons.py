"""Lessons 4 to 6, of the ablation of the target: a table with a row for each method, a column for each measure."""

from functools import partial
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from viz.charts import plots
from viz.charts.lesson import Act, Lesson
from viz.components.theme import LIGHT

# Methods of the ablation as people call their targets, from near ones to far ones.
TARGETS = {
    "synonym": "a synonym",
    "nearest": "the nearest word",
    "in-class": "one of its kind",
    "random": "a random neighbour",
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
# The cheap ways to bring a concept back.
ATTACKS = {
    "back_the_word_itself": "the word itself",
    "back_synonym": "a synonym",
    "back_general_word": "the general word",
    "back_revival": "text states solved for it",
    "back_completion": "a picture begun by the original",
}
ATTACKED = {"age": "AGE", "empty": "empty prompt", "uce": "UCE"}
PLANE_TITLE = "Erasure and damage by target"


def synonym_trap(summary: pd.DataFrame) -> Lesson | None:
    """Lesson 4, of the ablation's summary by method: near targets and far ones."""
    rows = summary[summary.index.isin(TARGETS)]
    if not {"synonym", "unrelated", "in-class"} <= set(rows.index):
        return None
    near, far = rows.loc["synonym"], rows.loc["unrelated"]
    choices = ("yes: it harms least and erases as well", "no: it hardly erases", "no: it harms most")
    hardly_erases = near["esr1"] < 90
    return Lesson(
        "The synonym trap",
        "A synonym is the closest target there is. Is it the best?",
        choices,
        (choices[1] if hardly_erases else choices[0],),
        f"Mapped onto a synonym, the concept was gone from {near['esr1']:.0f} % of its pictures; onto an unrelated "
        f"word, from {far['esr1']:.0f} %. Near neighbours moved by {near['distance_near']:.0f} and "
        f"{far['distance_near']:.0f}. "
        + ("A target that is too near keeps the concept." if hardly_erases else "Here the trap does not close."),
        "Means over eight concepts; bars show 95 % intervals.",
        partial(_plane, rows),
        "Slide the target from near to far",
        tuple(
            Act(
                TARGETS[name],
                partial(_plane, rows, name),
                f"Onto {TARGETS[name]}: gone from {rows.loc[name, 'esr1']:.0f} % of its pictures; near neighbours "
                f"moved by {rows.loc[name, 'distance_near']:.0f}.",
            )
            for name in TARGETS
            if name in rows.index and name != "age"  # which has no distance of its own
        ),
        True,
    )


def why_targets_matter(summary: pd.DataFrame) -> Lesson | None:
    """Lesson 5: the ablation of the target."""
    rows = summary[summary.index.isin(["empty", "general", "in-class", "random", "age"])]
    if not {"empty", "random", "age"} <= set(rows.index):
        return None
    best = str(rows["distance_near"].idxmin())
    choices = tuple(TARGETS[name] for name in ("empty", "general", "in-class", "random", "age") if name in rows.index)
    return Lesson(
        "Why the target matters",
        "Which target moved the neighbours of the erased concept least?",
        choices,
        (TARGETS[best],),
        f"{TARGETS[best].capitalize()} ({rows.loc[best, 'distance_near']:.0f}; the adaptive target "
        f"{rows.loc['age', 'distance_near']:.0f}, the empty prompt {rows.loc['empty', 'distance_near']:.0f}). Each "
        f"trades erasure for damage, and the adaptive one need not win.{_completion(rows)}",
        "All keep nearly every neighbour recognisable; distance is the finer measure.",
        partial(_plane, rows),
        "Rank them by something else",
        tuple(_ranking(rows, column, title) for column, title in MEASURES.items() if column in rows),
    )


def _completion(rows: pd.DataFrame) -> str:
    """After which target a picture that the original began comes back least, as a further sentence, where known."""
    column = "back_completion"
    if column not in rows or rows[column].isna().all():
        return ""
    robust = str(rows[column].idxmin())
    return (
        f" Asked to finish a picture that the original model began, the concept comes back least after "
        f"{TARGETS[robust]}: in {rows.loc[robust, column]:.0f} % of pictures; after the empty prompt in "
        f"{rows.loc['empty', column]:.0f} %."
    )


def _ranking(rows: pd.DataFrame, column: str, title: str) -> Act:
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
        return plots.styled(figure, title, "", "", 320).update_yaxes(autorange="reversed")

    return Act(title, draw, f"Best by this measure: {names[0]} ({ordered[column].iloc[0]:.1f}).")


def what_can_go_wrong(summary: pd.DataFrame) -> Lesson | None:
    """Lesson 6: the cheap attempts to bring a concept back."""
    columns = [column for column in ATTACKS if column in summary]
    methods = [name for name in ATTACKED if name in summary.index]
    if not columns or "age" not in methods:
        return None
    rows = summary.loc[methods, columns]
    by_target = summary[summary.index.isin(TARGETS)].dropna(subset=columns)
    worst = rows.loc["age"].idxmax()
    after_empty = f"; after the empty prompt {rows.loc['empty', worst]:.0f} %" if "empty" in methods else ""
    return Lesson(
        "What can still go wrong?",
        "The concept is gone when you ask for it by its name. Which of these brings it back most often?",
        tuple(ATTACKS[column] for column in columns),
        (ATTACKS[str(rows.max().idxmax())],),
        f"After AGE the strongest is {ATTACKS[str(worst)]}: {rows.loc['age', worst]:.0f} % of pictures show it again"
        f"{after_empty}. A score of 100 by the name alone hides that.",
        "None of these attempts adapts to the eraser, and the probe that judges is itself a model.",
        partial(_attack_figure, rows),
        "Try each after other targets",
        tuple(_ranking(by_target, column, f"Comes back through {ATTACKS[column]}, %") for column in columns),
    )


def _attack_figure(rows: pd.DataFrame) -> go.Figure:
    """A group of bars for each attack, a bar for each method."""
    figure = go.Figure()
    for name, colour in zip(rows.index, (LIGHT["gain"], LIGHT["damage"], LIGHT["soft"]), strict=False):
        attacks = [ATTACKS[column] for column in rows.columns]
        figure.add_bar(x=attacks, y=rows.loc[name], marker={"color": colour}, name=ATTACKED[str(name)])
    return plots.styled(figure, "How often the erased concept comes back, %", "", "% of pictures", 340)


def _plane(rows: pd.DataFrame, only: str = "") -> go.Figure:
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
