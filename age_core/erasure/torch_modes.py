"""What holds around each step of a run: the UNet's precision, gradients in whatever mode the caller is, and memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from diffusers import DiffusionPipeline
from torch.nn.attention import SDPBackend, sdpa_kernel

from age_core.erasure.options import EraseOptions
from age_core.errors import RunFailed
from age_core.models.families import device_of, dtype_of, family_of

LARGEST_PLAIN = 32  # width of the latents up to which attention may be plain
Event = TypeVar("Event")
P = ParamSpec("P")


@contextmanager
def autocast(pipe: DiffusionPipeline, options: EraseOptions) -> Iterator[None]:
    """The UNet's arithmetic in `options.precision`; float32 masters are cast where they are used."""
    dtype = getattr(torch, options.precision) if options.precision != "float32" else dtype_of(pipe)
    device = device_of(pipe).type
    with ExitStack() as stack:
        if dtype != torch.float32:
            stack.enter_context(torch.autocast(device, dtype=dtype))
            # torch's fused attention took half of a training step there, going back in bfloat16; but plain attention
            # holds all pairs of places at once: at Stable Diffusion's 64 x 64 they are gigabytes
            if device == "cpu" and family_of(pipe).latent_shape(pipe)[-1] <= LARGEST_PLAIN:
                stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield


def with_gradients(function: Callable[P, Generator[Event, None, None]]) -> Callable[P, Generator[Event, None, None]]:
    """Decorates a generator: each step has gradients, also where the caller is in `no_grad` or `inference_mode`.

    The modes are entered and left within the step, so that between two events the caller's own hold.
    """

    @wraps(function)
    def stepwise(*args: P.args, **kwargs: P.kwargs) -> Generator[Event, None, None]:
        with closing(function(*args, **kwargs)) as events:
            while True:
                with torch.inference_mode(False), torch.enable_grad():
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
            "The memory ran out: lower `batch` and `pi_batch`, load the pipeline with offload=True, "
            "gradient_checkpointing=True or dtype='bfloat16' (--low-memory does the first two), or train fewer weights "
            "(train='lora')."
        ) from error
