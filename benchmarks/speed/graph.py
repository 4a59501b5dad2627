"""How fast a concept graph is built: one worker pinned to one core beside two workers, and a restart, in one run.

    python -m benchmarks.speed.graph                       # idle machine with two cores or more; some five minutes

Erasures by UCE, noise shift of 200 concepts on 2 pictures each. Seconds an erasure are taken between the first finished
one and the last, so that opening the model does not count; `minutes of 200` is what a whole graph then takes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch

from age_core.assets import ASSETS
from age_core.concepts.concept_set import ConceptSet
from age_core.study.build import Source, Task
from age_core.study.parallel import build_in_parallel

CONCEPTS, TASK = 200, Task.of("uce", images=2, metrics=("noise-shift",))


def finished(source: Source, erased: list[str], folder: Path, workers: int, core: int | None, out) -> None:
    """Put the times at which erasures were finished, and when all was over, into `out`; in a process of its own."""
    if core is not None:
        os.sched_setaffinity(0, {core})
        torch.set_num_threads(1)  # two threads that wait for each other on one core would be no fair worker
    began = time.monotonic()
    times = [time.monotonic() - began for _ in build_in_parallel(source, TASK, erased, folder, workers=workers)]
    out.put((times, time.monotonic() - began))


def timed(*arguments) -> tuple[list[float], float]:
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    process = context.Process(target=finished, args=(*arguments, out))
    process.start()
    found = out.get()
    process.kill()  # its workers would wait for more to do
    process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--erasures", type=int, default=12, help="by the one worker; the two do twice as many")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        table = pd.read_csv(ASSETS / "concepts" / "emoji.csv", keep_default_na=False).head(CONCEPTS)
        table.to_csv(Path(place) / "first.csv", index=False)
        source = Source(concepts=str(Path(place) / "first.csv"))
        names = list(ConceptSet.load(source.concepts).names)
        rows = []
        for label, workers, core, count in (("one, pinned to a core", 1, 0, 1), ("two", 2, None, 2)):
            count *= args.erasures
            times, _ = timed(source, names[:count], Path(place) / label, workers, core)
            first = workers - 1  # the second worker's first is as late as the first's
            each = (times[-1] - times[first]) / (len(times) - 1 - first)
            rows.append({"workers": label, "erasures": count, "s an erasure": each, "minutes of 200": each * 200 / 60})
        frame = pd.DataFrame(rows)
        frame["times as fast"] = frame["s an erasure"].iloc[0] / frame["s an erasure"]
        print(frame.round(2).to_string(index=False))
        before = {path: path.stat().st_mtime_ns for path in (Path(place) / "two").glob("*")}
        _, seconds = timed(source, names[: 2 * args.erasures], Path(place) / "two", 2, None)
        same = before == {path: path.stat().st_mtime_ns for path in (Path(place) / "two").glob("*")}
        print(f"restarted when all is finished: {seconds:.1f} s, {'nothing' if same else 'SOMETHING'} computed again")


if __name__ == "__main__":
    main()
