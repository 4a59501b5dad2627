"""Record the run that the explorer opens with: the default erasing dog, with pictures of many stages.

    python -m benchmarks.evidence.record_run dog assets/runs

Its eraser is kept in half precision, as everything in git is; nothing else differs from any other run.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from age_core import ConceptSet, load_pipeline, start_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("concept")
    parser.add_argument("root", type=Path)
    parser.add_argument("--method", default="age")
    args = parser.parse_args()
    pipe, concepts = load_pipeline("emoji"), ConceptSet.load("emoji")
    name = f"{args.concept}-{args.method}"
    shutil.rmtree(args.root / name, ignore_errors=True)
    run, events = start_run(pipe, args.root, args.method, args.concept, concepts, "emoji", name, preview_every=5)
    for event in events:
        print(event.step, event.note, file=sys.stderr)
    eraser = run.eraser()
    halved = replace(eraser, delta={weight: change.half() for weight, change in eraser.delta.items()})
    halved.save(run.path / "eraser.safetensors")
    (run.path / "lock").unlink()


if __name__ == "__main__":
    main()
