"""What holds around each step of a run, whatever the caller's mode: number format, gradients, determinism, memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from diffusers import DiffusionPipeline
from torch.nn.attention import SDPBackend, sdpa_kernel

from age_core.erasure.options import EraseOptions
from age_core.errors import RunFailed
from age_core.models.families import device_of, dtype_of, family_of
from age_core.models.precision import HALF

LARGEST_PLAIN = 32  # width of the latents up to which attention may be plain
Event = TypeVar("Event")
P = ParamSpec("P")
Steps = Callable[Concatenate[DiffusionPipeline, P], Generator[Event, None, None]]


def format_of(pipe: DiffusionPipeline, options: EraseOptions) -> torch.dtype:
    """What the UNet computes in while it is trained: its weights' own format, unless `options.precision` is another."""
    return dtype_of(pipe) if options.precision == "float32" else getattr(torch, options.precision)


@contextmanager
def arithmetic(pipe: DiffusionPipeline, options: EraseOptions) -> Iterator[None]:
    """The UNet computes in `format_of`.

    A block must not outlive an update of the student: autocast keeps what it cast, and would go on with it.
    """
    dtype, device = format_of(pipe, options), device_of(pipe).type
    with ExitStack() as stack:
        if dtype != dtype_of(pipe):
            stack.enter_context(torch.autocast(device, dtype=dtype))
        # torch's fused attention took half of a training step there, going back in bfloat16; but plain attention
        # holds all pairs of places at once: at Stable Diffusion's 64 x 64 they are gigabytes
        if dtype in HALF and device == "cpu" and family_of(pipe).latent_shape(pipe)[-1] <= LARGEST_PLAIN:
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """On CUDA, operations whose sums are in a fixed order, as far as there are any (docs/method.md, section F)."""
    if device.type != "cuda":
        yield
        return
    settings: Any = torch.utils.deterministic
    cudnn, fill = torch.backends.cudnn.deterministic, settings.fill_uninitialized_memory
    on, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        torch.backends.cudnn.deterministic = True
        settings.fill_uninitialized_memory = False  # nobody reads it here, and filling takes time
        torch.use_deterministic_algorithms(True, warn_only=True)
        yield
    finally:
        torch.backends.cudnn.deterministic, settings.fill_uninitialized_memory = cudnn, fill
        torch.use_deterministic_algorithms(on, warn_only=warns)


def with_gradients(function: Steps[P, Event]) -> Steps[P, Event]:
    """Decorates a generator: each step has gradients, also where the caller is in `no_grad` or `inference_mode`.

    On CUDA it is `deterministic` too. The modes are entered and left within the step, so that between two events the
    caller's own hold.
    """

    @wraps(function)
    def stepwise(pipe: DiffusionPipeline, *args: P.args, **kwargs: P.kwargs) -> Generator[Event, None, None]:
        with closing(function(pipe, *args, **kwargs)) as events:
            while True:
                with torch.inference_mode(False), torch.enable_grad(), deterministic(device_of(pipe)):
                    try:
                        event = next(events)
                    except StopIteration:
                        return
                yield event

    return stepwise


@contextmanager
def advice_when_memory_runs_out() -> Iterator[None]:
    """Turns torch's various ways to say so into a RunFailed that says what to lower."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        words = str(error).lower()
        if isinstance(error, RuntimeError) and "out of memory" not in words and "allocate memory" not in words:
            raise
        raise RunFailed(
            "The memory ran out: set `rows_at_once` to 1, load the pipeline with gradient_checkpointing=True, "
            "offload=True or dtype='bfloat16' (--low-memory does the first two), or train fewer weights (train='lora')."
        ) from error
