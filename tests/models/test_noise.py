"""Noise arithmetic against diffusers' own scheduler, and the loss terms."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler

from age_core import AgeError
from age_core.models.noise import (
    add_noise,
    alpha_bar,
    ddim_step,
    error_weights,
    prediction_of,
    row_errors,
    to_x0,
)


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


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_a_ddim_step_is_the_scheduler_s(kind):
    ddim = scheduler(kind)
    ddim.set_timesteps(50)
    z, prediction = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for t in (981, 401, 21):
        levels = (alpha_bar(ddim, torch.full((3,), step)) for step in (t, t - 20))
        assert torch.allclose(
            ddim_step(prediction, z, *levels, kind), ddim.step(prediction, t, z).prev_sample, atol=1e-4
        )


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_weights_turn_an_error_of_the_prediction_into_one_of_x0(kind):
    a = alpha_bar(scheduler(kind), torch.tensor([10, 500, 900]))
    z, one, other = torch.randn(3, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    of_x0 = row_errors(to_x0(one, z, a, kind), to_x0(other, z, a, kind))
    assert torch.allclose(error_weights(a, kind, "x0", 5.0) * row_errors(one, other), of_x0, rtol=1e-3)
    assert error_weights(a, kind, "clipped", 0.5).max() <= 0.5 and (error_weights(a, kind, "none", 0.5) == 1).all()


@pytest.mark.parametrize("kind", ["sample", "flow_prediction", ""])
def test_an_unknown_prediction_type_is_refused_wherever_one_is_taken(kind):
    z, a = torch.zeros(2, 4, 8, 8), torch.full((2, 1, 1, 1), 0.5)
    for call in (
        lambda: prediction_of(kind),
        lambda: to_x0(z, z, a, kind),
        lambda: ddim_step(z, z, a, a, kind),
        *(lambda way=way: error_weights(a, kind, way, 5.0) for way in ("x0", "clipped", "none")),
    ):
        with pytest.raises(AgeError, match="must be 'epsilon' or 'v_prediction'"):
            call()


def test_row_errors_are_means_per_row():
    assert torch.equal(row_errors(torch.tensor([[1.0, 3.0], [0.0, 0.0]]), torch.zeros(2, 2)), torch.tensor([5.0, 0.0]))
