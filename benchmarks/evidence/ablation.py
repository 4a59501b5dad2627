"""Methods compared on the emoji world: one row an erasure, kept as a line of JSON; a restart does what is missing.

    python -m benchmarks.evidence.ablation build/ablation.jsonl --methods age empty uce --concepts cat --seeds 0 1
    python -m benchmarks.evidence.ablation build/ablation.jsonl --methods age:normalise_terms=true,pi_lr=0.3
    python -m benchmarks.evidence.ablation build/ablation.jsonl --methods --summary build/ablation.csv

A method may carry options after a colon. ESR-k on 16 pictures of the erased concept; PSR-k near (the nearest concepts)
and far (others spread over the rest, `near_and_far`), 4 pictures each, and distance: 1000 times the mean
`pair_distance` to the original model's pictures of the same seeds; on a CPU, seconds of computing that the erasure
alone takes a thread, so that a run may be paused. With --comebacks N also `back_...`: how often, in percent of N
pictures, each kind of attempt of `age_core.study.robustness` still shows the concept. With --strengths also `sweep`:
the erased concept and the near ones at that many times the eraser, for `matched.py`. (The rows in benchmarks/results
were judged on 20 near and 40 far concepts, those that share a word with the erased one left out.)

The summary has a row a method: means with 95 % intervals over concepts, and for each measure the paired difference of
--reference to it, on the concepts and seeds that both have. Several of these may write the same file at once, each its
own concepts or methods; `threads` says how many each computed with.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from age_core import ConceptSet, Eraser, load_pipeline, load_probe
from age_core.erasure.by_method import erase_by
from age_core.erasure.outcome import finished
from age_core.models.families import device_of
from benchmarks.evidence.judging import CONCEPTS, Judge, columns

MEASURES = [
    "esr1",
    "esr5",
    "psr1_near",
    "psr1_far",
    "psr5_near",
    "psr5_far",
    "distance_near",
    "distance_apart",
    "distance_elsewhere",
    "distance_far",
]


def parse(method: str) -> tuple[str, dict[str, Any]]:
    """'age:normalise_terms=true,pi_lr=0.3' to the name and its options."""
    name, _, rest = method.partition(":")
    pairs = (pair.split("=", 1) for pair in rest.split(",") if pair)
    return name, {key: json.loads(value) for key, value in pairs}


def measure(
    pipe,
    concepts: ConceptSet,
    judge: Judge,
    method: str,
    concept: str,
    seed: int,
    preset: str,
    back: int,
    strengths: Sequence[float],
) -> dict[str, Any]:
    """One erasure and what it did; "original" erases nothing. `back`: pictures of each attempt to bring it back."""
    row: dict[str, Any] = {"method": method, "concept": concept, "seed": seed, "preset": preset}
    if method == "original":
        untouched = judge.recovery_rates(concept, Eraser({}), back) if back else {}
        return row | untouched | judge.verdict(concept, None)
    name, changes = parse(method)
    started = time.process_time()
    events = erase_by(pipe, name, concept, concepts, preset, seed=seed, preview_every=0, **changes)
    last, eraser = finished(events)
    if device_of(pipe).type == "cpu":  # elsewhere the CPU's time is not what an erasure takes
        row["seconds"] = round((time.process_time() - started) / torch.get_num_threads(), 2)
        row["threads"] = torch.get_num_threads()
    row["steps"] = last.steps
    row["targets"] = last.top_targets(3)
    row["entropy"] = round(last.entropy, 3)
    if back:
        row |= judge.recovery_rates(concept, eraser, back)
    verdict = judge.verdict(concept, eraser)
    if strengths:
        found = {s: judge.verdict(concept, eraser.scaled(s), ("near",)) for s in strengths} | {1.0: verdict}
        row["sweep"] = [
            {"strength": s} | {k: v for k, v in of.items() if not k.endswith(("_far", "_of"))}
            for s, of in found.items()
        ]
    return row | verdict


def summarise(rows: pd.DataFrame, reference: str) -> pd.DataFrame:
    """A row a method and preset: count, means, intervals, and the reference's paired differences to it."""
    measures = [c for c in rows.columns if c in (*MEASURES, "seconds", "steps", "entropy") or c.startswith("back_")]
    rows = rows.set_index(["concept", "seed"])
    table = []
    for (method, preset), mine in rows.groupby(["method", "preset"], sort=False):
        own = rows[(rows["method"] == reference) & (rows["preset"] == preset)]
        compared = method not in (reference, "original")
        named, changes = parse(method)
        row: dict[str, Any] = {"method": method, "named": named, "options": json.dumps(changes)}
        row |= {"preset": preset, "erasures": len(mine)}
        if "esr1" in mine:
            row["esr1_least"] = mine["esr1"].min()
        for measure in measures:
            row |= columns(measure, mine[measure], own[measure] if compared else None)
        table.append(row)
    return pd.DataFrame(table)


def as_markdown(summary: pd.DataFrame, measures: Sequence[str]) -> str:
    """The summary for people: a row a method, each of `measures` as its mean and interval."""

    def cell(row: pd.Series, measure: str) -> str:
        if pd.isna(row.get(measure)):
            return ""
        low, high = row[f"{measure}_low"], row[f"{measure}_high"]
        return f"{row[measure]:.1f}" + ("" if pd.isna(low) else f" ({low:.1f} to {high:.1f})")

    lines = [f"| method | erasures | {' | '.join(measures)} |", "|---" * (2 + len(measures)) + "|"]
    for _, row in summary.iterrows():
        cells = [str(row["method"]), str(row["erasures"]), *(cell(row, measure) for measure in measures)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--methods", nargs="*", default=["age", "random", "empty", "in-class", "uce"])
    parser.add_argument("--concepts", nargs="+", default=CONCEPTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--comebacks", type=int, default=0, help="pictures of each attempt to bring a concept back")
    parser.add_argument("--strengths", nargs="*", type=float, default=[], help="times the eraser, to sweep, besides 1")
    parser.add_argument("--reference", default="age", help="whose paired differences to the others are shown")
    parser.add_argument("--summary", type=Path, help="CSV file to write the summary to")
    parser.add_argument("--markdown", nargs="*", help="print these measures of the summary as a Markdown table")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    lines = args.out.read_text().splitlines() if args.out.exists() else []
    rows = [json.loads(line) for line in lines]
    done = {(row["method"], row["concept"], row["seed"], row["preset"]) for row in rows}
    pipe, probe = load_pipeline("emoji", args.device), load_probe("emoji", args.device)
    concepts = ConceptSet.load("emoji")
    judge = Judge(pipe, probe, concepts)
    jobs = [(m, c, s) for s in args.seeds for c in args.concepts for m in args.methods]
    for method, concept, seed in jobs:
        if (method, concept, seed, args.preset) in done:
            continue
        row = measure(pipe, concepts, judge, method, concept, seed, args.preset, args.comebacks, args.strengths)
        rows.append(row)
        with args.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), file=sys.stderr, flush=True)
    summary = summarise(pd.DataFrame(rows), args.reference)
    if args.summary:
        summary.round(3).to_csv(args.summary, index=False)
    if args.markdown is not None:
        print(as_markdown(summary, args.markdown or MEASURES))
        return
    shown = [c for c in summary.columns if not c.endswith(("_low", "_high"))]
    print(summary[shown].round(1).to_string(index=False))


if __name__ == "__main__":
    main()
