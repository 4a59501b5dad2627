"""Methods compared at matched erasure: how much damage does each do when all erase equally well?

    python -m benchmarks.evidence.ablation build/ablation.jsonl --methods age random --strengths 0.5 0.75 1 1.25 1.5
    python -m benchmarks.evidence.matched build/ablation.jsonl --out assets/matched.csv --figure docs/erasure-damage.png

A gentle method may only erase less. Every eraser was tried at several strengths (times its change of the weights); this
finds, for each concept and seed, the least strength at which ESR-1 reaches --at percent, straight between the strengths
tried, and the damage to the 20 nearest concepts there: distance (1000 times the probe-feature distance to the original
model's pictures) and PSR-1. An eraser that never gets there is counted, and left out of the means. With 95 % intervals,
and the paired difference of --reference on the concepts and seeds where both get there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.common import save_png
from benchmarks.evidence.judging import columns
from viz.charts.plots import strength_figure

DAMAGE = ["distance_near", "psr1_near"]


def at_erasure(sweep: pd.DataFrame, at: float) -> dict[str, float] | None:
    """Strength and damage where ESR-1 first reaches `at`, between two rows of `sweep`; None where it never does."""
    sweep = sweep.sort_values("strength")
    reached = (sweep["esr1"] >= at).to_numpy()
    if not reached.any():
        return None
    after = int(reached.argmax())
    above, below = sweep.iloc[after], sweep.iloc[max(after - 1, 0)]
    gap = above["esr1"] - below["esr1"]
    share = (at - below["esr1"]) / gap if gap > 0 else 1.0
    return {c: float(below[c] + share * (above[c] - below[c])) for c in ("strength", *DAMAGE)}


def sweeps(rows: list[dict[str, Any]], before: pd.DataFrame) -> pd.DataFrame:
    """A row a method, concept, seed and strength; 0 is the original model, whose rows `before` holds by concept."""
    table = []
    for row in rows:
        original = before.loc[row["concept"]]
        zero = {"strength": 0.0, "esr1": original["esr1"], "psr1_near": original["psr1_near"], "distance_near": 0.0}
        for point in [zero, *row["sweep"]]:
            table.append({key: row[key] for key in ("method", "concept", "seed")} | point)
    return pd.DataFrame(table)


def compare(table: pd.DataFrame, at: float, reference: str) -> pd.DataFrame:
    """A row a method: how many erasers reach `at`, and the damage there."""
    found = []
    for (method, concept, seed), sweep in table.groupby(["method", "concept", "seed"], sort=False):
        point = at_erasure(sweep, at)
        found.append({"method": method, "concept": concept, "seed": seed} | (point or {"strength": np.nan}))
    points = pd.DataFrame(found).set_index(["concept", "seed"])
    own = points[points["method"] == reference]
    rows = []
    for method, mine in points.groupby("method", sort=False):
        reached = mine.dropna()
        row: dict[str, Any] = {"method": method, "erasers": len(mine), "reached": len(reached)}
        for measure in ("strength", *DAMAGE) if len(reached) else ():
            row |= columns(measure, reached[measure], None if method == reference else own[measure])
        rows.append(row)
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame, methods: Sequence[str], path: Path) -> None:
    """Damage against erasure, a line a method, mean over concepts and seeds at each strength."""
    means = table.groupby(["method", "strength"], sort=False)[["esr1", "distance_near"]].mean().reset_index()
    lines = means.sort_values("strength").rename(columns={"method": "name", "esr1": "x", "distance_near": "y"})
    lines = pd.concat([lines[lines["name"] == method] for method in methods])
    title = "The same erasure at rising strength: lower right is better"
    figure = strength_figure(lines, title, "ESR-1, %", "damage: distance near")
    save_png([figure], path, width=760, columns=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=Path, help="what ablation.py kept, with the method 'original' among it")
    parser.add_argument("--at", type=float, default=95.0)
    parser.add_argument("--reference", default="age")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    rows = [json.loads(line) for line in args.rows.read_text().splitlines()]
    originals = pd.DataFrame([row for row in rows if row["method"] == "original"])
    before = originals.drop_duplicates("concept").set_index("concept")
    table = sweeps([row for row in rows if row.get("sweep")], before)
    result = compare(table, args.at, args.reference)
    result.round(3).to_csv(args.out, index=False)
    if args.figure:
        draw(table, list(result["method"]), args.figure)
    print(result[[c for c in result.columns if not c.endswith(("_low", "_high"))]].round(1).to_string(index=False))


if __name__ == "__main__":
    main()
