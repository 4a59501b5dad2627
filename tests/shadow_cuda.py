"""Shadow tensors: they compute on the CPU and say that they are on cuda:0.

What CUDA would refuse, tensors of two devices in one operation, raises; what would have the CPU wait for the device is
noted. So the device's path of the code is tried where there is no device. torch's own FakeTensorMode cannot do it: it
has no values, and without a CUDA build it cannot index. Not seen: kernels, streams, and CUDA's own lists of autocast.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

GIB = 2**30
MEMORY: dict[str, Any] = {"mem_get_info": (80 * GIB, 80 * GIB), "get_device_name": "a shadow"}
MEMORY |= dict.fromkeys(("memory_reserved", "memory_allocated", "max_memory_allocated", "reset_peak_memory_stats"), 0)


DEVICE, IS_CUDA = torch.Tensor.device.__get__, torch.Tensor.is_cuda.__get__  # type: ignore[attr-defined]


class Waits(list[tuple[str, str]]):
    """Every operation that has the CPU wait for the device: what it is, and the line of age_core that it is for."""

    def note(self, what: str) -> None:
        self.append((what, _line()))


WAITS = Waits()


def _line() -> str:
    """The innermost line of age_core. Only frames are looked at: to read their sources takes far longer."""
    frame = inspect.currentframe()
    while frame and "/age_core/" not in frame.f_code.co_filename:
        frame = frame.f_back
    return f"{frame.f_code.co_filename.rsplit('/', 1)[1]}:{frame.f_lineno}" if frame else "?"


class ShadowTensor(torch.Tensor):
    """`held`, a tensor on the CPU, taken for one on cuda:0."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # what is needed is below

    @staticmethod
    def __new__(cls, held: Tensor) -> ShadowTensor:
        made = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype
        )
        made.held = held
        return made

    def __init__(self, held: Tensor):
        pass

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        name = func.__name__
        if name.startswith("_local_scalar_dense"):
            WAITS.note("item")
            return args[0].held.item()
        if name.startswith("nonzero"):
            WAITS.note("nonzero")
        shadows: dict[int, ShadowTensor] = {}
        others: list[Tensor] = []

        def inner(value: Any) -> Any:
            if isinstance(value, ShadowTensor):
                shadows[id(value.held)] = value
                return value.held
            if isinstance(value, torch.Tensor) and value.ndim:  # single numbers may come from the CPU
                others.append(value)
            return value

        def outer(value: Any) -> Any:
            if type(value) is not torch.Tensor:
                return value
            return shadows[id(value)] if id(value) in shadows else ShadowTensor(value)

        here = [_of_each(inner, value) for value in args]
        named = {key: _of_each(inner, value) for key, value in (kwargs or {}).items()}
        if shadows and others:
            indexed = name.startswith(("index.Tensor", "index_put", "_index_put")) and isinstance(args[0], ShadowTensor)
            numbers = not any(value.is_floating_point() for value in others)
            if not name.startswith("copy_") and not (indexed and numbers):
                raise RuntimeError(f"{name} mixes cuda:0 and cpu at {_line()}")
            WAITS.note("copy")
        answer = func(*here, **named)
        if name.startswith("copy_") and not isinstance(args[0], ShadowTensor):
            return args[0]
        return _of_each(outer, answer)


def _of_each(change: Callable[[Any], Any], value: Any) -> Any:
    """Of a value, or of all in a list: torch's operations take and give nothing deeper, and trees are slow to walk."""
    return type(value)([change(one) for one in value]) if type(value) in (list, tuple) else change(value)


class _Up(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return ShadowTensor(values.detach().clone())

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Tensor:
        WAITS.note("a gradient to the CPU")
        return gradient.held


class _Down(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Any) -> Tensor:
        WAITS.note("to the CPU")
        return values.held.detach().clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return ShadowTensor(gradient)


class _Pretence(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        first: Any = args[0] if args else None
        shadow = isinstance(first, ShadowTensor)
        if func == DEVICE:
            return torch.device("cuda:0") if shadow else func(*args)
        if func == IS_CUDA:
            return shadow
        if func is torch.Tensor.pin_memory:
            if any(stride == 0 and size > 1 for stride, size in zip(first.stride(), first.shape, strict=True)):
                raise RuntimeError("more than one element of the written-to tensor refers to a single memory location")
            pinned = first.clone()
            pinned.is_fetched = True  # by the device, while the CPU goes on
            return pinned
        if func is torch.Tensor.cpu:
            return _Down.apply(first) if shadow else first
        if func is torch.Tensor.numpy and shadow:
            raise TypeError(f"a tensor on cuda:0 was to become an array at {_line()}")
        if func is torch.Tensor.tolist and shadow:
            WAITS.note("tolist")
            return first.held.detach().tolist()
        if func is torch.Tensor.to:
            return _moved(func, args, kwargs)
        if kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "cuda":
            del kwargs["device"]
            made = func(*args, **kwargs)
            if func is torch.tensor:
                WAITS.note("to cuda")
            return made if isinstance(made, ShadowTensor) else ShadowTensor(made)
        return func(*args, **kwargs)


def _moved(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Tensor.to: another number format, then another device."""
    values, device, dtype = args[0], kwargs.pop("device", None), kwargs.pop("dtype", None)
    waits = not (kwargs.pop("non_blocking", False) and getattr(values, "is_fetched", False))
    for value in args[1:]:
        if isinstance(value, torch.Tensor):
            device, dtype = ("cuda" if isinstance(value, ShadowTensor) else "cpu"), value.dtype
        elif isinstance(value, torch.dtype):
            dtype = value
        elif isinstance(value, (str, torch.device)):
            device = value
    shadow = isinstance(values, ShadowTensor)
    kind = torch.device(device).type if device is not None else "cuda" if shadow else "cpu"
    if kind == "cuda" and not shadow:
        if waits:
            WAITS.note("to cuda")
        values = _Up.apply(values)
    elif kind == "cpu" and shadow:
        values = _Down.apply(values)
    return func(values, dtype or values.dtype, **kwargs) if dtype or kwargs else values


def move(module: nn.Module) -> None:
    """In the place of `module.to("cuda")`."""
    for part in module.modules():
        for held in (part._parameters, part._buffers):
            for name, values in held.items():
                if values is not None:
                    shadow = ShadowTensor(values.detach().clone())
                    held[name] = nn.Parameter(shadow, False) if held is part._parameters else shadow  # type: ignore


def _module_to(module: nn.Module, *args: Any, **settings: Any) -> nn.Module:
    """Module.to within the pretence: the real one reaches into storages, of which a shadow has none."""
    device, dtype, *_ = torch._C._nn._parse_to(*args, **settings)
    for part in module.modules():
        for held in (part._parameters, part._buffers):
            for name, values in held.items():
                if values is None:
                    continue
                other = dtype if values.is_floating_point() and dtype else values.dtype
                moved = values.detach().to(device or values.device, other)
                held[name] = nn.Parameter(moved, values.requires_grad) if held is part._parameters else moved  # type: ignore
    return module


def move_pipeline(pipe: DiffusionPipeline, offload: bool = False) -> DiffusionPipeline:
    """In the place of `load_pipeline(..., device="cuda", offload=...)`."""
    for part in pipe.components.values():
        if isinstance(part, nn.Module) and (part is pipe.unet or not offload):
            move(part)
    return pipe


@contextmanager
def pretending() -> Iterator[None]:
    """Within it there is a cuda:0, with memory for everything."""
    autocast, scaler = torch.autocast, torch.amp.GradScaler
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(nn.Module, "to", _module_to))
        on_the_cpu = {"cuda": "cpu"}
        for owner, name, real in ((torch, "autocast", autocast), (torch.amp, "GradScaler", scaler)):

            def called(device: str, real: Any = real, **settings: Any) -> Any:
                return real(on_the_cpu.get(device, device), **settings)

            stack.enter_context(mock.patch.object(owner, name, called))
        for name, answer in MEMORY.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, lambda *_, answer=answer: answer))
        stack.enter_context(_Pretence())
        yield
