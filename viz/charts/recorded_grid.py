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
    cells = join(_cell(cell, line.kind == "erased" and place > 0) for place, cell in enumerate(line.cells))
    return Markup('<tr data-kind="{0}"><th scope="row">{1} <small>{0}</small></th>{2}</tr>').format(
        line.kind, line.name, cells
    )


def _cell(cell: Cell, aim: bool) -> Markup:
    """`aim`: the erased concept after its erasure, whose loss is no damage."""
    if cell.picture is None:
        return Markup('<td class="soft">no picture</td>')
    marks = {True: "✗ still drawn", False: "✓ erased"} if aim else {True: "✓", False: "✗"}
    mark = "" if cell.recognised is None else marks[cell.recognised]
    number = "" if math.isnan(cell.distance) else f"{cell.distance:.2f}"
    kind = "" if cell.recognised is None else "damage" if cell.recognised is aim else "gain" if aim else ""
    return Markup('<td>{}<span class="{}">{} {}</span></td>').format(cell.picture, kind, mark, number)
