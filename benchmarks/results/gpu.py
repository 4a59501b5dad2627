"""The tables of docs/results.md that tell what was measured on a GPU (`benchmarks/gpu_check.py`), one function each."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from benchmarks.results.frames import frame
from benchmarks.results.tables import markdown, number

FAMILIES = {"sd": "Stable Diffusion, tiny", "xl": "SDXL, tiny"}
FORMATS = ("float32", "bfloat16", "float16")


def _of(check: str) -> pd.DataFrame:
    rows = frame("gpu_check")
    return rows[rows["check"] == check].dropna(axis=1, how="all")


def paths() -> str:
    """How many of the erasures that were tried ran and left every weight as it was, by family and number format."""
    rows = _of("paths")
    rows = rows[rows["family"].notna()]
    rows = rows.assign(ran=rows[["finite", "changed", "restored"]].eq(True).all(axis=1))
    cells = []
    for family, title in FAMILIES.items():
        counts = [rows[(rows["family"] == family) & (rows["format"] == dtype)]["ran"] for dtype in FORMATS]
        cells.append([title, *(f"{count.sum()} of {len(count)}" for count in counts)])
    return markdown(["", *FORMATS], cells)


def updates() -> str:
    """What an update costs at the shapes of Stable Diffusion 1.4, and how many erasures an hour that allows."""
    decimals = {"rows": 0, "seconds": 2, "loop_s": 0, "an_hour": 1}
    cells = [
        [f"`{row['method']}`", row["format"], *(number(row[name], digits) for name, digits in decimals.items())]
        for _, row in _of("updates").iterrows()
    ]
    return markdown(["method", "format", "rows", "seconds an update", "seconds a loop", "loops an hour"], cells)


def precision() -> str:
    """How well pi's gradient agrees with that of float32, by how far the weights moved."""
    rows = _of("precision")
    rows = rows[rows["what"] == "gradient of pi"]
    cells = [
        [dtype, *(number(same.set_index("move").loc[move, "cosine"], 4) for move in (6e-4, 1e-5))]
        for dtype, same in rows.groupby("format", sort=False)
    ]
    return markdown(["format", "cosine, weights moved by 0.0006", "by 0.00001"], cells)


def costs() -> str:
    """Milliseconds a row of the UNet at the shapes of Stable Diffusion 1.4, by format and by rows at once."""
    rows = _of("costs")
    rows = rows[rows["what"] == "row"]
    table = rows.assign(at_once=rows["at_once"].astype(int)).pivot(index="format", columns="at_once", values="ms_a_row")
    cells = [[dtype, *(number(value, 1) for value in table.loc[dtype])] for dtype in rows["format"].unique()]
    return markdown(["format", *(f"{count} at once" for count in table)], cells)


def memory() -> str:
    """Peak memory at the shapes of Stable Diffusion 1.4, by format: what is done, and what the weights take alone."""
    rows = _of("memory")
    rows = rows[rows["shape"] == "sd-1.4"]
    what = rows["what"] + rows["batch"].map(lambda n: "" if pd.isna(n) else f", batch {n:.0f}")
    what += rows["pictures"].map(lambda n: "" if pd.isna(n) else f" {n:.0f}")
    table = rows.assign(what=what).pivot(index="what", columns="format", values="peak_gib")
    cells = [[name, *(number(table.loc[name, dtype], 1) for dtype in table)] for name in what.unique()]
    return markdown(["", *(f"{dtype}, GiB" for dtype in table)], cells)


GPU: dict[str, Callable[[], str]] = {
    "gpu-paths": paths,
    "gpu-updates": updates,
    "gpu-precision": precision,
    "gpu-costs": costs,
    "gpu-memory": memory,
}
