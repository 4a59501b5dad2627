"""Noise arithmetic against diffusers' own scheduler, and the loss terms."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler

from age_core.models.noise import add_noise, alpha_bar, row_errors, to_x0


def scheduler(kind: str) -> DDIMScheduler:
    return DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, prediction_type=kind, clip_sample=False
    )


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_x0_is_what_the_scheduler_says(kind):
    ddim = scheduler(kind)
    ddim.set_timesteps(50)
    z, prediction = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for t in (1, 401, 981):
        want = ddim.step(prediction, t, z).pred_original_sample
        got = to_x0(prediction, z, alpha_bar(ddim, torch.full((3,), t)), kind)
        assert torch.allclose(got, want, atol=1e-4)


def test_x0_undoes_the_noise():
    ddim = scheduler("epsilon")
    z0, noise = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([10, 500, 900])
    back = to_x0(noise, add_noise(ddim, z0, noise, t), alpha_bar(ddim, t), "epsilon")
    assert torch.allclose(back, z0, atol=1e-3)


def test_noise_is_diffusers_noise():
    ddim = scheduler("epsilon")
    z0, noise = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([10, 500, 900])
    assert torch.allclose(add_noise(ddim, z0, noise, t), ddim.add_noise(z0, noise, t), atol=1e-6)


def test_unknown_prediction_type():
    with pytest.raises(ValueError, match="epsilon"):
        to_x0(torch.zeros(1), torch.zeros(1), torch.ones(1), "sample")


def test_row_errors_are_means_per_row():
    assert torch.equal(row_errors(torch.tensor([[1.0, 3.0], [0.0, 0.0]]), torch.zeros(2, 2)), torch.tensor([5.0, 0.0]))
