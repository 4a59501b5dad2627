"""Noise-level arithmetic and the error of a prediction, as pure tensor functions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def alpha_bar(scheduler: Any, t: Tensor) -> Tensor:
    """Share of signal variance left at timestep t (B,), shaped to broadcast over latents: (B, 1, 1, 1)."""
    return scheduler.alphas_cumprod.to(t.device)[t].view(-1, 1, 1, 1)


def add_noise(scheduler: Any, z0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Forward process q(z_t | z_0) at each row's own timestep."""
    a = alpha_bar(scheduler, t)
    return a.sqrt() * z0 + (1 - a).sqrt() * noise


def to_x0(prediction: Tensor, z: Tensor, a: Tensor, kind: str) -> Tensor:
    """The clean latent that a prediction implies.

    epsilon: (z - sqrt(1-a) eps) / sqrt(a), method.md section B step 6; v: sqrt(a) z - sqrt(1-a) v
    (Salimans and Ho 2022, arXiv 2202.00512).
    """
    if kind == "epsilon":
        return (z - (1 - a).sqrt() * prediction) / a.sqrt()
    if kind == "v_prediction":
        return a.sqrt() * z - (1 - a).sqrt() * prediction
    raise ValueError(f"Unknown prediction type {kind!r}; allowed are 'epsilon' and 'v_prediction'.")


def ddim_step(prediction: Tensor, z: Tensor, a: Tensor, a_next: Tensor, kind: str) -> Tensor:
    """One deterministic DDIM step from noise level a to a_next (Song et al. 2021, arXiv 2010.02502, eq. 12)."""
    x0 = to_x0(prediction, z, a, kind)
    epsilon = prediction if kind == "epsilon" else a.sqrt() * prediction + (1 - a).sqrt() * z
    return a_next.sqrt() * x0 + (1 - a_next).sqrt() * epsilon


def error_weights(a: Tensor, kind: str, weighting: str, clip: float) -> Tensor:
    """What turns a squared error of the prediction into the one that is minimised; a (B, 1, 1, 1) to (B,).

    "x0": that of the clean latent, because z cancels in the difference: (1-a)/a = 1/SNR for epsilon (method.md,
    section B step 6), 1-a for v. "clipped": the same, at most `clip`. "none": 1.
    """
    a = a.flatten()
    if weighting == "none":
        return torch.ones_like(a)
    weight = (1 - a) / a if kind == "epsilon" else 1 - a
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
