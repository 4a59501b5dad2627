"""What a lesson is made of: a question, pictures to choose among, and an answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import pandas as pd
import plotly.graph_objects as go

from viz.components.html_parts import Markup

Drawing = Callable[[], go.Figure]  # a figure that is made when somebody wants to see it: all together take a second


@dataclass(frozen=True, eq=False)
class Scene:
    """What the atlas shows: the original model's pictures or, if `erased` is given, those after a recorded erasure.

    `picked`: the concept that it is about; `only`: the concepts that may be seen changed, all if there are none;
    `arrows`: side effects (columns erased, affected, delta, low, high); `lit`: concepts that glow.
    """

    picked: str = ""
    method: str = ""
    erased: str = ""
    only: Collection[str] = ()
    arrows: pd.DataFrame | None = None
    lit: Collection[str] = ()


@dataclass(frozen=True)
class Option:
    """One thing to guess: a concept's name, so that a click on the atlas is the same guess, or any other word.

    `text` stands below the picture; there may be no picture.
    """

    name: str
    text: str
    picture: Markup = field(default_factory=Markup)


@dataclass(frozen=True, eq=False)
class Act:
    """One thing to try after the answer: what it is called, what that says, and what the figure or the atlas shows."""

    title: str
    said: str
    draw: Drawing | None = None
    scene: Scene | None = None


@dataclass(frozen=True, eq=False)
class Lesson:
    """A question, what can be guessed, and an answer; all texts are plain, to be escaped where they are shown.

    `count` guesses are asked for, and `right` are all that count as right, which may be more. `on_atlas` can be guessed
    by a click there as well; `picture_of` makes the picture of one that is not among the options. `reveal` makes the
    answer's HTML of the guesses. `draw` and `film` (HTML) may take the model. `acts`: what can be tried then, under the
    heading `act`; on a slider where they are ordered.
    """

    title: str
    short: str
    question: str
    options: tuple[Option, ...]
    right: tuple[str, ...]
    reveal: Callable[[Sequence[str]], Markup]
    caveat: str
    count: int = 1
    on_atlas: Collection[str] = ()
    picture_of: Callable[[str], Markup] = lambda _: Markup()
    ask: Scene = Scene()
    tell: Scene = Scene()
    draw: Drawing | None = None
    film: Callable[[], str] | None = None
    act: str = ""
    acts: tuple[Act, ...] = ()
    ordered: bool = False
