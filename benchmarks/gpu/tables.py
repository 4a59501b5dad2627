"""The lines of a round as tables in Markdown, one a check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.gpu.bench import LINES

TITLES = {
    "card": "The card and its ceilings",
    "paths": "What runs on the device",
    "resume": "Resumed beside uninterrupted",
    "waits": "Waits and kernels of a step",
    "costs": "Unit costs",
    "updates": "Updates",
    "memory": "Peak memory",
    "precision": "What half precision changes",
    "world": "The emoji world",
    "whole": "From end to end",
    "workers": "Graphs by several workers",
    "train": "Emoji weights",
    "round": "The round",
}


def write_tables(out: Path) -> None:
    """`gpu_check.md`, anew from all lines there are."""
    by_check: dict[str, list[dict[str, Any]]] = {}
    for line in map(json.loads, (out / LINES).read_text(encoding="utf-8").splitlines()):
        by_check.setdefault(line.pop("check"), []).append(line)
    parts = [f"## {title}\n\n{table(by_check[check])}\n" for check, title in TITLES.items() if check in by_check]
    parts.append("Random weights at the full shapes prove neither ESR on Stable Diffusion nor that SDXL's autoencoder")
    text = "\n".join(parts) + "\noverflows in float16: that takes the real ones.\n"
    (out / "gpu_check.md").write_text(text, encoding="utf-8")


def table(lines: list[dict[str, Any]]) -> str:
    """A column for every figure that any line has."""
    columns = list(dict.fromkeys(name for line in lines for name in line))
    rows = [columns, ["---"] * len(columns)]
    rows += [[cell(line.get(name, "")) for name in columns] for line in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    text = f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "/").replace("\n", " ")
