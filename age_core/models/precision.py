"""Number formats: what a device computes well in, and a network that computes in float32 for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

HALF = (torch.float16, torch.bfloat16)


def prepare_device(device: str | torch.device) -> None:
    """How this process computes on CUDA; to be called before the first model is opened there. The CPU stays as it is.

    Products of float32 matrices run as TensorFloat32 (10 bits of mantissa, several times faster), and cuBLAS is given
    the workspace without which its sums are in no fixed order.
    """
    if str(device).startswith("cuda"):
        torch.backends.cuda.matmul.allow_tf32 = True
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product is asked for


def default_dtype(device: str) -> str:
    """The number format that models are opened in where nobody says: bfloat16 on a card that computes in it."""
    if device.startswith("cuda") and torch.cuda.is_available():
        with torch.cuda.device(device):
            if torch.cuda.is_bf16_supported(including_emulation=False):
                return "bfloat16"
    return "float32"


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Values without a gradient on `device`. The CPU does not wait for CUDA to fetch them, which it would otherwise."""
    if device.type != "cuda":
        return values.to(device)
    # what was expanded lies in one place many times over, and such a tensor cannot be pinned
    return values.contiguous().pin_memory().to(device, non_blocking=True)


@contextmanager
def in_float32(network: nn.Module) -> Iterator[None]:
    """The network computes in float32 whatever its weights' format; afterwards it holds the same tensors as before.

    For what looks at a difference of two predictions, in which half precision's grain can be larger than all the rest.
    Takes 4 bytes a weight where the format is half precision, nothing where it is float32.
    """
    places: list[tuple[Any, str, Tensor]] = [
        (tensors, name, values)
        for module in network.modules()
        for tensors in (module._parameters, module._buffers)
        for name, values in tensors.items()
        if values is not None and values.dtype in HALF
    ]
    try:
        for tensors, name, values in places:
            tensors[name] = values.detach().float()
        yield
    finally:
        for tensors, name, values in places:
            tensors[name] = values
