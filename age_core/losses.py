"""Noise-level arithmetic and the two terms of the erasing loss, as pure tensor functions."""

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


def row_errors(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each row; (B, ...) to (B,)."""
    return (prediction - target).square().flatten(1).mean(1)


def guided_target(teacher_target: Tensor, teacher_erased: Tensor, eta: float) -> Tensor:
    """(1 + eta) eps(c_t) - eta eps(c_e): the erased concept's prediction goes to the target and past it.

    eta = 0 is the published equation, eta = 1 the published code (method.md, section B). No gradient reaches
    the student through it.
    """
    return ((1 + eta) * teacher_target - eta * teacher_erased).detach()


def noise_timesteps(scheduler: Any, count: int, generator: torch.Generator) -> Tensor:
    """Uniform training timesteps (count,)."""
    return torch.randint(scheduler.config.num_train_timesteps, (count,), generator=generator)
