"""What every check stands on: where and how large, the clock, memory, and lines that are written as they are known."""

from __future__ import annotations

import gc
import json
import resource
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from age_core.errors import AgeError
from age_core.files import plain

Figures = dict[str, Any]  # plain numbers and words
LINES = "gpu_check.jsonl"
FRAMES = 4  # of a traceback, the last


@dataclass
class Bench:
    """One round of checks. `small`: tiny models and few repeats, to find typing errors where there is no card."""

    out: Path
    device: str = "cuda"
    small: bool = False
    budget_s: float = 620.0
    train_s: float = 0.0
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="gpu-check-")))  # for what is thrown away
    began: float = field(default_factory=time.monotonic)

    @property
    def cuda(self) -> bool:
        return torch.device(self.device).type == "cuda"

    def left_s(self) -> float:
        return self.budget_s - (time.monotonic() - self.began)

    def write(self, check: str, figures: Mapping[str, Any]) -> None:
        """One line to the screen and to the file, at once: whatever ends the round, what was measured is there."""
        line = json.dumps(plain({"check": check, **figures}), ensure_ascii=False)
        with (self.out / LINES).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(line, flush=True)

    def wait(self) -> None:
        """Until the device has done all that it was given."""
        if self.cuda:
            torch.cuda.synchronize()

    def seconds(self, once: Callable[[], object], repeats: int = 5, warm: int = 2) -> float:
        """Median of `repeats` calls after `warm` that do not count: by the device's events, or the clock."""
        repeats, warm = (1, 0) if self.small else (repeats, warm)
        for _ in range(warm):
            once()
        self.wait()
        if not self.cuda:
            return statistics.median(_clocked(once) for _ in range(repeats))
        times = []
        for _ in range(repeats):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            once()
            end.record()
            times.append((start, end))
        self.wait()
        return statistics.median(start.elapsed_time(end) for start, end in times) / 1000

    def free_memory(self) -> None:
        """Give back what the device holds for nobody, and measure its peak anew."""
        if self.cuda:
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak_gib(self) -> float:
        """Of the device since `free_memory`; of the process since its start where the device is the CPU."""
        if self.cuda:
            return torch.cuda.max_memory_allocated() / 2**30
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _clocked(once: Callable[[], object]) -> float:
    began = time.perf_counter()
    once()
    return time.perf_counter() - began


def failure(error: BaseException) -> Figures:
    """What is written of a failure: the kind, its first line and the last frames; never the end of the round."""
    words = (str(error).strip().splitlines() or [""])[0][:300]
    if isinstance(error, AgeError):  # a sentence for people: something that is not offered
        return {"refused": words}
    if isinstance(error, torch.OutOfMemoryError) or "out of memory" in words.lower():
        return {"failed": "out of memory"}
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    where = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    return {"failed": f"{type(error).__name__}: {words}", "frames": where}


def attempt(case: Figures, work: Callable[..., Mapping[str, Any]], *arguments: Any) -> Figures:
    """One case of a check: the figures of `work`, or how it failed."""
    began = time.perf_counter()
    try:
        return {**case, **work(*arguments), "wall_s": round(time.perf_counter() - began, 3)}
    except Exception as error:  # whatever a card may bring up
        return {**case, **failure(error)}


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """float32 products in "float32" or "tf32"; convolutions alike."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def rounded(value: float, digits: int = 4) -> float:
    """A figure with `digits` that count."""
    return float(f"{value:.{digits}g}")
