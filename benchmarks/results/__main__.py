"""docs/results.md, made of docs/results.template.md and what was measured: no number of its tables is typed.

    python -m benchmarks.results            # writes the page
    python -m benchmarks.results --check    # says whether the page is what the files make

In the template `{{table NAME}}` is a table of `tables.py`, `recorded.py`, `faults.py` or `gpu.py`. `{{value TABLE
COLUMN KEY=VALUE ...}}` is the cell of the one row of a table of `frames.py` whose columns have those values, `{{range
...}}` its interval, `{{both ...}}` the two together; digits=N are its decimals, times=N multiplies it.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import textwrap
from pathlib import Path

import pandas as pd

from benchmarks.results.faults import FAULTS
from benchmarks.results.frames import ROOT, frame
from benchmarks.results.gpu import GPU
from benchmarks.results.recorded import RECORDED
from benchmarks.results.tables import TABLES, bounds, number, with_bounds

PAGE = ROOT / "docs" / "results.md"
TEMPLATE = ROOT / "docs" / "results.template.md"
PLACE = re.compile(r"\{\{(.+?)\}\}", re.S)
NOTE = "<!-- Made by `python -m benchmarks.results` from docs/results.template.md: change that, not this. -->\n"


def row_of(name: str, keys: dict[str, str]) -> pd.Series:
    """The one row of a table whose columns have these values, compared as texts. Raises ValueError otherwise."""
    table = frame(name)
    if not keys:
        raise ValueError(f"A cell of {name!r} takes KEY=VALUE, to say of which row.")
    same = pd.concat([table[column].astype(str) == value for column, value in keys.items()], axis=1).all(axis=1)
    if same.sum() != 1:
        raise ValueError(f"{same.sum()} rows of {name!r} have {keys}; one is needed.")
    return table[same].iloc[0]


def filled(place: re.Match[str]) -> str:
    """What stands in the place of one `{{...}}`."""
    kind, *words = shlex.split(place[1])
    if kind == "table":
        return (TABLES | RECORDED | FAULTS | GPU)[words[0]]()
    name, column, *rest = words
    keys = dict(word.rsplit("=", 1) for word in rest)
    digits, times = int(keys.pop("digits", 1)), float(keys.pop("times", 1))
    row = row_of(name, keys)
    if kind == "range":
        return bounds(row, column, digits, times)
    if kind == "both":
        return with_bounds(row, column, digits, digits, times)
    if kind != "value":
        raise ValueError(f"There is no kind of place {kind!r}; there are table, value, range and both.")
    value = row[column]
    return value if isinstance(value, str) else number(times * value, digits)


def wrapped(block: str) -> str:
    """A paragraph or list with its lines filled anew, as numbers are shorter than their places; the rest as it is."""
    if re.match(r"[|#!<]|```", block):
        return block
    items = re.split(r"\n(?=- )", block)
    return "\n".join(_filled(item, "  " if item.startswith("- ") else "") for item in items)


def _filled(text: str, indent: str) -> str:
    text = " ".join(text.split())
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def page() -> str:
    """The page as the files make it today."""
    text = PLACE.sub(filled, TEMPLATE.read_text(encoding="utf-8"))
    return NOTE + "\n\n".join(wrapped(block) for block in text.strip().split("\n\n")) + "\n"


def main() -> int:
    parser = make_parser()
    args = parser.parse_args()
    text = page()
    if args.check:
        same = args.out.exists() and args.out.read_text(encoding="utf-8") == text
        print(f"{args.out.name} is {'what the files make' if same else 'older than the files: make it anew'}.")
        return 0 if same else 1
    args.out.write_text(text, encoding="utf-8")
    return 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where the page differs")
    parser.add_argument("--out", type=Path, default=PAGE)
    return parser


if __name__ == "__main__":
    sys.exit(main())
