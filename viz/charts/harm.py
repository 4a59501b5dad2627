"""What one erasure did to the other concepts, in numbers and, where it was recorded so, in pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import pandas as pd

from viz.charts.effects import decimals
from viz.components.html_parts import Markup, join

LISTED = 8  # of those that were hurt most
ARROW = Markup('<span class="to" aria-hidden="true">→</span>')


class Picture(Protocol):
    """Makes the picture of a concept, `size` pixels across."""

    def __call__(self, name: str, size: int = ...) -> Markup: ...


def no_picture(name: str, size: int = 0) -> Markup:
    """Of a concept whose pictures were not recorded."""
    return Markup()


def lines(rows: Iterable[Markup]) -> Markup:
    """A list of what `line` makes."""
    return Markup('<ol class="harms">{}</ol>').format(join(rows))


def line(sides: Markup, name: str, verdict: str, number: str, kinds: str = "") -> Markup:
    """Pictures side by side, whose they are, what became of them, and how much; `kinds`: classes of the style sheet."""
    shown = Markup('<span class="sides">{}</span>').format(sides) if sides else ""
    return Markup(
        '<li class="{}">{}<span><b>{}</b> <span class="verdict">{}</span></span><span class="number">{}</span></li>'
    ).format(kinds, shown, name, verdict, number)


@dataclass(frozen=True, eq=False)
class Harm:
    """One erasure, by the method that people call `by`.

    table: a row for each other concept (the index), the most hurt first: `size` of the harm in the unit `measure`, its
    interval `low` to `high` (nan where none is known), `moved`: whether that is beyond the noise floor, `lost`: whether
    the probe knew the concept before and no longer does. `before` and `after` make a concept's pictures.
    """

    erased: str
    by: str
    measure: str
    table: pd.DataFrame
    before: Picture = no_picture
    after: Picture = no_picture
    method: str = ""  # the key of the recorded erasure, "" where it was not recorded

    @cached_property
    def lost(self) -> list[str]:
        return list(self.table.index[self.table["lost"]])

    @cached_property
    def moved(self) -> list[str]:
        return list(self.table.index[self.table["moved"]])

    @property
    def broken(self) -> list[str]:
        """Who counts as broken: whom the probe no longer knows or, where it was not asked, who is beyond the floor."""
        return self.lost if self.method else self.moved

    def number(self, name: str) -> str:
        """How much a concept was hurt, with the interval where there is one."""
        size, low, high = self.table.loc[name, ["size", "low", "high"]].astype(float)
        places = decimals(size)
        return f"{size:.{places}f}" + ("" if math.isnan(low) else f" ({low:.{places}f} to {high:.{places}f})")

    def verdict(self, name: str) -> str:
        """What became of a concept."""
        row = self.table.loc[name]
        if not self.method:
            return "hurt" if row["moved"] else "within the noise floor"
        changed = "visibly changed" if row["moved"] else "as before"
        return f"{changed}, no longer recognised" if row["lost"] else changed

    def arrows(self, names: Iterable[str]) -> pd.DataFrame:
        """What was done to some concepts, as side effects."""
        rows = self.table.loc[list(names), ["size", "low", "high"]].rename(columns={"size": "delta"})
        return rows.rename_axis("affected").reset_index().assign(erased=self.erased)

    def rows(self, names: Iterable[str], guesses: Sequence[str] = ()) -> Markup:
        """Some concepts before and after, a line each; those that were guessed are marked."""
        return lines(self._row(name, name in guesses) for name in names)

    def _row(self, name: str, guessed: bool) -> Markup:
        kinds = [kind for kind, yes in (("lost", self.table.loc[name, "lost"]), ("mine", guessed)) if yes]
        before, after = self.before(name, 44), self.after(name, 44)
        sides = join([before, ARROW, after]) if before else Markup()
        mine = f"{name} (your guess)" if guessed else name
        return line(sides, mine, self.verdict(name), self.number(name), " ".join(kinds))
