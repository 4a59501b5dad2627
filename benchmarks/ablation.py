"""Methods compared on the emoji world: one row an erasure, kept as a line of JSON; a restart does what is missing.

    python benchmarks/ablation.py build/ablation.jsonl --methods age empty uce --concepts cat guitar apple --seeds 0 1
    python benchmarks/ablation.py build/ablation.jsonl --methods age:balance=true,pi_lr=0.3

A method may carry options after a colon. ESR-k on 16 pictures of the erased concept; PSR-k near (the 20 nearest
concepts) and far (40 others spread over the rest), 4 pictures each; seconds of the erasure alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))
from age_core import ConceptSet, Vocabulary, load_pipeline, load_probe
from age_core.evaluation import hits
from age_core.methods import erase_by

NEAR, FAR = 20, 40


def parse(method: str) -> tuple[str, dict[str, object]]:
    """'age:balance=true,pi_lr=0.3' to the name and its options."""
    name, _, rest = method.partition(":")
    pairs = (pair.split("=", 1) for pair in rest.split(",") if pair)
    return name, {key: json.loads(value) for key, value in pairs}


def measure(pipe, probe, world: ConceptSet, method: str, concept: str, seed: int, preset: str) -> dict[str, object]:
    """One erasure and what it did."""
    name, changes = parse(method)
    ranked = [n for n in Vocabulary(world.names).near(pipe, concept, len(world)).names if n != concept]
    near, rest = ranked[:NEAR], ranked[NEAR:]
    far = rest[:: max(len(rest) // FAR, 1)][:FAR]
    started = time.monotonic()
    *_, last = erase_by(pipe, name, concept, world, preset, seed=seed, preview_every=0, **changes)
    row: dict[str, object] = {"method": method, "concept": concept, "seed": seed, "preset": preset}
    row["seconds"] = round(time.monotonic() - started, 2)
    row["targets"] = last.top_targets(3)
    row["entropy"] = round(last.entropy, 3)
    gone = hits(pipe, probe, world, [concept], 16, last.eraser)
    row |= {f"esr{k}": 100 * (1 - gone[f"top{k}"].mean()) for k in (1, 5)}
    for side, names in (("near", near), ("far", far)):
        kept = hits(pipe, probe, world, names, 4, last.eraser)
        row |= {f"psr{k}_{side}": 100 * kept[f"top{k}"].mean() for k in (1, 5)}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--methods", nargs="+", default=["age", "random", "empty", "in-class", "uce"])
    parser.add_argument("--concepts", nargs="+", default=["cat", "guitar", "apple", "car"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--preset", default="balanced")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    lines = args.out.read_text().splitlines() if args.out.exists() else []
    rows = [json.loads(line) for line in lines]
    done = {(row["method"], row["concept"], row["seed"], row["preset"]) for row in rows}
    pipe, probe, world = load_pipeline("emoji"), load_probe("emoji"), ConceptSet.load("emoji")
    jobs = [(m, c, s) for s in args.seeds for c in args.concepts for m in args.methods]
    for method, concept, seed in jobs:
        if (method, concept, seed, args.preset) in done:
            continue
        row = measure(pipe, probe, world, method, concept, seed, args.preset)
        rows.append(row)
        with args.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), file=sys.stderr, flush=True)
    columns = ["seconds", "entropy", "esr1", "esr5", "psr1_near", "psr1_far", "psr5_near", "psr5_far"]
    print(pd.DataFrame(rows).groupby(["method", "preset"])[columns].mean().round(1).to_string())


if __name__ == "__main__":
    main()
