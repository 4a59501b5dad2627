"""Check 3: where a step waits for the device, how much of it has a kernel running, and its ten longest kernels."""

from __future__ import annotations

import gzip
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch.profiler import ProfilerActivity, profile

from age_core import EraseEvent, erase
from benchmarks.gpu.bench import Bench, Figures, attempt, rounded
from benchmarks.gpu.models import stable_diffusion, step_options, words

LARGEST_TRACE = 15 * 2**20  # bytes, compressed
LONGEST = 10


def check(bench: Bench) -> Iterator[Figures]:
    pipe = stable_diffusion(bench, "bfloat16")
    for method in ("age-even",) if bench.small else ("age-even", "age-paper-code"):
        for measure in (waits, kernels):
            case = {"method": method, "measure": measure.__name__}
            yield attempt(case, measure, bench, pipe, method)


def steps(bench: Bench, pipe: DiffusionPipeline, method: str) -> Iterator[EraseEvent]:
    """A method's events from its second step on, so that nothing is made for the first time; pi moves in each.

    The first step is taken here, and not when the first of these events is asked for.
    """
    events = erase(pipe, "dog", words(bench), step_options(bench, method, steps=4, pi_every=1))
    while next(events).step < 1:
        pass
    return events


def waits(bench: Bench, pipe: DiffusionPipeline, method: str) -> Figures:
    """How often one step makes the CPU wait, by line; only a card can tell."""
    events = steps(bench, pipe, method)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if bench.cuda:
            torch.cuda.set_sync_debug_mode("warn")
        try:
            next(events)
        finally:
            if bench.cuda:
                torch.cuda.set_sync_debug_mode("default")
    told = [w for w in caught if "synchroniz" in str(w.message)]
    lines = Counter(f"{'/'.join(Path(w.filename).parts[-2:])}:{w.lineno}" for w in told)
    note(
        bench, f"{method}: {len(told)} waits in a step", [f"{count:4d}  {line}" for line, count in lines.most_common()]
    )
    return {"waits": len(told), "lines": len(lines), "most": lines.most_common(1)[0][0] if lines else ""}


def kernels(bench: Bench, pipe: DiffusionPipeline, method: str) -> Figures:
    """One step under the profiler: the share of its time in which a kernel ran, and what ran longest."""
    events = steps(bench, pipe, method)
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if bench.cuda else [])
    bench.wait()
    with profile(activities=activities) as profiler:
        began = time.perf_counter()
        next(events)
        bench.wait()
        seconds = time.perf_counter() - began
    ran = [e for e in profiler.events() or [] if str(e.device_type).endswith("CUDA") and not spans_kernels(e)]
    busy = covered([(e.time_range.start, e.time_range.end) for e in ran]) / 1e6  # they are in microseconds
    column = "self_device_time_total" if bench.cuda else "self_cpu_time_total"
    own = [row for row in profiler.key_averages() if not spans_kernels(row)]
    longest = sorted(own, key=lambda row: -getattr(row, column))[:LONGEST]
    lines = [f"{getattr(row, column) / 1000:9.2f} ms  {row.count:5d} x  {row.key[:100]}" for row in longest]
    note(bench, f"{method}: a step of {1000 * seconds:.0f} ms, {100 * busy / seconds:.0f} % with a kernel", lines)
    if method == "age-even":
        keep_trace(bench, profiler)
    return {"seconds": rounded(seconds), "kernels": len(ran), "busy_share": rounded(busy / seconds)}


def spans_kernels(event: Any) -> bool:
    """Whether it is a name that was given to a stretch of time, such as an optimiser's step, and not a kernel."""
    return bool(getattr(event, "is_user_annotation", False))


def covered(spans: list[tuple[float, float]]) -> float:
    """The length of time that lies in any of the spans; kernels of several streams overlap."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def keep_trace(bench: Bench, profiler: Any) -> None:
    plain = bench.folder / "trace.json"
    profiler.export_chrome_trace(str(plain))
    packed = gzip.compress(plain.read_bytes())
    if len(packed) <= LARGEST_TRACE:
        (bench.out / "trace.json.gz").write_bytes(packed)


def note(bench: Bench, title: str, lines: list[str]) -> None:
    with (bench.out / "profile.txt").open("a", encoding="utf-8") as file:
        file.write("\n".join([title, *lines, "", ""]))
