"""Lesson 7: what a model draws that never saw the concept, which is what an ideal erasure would leave."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from viz.charts.harm import line, lines
from viz.charts.lesson import Lesson, Option
from viz.components.html_parts import Markup, join, soft

# Models of the table as people call them, the reference first; the others of the table are left out.
REFERENCE, ORIGINAL = "never saw it", "original"
MODELS = {
    REFERENCE: "never saw it",
    ORIGINAL: "nothing erased",
    "uce": "UCE",
    "empty": "the empty prompt",
    "random": "a random neighbour",
    "in-class": "one of its kind",
    "age": "AGE, as it was then",
}
PICTURES = 3  # of a word by a model
Drawn = Callable[[str, int, int], Markup]  # the n-th picture of a model, so many pixels across; Markup() if none


def gold(table: pd.DataFrame, drawn: Drawn) -> Lesson | None:
    """`table`: a row a side ("erased", "near", "far"), word and model, with `named`, `share` (%) and `distance` to the
    reference; the erased concept itself is the first row's word."""
    own = table[table["word"] == table["word"].iloc[0]].set_index("model") if len(table) else pd.DataFrame()
    models = [model for model in MODELS if model in own.index]
    if REFERENCE not in models or len(models) < 3:
        return None
    name = str(own["word"].iloc[0])
    order = sorted(models)  # in an order that does not tell
    options = tuple(
        Option(model, f"model {letter}", _three(drawn, model, 44))
        for letter, model in zip("ABCDEFG", order, strict=False)
    )
    return Lesson(
        title="What would ideal be?",
        short="Gold",
        question=f"One of these models never saw a {name}: nothing had to be erased from it. Asked for “{name}”, all "
        "drew these. Which one is it?",
        options=options,
        right=(REFERENCE,),
        reveal=lambda _: _by_distance(table, own, models, drawn),
        caveat="One concept and one seed in a smaller world, so that there are no intervals; distance is the energy "
        "distance of probe features.",
    )


def _three(drawn: Drawn, model: str, size: int) -> Markup:
    """What a model draws."""
    pictures = [drawn(model, number, size) for number in range(PICTURES)]
    return Markup('<span class="three">{}</span>').format(join(pictures)) if any(pictures) else Markup()


def _by_distance(table: pd.DataFrame, own: pd.DataFrame, models: list[str], drawn: Drawn) -> Markup:
    """Every model, the nearest to the reference first, and what happened to the neighbours."""
    distance = own.loc[[model for model in models if model != REFERENCE], "distance"].astype(float).sort_values()
    edited = distance.drop(ORIGINAL, errors="ignore")
    near = table[table["side"] == "near"].groupby("model")["distance"].mean().reindex(distance.index)
    told = (
        line(
            _three(drawn, model, 36),
            MODELS[model],
            f"most often named {own.loc[model, 'named']} ({own.loc[model, 'share']:.0f} %)",
            "reference" if model == REFERENCE else f"{distance[model]:.1f}",
        )
        for model in (REFERENCE, *distance.index)
    )
    said = [f"Closest to it comes {MODELS[edited.index[0]]}, farthest is {MODELS[edited.index[-1]]}."]
    if ORIGINAL in near.index and near.drop(ORIGINAL).notna().any():
        others = near.drop(ORIGINAL).dropna()
        said.append(
            f"Near concepts lie {near[ORIGINAL]:.2f} from those of the original, and {others.min():.2f} to "
            f"{others.max():.2f} from those of the models it was erased from."
        )
    return join([soft(" ".join(said)), lines(told)])
