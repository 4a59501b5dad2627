"""Recorded pictures side by side: a row a concept, a column the original model and each recorded erasure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from viz.components.html_parts import Markup, heading, join, region, soft


@dataclass(frozen=True)
class Cell:
    """One picture; nan and None where it is the original's own."""

    picture: Markup | None
    distance: float
    recognised: bool | None


@dataclass(frozen=True)
class Line:
    """One concept by the original model and after each erasure."""

    kind: str  # erased, near or far
    name: str
    cells: tuple[Cell, ...]


def recorded_grid(title: str, columns: Sequence[str], lines: Sequence[Line]) -> Markup:
    """A table of pictures; `columns`: who drew them, the original model first."""
    heads = join(Markup('<th scope="col">{}</th>').format(column) for column in columns)
    rows = join(_row(line) for line in lines)
    table = Markup(
        '<table class="recorded"><thead><tr><th></th>{}</tr></thead><tbody>{}</tbody></table>',
    ).format(heads, rows)
    explanation = soft(
        "One picture each, of the same prompt and seed; ✓ still recognised by the probe, ✗ not any more. The number is "
        "how far the picture moved. Draw your own below: other prompts, other seeds, the runs that you made."
    )
    return region(heading(title), table, explanation)


def _row(line: Line) -> Markup:
    cells = join(_cell(cell) for cell in line.cells)
    return Markup('<tr data-kind="{0}"><th scope="row">{1} <small>{0}</small></th>{2}</tr>').format(
        line.kind, line.name, cells
    )


def _cell(cell: Cell) -> Markup:
    if cell.picture is None:
        return Markup('<td class="soft">no picture</td>')
    mark = {True: "✓", False: "✗", None: ""}[cell.recognised]
    number = "" if math.isnan(cell.distance) else f"{cell.distance:.2f}"
    kind = "damage" if cell.recognised is False else ""
    return Markup('<td>{}<span class="{}">{} {}</span></td>').format(cell.picture, kind, mark, number)
