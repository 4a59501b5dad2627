"""The best target of every concept, by trying each of its neighbours: what the class kit and the duel score choices by.

    python -m benchmarks.evidence.oracle_table build/oracle                     # 450 concepts: ten hours a core
    python -m benchmarks.evidence.oracle_table build/oracle --part 0/2          # one of two processes that share them
    python -m benchmarks.evidence.oracle_table build/oracle --pack assets/oracle.parquet

For each concept its 30 candidates, each erased to in closed form (UCE, nobody preserved, so that the target alone
decides) and measured on 8 pictures of the concept and one of each of the 20 nearest others (`oracle`). A restart does
what is missing, netfive's concepts first, then one of each group in turn.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from age_core import ConceptSet, load_pipeline, load_probe
from age_core.concepts.candidates import near_and_far, rank_others
from age_core.erasure.target_words import neighbours
from age_core.files import replacing
from age_core.study.oracle import oracle
from benchmarks.evidence.world import in_order
from benchmarks.parts import add_part

IMAGES, OF_ERASED = 1, 8


def path_of(folder: Path, world: ConceptSet, name: str) -> Path:
    return folder / f"{world.names.index(name):03d}.parquet"


def measured(folder: Path, world: ConceptSet) -> pd.DataFrame:
    """All that is finished, in the set's order: concept, candidate (the nearest first), esr1, psr1, balance."""
    tables = []
    for name in world.names:
        if (path := path_of(folder, world, name)).exists():
            table = pd.read_parquet(path)
            table.insert(0, "concept", name)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    add_part(parser)
    parser.add_argument("--most", type=int, default=10**6, help="so many concepts at most, this time")
    parser.add_argument("--pack", type=Path, help="write what is finished into this file, and measure nothing")
    args = parser.parse_args()
    world = ConceptSet.load("emoji")
    if args.pack:
        table = measured(args.folder, world)
        table.to_parquet(args.pack, index=False, compression="zstd")
        print(f"{table['concept'].nunique()} of {len(world)} concepts, {args.pack.stat().st_size / 1000:.0f} kB")
        return
    args.folder.mkdir(parents=True, exist_ok=True)
    left = [name for name in in_order(world)[args.part] if not path_of(args.folder, world, name).exists()]
    pipe, probe = load_pipeline("emoji"), load_probe("emoji")
    for done, name in enumerate(left[: args.most], 1):
        candidates = neighbours(pipe, world[name], world)
        near, _ = near_and_far(rank_others(pipe, world, world[name]))
        table = oracle(pipe, probe, world, name, candidates, near, IMAGES, OF_ERASED)
        with replacing(path_of(args.folder, world, name)) as temporary:
            table.to_parquet(temporary, index=False)
        best = table.loc[table["balance"].idxmax()]
        print(f"{done} of {len(left)}: {name} -> {best['candidate']} ({best['balance']:.1f})", flush=True)


if __name__ == "__main__":
    main()
