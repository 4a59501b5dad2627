"""How near words are to a concept by what the model itself makes of them: LACU's rule for a target."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from age_core.models.families import device_of, encode_text, family_of, predict_all
from age_core.models.noise import noise_timesteps, row_errors

DRAWS = 32  # as published


@torch.no_grad()
def noise_distances(pipe: DiffusionPipeline, concept: str, words: Sequence[str], seed: int = 0) -> Tensor:
    """E |eps(x_t, concept) - eps(x_t, word)|^2 of each word over DRAWS of x_t and t; (n,) on the CPU.

    LACU (arXiv 2512.02657, and its program, which draws x_t as plain noise at every t) takes the nearest as the target.
    """
    generator = torch.Generator().manual_seed(seed)
    t = noise_timesteps(pipe.scheduler, DRAWS, generator).to(device_of(pipe))
    z = torch.randn(DRAWS, *family_of(pipe).latent_shape(pipe), generator=generator).to(device_of(pipe))
    states = encode_text(pipe, [concept, *words])
    own, *others = (predict_all(pipe, z, t, state.expand(DRAWS, -1, -1)) for state in states)
    return torch.stack([row_errors(other, own).mean() for other in others]).cpu()
