"""All that is worth knowing of a GPU that is at hand for minutes: what runs, how exactly, how fast, in what memory.

    python benchmarks/gpu_check.py --out DIR [--budget 620] [--only NAME ...] [--train SECONDS] [--device cuda]
    python benchmarks/gpu_check.py --out DIR --small --device cpu      # tiny models: finds typing errors without a card
    python benchmarks/gpu_check.py --join DIR assets/emoji-sd/unet     # at home: the weights that --train sent

The checks come in the order in which one would regret not to know: the first six take 330 s. Each has a budget and is
skipped where less is left; each line is in DIR/gpu_check.jsonl as soon as it is known, and a failure is a line. Beside
it: gpu_check.md (the same as tables), pictures.png, profile.txt, trace.json.gz, and with --train unet.0, unet.1, … .
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic products; read when the device is opened
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from age_core.errors import AgeError
from benchmarks.gpu import (
    card,
    costs,
    emoji_world,
    memory,
    paths,
    precision,
    resume,
    training,
    waits,
    whole,
)
from benchmarks.gpu.bench import Bench, Figures, failure
from benchmarks.gpu.tables import write_tables

OVERRUN = 1.5  # times its budget that a check may take, where the round has it, before it is cut off between two lines


@dataclass(frozen=True)
class Check:
    """One check: its lines as they become known, and the seconds that it is given."""

    lines: Callable[[Bench], Iterator[Figures]]
    seconds: float


CHECKS = {
    "card": Check(card.check, 10),
    "paths": Check(paths.check, 50),
    "resume": Check(resume.check, 40),
    "waits": Check(waits.check, 60),
    "costs": Check(costs.unit_costs, 110),
    "updates": Check(costs.updates, 60),
    "memory": Check(memory.check, 90),
    "precision": Check(precision.check, 35),
    "world": Check(emoji_world.check, 50),
    "whole": Check(whole.whole, 70),
    "workers": Check(whole.workers, 35),
}
STARTED_WITH = 0.9  # of its budget: a check given the whole round must not be skipped for what is spent by then
BEFORE_CALLS = 60  # seconds of a training besides its own: encoding the art and the captions, judging


def run_check(bench: Bench, name: str, check: Check) -> None:
    """Write a check's lines until it is done, fails, or has overrun its time."""
    began = time.monotonic()
    lines = check.lines(bench)
    try:
        for figures in lines:
            bench.write(name, figures)
            took = time.monotonic() - began
            if not bench.small and (took > OVERRUN * check.seconds or bench.left_s() < 0):
                bench.write(name, {"cut_off_after_s": round(took, 1)})
                break
    except Exception as error:  # the next check may still have something to say
        bench.write(name, failure(error))
    finally:
        lines.close()  # type: ignore[attr-defined]  # all are generators
        bench.free_memory()


def run(bench: Bench, only: list[str]) -> None:
    """All checks, or those named, in order; with a training that comes first, since others use its weights."""
    bench.out.mkdir(parents=True, exist_ok=True)
    checks = {name: check for name, check in CHECKS.items() if not only or name in only}
    if bench.train_s and (not only or "train" in only):
        checks = {"train": Check(training.check, bench.train_s + BEFORE_CALLS), **checks}
    for name, check in checks.items():
        if bench.left_s() < STARTED_WITH * check.seconds:
            bench.write(name, {"skipped": f"{check.seconds:.0f} s asked, {max(bench.left_s(), 0):.0f} s left"})
            continue
        run_check(bench, name, check)
        write_tables(bench.out)
    bench.write("round", {"seconds": round(bench.budget_s - bench.left_s(), 1), "small": bench.small})
    write_tables(bench.out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for what is found")
    parser.add_argument("--budget", type=float, default=620, help="seconds in all (620)")
    parser.add_argument(
        "--only", nargs="+", choices=[*CHECKS, "train"], default=[], metavar="NAME", help=str([*CHECKS])
    )
    parser.add_argument("--train", type=float, default=0, metavar="SECONDS", help="of training emoji weights, in all")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny models, few repeats: a minute on one core")
    parser.add_argument("--join", nargs=2, type=Path, metavar=("DIR", "TARGET"), help="put trained weights in place")
    args = parser.parse_args()
    try:
        if args.join:
            print(training.join(*args.join))
            return
        if args.out is None:
            parser.error("--out DIR is needed, or --join")
        bench = Bench(args.out, args.device, args.small, args.budget, args.train)
        run(bench, args.only)
        shutil.rmtree(bench.folder, ignore_errors=True)
    except AgeError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
