"""Six short lessons: a question, a guess, and an answer that is filled in from what was measured.

Each maker takes tables and returns a Lesson, or None where the table does not hold what it takes. Where an effect is
absent, the answer says so.
"""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from viz.charts import plots
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
    "back_synonym": "Comes back by a synonym, %",
}


Drawing = Callable[[], go.Figure]  # a figure that is made when somebody wants to see it: all together take a second


@dataclass(frozen=True)
class Act:
    """One thing to try after the answer: what it is called, what it shows, and what that says, in plain text."""

    title: str
    draw: Drawing
    said: str


@dataclass(frozen=True)
class Lesson:
    """`answer` and `caveat` are plain text; `choices` may be empty, where looking is the task.

    `acts`: what the figure can be turned to, under the heading `act`; a slider where they are ordered.
    """

    title: str
    question: str
    choices: tuple[str, ...]
    right: tuple[str, ...]
    answer: str
    caveat: str
    draw: Drawing
    act: str = ""
    acts: tuple[Act, ...] = ()
    ordered: bool = False


def erasing(name: str, losses: Sequence[float], heaviest: str, stages: Sequence[int] = ()) -> Lesson:
    """Lesson 1, of a recorded run: the loss of redirecting the word, and where it went; `stages`: steps to scrub to."""

    def curve(at: int = 0) -> go.Figure:
        figure = go.Figure(
            go.Scatter(x=list(range(1, len(losses) + 1)), y=list(losses), mode="lines", line={"color": LIGHT["damage"]})
        )
        if at:
            figure.add_scatter(x=[at], y=[losses[at - 1]], mode="markers", marker={"size": 12, "color": LIGHT["gain"]})
        title = f"How far “{name}” is from drawing “{heaviest}”"
        plots.styled(figure, title, "step", "loss of erasing", 300)
        figure.update_layout(showlegend=False)
        marks = [digit * 10.0**power for power in range(-6, 3) for digit in (1, 2, 5)]
        return figure.update_yaxes(type="log", tickvals=marks, ticktext=[f"{mark:g}" for mark in marks])

    acts = tuple(
        Act(f"step {at}", partial(curve, at), f"Step {at} of {len(losses)}: the loss is {losses[at - 1]:.3f}.")
        for at in stages
        if 0 < at <= len(losses)
    )
    choices = ("an empty picture", "noise", f"another thing, such as a {heaviest}")
    return Lesson(
        "What is erasing?",
        f"A model was taught to forget “{name}”. What does it draw when you ask for “{name}” now?",
        choices,
        choices[2:],
        f"The word is redirected, not deleted: over {len(losses)} steps the model learnt to draw for “{name}” what it "
        f"draws for “{heaviest}”. The pictures below are the same seed at each stage.",
        "The knowledge may still be in the model: lesson 6.",
        curve,
        "Scrub through the training",
        acts,
        True,
    )


def locality(
    name: str, damage: pd.Series, ranked: Sequence[str], curve: Drawing, others: Mapping[str, Drawing] | None = None
) -> Lesson:
    """Lesson 2: whom erasing `name` hurts. damage: by concept; ranked: concepts, the nearest in words first.

    `others`: the curves of other erased concepts.
    """
    known = [other for other in ranked if other in damage.index]
    offered = [*known[:6], *known[len(known) // 2 :: max(len(known) // 12, 1)][:6]]
    worst = damage[offered].nlargest(5).index
    near = sum(other in known[:6] for other in worst)
    top = damage[known].nlargest(5)
    far_ones = [other for other in top.index if other not in known[:24]]
    exceptions = f"Of its five worst victims among all {len(known)}, {len(far_ones)} are not among the 24 nearest" + (
        f" ({', '.join(far_ones)})." if far_ones else "."
    )
    return Lesson(
        "Damage stays local",
        f"“{name}” was erased. Which five of these twelve suffer most?",
        tuple(sorted(offered)),
        tuple(worst),
        f"{near} of the five are among its six nearest neighbours. On average the nearest six lost "
        f"{damage[known[:6]].mean():.3f}, all {len(known)} concepts {damage[known].mean():.3f}. {exceptions}",
        "Near in words is not always near in looks: words that share a part (“hot dog”) are hurt most.",
        curve,
        "Is it so for other concepts?",
        tuple(
            Act(other, draw, f"The damage of erasing “{other}”, its nearest neighbours on the left.")
            for other, draw in ({name: curve} | dict(others or {})).items()
        ),
    )


def one_way(both: pd.DataFrame, share: float) -> Lesson | None:
    """Lesson 3: pairs erased both ways (columns a, b, there, back, one_way), and the one-way share of all damage."""
    if both.empty:
        return None
    gap = (both["there"] - both["back"]).abs()
    pair = both.loc[gap.idxmax()]
    a, b = (pair["a"], pair["b"]) if pair["there"] > pair["back"] else (pair["b"], pair["a"])
    more, less = max(pair["there"], pair["back"]), min(pair["there"], pair["back"])
    sure = int(both["one_way"].sum())
    strong = both.loc[both[["there", "back"]].max(axis=1).nlargest(300).index]  # more dots than that hide each other
    acts = tuple(_flip(row) for row in both.loc[gap.nlargest(6).index].to_dict("records"))
    choices = ("the same harm back", "less harm back", "more harm back")
    return Lesson(
        "One-way streets",
        f"Erasing “{a}” moves “{b}” by {more:.3f}. What does erasing “{b}” do to “{a}”?",
        choices,
        choices[1:2],
        f"{less:.3f}: each direction is an experiment of its own. Of {len(both)} pairs erased both ways, {sure} differ "
        f"beyond their intervals; {share:.0%} of all damage goes one way.",
        "Likeness of two words is the same both ways; harm need not be.",
        partial(plots.one_way_figure, strong, "The same pair, erased both ways", "noise shift"),
        "Flip an arrow",
        acts,
    )


def _flip(pair: Mapping[str, Any]) -> Act:
    """Both arrows of a pair, as two bars."""
    a, b, there, back = pair["a"], pair["b"], pair["there"], pair["back"]
    ways = [f"erasing {plots.escaped(one)} on {plots.escaped(two)}" for one, two in ((a, b), (b, a))]

    def draw() -> go.Figure:
        figure = go.Figure(go.Bar(y=ways, x=[there, back], orientation="h", marker={"color": LIGHT["damage"]}))
        return plots.styled(figure, f"{a} and {b}", "noise shift", "", 240)

    often = max(there, back) / max(min(there, back), 1e-9)
    return Act(f"{a} and {b}", draw, f"{there:.3f} one way and {back:.3f} the other: {often:.1f} times as much.")


def synonym_trap(summary: pd.DataFrame) -> Lesson | None:
    """Lesson 4, of the ablation's summary by method: near targets and far ones."""
    rows = summary[summary.index.isin(TARGETS)]
    if not {"synonym", "unrelated", "in-class"} <= set(rows.index):
        return None
    synonym, far = rows.loc["synonym"], rows.loc["unrelated"]
    choices = ("yes: it harms least and erases as well", "no: it hardly erases", "no: it harms most")
    kept = synonym["esr1"] < 90
    return Lesson(
        "The synonym trap",
        "A synonym is the closest target there is. Is it the best?",
        choices,
        (choices[1] if kept else choices[0],),
        f"Mapped onto a synonym, the concept was gone from {synonym['esr1']:.0f} % of its pictures; onto an unrelated "
        f"word from {far['esr1']:.0f} %. Near neighbours moved by {synonym['distance_near']:.0f} and "
        f"{far['distance_near']:.0f}. " + ("Too near keeps the concept." if kept else "Here the trap does not close."),
        "Means over eight concepts; bars show 95 % intervals.",
        partial(_plane, rows, "Erasure and damage by target"),
        "Slide the target from near to far",
        tuple(
            Act(
                TARGETS[name],
                partial(_plane, rows, "Erasure and damage by target", name),
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
    wanted = ["empty", "general", "in-class", "random", "age"]
    rows = summary[summary.index.isin(wanted)]
    if not {"empty", "random", "age"} <= set(rows.index):
        return None
    best = str(rows["distance_near"].idxmin())
    back = "back_completion"
    robust = str(rows[back].idxmin()) if back in rows and rows[back].notna().any() else ""
    choices = tuple(TARGETS[name] for name in wanted if name in rows.index)
    more = (
        f" Asked to finish a picture that the original model began, the concept comes back least after "
        f"{TARGETS[robust]}: in {rows.loc[robust, back]:.0f} % of pictures; after the empty prompt in "
        f"{rows.loc['empty', back]:.0f} %."
        if robust
        else ""
    )
    return Lesson(
        "Why the target matters",
        "Which target moved the neighbours of the erased concept least?",
        choices,
        (TARGETS[best],),
        f"{TARGETS[best].capitalize()} ({rows.loc[best, 'distance_near']:.0f}; the adaptive target "
        f"{rows.loc['age', 'distance_near']:.0f}, the empty prompt {rows.loc['empty', 'distance_near']:.0f}). Each "
        f"trades erasure for damage, and the adaptive one need not win.{more}",
        "All keep nearly every neighbour recognisable; distance is the finer measure.",
        partial(_plane, rows, "Erasure and damage by target"),
        "Rank them by something else",
        tuple(_ranking(rows, column, title) for column, title in MEASURES.items() if column in rows),
    )


def _ranking(rows: pd.DataFrame, column: str, title: str) -> Act:
    """The targets as bars, the best first, with intervals where there are any."""
    best_high = column in ("esr5", "psr1_near")
    ordered = rows.dropna(subset=column).sort_values(column, ascending=not best_high)
    bars: dict[str, Any] = {}
    if {f"{column}_low", f"{column}_high"} <= set(ordered):
        bars["error_x"] = {
            "type": "data",
            "symmetric": False,
            "array": (ordered[f"{column}_high"] - ordered[column]).tolist(),
            "arrayminus": (ordered[column] - ordered[f"{column}_low"]).tolist(),
            "thickness": 1,
        }
    names = [TARGETS[str(name)] for name in ordered.index]
    colour = {"color": LIGHT["gain"] if best_high else LIGHT["damage"]}

    def draw() -> go.Figure:
        figure = go.Figure(go.Bar(y=names, x=ordered[column], orientation="h", marker=colour, **bars))
        return plots.styled(figure, title, "", "", 320).update_yaxes(autorange="reversed")

    return Act(title, draw, f"Best by this: {names[0]} ({ordered[column].iloc[0]:.1f}).")


def what_can_go_wrong(summary: pd.DataFrame) -> Lesson | None:
    """Lesson 6: the cheap attempts to bring a concept back."""
    kinds = {
        "back_the_word_itself": "the word itself",
        "back_synonym": "a synonym",
        "back_general_word": "the general word",
        "back_revival": "states solved for",
        "back_completion": "a picture begun by the original",
    }
    columns = [column for column in kinds if column in summary]
    wanted = [name for name in ("age", "empty", "uce") if name in summary.index]
    if not columns or "age" not in wanted:
        return None
    rows, asked = summary.loc[wanted, columns], summary[summary.index.isin(TARGETS)].dropna(subset=columns)

    def draw() -> go.Figure:
        figure = go.Figure()
        for name, colour in zip(wanted, (LIGHT["gain"], LIGHT["damage"], LIGHT["soft"]), strict=False):
            figure.add_bar(
                x=[kinds[c] for c in columns],
                y=rows.loc[name],
                marker={"color": colour},
                name=html.escape({"age": "AGE", "empty": "empty prompt", "uce": "UCE"}[name]),
            )
        return plots.styled(figure, "How often the erased concept comes back, %", "", "% of pictures", 340)

    worst = rows.loc["age"].idxmax()
    choices = tuple(kinds[c] for c in columns)
    return Lesson(
        "What can still go wrong?",
        "The concept is gone when you ask by its name. Which of these brings it back most often?",
        choices,
        (kinds[str(rows.max().idxmax())],),
        f"After AGE the strongest is {kinds[str(worst)]}: {rows.loc['age', worst]:.0f} % of pictures show it again"
        + (f"; after the empty prompt {rows.loc['empty', worst]:.0f} %" if "empty" in wanted else "")
        + ". A score of 100 by the name alone hides that.",
        "None of these attempts adapts to the eraser, and the probe that judges is itself a model.",
        draw,
        "Try each after other targets",
        tuple(_ranking(asked, column, f"Comes back by {kinds[column]}, %") for column in columns),
    )


def _plane(rows: pd.DataFrame, title: str, only: str = "") -> go.Figure:
    """Erasure against damage, a point a target; all but one pale where one is meant."""
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
    figure = plots.trade_off_figure(
        points, title, "erased from the probe's first five, %", "damage: distance near, × 1000"
    )
    for name, trace in zip(rows.index, figure.data, strict=True):
        trace.opacity = 1.0 if only in ("", name) else 0.2
    return figure
