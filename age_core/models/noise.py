"""Noise-level arithmetic and the error of a prediction, as pure tensor functions."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from age_core.errors import AgeError

# Schedulers' tables on the device that asked last: one that is sent at each use has the CPU wait for the device.
_SENT: MutableMapping[Tensor, Tensor] = WeakIdKeyDictionary()


def alpha_bar(scheduler: Any, t: Tensor) -> Tensor:
    """Share of signal variance left at timestep t (B,), shaped to broadcast over latents: (B, 1, 1, 1)."""
    table = scheduler.alphas_cumprod
    if table.device != t.device:
        if table not in _SENT or _SENT[table].device != t.device:
            _SENT[table] = table.to(t.device)
        table = _SENT[table]
    return table[t].view(-1, 1, 1, 1)


def add_noise(scheduler: Any, z0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Forward process q(z_t | z_0) at each row's own timestep."""
    a = alpha_bar(scheduler, t)
    return a.sqrt() * z0 + (1 - a).sqrt() * noise


@dataclass(frozen=True)
class Prediction:
    """What a model says of a noised latent z at noise level a, turned into what is asked; all (B, C, h, w)."""

    x0: Callable[[Tensor, Tensor, Tensor], Tensor]  # of (prediction, z, a)
    epsilon: Callable[[Tensor, Tensor, Tensor], Tensor]  # of (prediction, z, a)
    velocity: Callable[[Tensor, Tensor, Tensor], Tensor]  # of (prediction, z, a): see the function of this name
    x0_error: Callable[[Tensor], Tensor]  # of a: squared error of x0 over that of the prediction, where z is the same


def _flow_scale(a: Tensor) -> Tensor:
    return a.sqrt() + (1 - a).sqrt()


PREDICTIONS = {
    # docs/method.md, section B step 6; (1-a)/a is 1/SNR
    "epsilon": Prediction(
        x0=lambda prediction, z, a: (z - (1 - a).sqrt() * prediction) / a.sqrt(),
        epsilon=lambda prediction, z, a: prediction,
        velocity=lambda prediction, z, a: prediction - z / _flow_scale(a),
        x0_error=lambda a: (1 - a) / a,
    ),
    # Salimans and Ho 2022, arXiv 2202.00512
    "v_prediction": Prediction(
        x0=lambda prediction, z, a: a.sqrt() * z - (1 - a).sqrt() * prediction,
        epsilon=lambda prediction, z, a: a.sqrt() * prediction + (1 - a).sqrt() * z,
        velocity=lambda prediction, z, a: prediction + ((1 - a).sqrt() - a.sqrt()) / _flow_scale(a) * z,
        x0_error=lambda a: 1 - a,
    ),
}


def prediction_of(kind: str) -> Prediction:
    """A row of PREDICTIONS. Raises AgeError on any other prediction type."""
    if kind not in PREDICTIONS:
        allowed = " or ".join(map(repr, PREDICTIONS))
        raise AgeError(f"A model with the prediction type {kind!r} cannot be erased from: it must be {allowed}.")
    return PREDICTIONS[kind]


def to_x0(prediction: Tensor, z: Tensor, a: Tensor, kind: str) -> Tensor:
    """The clean latent that a prediction implies. Raises AgeError on an unknown prediction type."""
    return prediction_of(kind).x0(prediction, z, a)


def velocity(prediction: Tensor, z: Tensor, a: Tensor, kind: str) -> Tensor:
    """epsilon - x0 times a positive number, such that a change of the prediction is the same change of it.

    z over sqrt(a) + sqrt(1 - a) lies where flow matching puts it, on the straight line from x0 to epsilon, and that is
    its velocity there. Neither is divided by sqrt(a), which is 0 in pure noise. Raises AgeError on an unknown
    prediction type.
    """
    return prediction_of(kind).velocity(prediction, z, a)


def ddim_step(prediction: Tensor, z: Tensor, a: Tensor, a_next: Tensor, kind: str) -> Tensor:
    """One deterministic DDIM step from noise level a to a_next (Song et al. 2021, arXiv 2010.02502, eq. 12).

    Raises AgeError on an unknown prediction type.
    """
    predicts = prediction_of(kind)
    return a_next.sqrt() * predicts.x0(prediction, z, a) + (1 - a_next).sqrt() * predicts.epsilon(prediction, z, a)


def error_weights(a: Tensor, kind: str, weighting: str, clip: float) -> Tensor:
    """What turns a squared error of the prediction into the one that is minimised; a (B, 1, 1, 1) to (B,).

    "x0": that of the clean latent. "clipped": the same, at most `clip`. "none": 1. Raises AgeError on an unknown
    prediction type.
    """
    a, predicts = a.flatten(), prediction_of(kind)
    if weighting == "none":
        return torch.ones_like(a)
    weight = predicts.x0_error(a)
    return weight.clamp(max=clip) if weighting == "clipped" else weight


def row_errors(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each row; (B, ...) to (B,)."""
    return (prediction - target).square().flatten(1).mean(1)


def noise_timesteps(scheduler: Any, count: int, generator: torch.Generator) -> Tensor:
    """Uniform training timesteps (count,)."""
    return torch.randint(scheduler.config.num_train_timesteps, (count,), generator=generator)


def spread_timesteps(scheduler: Any, count: int) -> Tensor:
    """`count` timesteps spread evenly over the schedule, its ends left out; (count,)."""
    return scheduler.config.num_train_timesteps * (torch.arange(count) + 1) // (count + 1)
