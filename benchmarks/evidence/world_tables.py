"""What the recorded world says (`world.py`), as CSV files that docs/results.md is made of.

    python -m benchmarks.evidence.world_tables                      # all into benchmarks/results, a minute or two

Files, with rows for each set of erasures (see `sets_of`): recorded-counts, -statistics, -curve, -abnormal, -strongest.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from age_core.assets import ASSETS
from age_core.concepts.concept_set import ConceptSet
from age_core.study.build import MeasureSetup
from age_core.study.graph import relation
from age_core.study.predict import text_distance
from age_core.study.report import named_statistics
from age_core.study.statistics import both_ways, by_nearness, mean_with_interval, shuffled
from age_core.study.tables import Recorded, SideEffects
from age_core.study.world import RecordedWorld
from age_core.study.world_files import numbers_file
from benchmarks.evidence.graph_tables import RESULTS
from benchmarks.evidence.graphs import WORLD

NEAR = 50  # of how many nearest concepts it is told how many were hit
ROUNDS = 40  # shuffles


def sets_of(world: RecordedWorld) -> dict[str, tuple[str, list[str]]]:
    """Method and erased concepts by name of the set: all by the first method; of the first two, of the first three and
    so on, each one's erasures of what all of them erased ("age-of-2": the second method's)."""
    first = world.methods[0]
    found = {first: (first, list(world.erased(first)))}
    for count in range(2, len(world.methods) + 1):
        some = world.methods[:count]
        shared = [name for name in world.names if all(name in world.erased(method) for method in some)]
        found |= {f"{method}-of-{count}": (method, shared) for method in some}
    return found


def counts(world: RecordedWorld, method: str, erased: list[str], near: pd.DataFrame) -> dict[str, object]:
    """How many others an erasure visibly moved, how many of these are near, and how many it lost; with intervals.

    still: percent of the erased concept's own pictures in which it is still recognised; whole: of the erasures, those
    that leave none.
    """
    rows, pictures = [], pd.read_parquet(world.folder / numbers_file(method), columns=["erased", "affected", "top1"])
    own = pictures[pictures["erased"].astype(str) == pictures["affected"].astype(str)]
    still = own.groupby(own["erased"].astype(str))["top1"].mean().reindex(erased)
    for name in erased:
        erasure = world.erasure(method, name)
        assert erasure is not None  # it is among the recorded ones
        moved, nearest = erasure.moved(), set(near.loc[name].nsmallest(NEAR).index)
        far = erasure.table.drop(index=name)["distance"].mean()
        rows.append(
            {"moved": len(moved), "near": len(nearest & set(moved.index)), "lost": len(erasure.lost()), "distance": far}
        )
    table = pd.DataFrame(rows).assign(still=100 * still.to_numpy())
    row: dict[str, object] = {"erased": len(erased), "whole": int((still == 0).sum())}
    for column in table:
        bounds = mean_with_interval(table[column].to_numpy(float))
        row |= dict(zip((column, f"{column}_low", f"{column}_high"), bounds, strict=True))
    return row | {"most_moved": int(table["moved"].max())}


def told(setup: MeasureSetup, world: RecordedWorld, method: str, erased: list[str]) -> dict[str, pd.DataFrame]:
    """Everything told of one set of erasures."""
    concepts, names = setup.watched, list(setup.watched.names)
    source = (world.manifest.methods[method].method, "distance")
    table = world.sources[source].read()
    some = Recorded(tuple(erased), lambda: table[table["erased"].isin(erased)], world.floor)
    effects = SideEffects(table.head(0), {source: some})
    pairs, damage = effects.pairs(source), effects.damage(source).reindex(columns=names)
    near = text_distance(setup.pipe, concepts, list(damage.index)).reindex_like(damage)
    statistics = []
    for name, statistic in named_statistics(concepts, {"words": near}).items():
        columns = ("value", "low", "high", "shuffled", "shuffled_low", "shuffled_high")
        values = (*statistic(damage), *shuffled(damage, statistic, ROUNDS))
        statistics.append({"statistic": name} | dict(zip(columns, values, strict=True)))
    both = both_ways(pairs[pairs["high"].notna()])  # of one picture nothing is sure
    strongest = pairs.nlargest(12, "delta")[["erased", "affected", "delta"]]
    related = [
        relation(concepts, str(a), str(b)) for a, b in zip(strongest["erased"], strongest["affected"], strict=True)
    ]
    row = counts(world, method, erased, near) | {"floor": world.floor.value}
    return {
        "counts": pd.DataFrame([row | {"both_ways": len(both), "one_way": both["one_way"].mean()}]),
        "statistics": pd.DataFrame(statistics),
        "curve": by_nearness(damage, near),
        "abnormal": effects.abnormal(source, 500).head(20),
        "strongest": strongest.assign(relation=related),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    world = RecordedWorld.open(ASSETS / "world", ConceptSet.load("emoji"))
    setup = WORLD.open()
    found = {name: told(setup, world, *some) for name, some in sets_of(world).items()}
    for kind in next(iter(found.values())):
        table = pd.concat([tables[kind].assign(set=name) for name, tables in found.items()], ignore_index=True)
        table.round(7).to_csv(args.out / f"recorded-{kind}.csv", index=False)
        print(f"recorded-{kind}.csv: {len(table)} rows", flush=True)


if __name__ == "__main__":
    main()
