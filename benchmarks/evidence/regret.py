"""Regret to the oracle: every candidate target tried in closed form and measured on pictures, then each selector.

    python -m benchmarks.evidence.regret build/regret --concepts cat guitar apple

For each concept a CSV with the oracle's table, kept for a restart, and a table of selectors: the target each favours,
the balance (mean of ESR-1 and PSR-1, percent) of a UCE edit to the targets it uses, and what it gives away.
`age` is weighed by its final softmax(pi), `random` evenly.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from age_core import AgeError, ConceptSet, load_pipeline, load_probe
from age_core.concepts.candidates import near_and_far, rank_others
from age_core.erasure.by_method import erase_by
from age_core.erasure.outcome import finished
from age_core.erasure.target_words import WordKind, fixed_word, neighbours
from age_core.study.oracle import oracle
from age_core.study.regret import regrets

WORDS: tuple[WordKind, ...] = ("nearest", "in-class", "look-ahead")


def choices(pipe, concepts: ConceptSet, name: str, methods: list[str]) -> dict[str, dict[str, float]]:
    """For each selector the share of each candidate that it uses."""
    concept = concepts[name]
    found: dict[str, dict[str, float]] = {}
    for word in WORDS:
        try:
            found[word] = {fixed_word(pipe, word, concept, concepts): 1.0}
        except AgeError as error:
            print(f"{name}: no {word}: {error}", file=sys.stderr)
    for method in methods:
        last, _ = finished(erase_by(pipe, method, name, concepts, preview_every=0))
        found[method] = dict(zip(last.candidates, last.probabilities, strict=True))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--concepts", nargs="+", default=["cat", "guitar", "apple"])
    parser.add_argument("--methods", nargs="*", default=["age"], help="selectors that are read after a training")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    pipe, probe, concepts = load_pipeline("emoji"), load_probe("emoji"), ConceptSet.load("emoji")
    tables = []
    for name in args.concepts:
        candidates = neighbours(pipe, concepts[name], concepts)
        path = args.folder / f"{name.replace(' ', '_')}.csv"
        if not path.exists():
            near, far = near_and_far(rank_others(pipe, concepts, concepts[name]))
            oracle(pipe, probe, concepts, name, candidates, near + far).to_csv(path, index=False)
        table = pd.read_csv(path)
        found = choices(pipe, concepts, name, args.methods)
        known = set(table["candidate"])
        probabilities = {"random": dict.fromkeys(table["candidate"], 1.0)}
        probabilities |= {selector: sampled for selector, sampled in found.items() if set(sampled) <= known}
        tables.append(regrets(table, probabilities).assign(concept=name))
        print(tables[-1].round(1).to_string(index=False), flush=True)
    together = pd.concat(tables).groupby("selector", sort=False)[["balance", "regret"]].mean()
    print(together.round(2).to_string())


if __name__ == "__main__":
    main()
