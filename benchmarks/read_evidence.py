"""What the concept graph's evidence says: statistics with intervals and nulls, the anchors' targets, figures.

    python benchmarks/read_evidence.py build/evidence [--world] [--figures docs]

Reads what `evidence.py` published; its folder holds what the original model draws, for the noise floor. --world also
reads the graph of all concepts by UCE, which takes some minutes more.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from evidence import NETFIVE, WORLD
from pictures import save_png

sys.path.insert(0, str(Path(__file__).parents[1]))
from age_core import ConceptSet
from age_core.concepts import ASSETS
from age_core.graph import asymmetry, both_ways, by_nearness, damage_of, mean_with_interval, pairs
from age_core.prediction import text_distance
from age_core.reading import noise_floor, read
from age_core.side_effects import Bench, Task, read_table
from viz import graph_figures

METRICS = ("distance", "noise-shift", "DS-1")
LOSSES = 1000  # distances are shown times so much, as everywhere


def told(title: str, tables: dict[str, pd.DataFrame]) -> None:
    print(f"\n## {title}", flush=True)
    for part in tables.values():
        print(part.round(3).to_string(index=False), flush=True)


def by_anchor(table: pd.DataFrame, world: ConceptSet, metric: str) -> pd.DataFrame:
    """A row an anchor and method: ESR-1, mean damage in the anchor's own subset of five and outside it."""
    group = {concept.name: concept.group for concept in world}
    anchors = list(world.names)[::5]
    rows = []
    for (anchor, method), found in table[table["erased"].isin(anchors)].groupby(["erased", "method"], sort=False):
        gone = found[(found["affected"] == anchor) & (found["metric"] == "DS-1")]
        others = found[(found["affected"] != anchor) & (found["metric"] == metric)]
        inside = others["affected"].map(group) == group[str(anchor)]
        rows.append({
            "anchor": anchor, "method": method, "esr1": 100 * (1 - gone["after"].mean()),
            "inside": others.loc[inside, "delta"].mean(), "outside": others.loc[~inside, "delta"].mean(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def show_anchors(table: pd.DataFrame, world: ConceptSet) -> None:
    for metric in METRICS:
        found = by_anchor(table, world, metric)
        for part in ("inside", "outside"):
            print(f"\n## anchors: mean {metric} damage {part} their subset, by method")
            print(found.pivot(index="method", columns="anchor", values=part).round(4).to_string())
    print("\n## anchors: ESR-1 by method")
    print(found.pivot(index="method", columns="anchor", values="esr1").round(1).to_string())


def compare(table: pd.DataFrame, methods: list[str]) -> None:
    """Mean damage by method with interval, over the erased concepts, and paired with the first method."""
    for metric in METRICS:
        means = {m: damage_of(pairs(table, metric, m)).mean(axis=1) for m in methods}
        print(f"\n## mean {metric} damage of an erasure, and less that of {methods[0]}")
        for method, one in means.items():
            gap = (one - means[methods[0]]).dropna().to_numpy()
            print(
                f"{method}: {np.round(mean_with_interval(one.to_numpy()), 4)}, {np.round(mean_with_interval(gap), 4)}"
            )


def draw(table: pd.DataFrame, bench: Bench, methods: list[str], folder: Path) -> None:
    world, curves = bench.watched, {}
    groups = {concept.name: concept.group for concept in world}
    for method in methods:
        damage = LOSSES * damage_of(pairs(table, "distance", method)).reindex(columns=list(world.names))
        near = text_distance(bench.pipe, world, list(damage.index))
        curves[method] = by_nearness(damage, near.reindex_like(damage), (1, 2, 3, 5, 9, 14, 19))
    default = pairs(table, "distance", methods[0])
    damage = LOSSES * damage_of(default).reindex(columns=list(world.names))
    both = both_ways(default.assign(**{c: LOSSES * default[c] for c in ("delta", "low", "high")}))
    title = f"{methods[0]}: {asymmetry(damage):.0%} of all damage goes one way"
    figures = [
        graph_figures.locality_figure(curves, "Damage is local, whatever the method", "distance × 1000"),
        graph_figures.one_way_figure(both, title, "distance × 1000"),
        graph_figures.heat_map(damage, groups, f"{methods[0]}: whom each erasure moves"),
    ]
    save_png(figures[:2], folder / "evidence.png", 560)
    save_png(figures[2:], folder / "evidence-heat.png", 760, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--world", action="store_true")
    parser.add_argument("--figures", type=Path)
    args = parser.parse_args()
    bench = NETFIVE.open()
    table = read_table(ASSETS / "graphs" / "emoji-netfive.parquet")
    floor = noise_floor(bench, Task.of("age", images=16), args.folder / "age")
    print(floor.groupby(["method", "metric"])["delta"].describe().round(4))
    whole = table.groupby("method")["erased"].nunique()
    methods = sorted((str(method) for method in whole[whole == len(bench.watched)].index), key=lambda m: m != "AGE")
    compare(table, methods)
    show_anchors(table, bench.watched)
    for metric in METRICS:
        for method, tables in read(bench, table, metric, methods, ahead=True).items():
            told(f"{metric} by {method}", tables)
    if args.figures:
        draw(table, bench, methods, args.figures)
    if args.world:
        everyone = read_table(ASSETS / "graphs" / "emoji-uce.parquet")
        for method, tables in read(WORLD.open(), everyone, "noise-shift", ["UCE"]).items():
            told(f"noise-shift by {method}, the whole world", tables)


if __name__ == "__main__":
    main()
