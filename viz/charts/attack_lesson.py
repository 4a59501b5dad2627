"""Lesson 6: what brings an erased concept back, and where the probe and the eye disagree."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pandas as pd
import plotly.graph_objects as go

from viz.charts import plots
from viz.charts.harm import Harm, line, lines
from viz.charts.lesson import Lesson, Option
from viz.charts.targets import TARGETS, range_of, ranking
from viz.components.html_parts import Markup, heading, join, soft
from viz.components.theme import LIGHT

# The cheap ways to bring a concept back.
ATTACKS = {
    "back_the_word_itself": "the word itself",
    "back_synonym": "a synonym",
    "back_general_word": "the general word",
    "back_revival": "text states solved for it",
    "back_completion": "a picture begun by the original",
}
METHODS = {"age-unprotected": "AGE", "empty": "empty prompt", "uce": "UCE"}


def what_can_go_wrong(
    summary: pd.DataFrame, pictures: Mapping[str, Markup] | None = None, harm: Harm | None = None
) -> Lesson | None:
    """The cheap attempts to bring a concept back. `pictures`: of them, by column; `harm`: a recorded erasure."""
    columns = [column for column in ATTACKS if column in summary]
    methods = [name for name in METHODS if name in summary.index]
    if not columns or "age-unprotected" not in methods:
        return None
    rows, pictures = summary.loc[methods], pictures or {}
    after_age = rows.loc["age-unprotected", columns].astype(float)
    by_target = summary[summary.index.isin(TARGETS)].dropna(subset=columns)
    return Lesson(
        title="What can still go wrong?",
        short="Attacks",
        question="After AGE the concept is gone when one asks for it by its name. Which of these brings it back most "
        "often?",
        options=tuple(Option(column, ATTACKS[column], pictures.get(column, Markup())) for column in columns),
        right=tuple(after_age.index[after_age == after_age.max()]),
        reveal=lambda _: join([_attacks(rows, columns, pictures), _probe_or_eye(harm) if harm else ""]),
        caveat="None of these attempts adapts to the eraser. Means over eight concepts of the bundled model; brackets "
        "hold 95 % intervals.",
        draw=partial(_attack_figure, rows[columns]),
        act="Try each after other targets",
        acts=tuple(ranking(by_target, column, f"Comes back through {ATTACKS[column]}, %") for column in columns),
    )


def _attacks(rows: pd.DataFrame, columns: list[str], pictures: Mapping[str, Markup]) -> Markup:
    """Each attempt after AGE and after the empty prompt, the strongest first."""
    age, other = rows.loc["age-unprotected"], rows.loc["empty"] if "empty" in rows.index else None
    order = age[columns].astype(float).sort_values(ascending=False).index
    told = (
        line(
            pictures.get(column, Markup()),
            ATTACKS[column],
            "" if other is None or pd.isna(other[column]) else f"after the empty prompt {range_of(other, column)} %",
            f"{range_of(age, column)} %",
        )
        for column in order
        if not pd.isna(age[column])
    )
    strongest = age[order[0]]
    said = (
        f"Shown again in {strongest:.0f} % of pictures: a score of 100 by the name alone hides that."
        if strongest >= 1
        else "Here none brings it back."
    )
    return join([soft(said), heading("Comes back after AGE"), lines(told)])


def _probe_or_eye(harm: Harm) -> Markup:
    """The concept that changed most and is still recognised, and the one that changed least and no longer is."""
    recognised = [name for name in harm.moved if name not in harm.lost]
    names = [*recognised[:1], *harm.lost[-1:]]
    if len(names) < 2:
        return Markup()
    title = f"Probe or eye? {harm.erased} erased by {harm.by}"
    said = "The judge is a model too. It passes the first of these and fails the second: would you?"
    return join([heading(title), soft(said), harm.rows(names)])


def _attack_figure(rows: pd.DataFrame) -> go.Figure:
    """A group of bars for each attack, a bar for each method."""
    figure = go.Figure()
    for name, colour in zip(rows.index, (LIGHT["gain"], LIGHT["damage"], LIGHT["soft"]), strict=False):
        attacks = [ATTACKS[column] for column in rows.columns]
        figure.add_bar(x=attacks, y=rows.loc[name], marker={"color": colour}, name=METHODS[str(name)])
    return plots.styled(figure, "How often the erased concept comes back, %", "", "% of pictures", 320)
