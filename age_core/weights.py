"""Which parameters train, and the Eraser: the change of weights that a run returns."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from age_core.errors import AgeError

FORMAT = "age-eraser-1"


# Names are diffusers' own: attn1 is self-attention, attn2 cross-attention (method.md: "Trained parameters").
TRAINED: dict[str, Callable[[str], bool]] = {
    "xattn": lambda name: ".attn2." in name,
    "noxattn": lambda name: (
        ".attn2." not in name and not name.startswith(("time_embedding.", "conv_out.", "conv_norm_out."))
    ),
    "selfattn": lambda name: ".attn1." in name,
    "xattn-qkv": lambda name: any(f".attn2.to_{part}." in name for part in "qkv"),
    "full": lambda name: True,
}


def trained_parameters(unet: nn.Module, train: str) -> dict[str, nn.Parameter]:
    """The parameters that a selection trains, by name. Raises AgeError on an unknown or empty selection."""
    if train not in TRAINED:
        raise AgeError(f"Unknown trained parameters {train!r}; choose one of {', '.join(TRAINED)}.")
    chosen = {name: parameter for name, parameter in unet.named_parameters() if TRAINED[train](name)}
    if not chosen:
        raise AgeError(f"The selection {train!r} is empty for this model: nothing would be trained.")
    return chosen


@dataclass(frozen=True)
class Eraser:
    """A finished erasure: what to add to which UNet weights, and where it came from."""

    delta: Mapping[str, Tensor]
    info: Mapping[str, Any] = field(default_factory=dict)

    @contextmanager
    def applied_to(self, pipe: StableDiffusionPipeline) -> Iterator[StableDiffusionPipeline]:
        """The pipeline edited; on exit, exceptions included, its weights are bit for bit as before."""
        parameters = dict(pipe.unet.named_parameters())
        wrong = [n for n, d in self.delta.items() if n not in parameters or parameters[n].shape != d.shape]
        if wrong:
            raise AgeError(f"This eraser was made for another model: {wrong[0]!r} does not fit.")
        before = {name: parameters[name].detach().clone() for name in self.delta}
        try:
            with torch.no_grad():
                for name, delta in self.delta.items():
                    parameters[name].add_(delta.to(parameters[name]))
            yield pipe
        finally:
            with torch.no_grad():
                for name, value in before.items():
                    parameters[name].copy_(value)

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file atomically: the file is whole or absent."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".partial")
        tensors = {name: delta.detach().cpu().contiguous() for name, delta in self.delta.items()}
        try:
            save_file(tensors, temporary, metadata={"format": FORMAT, "info": json.dumps(dict(self.info))})
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        return path

    @staticmethod
    def load(path: str | Path) -> Eraser:
        """Read what `save` wrote. Raises AgeError when the file is missing, broken or something else."""
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise AgeError(f"{Path(path).name!r} is no eraser: it lacks the mark {FORMAT!r}.")
                return Eraser({name: file.get_tensor(name) for name in file.keys()}, json.loads(metadata["info"]))
        except AgeError:
            raise
        except Exception as error:  # safetensors raises its own error type for each kind of damage
            raise AgeError(f"{Path(path).name!r} cannot be read as an eraser: {error}") from error
