"""The evidence for the concept graph: every erasure that the README's reading of it rests on; a restart goes on.

    python -m benchmarks.evidence.graphs build/evidence              # all parts, by two workers, in some 2.5 hours
    python -m benchmarks.evidence.graphs build/evidence --only age uce-world  # these parts

Parts on `emoji-netfive` (25 concepts, DS on 16 pictures of each): ESD to the empty prompt, as the paper's graph was
made (latents drawn once, as everywhere here), and the default, three seeds each; fixed in-class target and random
neighbour, one; the five anchors' other targets, one. `uce-world`: all 450 concepts under UCE, noise shift alone.
Tables go to assets/graphs/emoji-netfive.parquet and emoji-uce.parquet as soon as a part is whole;
`read_evidence.py` says what they say.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pandas as pd

from age_core import ConceptSet
from age_core.assets import ASSETS
from age_core.study.build import Source, Task
from age_core.study.parallel import build_in_parallel
from age_core.study.tables import gather

NETFIVE = Source(watched="emoji-netfive")
WORLD = Source()
ANCHORS = ("synonym", "general", "unrelated", "empty")
CACHED = {"latents": "cached", "preview_every": 0}


def parts() -> dict[str, tuple[Source, Task, list[str], tuple[int, ...]]]:
    """Source, task, erased concepts and seeds of each part, the quick ones first."""
    concepts, everyone = (list(ConceptSet.load(name).names) for name in ("emoji", "emoji-netfive"))
    anchors = everyone[::5]
    quiet = {"preview_every": 0}
    found: dict[str, tuple[Source, Task, list[str], tuple[int, ...]]] = {
        "uce-world": (WORLD, Task.of("uce", images=2, metrics=("noise-shift",)), concepts, (0,)),
        "age": (NETFIVE, Task.of("age-unprotected", quiet, images=16), everyone, (0, 1, 2)),
        "esd": (NETFIVE, Task.of("naive", CACHED, images=16), everyone, (0, 1, 2)),
        "in-class": (NETFIVE, Task.of("in-class", quiet, images=16), everyone, (0,)),
        "random": (NETFIVE, Task.of("random", quiet, images=16), everyone, (0,)),
    }
    for method in ANCHORS:
        found[f"anchors-{method}"] = (NETFIVE, Task.of(method, quiet, images=16), anchors, (0,))
    return found


def build(folder: Path, name: str, workers: int, most: int) -> None:
    source, task, erased, seeds = parts()[name]
    seeds = seeds[:most]
    whole, started, done = len(erased) * len(seeds), time.monotonic(), 0
    for done, job in enumerate(build_in_parallel(source, task, erased, folder / name, seeds, workers), 1):
        minutes = (time.monotonic() - started) / 60
        print(f"{name}: {done} of {whole} after {minutes:.1f} min: {job.erased}, seed {job.seed}", flush=True)
    print(f"{name}: whole after {(time.monotonic() - started) / 60:.1f} min", flush=True)


def publish(folder: Path) -> None:
    """The tables of finished parts, as they are shipped."""
    netfive = [
        gather(folder / name) for name in parts() if name != "uce-world" and any((folder / name).glob("*.parquet"))
    ]
    if netfive:
        pd.concat(netfive, ignore_index=True).to_parquet(ASSETS / "graphs" / "emoji-netfive.parquet", index=False)
    if any((folder / "uce-world").glob("*.parquet")):
        gather(folder / "uce-world").to_parquet(ASSETS / "graphs" / "emoji-uce.parquet", index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(parts()), default=list(parts()))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3, help="so many seeds at most, to have some of every part soon")
    args = parser.parse_args()
    for name in args.only:
        build(args.folder, name, args.workers, args.seeds)
        publish(args.folder)


if __name__ == "__main__":
    main()
