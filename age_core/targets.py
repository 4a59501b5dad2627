"""Ways to choose the target: fixed, a random neighbour each time, or AGE's Gumbel-softmax minimax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor


def gumbel_softmax(logits: Tensor, rows: int, temperature: float, generator: torch.Generator) -> Tensor:
    """`rows` one-hot draws from softmax(logits) with the gradient of their relaxation (straight-through).

    logits: (n,); returns (rows, n). Noise is drawn in float32: its tiny offset vanishes in half precision.
    Jang et al. 2017, arXiv 1611.01144.
    """
    uniform = torch.rand(rows, len(logits), generator=generator).to(logits.device)
    gumbel = -torch.log(-torch.log(uniform + 1e-10) + 1e-10)
    soft = torch.softmax((logits.float() + gumbel) / temperature, dim=-1)
    hard = torch.nn.functional.one_hot(soft.argmax(-1), len(logits)).to(soft)
    return hard + soft - soft.detach()


class TargetSelector(Protocol):
    """Chooses targets among n candidates."""

    logits: Tensor  # (n,)

    def draw(self, rows: int, generator: torch.Generator) -> Tensor:
        """Weights (rows, n) of the candidates, one row a picture; may carry a gradient to the logits."""
        ...

    def update(self, gain: Callable[[Tensor], Tensor], rows: int, generator: torch.Generator) -> None:
        """Learn from `gain`, which maps drawn weights (rows, n) to the damage (scalar) they would expose."""
        ...


class FixedTarget:
    """Always the same candidate."""

    def __init__(self, count: int, index: int):
        self.logits = torch.full((count,), -torch.inf)
        self.logits[index] = 0.0

    def draw(self, rows: int, generator: torch.Generator) -> Tensor:
        return torch.softmax(self.logits, -1).expand(rows, -1)

    def update(self, gain: Callable[[Tensor], Tensor], rows: int, generator: torch.Generator) -> None:
        """Nothing to learn."""


class RandomTarget:
    """A uniform draw for each picture: the control that any adaptive claim must beat."""

    def __init__(self, count: int):
        self.logits = torch.zeros(count)

    def draw(self, rows: int, generator: torch.Generator) -> Tensor:
        index = torch.randint(len(self.logits), (rows,), generator=generator)
        return torch.nn.functional.one_hot(index, len(self.logits)).float()

    def update(self, gain: Callable[[Tensor], Tensor], rows: int, generator: torch.Generator) -> None:
        """Nothing to learn."""


class AdaptiveTarget:
    """AGE: logits pi climb the gain by Adam through the Gumbel-softmax (paper objective, method.md B)."""

    def __init__(self, count: int, lr: float, temperature: float):
        self.logits = torch.full((count,), 1.0 / count, requires_grad=True)
        self.temperature = temperature
        self._adam = torch.optim.Adam([self.logits], lr=lr)

    def draw(self, rows: int, generator: torch.Generator) -> Tensor:
        return gumbel_softmax(self.logits, rows, self.temperature, generator).detach()

    def update(self, gain: Callable[[Tensor], Tensor], rows: int, generator: torch.Generator) -> None:
        weights = gumbel_softmax(self.logits, rows, self.temperature, generator)
        (gradient,) = torch.autograd.grad(-gain(weights), self.logits)
        self.logits.grad = gradient
        self._adam.step()
