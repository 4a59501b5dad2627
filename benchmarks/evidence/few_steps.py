"""Do few sampler steps judge as many do? ESR-1 and PSR-1 of one erasure by the number of steps.

    python -m benchmarks.evidence.few_steps --concept dog

Every count of steps draws from the same noise: the original model and the one after an erasure to the empty prompt (an
eraser that leaves something to see), 4 pictures of every n-th concept (--every) and 16 of the erased one. `same`: share
of pictures on which the probe's verdict (named right or not) is that of the most steps.
"""

from __future__ import annotations

import argparse
import time

import pandas as pd

from age_core import ConceptSet, load_pipeline, load_probe
from age_core.erasure.by_method import erase_by
from age_core.erasure.outcome import last_eraser
from age_core.measure.verdicts import STEPS, hits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--concept", default="dog")
    parser.add_argument("--every", type=int, default=3, help="which of the world's concepts are drawn: every n-th")
    parser.add_argument("--steps", type=int, nargs="+", default=[STEPS, 8, 20, 50])
    args = parser.parse_args()
    pipe, probe, concepts = load_pipeline("emoji"), load_probe("emoji"), ConceptSet.load("emoji")
    others = [name for name in concepts.names[:: args.every] if name != args.concept]
    edited = last_eraser(erase_by(pipe, "empty", args.concept, concepts, preview_every=0))
    rows, verdicts = [], {}
    for steps in sorted(args.steps):
        started = time.perf_counter()
        parts = {
            (model, side): hits(pipe, probe, concepts, names, images, eraser, steps=steps)["top1"]
            for model, eraser in (("original", None), ("edited", edited))
            for side, names, images in (("others", others, 4), ("erased", [args.concept], 16))
        }
        verdicts[steps] = pd.concat(parts.values(), ignore_index=True)
        seconds = time.perf_counter() - started
        probabilities = {f"{model}, {side}": round(100 * share.mean(), 1) for (model, side), share in parts.items()}
        rows.append({"steps": steps, "ms a picture": round(1000 * seconds / len(verdicts[steps]), 1)} | probabilities)
    most = verdicts[max(args.steps)]
    for row in rows:
        row["same"] = round(100 * float((verdicts[row["steps"]] == most).mean()), 1)
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
