"""Lessons 1 to 3: what erasing is, whom it hurts, and that harm can go one way."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from viz.charts import plots
from viz.charts.lesson import Act, Drawing, Lesson
from viz.components.theme import LIGHT

LOG_TICKS = [digit * 10.0**power for power in range(-6, 3) for digit in (1, 2, 5)]
MOST_PAIRS = 300  # more dots than that hide each other


def erasing(name: str, losses: Sequence[float], heaviest: str, stages: Sequence[int] = ()) -> Lesson:
    """Lesson 1, of a recorded run: the loss of redirecting the word, and where it went; `stages`: steps to scrub to."""
    acts = tuple(
        Act(
            f"step {step}",
            partial(_loss_figure, name, losses, heaviest, step),
            f"Step {step} of {len(losses)}: the loss is {losses[step - 1]:.3f}.",
        )
        for step in stages
        if 0 < step <= len(losses)
    )
    choices = ("an empty picture", "noise", f"another thing, such as a {heaviest}")
    return Lesson(
        "What is erasing?",
        f"A model was taught to forget “{name}”. What does it draw when you ask for “{name}” now?",
        choices,
        choices[2:],
        f"The word is redirected, not deleted: over {len(losses)} steps the model learnt to draw for “{name}” what it "
        f"draws for “{heaviest}”. The pictures below show the same seed at each stage.",
        "The knowledge may still be in the model: see lesson 6.",
        partial(_loss_figure, name, losses, heaviest),
        "Scrub through the training",
        acts,
        True,
    )


def _loss_figure(name: str, losses: Sequence[float], heaviest: str, step: int = 0) -> go.Figure:
    """The loss at every step, with a dot at `step`, if it is not 0."""
    steps = list(range(1, len(losses) + 1))
    figure = go.Figure(go.Scatter(x=steps, y=list(losses), mode="lines", line={"color": LIGHT["damage"]}))
    if step:
        figure.add_scatter(x=[step], y=[losses[step - 1]], mode="markers", marker={"size": 12, "color": LIGHT["gain"]})
    plots.styled(figure, f"How far “{name}” is from drawing “{heaviest}”", "step", "loss of erasing", 300)
    figure.update_layout(showlegend=False)
    return figure.update_yaxes(type="log", tickvals=LOG_TICKS, ticktext=[f"{tick:g}" for tick in LOG_TICKS])


def locality(
    name: str, damage: pd.Series, ranked: Sequence[str], curve: Drawing, others: Mapping[str, Drawing] | None = None
) -> Lesson:
    """Lesson 2: whom erasing `name` hurts. damage: by concept; ranked: concepts, the nearest in words first.

    `others`: the curves of other erased concepts.
    """
    measured = [concept for concept in ranked if concept in damage.index]
    nearest = measured[:6]
    choices = [*nearest, *measured[len(measured) // 2 :: max(len(measured) // 12, 1)][:6]]
    worst = damage[choices].nlargest(5).index
    near_count = sum(concept in nearest for concept in worst)
    far_victims = [concept for concept in damage[measured].nlargest(5).index if concept not in measured[:24]]
    far_names = f" ({', '.join(far_victims)})" if far_victims else ""
    verb = "is" if len(far_victims) == 1 else "are"
    return Lesson(
        "Damage stays local",
        f"“{name}” was erased. Which five of these twelve suffer most?",
        tuple(sorted(choices)),
        tuple(worst),
        f"{near_count} of the five are among its six nearest neighbours. The nearest six lost "
        f"{damage[nearest].mean():.3f} on average, all {len(measured)} concepts {damage[measured].mean():.3f}. Of its "
        f"five worst victims among all {len(measured)}, {len(far_victims)} {verb} not among the 24 nearest{far_names}.",
        "Near in words is not always near in looks: words that share a part (“hot dog”) are hurt most.",
        curve,
        "Is it so for other concepts?",
        tuple(
            Act(concept, draw, f"The damage of erasing “{concept}”, with its nearest neighbours on the left.")
            for concept, draw in ({name: curve} | dict(others or {})).items()
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
    strongest = both.loc[both[["there", "back"]].max(axis=1).nlargest(MOST_PAIRS).index]
    choices = ("the same harm back", "less harm back", "more harm back")
    return Lesson(
        "One-way streets",
        f"Erasing “{a}” moves “{b}” by {more:.3f}. What does erasing “{b}” do to “{a}”?",
        choices,
        choices[1:2],
        f"{less:.3f}: each direction is an experiment of its own. Of {len(both)} pairs erased both ways, "
        f"{sure} {'differs' if sure == 1 else 'differ'} beyond the intervals; {share:.0%} of all damage goes one way.",
        "Two words are equally alike in both directions; harm need not be equal.",
        partial(plots.one_way_figure, strongest, "The same pair, erased both ways", "noise shift"),
        "Flip an arrow",
        tuple(_flip(row) for row in both.loc[gap.nlargest(6).index].to_dict("records")),
    )


def _flip(pair: Mapping[str, Any]) -> Act:
    """Both arrows of a pair, as two bars."""
    a, b, there, back = pair["a"], pair["b"], pair["there"], pair["back"]

    def draw() -> go.Figure:
        directions = [f"erasing {a} on {b}", f"erasing {b} on {a}"]
        figure = go.Figure(go.Bar(y=directions, x=[there, back], orientation="h", marker={"color": LIGHT["damage"]}))
        return plots.styled(figure, f"{a} and {b}", "noise shift", "", 240)

    ratio = max(there, back) / max(min(there, back), 1e-9)
    return Act(f"{a} and {b}", draw, f"{there:.3f} one way and {back:.3f} the other: {ratio:.1f} times as much.")
