"""Check 2: does a run that was killed end as one that was not, to the bit, and what does determinism cost?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from diffusers import DiffusionPipeline

from age_core import EraseEvent, EraseOptions, TrainingState, erase
from age_core.erasure import training
from age_core.runs.checkpoint import load_state, save_state
from benchmarks.gpu.bench import Bench, Figures, attempt
from benchmarks.gpu.models import stable_diffusion, tiny, words

STEPS = 6  # killed after half of them


def check(bench: Bench) -> Iterator[Figures]:
    shapes: dict[str, Callable[[str], DiffusionPipeline]] = {"tiny": lambda dtype: tiny(bench, "sd", dtype)}
    if not bench.small:
        shapes["sd-1.4"] = lambda dtype: stable_diffusion(bench, dtype)
    for shape, build in shapes.items():
        for dtype in ("float32", "bfloat16"):
            pipe = build(dtype)
            for on in (dtype == "float32",) if bench.small else (False, True):
                with determinism(on):
                    case = {"shape": shape, "format": dtype, "deterministic": on}
                    yield attempt(case, killed_and_whole, bench, pipe)
            del pipe
            bench.free_memory()


@contextmanager
def determinism(on: bool) -> Iterator[None]:
    """torch's switches for kernels that add in a fixed order; what has none only warns."""
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic
    torch.use_deterministic_algorithms(on, warn_only=True)
    torch.backends.cudnn.deterministic = on
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=True)
        torch.backends.cudnn.deterministic = before[1]


def killed_and_whole(bench: Bench, pipe: DiffusionPipeline) -> Figures:
    """A run, the same from its checkpoint through a file, and the same once more."""
    began = time.perf_counter()
    with mock.patch.object(training, "SECONDS_APART", 0.0):  # a large state is kept once a minute: too late here
        whole = list(run(bench, pipe))
    bench.wait()
    seconds = time.perf_counter() - began
    path = bench.folder / "checkpoint.safetensors"
    state = next(event.state for event in whole if event.state)
    save_state(state, path)
    resumed, again = list(run(bench, pipe, load_state(path))), list(run(bench, pipe))
    kept, repeated = difference(whole, resumed), difference(whole, again)
    figures = {"resumed_equal": kept == 0, "resumed_difference": kept, "twice_equal": repeated == 0}
    return figures | {"twice_difference": repeated, "seconds": round(seconds, 3)}


def run(bench: Bench, pipe: DiffusionPipeline, resume: TrainingState | None = None) -> Iterator[EraseEvent]:
    steps = 4 if bench.small else STEPS
    options = EraseOptions(
        steps=steps,
        batch=2,
        lr=1e-3,
        pi_every=2,
        pi_batch=2,
        samples=2,
        candidate_samples=1,
        sample_steps=2,
        min_candidate_distance=0.0,
        preview_every=0,
        checkpoint_every=steps // 2,
    )
    return erase(pipe, "dog", words(bench, 4), options, resume)


def difference(one: list[EraseEvent], other: list[EraseEvent]) -> float:
    """The largest between two runs' erasers; 0 where they are the same to the bit."""
    erasers = [events[-1].eraser for events in (one, other)]
    assert erasers[0] is not None and erasers[1] is not None  # the last event carries it
    pairs = [(delta, erasers[1].delta[name]) for name, delta in erasers[0].delta.items()]
    return 0.0 if all(torch.equal(a, b) for a, b in pairs) else max(float((a - b).abs().max()) for a, b in pairs)
