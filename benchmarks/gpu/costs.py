"""Checks 4 and 5: what a row, a picture and a text cost by format and number at once; what an update costs."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from diffusers import DiffusionPipeline
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from age_core import encode_text, erase
from age_core.models.families import predict
from age_core.models.sampling import decode
from benchmarks.gpu.bench import Bench, Figures, attempt, products_in, rounded
from benchmarks.gpu.models import stable_diffusion, step_options, words

ROWS = (2, 4, 16, 32, 128)
UPDATES = ("age", "age-paper-code", "esd-x", "esd-u", "lora")


def unit_costs(bench: Bench) -> Iterator[Figures]:
    """Milliseconds a row of the UNet without gradients, a picture and a text."""
    pipe = stable_diffusion(bench, "float32")
    flops = flops_a_row(pipe, bench)
    with products_in("float32"):
        yield from rows_in(bench, pipe, "float32", flops, asked(pipe))
    with products_in("tf32"):
        yield from rows_in(bench, pipe, "tf32", flops, asked(pipe))
    with torch.autocast(torch.device(bench.device).type, torch.bfloat16):
        yield from rows_in(bench, pipe, "bfloat16 by autocast", flops, asked(pipe))
    pipe.to(torch.bfloat16)
    yield from rows_in(bench, pipe, "bfloat16", flops, asked(pipe))
    yield from pictures_and_texts(bench, pipe)
    pipe.unet.to(memory_format=torch.channels_last)
    yield from rows_in(bench, pipe, "bfloat16, channels last", flops, asked(pipe))
    if bench.cuda:
        yield from rows_in(bench, pipe, "bfloat16, channels last, CUDA graph", flops, replayed(pipe))
        pipe.unet.compile_repeated_blocks()
        yield from rows_in(bench, pipe, "bfloat16, channels last, compiled blocks", flops, asked(pipe))


def inputs(pipe: DiffusionPipeline, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """(z, t, text states) of so many rows."""
    side, device = pipe.unet.config.sample_size, pipe.unet.device
    z = torch.randn(rows, 4, side, side, device=device)
    states = encode_text(pipe, ["a photo of a dog"]).expand(rows, -1, -1)
    return z, torch.full((rows,), 500, device=device), states


def flops_a_row(pipe: DiffusionPipeline, bench: Bench) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        predict(pipe, *inputs(pipe, 1))
    return float(counter.get_total_flops())


Ask = Callable[[int], Callable[[], object]]  # of a number of rows, what asks the UNet for them


def asked(pipe: DiffusionPipeline) -> Ask:
    def of(rows: int) -> Callable[[], object]:
        z, t, states = inputs(pipe, rows)
        return lambda: predict(pipe, z, t, states)

    return of


def replayed(pipe: DiffusionPipeline) -> Ask:
    """The UNet's call captured once and replayed: what is left when launches cost nothing."""

    def of(rows: int) -> Callable[[], object]:
        z, t, states = inputs(pipe, rows)
        z, states = z.to(pipe.unet.dtype), states.to(pipe.unet.dtype).contiguous()
        side_stream = torch.cuda.Stream()
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):
            for _ in range(2):
                pipe.unet(z, t, states)
        torch.cuda.current_stream().wait_stream(side_stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            pipe.unet(z, t, states)
        return graph.replay

    return of


def rows_in(bench: Bench, pipe: DiffusionPipeline, name: str, flops: float, ask: Ask) -> Iterator[Figures]:
    for rows in ROWS[:1] if bench.small else ROWS:
        yield attempt({"what": "row", "format": name, "at_once": rows}, row_cost, bench, flops, ask, rows)
        bench.free_memory()


@torch.no_grad()
def row_cost(bench: Bench, flops: float, ask: Ask, rows: int) -> Figures:
    seconds = bench.seconds(ask(rows), repeats=2 if rows > 32 else 5)
    return {"ms_a_row": rounded(1000 * seconds / rows), "tflop_s": rounded(flops * rows / seconds / 1e12)}


def pictures_and_texts(bench: Bench, pipe: DiffusionPipeline) -> Iterator[Figures]:
    side = pipe.unet.config.sample_size
    for count in (1,) if bench.small else (1, 8, 16):
        z = torch.randn(count, 4, side, side, device=pipe.unet.device)
        yield attempt({"what": "decoding to pictures", "at_once": count}, picture_cost, bench, pipe, z)
    texts = ["a photo of a dog"] * (4 if bench.small else 128)
    seconds = bench.seconds(lambda: encode_text(pipe, texts), 3, 1)
    yield {"what": "text", "at_once": len(texts), "ms_a_text": rounded(1000 * seconds / len(texts))}


def picture_cost(bench: Bench, pipe: DiffusionPipeline, z: Tensor) -> Figures:
    return {"ms_a_picture": rounded(1000 * bench.seconds(lambda: decode(pipe, z), 3, 1) / len(z))}


def updates(bench: Bench) -> Iterator[Figures]:
    """Seconds an update, the median of all but the first two; and how many erasures an hour their loops allow."""
    for dtype in ("bfloat16",) if bench.small else ("bfloat16", "float32"):
        pipe = stable_diffusion(bench, dtype)
        for method in UPDATES[::2] if bench.small else UPDATES:
            case = {"method": method, "format": dtype}
            yield attempt(case, update, bench, pipe, method)
            bench.free_memory()
        del pipe


def update(bench: Bench, pipe: DiffusionPipeline, method: str) -> Figures:
    """Every event comes after its numbers have come home, so the clock needs no waiting of its own."""
    train = {"train": "lora"} if method == "lora" else {}
    method = "age" if method == "lora" else method
    count = 3 if bench.small else 5 if method == "age-paper-code" else 7
    options = step_options(bench, method, steps=count, **train)
    times = [time.perf_counter() for event in erase(pipe, "dog", words(bench), options) if event.step]
    each = statistics.median(after - before for before, after in itertools.pairwise(times[1:]))
    loop = each * step_options(bench, method).steps
    return {"seconds": rounded(each), "rows": options.batch, "loop_s": rounded(loop), "an_hour": rounded(3600 / loop)}
