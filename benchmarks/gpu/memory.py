"""Check 6: peak memory of what fills a card, each from a clean start; what does not fit says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from diffusers import DiffusionPipeline

from age_core import erase, generate
from age_core.models.sampling import decode
from benchmarks.gpu.bench import Bench, Figures, attempt, rounded
from benchmarks.gpu.models import sdxl, stable_diffusion, step_options, words

NEVER = 10**6  # pi's step is measured by itself


def check(bench: Bench) -> Iterator[Figures]:
    for dtype in ("bfloat16",) if bench.small else ("bfloat16", "float32"):
        yield from of_model(bench, "sd-1.4", dtype, partial(stable_diffusion, bench, dtype))
    yield from of_model(bench, "sdxl", "bfloat16", partial(sdxl, bench, "bfloat16"))


def of_model(bench: Bench, shape: str, dtype: str, build: Callable[[], DiffusionPipeline]) -> Iterator[Figures]:
    """The cases of one model, the dearest last."""
    bench.free_memory()
    pipe = build()
    loaded = bench.peak_gib()
    yield {"shape": shape, "format": dtype, "what": "loaded", "peak_gib": rounded(loaded)}
    large = shape == "sdxl"
    cases: list[tuple[Figures, Callable[[], object]]] = [
        ({"what": "step", "batch": batch}, partial(step, bench, pipe, batch))
        for batch in ((1,) if bench.small else (1, 8) if large else (1, 4, 8))
    ]
    if not large:
        cases += [
            ({"what": "pi's step"}, partial(step, bench, pipe, 1, pi_every=1)),
            ({"what": "checkpoint"}, partial(step, bench, pipe, 1, checkpoint_every=1)),
            ({"what": "step, noxattn"}, partial(step, bench, pipe, train="noxattn")),
            ({"what": "generate 64"}, partial(drawn, bench, pipe)),
        ]
    cases += [
        ({"what": "decode", "pictures": count}, partial(decoded, pipe, count))
        for count in ((1,) if bench.small else (1, 8) if large else (1, 8, 16, 64))
    ]
    cases += [({"what": f"step, {name}"}, work) for name, work in saving(bench, pipe).items()]
    for case, work in cases:
        yield attempt({"shape": shape, "format": dtype, **case}, peak, bench, work)


def peak(bench: Bench, work: Callable[[], object]) -> Figures:
    bench.free_memory()
    work()
    bench.wait()
    return {"peak_gib": rounded(bench.peak_gib())}


def step(bench: Bench, pipe: DiffusionPipeline, batch: int = 8, **changes: object) -> None:
    """One step; pi stays where it is unless it is asked for."""
    values = {"steps": 1, "pi_every": NEVER, "batch": min(batch, 2) if bench.small else batch} | changes
    list(erase(pipe, "dog", words(bench, 4), step_options(bench, "age", **values)))


def saving(bench: Bench, pipe: DiffusionPipeline) -> dict[str, Callable[[], object]]:
    """The same step by each way to spend less; the UNet is left as it was."""

    def checkpointed() -> None:
        pipe.unet.enable_gradient_checkpointing()
        try:
            step(bench, pipe)
        finally:
            pipe.unet.disable_gradient_checkpointing()

    def sliced() -> None:
        processors = pipe.unet.attn_processors
        pipe.enable_attention_slicing()
        try:
            checkpointed()
        finally:
            pipe.unet.set_attn_processor(processors)

    return {"checkpointed": checkpointed, "checkpointed and sliced": sliced}


def decoded(pipe: DiffusionPipeline, count: int) -> None:
    side = pipe.unet.config.sample_size
    decode(pipe, torch.randn(count, 4, side, side, device=pipe.unet.device))


def drawn(bench: Bench, pipe: DiffusionPipeline) -> None:
    count = 2 if bench.small else 64
    generate(pipe, ["a dog"] * count, list(range(count)), steps=1)
