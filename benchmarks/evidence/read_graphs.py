"""What the concept graph's evidence says: statistics with intervals and nulls, the anchors' targets, figures.

    python -m benchmarks.evidence.read_graphs build/evidence [--figures docs]
    python -m benchmarks.evidence.read_graphs build/evidence --world          # the graph of all concepts by UCE instead

Reads what `evidence.py` published; its folder holds what the original model draws, for the noise floor, and the latents
on which the world's noise shift was measured.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.torch import load_file

from age_core import ConceptSet
from age_core.assets import ASSETS
from age_core.study.baseline import FILE
from age_core.study.build import MeasureSetup, Task
from age_core.study.graph import relation
from age_core.study.labels import label_of
from age_core.study.predict import text_distance
from age_core.study.report import named_statistics, noise_floor, side_effect_report
from age_core.study.statistics import (
    asymmetry,
    both_ways,
    by_nearness,
    mean_with_interval,
    shuffled,
)
from age_core.study.tables import SideEffects, read_table
from benchmarks.common import save_png
from benchmarks.evidence.graphs import NETFIVE, WORLD
from viz.charts import plots

METRICS = ("distance", "noise-shift", "DS-1")
LOSSES = 1000  # distances are shown times so much, as everywhere


def told(title: str, tables: dict[str, pd.DataFrame]) -> None:
    print(f"\n## {title}", flush=True)
    for part in tables.values():
        print(part.round(3).to_string(index=False), flush=True)


def by_anchor(table: pd.DataFrame, concepts: ConceptSet, metric: str) -> pd.DataFrame:
    """A row an anchor and method: ESR-1, mean damage in the anchor's own subset of five and outside it."""
    group = {concept.name: concept.group for concept in concepts}
    anchors = list(concepts.names)[::5]
    rows = []
    for (anchor, method), found in table[table["erased"].isin(anchors)].groupby(["erased", "method"], sort=False):
        gone = found[(found["affected"] == anchor) & (found["metric"] == "DS-1")]
        others = found[(found["affected"] != anchor) & (found["metric"] == metric)]
        inside = others["affected"].map(group) == group[str(anchor)]
        rows.append(
            {
                "anchor": anchor,
                "method": method,
                "esr1": 100 * (1 - gone["after"].mean()),
                "inside": others.loc[inside, "delta"].mean(),
                "outside": others.loc[~inside, "delta"].mean(),
            }
        )
    return pd.DataFrame(rows)


def show_anchors(table: pd.DataFrame, concepts: ConceptSet) -> None:
    for metric in METRICS:
        found = by_anchor(table, concepts, metric)
        for part in ("inside", "outside"):
            print(f"\n## anchors: mean {metric} damage {part} their subset, by method")
            print(found.pivot(index="method", columns="anchor", values=part).round(4).to_string())
    print("\n## anchors: ESR-1 by method")
    print(found.pivot(index="method", columns="anchor", values="esr1").round(1).to_string())


def compare(effects: SideEffects, methods: list[str]) -> None:
    """Mean damage by method with interval, over the erased concepts, and paired with the first method."""
    for metric in METRICS:
        means = {method: effects.damage((method, metric)).mean(axis=1) for method in methods}
        print(f"\n## mean {metric} damage of an erasure, and less that of {methods[0]}")
        for method, one in means.items():
            gap = (one - means[methods[0]]).dropna().to_numpy()
            print(
                f"{method}: {np.round(mean_with_interval(one.to_numpy()), 4)}, {np.round(mean_with_interval(gap), 4)}"
            )


def draw(effects: SideEffects, setup: MeasureSetup, methods: list[str], folder: Path) -> None:
    concepts, curves = setup.watched, {}
    groups = {concept.name: concept.group for concept in concepts}
    for method in methods:
        damage = LOSSES * effects.damage((method, "distance")).reindex(columns=list(concepts.names))
        near = text_distance(setup.pipe, concepts, list(damage.index))
        curves[label_of(method)] = by_nearness(damage, near.reindex_like(damage), (1, 2, 3, 5, 9, 14, 19))
    default = effects.pairs((methods[0], "distance"))
    damage = LOSSES * effects.damage((methods[0], "distance")).reindex(columns=list(concepts.names))
    both = both_ways(default.assign(**{c: LOSSES * default[c] for c in ("delta", "low", "high")}))
    title = f"{label_of(methods[0])}: {asymmetry(damage):.0%} of all damage goes one way"
    figures = [
        plots.locality_figure(curves, "Damage is local, whatever the method", "distance × 1000"),
        plots.one_way_figure(both, title, "distance × 1000"),
        plots.heat_map(damage, groups, f"{label_of(methods[0])}: whom each erasure moves"),
    ]
    everyone = SideEffects(read_table(ASSETS / "graphs" / "emoji-uce.parquet")).damage(("uce", "noise-shift"))
    far = text_distance(setup.pipe, setup.concepts, list(everyone.index)).reindex_like(everyone)
    title = f"All {len(everyone)} concepts under UCE"
    figures.append(plots.locality_figure({"UCE": by_nearness(everyone, far)}, title, "noise shift"))
    save_png(figures, folder / "evidence.png", 560)


def show_world(folder: Path) -> None:
    """Locality, asymmetry, kinds of pairs and abnormal concepts of the whole world under UCE, by words alone."""
    setup = WORLD.open()
    concepts, names = setup.watched, list(setup.watched.names)
    effects, source = SideEffects(read_table(ASSETS / "graphs" / "emoji-uce.parquet")), ("uce", "noise-shift")
    pairs, damage = effects.pairs(source), effects.damage(source).reindex(columns=names)
    near = text_distance(setup.pipe, concepts, list(damage.index)).reindex_like(damage)
    print(by_nearness(damage, near).round(4).to_string(index=False))
    for name, statistic in named_statistics(concepts, {"words": near}).items():
        values, null = np.round(statistic(damage), 3), np.round(shuffled(damage, statistic, 20), 3)
        print(f"{name}: {values}, shuffled {null}", flush=True)
    print(f"pairs that surely differ by direction: {both_ways(pairs)['one_way'].mean():.1%}")
    kinds = [relation(concepts, str(a), str(b)) for a, b in zip(pairs["erased"], pairs["affected"], strict=True)]
    print(pairs.assign(kind=kinds).groupby("kind")["delta"].agg(["mean", "size"]).round(4))
    print(pairs.nlargest(15, "delta")[["erased", "affected", "delta"]].round(3).to_string(index=False))
    odd = effects.abnormal(source, rounds=300)
    print(odd.head(15).round(4).to_string(index=False), f"\n{(odd['p'] < 0.05).sum()} abnormal")
    signal = load_file(folder / "uce-world" / FILE)["signal"].reshape(len(names), -1).mean(dim=1).numpy()
    means = damage.mean().to_numpy()
    rank = [pd.Series(column).corr(pd.Series(signal), "spearman") for column in (means, means * signal)]
    print(f"rank correlation of a concept's mean shift with how far its word moves a prediction: {rank[0]:.2f}; the")
    print(f"same of the shift before it is divided by that: {rank[1]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--world", action="store_true")
    parser.add_argument("--figures", type=Path)
    args = parser.parse_args()
    if args.world:
        show_world(args.folder)
        return
    setup = NETFIVE.open()
    table = read_table(ASSETS / "graphs" / "emoji-netfive.parquet")
    floor = noise_floor(setup, Task.of("age-unprotected", images=16), args.folder / "age")
    print(floor.groupby(["method", "metric"])["delta"].describe().round(4))
    whole = table.groupby("method")["erased"].nunique()
    methods = sorted(
        (str(method) for method in whole[whole == len(setup.watched)].index), key=lambda m: m != "age-unprotected"
    )
    effects = SideEffects(table)
    compare(effects, methods)
    show_anchors(table, setup.watched)
    for metric in METRICS:
        for method, tables in side_effect_report(setup, effects, metric, methods, ahead=True).items():
            told(f"{metric} by {method}", tables)
    if args.figures:
        draw(effects, setup, methods, args.figures)


if __name__ == "__main__":
    main()
