"""What protection does and what the target does: each target's erasures with and without protection, in one figure.

    python -m benchmarks.evidence.protection_figure docs/protected.png

Across, how far near concepts move (1000 times the distance of the probe's features, on a logarithmic scale); up, in how
many pictures completion brings the concept back. Means over concepts with 95 % intervals, of `benchmarks/results`:
ablation.jsonl without protection, protection.jsonl with it. The former's near concepts leave those out that share a
word with the erased one.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from benchmarks.common import save_png
from benchmarks.evidence.judging import columns
from benchmarks.results.tables import PLAIN, QUIET
from viz.charts.plots import SERIES, styled

ROWS = Path(__file__).parents[1] / "results"
# by what people call the target: the method without protection, and with it
TARGETS = {
    "AGE": ("age-unprotected", f"age:{PLAIN}"),
    "random neighbour": ("random", f"random:{QUIET}"),
    "in-class word": ("in-class", f"in-class:{QUIET}"),
    "empty prompt": ("empty", f"empty:{QUIET}"),
}
ACROSS, UP = "distance_near", "back_completion"


def points() -> pd.DataFrame:
    """A row a target and state: means and intervals of both measures, a concept's seeds pooled first."""
    files = ("ablation", "protection")
    unprotected, protected = (pd.read_json(ROWS / f"{name}.jsonl", lines=True) for name in files)
    rows = []
    for target, names in TARGETS.items():
        for state, table, name in zip(("unprotected", "protected"), (unprotected, protected), names, strict=True):
            mine = table[table["method"] == name].groupby(["concept", "seed"])[[ACROSS, UP]].mean()
            row: dict[str, Any] = {"target": target, "state": state}
            for measure in (ACROSS, UP):
                row |= columns(measure, mine[measure], None)
            rows.append(row)
    return pd.DataFrame(rows)


def figure(table: pd.DataFrame) -> go.Figure:
    """A line a target, from what it does without protection to what it does with it."""
    drawn = go.Figure()
    for row, (target, mine) in enumerate(table.groupby("target", sort=False)):
        bars = {
            axis: {
                "type": "data",
                "symmetric": False,
                "array": mine[f"{measure}_high"] - mine[measure],
                "arrayminus": mine[measure] - mine[f"{measure}_low"],
                "thickness": 1,
                "width": 3,
            }
            for axis, measure in (("error_x", ACROSS), ("error_y", UP))
        }
        drawn.add_scatter(
            x=mine[ACROSS],
            y=mine[UP],
            mode="lines+markers",
            name=target,
            line={"color": SERIES[row], "width": 1, "dash": "dot"},
            marker={"size": 11, "symbol": ["circle-open", "circle"], "color": SERIES[row], "line": {"width": 2}},
            **bars,
        )
    title = "Protection (open to full) moves left, a good target moves down"
    styled(drawn, title, "near concepts move by", "completion brings it back, %")
    drawn.update_xaxes(type="log", tickvals=[1, 2, 5, 10, 20, 50, 100])
    drawn.update_yaxes(rangemode="tozero")
    drawn.update_layout(legend={"orientation": "v", "x": 1.02, "y": 1, "yanchor": "top"})
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    table = points()
    save_png([figure(table)], parser.parse_args().out, width=760, columns=1)
    print(table.round(1).to_string(index=False))


if __name__ == "__main__":
    main()
