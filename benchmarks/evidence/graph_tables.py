"""What the shipped tables of side effects say, as CSV files that docs/results.md is made of.

    python -m benchmarks.evidence.graph_tables                        # all into benchmarks/results, some five minutes
    python -m benchmarks.evidence.graph_tables --only netfive --metrics distance

`read_graphs.py` prints the same and draws the figures. Files, by set (netfive, world) and metric: graph-SET-METRIC-
statistics, -damage, -floor, -abnormal, -stability, -prediction, -anchors; graph-world-curve, -kinds, -strongest,
-both-ways; graph-netfive-unedited.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from age_core.assets import ASSETS
from age_core.study.build import Task
from age_core.study.graph import relation
from age_core.study.predict import text_distance
from age_core.study.report import floor_row, named_statistics, noise_floor, side_effect_report
from age_core.study.statistics import both_ways, by_nearness, mean_with_interval, shuffled
from age_core.study.tables import SideEffects, read_table
from benchmarks.evidence.graphs import NETFIVE, WORLD
from benchmarks.evidence.read_graphs import METRICS, by_anchor

RESULTS = Path(__file__).parents[1] / "results"
SETS = ("netfive", "world", "unedited")
KEPT = ("statistics", "floor", "abnormal", "stability", "prediction")  # of what a report tells
DEFAULT = "age-unprotected"  # of when the tables were made
WORLD_ROUNDS = 20  # shuffles of all pairs of the world; of a small set there are 200


def save(tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
    for name, table in tables.items():
        table.round(7).to_csv(folder / f"graph-{name}.csv", index=False)
        print(f"graph-{name}.csv: {len(table)} rows", flush=True)


def damages(effects: SideEffects, metric: str, methods: list[str]) -> pd.DataFrame:
    """A row a method: mean damage of an erasure with interval, and how much less it is than the default's, paired."""
    means = {method: effects.damage((method, metric)).mean(axis=1) for method in methods}
    rows = []
    for method, mean in means.items():
        row: dict[str, object] = {"method": method}
        row |= dict(zip(("damage", "low", "high"), mean_with_interval(mean.to_numpy()), strict=True))
        if DEFAULT in means and method != DEFAULT:
            gap = mean_with_interval((means[DEFAULT] - mean).dropna().to_numpy())
            row |= dict(zip(("gap", "gap_low", "gap_high"), gap, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def netfive(metric: str) -> dict[str, pd.DataFrame]:
    """Everything told of emoji-netfive by one metric, the methods of a kind of table together."""
    setup = NETFIVE.open()
    table = read_table(ASSETS / "graphs" / "emoji-netfive.parquet")
    effects = SideEffects(table)
    erased = table.groupby("method")["erased"].nunique()
    methods = sorted((str(method) for method in erased[erased == len(setup.watched)].index), key=lambda m: m != DEFAULT)
    report = side_effect_report(setup, effects, metric, methods, ahead=True)
    tables = {
        f"netfive-{metric}-{kind}": pd.concat([report[method][kind].assign(method=method) for method in methods])
        for kind in KEPT
    }
    anchors = by_anchor(table, setup.watched, metric)
    damage = damages(effects, metric, methods)
    return tables | {f"netfive-{metric}-damage": damage, f"netfive-{metric}-anchors": anchors}


def world() -> dict[str, pd.DataFrame]:
    """The graph of all concepts under UCE, by noise shift and nearness in words."""
    setup = WORLD.open()
    concepts, names = setup.watched, list(setup.watched.names)
    effects, source = SideEffects(read_table(ASSETS / "graphs" / "emoji-uce.parquet")), ("uce", "noise-shift")
    rows, damage = effects.pairs(source), effects.damage(source).reindex(columns=names)
    near = text_distance(setup.pipe, concepts, list(damage.index)).reindex_like(damage)
    statistics = []
    for name, statistic in named_statistics(concepts, {"words": near}).items():
        value, null = statistic(damage), shuffled(damage, statistic, WORLD_ROUNDS)
        columns = ("value", "low", "high", "shuffled", "shuffled_low", "shuffled_high")
        statistics.append({"statistic": name, "method": "uce"} | dict(zip(columns, (*value, *null), strict=True)))
    both = both_ways(rows)
    kinds = [relation(concepts, str(a), str(b)) for a, b in zip(rows["erased"], rows["affected"], strict=True)]
    strongest = pd.concat([rows.nlargest(15, "delta"), rows.merge(most_one_way(both), on=["erased", "affected"])])
    odd = effects.abnormal(source, rounds=300)
    return {
        "world-statistics": pd.DataFrame(statistics),
        "world-damage": damages(effects, "noise-shift", ["uce"]),
        "world-floor": floor_row(effects, source).assign(method="uce"),
        "world-curve": by_nearness(damage, near),
        "world-kinds": rows.assign(kind=kinds).groupby("kind", as_index=False)["delta"].agg(["mean", "size"]),
        "world-strongest": strongest[["erased", "affected", "delta"]].drop_duplicates(),
        "world-both-ways": both["one_way"].agg(["size", "mean"]).to_frame().T,
        "world-abnormal": odd[odd["p"] < 0.05],
    }


def most_one_way(both: pd.DataFrame) -> pd.DataFrame:
    """The pair that differs most by direction, each way, among those that surely do."""
    sure = both[both["one_way"]]
    a, b = sure.loc[(sure["there"] - sure["back"]).abs().idxmax(), ["a", "b"]]
    return pd.DataFrame({"erased": [a, b], "affected": [b, a]})


def unedited() -> dict[str, pd.DataFrame]:
    """What the metrics read on emoji-netfive where nothing was erased."""
    with TemporaryDirectory() as folder:
        table = noise_floor(NETFIVE.open(), Task.of(DEFAULT, images=16), Path(folder))
    by = table.groupby(["method", "metric"], as_index=False)["delta"]
    return {"netfive-unedited": by.agg(["mean", "std", "max"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--only", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--metrics", nargs="+", choices=METRICS, default=METRICS)
    args = parser.parse_args()
    for metric in args.metrics if "netfive" in args.only else ():
        save(netfive(metric), args.out)
    if "world" in args.only:
        save(world(), args.out)
    if "unedited" in args.only:
        save(unedited(), args.out)


if __name__ == "__main__":
    main()
