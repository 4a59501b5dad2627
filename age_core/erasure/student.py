"""The student: the weights that train, and the UNet that it shares with its teacher.

`objective` asks the same UNet once as the teacher and once, while the student is `active`, as the student; the loop
moves the student's `leaves` and makes the Eraser of their change.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from age_core.erasure.options import EraseOptions
from age_core.models.parameters import TRAINED, Selections, sees_text, trained_parameters


class Student:
    """Trained weights that take the places of the UNet's own while `active`: no second UNet in memory.

    `leaves` (float32, whatever the UNet's own format: at a rate of 1e-5 a half-precision weight could not move) are
    what the optimiser moves; what the UNet holds while it is the student is cast to its own format. With train="lora"
    they are the factors A (rank, in) and B (out, rank) of each cross-attention matrix, W + B A (Hu et al. 2021,
    arXiv 2106.09685, with alpha = rank), initialised and stored as peft does it; peft itself would wrap the modules
    that the teacher shares. With `quiet`, the P (D, D) of `protection`, the leaves are changes D of keys and values, of
    which D P takes effect: W + D P, or W + B A P.
    """

    def __init__(
        self, unet: nn.Module, options: EraseOptions, selections: Selections = TRAINED, quiet: Tensor | None = None
    ):
        self.teacher = trained_parameters(unet, options.train, selections)
        if quiet is not None:
            self.teacher = {name: weight for name, weight in self.teacher.items() if sees_text(name)}
        self._quiet = None if quiet is None else quiet.to(next(iter(self.teacher.values())).device)
        self._owners = [(unet.get_submodule(n.rpartition(".")[0]), n.rpartition(".")[2], n) for n in self.teacher]
        self._low_rank = options.train == "lora"
        self.leaves: dict[str, Tensor] = {}
        generator = torch.Generator().manual_seed(options.seed)
        for name, weight in self.teacher.items():
            if self._low_rank:
                rank, (out, inner) = options.lora_rank, weight.shape
                a = (torch.rand(rank, inner, generator=generator) * 2 - 1) / math.sqrt(inner)
                self.leaves[f"{name.removesuffix('weight')}lora_A.weight"] = a.to(weight.device)
                self.leaves[f"{name.removesuffix('weight')}lora_B.weight"] = torch.zeros(out, rank).to(weight.device)
            else:
                first = weight.detach().float().clone()
                self.leaves[name] = first if quiet is None else torch.zeros_like(first)
        for leaf in self.leaves.values():
            leaf.requires_grad_(True)

    def weights(self) -> dict[str, Tensor]:
        """The student's weights by the UNet's names, in float32, differentiable in the leaves."""
        if not self._low_rank and self._quiet is None:
            return self.leaves
        return {name: self.teacher[name].detach().float() + change for name, change in self._changes().items()}

    def _changes(self) -> dict[str, Tensor]:
        """What is added to each trained weight, differentiable in the leaves; of those that are no weights."""
        if not self._low_rank:
            return {name: self._damped(leaf) for name, leaf in self.leaves.items()}
        factors = self._factors()
        stems = {name: name.removesuffix("weight") for name in self.teacher}
        return {n: factors[f"{s}lora_B.weight"] @ factors[f"{s}lora_A.weight"] for n, s in stems.items()}

    def _factors(self) -> dict[str, Tensor]:
        """A, or A P, and B."""
        return {n: self._damped(leaf) if n.endswith("lora_A.weight") else leaf for n, leaf in self.leaves.items()}

    def _damped(self, leaf: Tensor) -> Tensor:
        return leaf if self._quiet is None else leaf @ self._quiet

    @contextmanager
    def active(self) -> Iterator[None]:
        """The UNet predicts as the student. A backward pass that recomputes (checkpointing) must run inside too."""
        weights = self.weights()
        standing = [module._parameters[attribute] for module, attribute, _ in self._owners]  # the teacher's
        try:
            for (module, attribute, name), teacher in zip(self._owners, standing, strict=True):
                module._parameters[attribute] = weights[name].to(teacher.dtype)  # type: ignore[assignment, union-attr]
            yield
        finally:
            for (module, attribute, _), teacher in zip(self._owners, standing, strict=True):
                module._parameters[attribute] = teacher

    def delta(self) -> dict[str, Tensor]:
        """The change of each trained weight, float32 on the CPU."""
        if self._low_rank or self._quiet is not None:
            return {name: change.detach().cpu() for name, change in self._changes().items()}
        return {n: (leaf.detach() - self.teacher[n].detach().float()).cpu() for n, leaf in self.leaves.items()}

    def lora(self) -> dict[str, Tensor]:
        """The trained factors; none unless train="lora"."""
        return {name: factor.detach().cpu() for name, factor in self._factors().items()} if self._low_rank else {}
