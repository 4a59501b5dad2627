"""What an erasure loses when something else keeps a core of the machine busy, and how threads that wait matter to it.

    python -m benchmarks.speed.busy                        # idle machine; ten minutes on two CPU cores
    python -m benchmarks.speed.busy --steps 5 --repeats 1 --only "one thread"       # does it run at all?

The command line erases by the Fast preset as a person would start it: with the machine to itself, and beside a process
that keeps one core busy, in turn; in the environment that the program sets itself, and with its threads' waiting set by
hand. Threads that spin while they wait take the core from the one that they wait for. Printed: seconds (the median of
--repeats), the ratio of busy to idle, and each environment's seconds over those of the program's own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[2]
OWN = "the program's own"
# what libgomp, which runs torch's threads on Linux, is told; 300,000 turns are its default where nobody tells it
ENVIRONMENTS: dict[str, dict[str, str]] = {
    OWN: {},
    "spinning as libgomp does": {"GOMP_SPINCOUNT": "300000"},
    "spinning for long": {"OMP_WAIT_POLICY": "active"},
    "sleeping at once": {"OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "KMP_BLOCKTIME")


# keeps a core busy until it is ended, or whoever started it, the process of that number, has died
SPIN = "import os, sys; starter = int(sys.argv[1])\nwhile os.getppid() == starter: pass"


def environment(changes: Mapping[str, str], inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment to start in: nothing about threads but `changes`, whatever this process was started with."""
    return {name: value for name, value in inherited.items() if name not in WAITING} | dict(changes)


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that each keep a core busy."""
    running = [subprocess.Popen([sys.executable, "-c", SPIN, str(os.getpid())]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def erasure(arguments: list[str], changes: Mapping[str, str]) -> float:
    """Seconds that the command line says an erasure took, the opening of the model not counted."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "age_core", "erase", *arguments, "--run", f"{folder}/run", "--json"]
        done = subprocess.run(command, cwd=ROOT, env=environment(changes), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr.strip() or f"{' '.join(command)} ended with {done.returncode}.")
    return float(json.loads(done.stdout)["seconds"])


def summary(times: pd.DataFrame) -> pd.DataFrame:
    """Rows (environment, busy, seconds) to medians and ratios, an environment a row, in order."""
    median = times.groupby(["environment", "busy"], sort=False)["seconds"].median().unstack()
    table = median.rename(columns={0: "idle, s"} | {n: f"beside {n}, s" for n in median.columns if n})
    idle, beside = (table[name] for name in table.columns[:2])
    table["busy over idle"] = beside / idle
    table["idle over own"], table["busy over own"] = idle / idle[OWN], beside / beside[OWN]
    return table.rename_axis(index=None, columns=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--concept", default="dog")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--steps", type=int, help="of each erasure (the preset's)")
    parser.add_argument("--busy", type=int, default=1, help="processes that keep a core busy (1)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=ENVIRONMENTS, action="append", help="besides the program's own (all)")
    args = parser.parse_args()
    if args.busy < 1 or args.repeats < 1:
        parser.error("--busy and --repeats take at least 1")
    names = [name for name in ENVIRONMENTS if not args.only or name in (OWN, *args.only)]
    arguments = [args.concept, "--preset", args.preset]
    arguments += ["--steps", str(args.steps)] if args.steps else []
    rows = []
    for turn in range(args.repeats):  # in turn, so that what changes on the machine meets all alike
        for name in names:
            for others in (0, args.busy):
                with busy(others):
                    seconds = erasure(arguments, ENVIRONMENTS[name])
                rows.append({"environment": name, "busy": others, "seconds": seconds})
                print(f"{turn + 1}: {name}, beside {others}: {seconds:.1f} s", flush=True)
    print(
        f"{os.cpu_count()} CPU cores, preset {args.preset}", summary(pd.DataFrame(rows)).round(2).to_string(), sep="\n"
    )


if __name__ == "__main__":
    main()
