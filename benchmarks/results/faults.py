"""The tables of docs/results.md that tell what the explorer withstands, one function each."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.results.frames import frame
from benchmarks.results.tables import markdown, number, with_bounds

KINDS = {
    "field": "a function of the page, with values that no browser sends",
    "file": "a file that is not to be served",
    "upload": "an upload",
    "get": "another address",
    "broken body": "a body that is no JSON, or too deep",
    "odd request": "another endpoint, with fields that do not fit",
}
MEASURES = {
    "server_mb": "server, MB",
    "heap_mb": "a page's JavaScript, MB",
    "elements": "a page's nodes",
    "listeners": "a page's event listeners",
}


def kills() -> str:
    """How many killed runs ended in the same bits, by number format and the stage in which they were killed."""
    rows = frame("faults-kills")
    stages = list(dict.fromkeys(rows["stage"]))
    same = rows.pivot_table(index="format", columns="stage", values="same", aggfunc=["sum", "count"], sort=False)
    cells = []
    for kind in dict.fromkeys(rows["format"]):
        counts = [(same["sum"].loc[kind, stage], same["count"].loc[kind, stage]) for stage in stages]
        cells.append([kind, *(f"{ended:.0f} of {of:.0f}" for ended, of in counts)])
    return markdown(["", *stages], cells)


def inputs() -> str:
    """What became of random input, a row a kind."""
    rows = frame("faults-inputs")
    names = ["inputs", "answered", "refused", "cut", "tracebacks", "leaks"]
    header = ["", "inputs", "answered", "refused", "left after a while", "tracebacks", "given away"]
    cells = [[KINDS[str(row["kind"])], *(str(row[name]) for name in names)] for _, row in rows.iterrows()]
    return markdown(header, cells)


def soak() -> str:
    """How much memory grows in an hour of use, a row a measure."""
    rows = frame("faults-slopes")
    cells = [
        [MEASURES[str(row["measure"])], number(row["first"]), number(row["last"]), with_bounds(row, "an_hour", 1, 1)]
        for _, row in rows.iterrows()
    ]
    return markdown(["", "after two minutes", "at the end", "more in an hour"], cells)


PARTS = ("the page's objects", "elements", "compiled code", "the browser's notes", "else of the browser")


def heap() -> str:
    """What a page holds more after many rounds of an act: objects and kilobytes, a row a part."""
    rows = frame("faults-heap").set_index(["part", "act"])
    acts = list(dict.fromkeys(rows.index.get_level_values("act")))
    cells = []
    for part in PARTS:
        gained = [rows.loc[(part, act)] for act in acts]
        cells.append([part, *(f"{number(row['objects'], 0)}, {number(row['bytes'] / 1000, 0)} kB" for row in gained)])
    return markdown(["", *acts], cells)


FAULTS: dict[str, Callable[[], str]] = {"kills": kills, "inputs": inputs, "soak": soak, "heap": heap}
