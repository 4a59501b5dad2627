"""Ways to choose the target: fixed, a random neighbour each time, or AGE's Gumbel-softmax minimax.

`EraseOptions.target` names one of SELECTORS. Each step of the loop draws the target from it and, where it learns, hands
it the objective to climb. A selector of your own is a class and a row of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from age_core.erasure.options import EraseOptions


def gumbel_softmax(
    logits: Tensor,
    rows: int,
    temperature: float,
    generator: torch.Generator,
    relaxation: str = "straight-through",
    top_k: int = 5,
) -> Tensor:
    """`rows` draws y of weights over the candidates, differentiable in the logits (n,); returns (rows, n).

    straight-through: one-hot draws from softmax(logits), with the gradient of their relaxation; soft: the
    relaxation itself; top-k: its k largest entries, renormalised (docs/method.md, section B, step 2). Noise is drawn in
    float32: its tiny offset vanishes in half precision. Jang et al. 2017, arXiv 1611.01144.
    """
    uniform = torch.rand(rows, len(logits), generator=generator).to(logits.device)
    gumbel = -torch.log(-torch.log(uniform + 1e-10) + 1e-10)
    soft = torch.softmax((logits.float() + gumbel) / temperature, dim=-1)
    if relaxation == "soft":
        return soft
    if relaxation == "top-k":
        largest = torch.zeros_like(soft).scatter(-1, soft.topk(min(top_k, len(logits))).indices, 1.0)
        return soft * largest / (soft * largest).sum(-1, keepdim=True)
    hard = torch.nn.functional.one_hot(soft.argmax(-1), len(logits)).to(soft)
    return hard + soft - soft.detach()


class TargetSelector(Protocol):
    """Chooses targets among n candidates."""

    learns: bool  # False: `update` does nothing, and the loop spares the work of it
    takes_word: bool  # True: the target is `options.fixed_target`, whatever the candidates
    logits: Tensor  # (n,)

    @classmethod
    def of(cls, options: EraseOptions, count: int, prior: Sequence[float] = ()) -> TargetSelector:
        """One over `count` candidates as the options say; `prior` (n,): the first logits, where something set them."""
        ...

    def draw(self, rows: int, generator: torch.Generator) -> Tensor:
        """Weights (rows, n) of the candidates, one row a picture; no gradient."""
        ...

    def update(self, inner_objective: Callable[[Tensor], Tensor], rows: int, generator: torch.Generator) -> None:
        """Learn from `inner_objective`, which maps drawn weights (rows, n) to the damage (scalar) they would expose.

        Called every `options.pi_every` steps with `options.pi_batch` rows.
        """
        ...

    def explore(self, rows: int, generator: torch.Generator) -> Tensor:
        """What `update` draws, without learning from it: weights (rows, n), no gradient. Asked only where it learns."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What a run needs to go on."""
        ...

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state`."""
        ...


class FixedTarget:
    """Always the same candidate."""

    learns = False
    takes_word = True

    def __init__(self, count: int, index: int = 0):
        self.logits = torch.full((count,), -torch.inf)
        self.logits[index] = 0.0

    @classmethod
    def of(cls, options: EraseOptions, count: int, prior: Sequence[float] = ()) -> TargetSelector:
        return cls(count)

    def draw(self, rows: int, generator: torch.Generator) -> Tensor:
        return torch.softmax(self.logits, -1).expand(rows, -1)

    def update(self, inner_objective: Callable[[Tensor], Tensor], rows: int, generator: torch.Generator) -> None:
        """Nothing to learn."""

    def explore(self, rows: int, generator: torch.Generator) -> Tensor:
        return self.draw(rows, generator)

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Nothing was learnt."""


class RandomTarget(FixedTarget):
    """A uniform draw for each picture: the control that any adaptive claim must beat."""

    takes_word = False

    def __init__(self, count: int, index: int = 0):
        self.logits = torch.zeros(count)

    def draw(self, rows: int, generator: torch.Generator) -> Tensor:
        index = torch.randint(len(self.logits), (rows,), generator=generator)
        return torch.nn.functional.one_hot(index, len(self.logits)).float()


class AdaptiveTarget:
    """AGE: logits pi climb the objective by Adam through the Gumbel-softmax (docs/method.md, section B).

    One optimiser a concept, so that the momentum of one does not move the logits of another that was not drawn.
    `prior` (n,) are the first logits, 1/n each when left out. `argmax_target`: only pi's own steps draw; the student is
    given the likeliest candidate, so that it is not pulled to and fro while two are still close.
    """

    learns = True
    takes_word = False

    def __init__(
        self,
        count: int,
        lr: float,
        temperature: float,
        relaxation: str = "straight-through",
        top_k: int = 5,
        prior: Sequence[float] = (),
        argmax_target: bool = False,
    ):
        self._argmax_target = argmax_target
        first = torch.tensor(prior, dtype=torch.float32) if prior else torch.full((count,), 1.0 / count)
        self.logits = first.requires_grad_(True)
        self._how = {"temperature": temperature, "relaxation": relaxation, "top_k": top_k}
        self._adam = torch.optim.Adam([self.logits], lr=lr)

    @classmethod
    def of(cls, options: EraseOptions, count: int, prior: Sequence[float] = ()) -> TargetSelector:
        return cls(
            count,
            options.pi_lr,
            options.pi_temperature,
            options.relaxation,
            options.top_k,
            prior,
            options.argmax_target,
        )

    def relaxed(self, rows: int, generator: torch.Generator) -> Tensor:
        """A draw with its gradient to the logits."""
        return gumbel_softmax(self.logits, rows, generator=generator, **self._how)  # type: ignore[arg-type]

    def draw(self, rows: int, generator: torch.Generator) -> Tensor:
        if self._argmax_target:
            best = torch.nn.functional.one_hot(self.logits.detach().argmax(), len(self.logits))
            return best.float().expand(rows, -1)
        return self.relaxed(rows, generator).detach()

    def update(self, inner_objective: Callable[[Tensor], Tensor], rows: int, generator: torch.Generator) -> None:
        weights = self.relaxed(rows, generator)
        (gradient,) = torch.autograd.grad(-inner_objective(weights), self.logits)
        self.logits.grad = gradient
        self._adam.step()

    def explore(self, rows: int, generator: torch.Generator) -> Tensor:
        return self.relaxed(rows, generator).detach()

    def state(self) -> dict[str, Tensor]:
        return {"logits": self.logits.detach().clone()} | adam_state(self._adam)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            self.logits.copy_(state["logits"])
        restore_adam(self._adam, state)


SELECTORS: dict[str, type[TargetSelector]] = {  # by `EraseOptions.target`
    "adaptive": AdaptiveTarget,
    "fixed": FixedTarget,
    "random": RandomTarget,
}


def adam_state(adam: torch.optim.Adam) -> dict[str, Tensor]:
    """Adam's moments and step counts as a flat dict of copies on the CPU."""
    parameters = adam.param_groups[0]["params"]
    return {
        f"adam.{row}.{key}": value.detach().to("cpu", copy=True)
        for row, parameter in enumerate(parameters)
        for key, value in adam.state.get(parameter, {}).items()
    }


def restore_adam(adam: torch.optim.Adam, state: Mapping[str, Tensor]) -> None:
    """Put `adam_state`'s tensors back, each moment where its parameter is; one without any had never moved."""
    for row, parameter in enumerate(adam.param_groups[0]["params"]):
        prefix = f"adam.{row}."
        moments = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
        if moments:  # Adam counts its steps on the CPU
            places = {key: value.device if key == "step" else parameter.device for key, value in moments.items()}
            adam.state[parameter] = {key: value.to(places[key], copy=True) for key, value in moments.items()}
