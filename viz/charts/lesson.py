"""What a lesson is made of."""

from collections.abc import Callable
from dataclasses import dataclass

import plotly.graph_objects as go

Drawing = Callable[[], go.Figure]  # a figure that is made when somebody wants to see it: all together take a second


@dataclass(frozen=True)
class Act:
    """One thing to try after the answer: what it is called, what it shows, and what that says, in plain text."""

    title: str
    draw: Drawing
    said: str


@dataclass(frozen=True)
class Lesson:
    """A question, its choices and its answer; all texts are plain, to be escaped where they are shown.

    `choices` may be empty, where looking is the task. `acts`: what the figure can be turned to, under the heading
    `act`; a slider where they are ordered.
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
