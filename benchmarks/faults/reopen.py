"""Models that are opened and closed, over and over: is what they took given back?

    python -m benchmarks.faults.reopen --openings 20

Three choices of the bundled model take turns as the explorer keeps two open beside the first: each opening closes the
one that was longest not asked for. Each is used once open: it draws, and an erasure is asked for. After each opening:
how many of the models that were closed are still alive (weak references), and resident memory, before and after glibc
was asked to hand free pages back (`malloc_trim`). Rows: faults-reopen.csv.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import sys
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from age_core.serve import registry
from age_core.serve.registry import Choice, OpenModels
from benchmarks.faults.common import RESULTS, memory_mb, write_rows

OWNER = "0" * 32
SETTLED = 3  # openings until as much is open as ever will be


def trimmed_mb() -> float:
    """Resident memory once free pages were handed back; where the system's C library cannot, as it is."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return memory_mb()


def reopened(models: OpenModels, choices: list[Choice], openings: int) -> Iterator[dict[str, Any]]:
    """Open the choices in turn and use each; a row after every opening."""
    seen: list[weakref.ref[Any]] = []
    for number, choice in enumerate(islice(cycle(choices), openings), 1):
        explorer = models.explorer(choice)
        name = explorer.concepts.names[0]
        explorer.pictures(name, 1)
        queued = explorer.ask(OWNER, [name], "uce", False)
        for _ in explorer.queue.watch(queued):
            pass
        seen += [weakref.ref(explorer), weakref.ref(explorer.pipe.unet)]
        del explorer, queued
        gc.collect()
        still_open = sum(models.has(choice) for choice in choices)
        alive = sum(reference() is not None for reference in seen) - 2 * still_open
        memory = {"rss_mb": round(memory_mb(), 1), "trimmed_mb": round(trimmed_mb(), 1)}
        yield {"opening": number, "closed": number - still_open, "alive": alive} | memory


def main() -> int:
    args = make_parser().parse_args()
    sets = ("emoji-netfive", "emoji-attributes", "emoji-styles")
    choices = [Choice(concepts=name, probe="") for name in sets[: registry.MOST_MODELS + 1]]
    rows = []
    with tempfile.TemporaryDirectory() as runs:
        for row in reopened(OpenModels(Path(runs)), choices, args.openings):
            print(row, flush=True)
            rows.append(row)
    write_rows(args.out, rows)
    grown = rows[-1]["trimmed_mb"] - rows[min(SETTLED, len(rows)) - 1]["trimmed_mb"]
    print(f"{rows[-1]['closed']} closed, {rows[-1]['alive']} alive, {grown:.0f} MB more than after {SETTLED} openings.")
    return 1 if rows[-1]["alive"] else 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.reopen", description=__doc__.splitlines()[0])
    parser.add_argument("--openings", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULTS / "faults-reopen.csv")
    return parser


if __name__ == "__main__":
    sys.exit(main())
