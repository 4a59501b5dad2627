"""Check 0: the card, the versions, and the ceilings by which everything else is divided."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version

import torch

from benchmarks.gpu.bench import Bench, Figures, products_in, rounded

LIBRARIES = ("torch", "diffusers", "transformers", "safetensors", "numpy")


def check(bench: Bench) -> Iterator[Figures]:
    yield about(bench)
    side = 128 if bench.small else 8192
    for name, dtype, products in (
        ("bfloat16", torch.bfloat16, "float32"),
        ("tf32", torch.float32, "tf32"),
        ("float32", torch.float32, "float32"),
    ):
        a, b = (torch.randn(side, side, device=bench.device, dtype=dtype) for _ in range(2))
        with products_in(products):
            seconds = bench.seconds(partial(torch.matmul, a, b))
        yield {"what": f"product of {side}", "format": name, "tflop_s": rounded(2 * side**3 / seconds / 1e12)}
        del a, b
    yield from copies(bench)


def about(bench: Bench) -> Figures:
    """The machine in words."""
    figures: Figures = {"python": platform.python_version(), "cpu_cores": os.cpu_count(), "device": bench.device}
    for name in LIBRARIES:
        try:
            figures[name] = version(name)
        except PackageNotFoundError:
            figures[name] = "missing"
    if bench.cuda:
        card = torch.cuda.get_device_properties(bench.device)
        figures |= {"card": card.name, "memory_gib": rounded(card.total_memory / 2**30), "cuda": torch.version.cuda}
        figures |= {"cudnn": torch.backends.cudnn.version(), "multiprocessors": card.multi_processor_count}
    return figures


def copies(bench: Bench) -> Iterator[Figures]:
    """GB a second: on the device (read and written), and to it from memory that is plain and that is pinned."""
    count = 2**16 if bench.small else 2**30
    here = torch.zeros(count, dtype=torch.uint8, device=bench.device)
    there = torch.empty_like(here)
    seconds = bench.seconds(lambda: there.copy_(here))
    yield {"what": "copy on the device", "gb_s": rounded(2 * count / seconds / 1e9)}
    for pinned in (False, True) if bench.cuda else (False,):
        source = torch.zeros(count // 4, dtype=torch.uint8, pin_memory=pinned)
        target = there[: len(source)]
        seconds = bench.seconds(partial(target.copy_, source, non_blocking=True))
        yield {"what": "host to device", "pinned": pinned, "gb_s": rounded(len(source) / seconds / 1e9)}
