"""Noise shift: how far an edit moved what the model predicts. Nothing is drawn anew and nothing is judged.

Predictions are made in float32 whatever the weights' format: in bfloat16 an edit that moves nothing reads up to 0.002.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from age_core.concepts.concept_set import ConceptSet
from age_core.measure.verdicts import GUIDANCE, STEPS, seeds_of
from age_core.models.eraser import Eraser
from age_core.models.families import encode_text, family_of, predict_all
from age_core.models.noise import row_errors, spread_timesteps
from age_core.models.precision import in_float32
from age_core.models.sampling import sample_latents


@dataclass(frozen=True)
class Reference:
    """Noised latents of the original model's own pictures, on which noise predictions are compared."""

    concept: tuple[str, ...]  # of each row
    seed: tuple[int, ...]
    z: Tensor  # (N, C, h, w)
    t: Tensor  # (N,)
    states: Tensor  # (N, L, D)
    prediction: Tensor  # (N, C, h, w) of the original model
    signal: Tensor  # (N,) its squared distance to the prediction for the empty prompt

    def followed_by(self, other: Reference) -> Reference:
        """The rows of both in one, so that one call of the model answers for both."""
        tensors = {
            name: torch.cat([getattr(self, name), getattr(other, name)])
            for name in ("z", "t", "states", "prediction", "signal")
        }
        return Reference(self.concept + other.concept, self.seed + other.seed, **tensors)


def noise_reference(pipe: DiffusionPipeline, concepts: ConceptSet, images: int) -> Reference:
    """`images` pictures of every concept, noised to levels that are spread evenly and the same for all concepts."""
    names = [name for name in concepts.names for _ in range(images)]
    seeds = [seed for name in concepts.names for seed in seeds_of(name, images)]
    states = encode_text(pipe, [concepts.prompt(name, row % images) for row, name in enumerate(names)])
    z0 = sample_latents(pipe, states, seeds, STEPS, GUIDANCE)
    t = spread_timesteps(pipe.scheduler, images).repeat(len(concepts)).to(z0.device)
    noise = torch.stack([torch.randn(z0.shape[1:], generator=torch.Generator().manual_seed(s + 1)) for s in seeds])
    z = family_of(pipe).add_noise(pipe, z0, noise.to(z0), t)
    empty_states = encode_text(pipe, [""]).expand_as(states)
    with in_float32(family_of(pipe).denoiser(pipe)):
        prediction, empty = predict_all(pipe, z, t, states), predict_all(pipe, z, t, empty_states)
    return Reference(tuple(names), tuple(seeds), z, t, states, prediction, row_errors(prediction, empty))


def noise_shift(pipe: DiffusionPipeline, reference: Reference, eraser: Eraser) -> pd.DataFrame:
    """How far an edit moved each noise prediction: squared change over the squared distance to the empty prompt's.

    0: untouched; 1: as far as if the words had been deleted. One row a picture: concept, seed, shift, kept (1 - shift).
    """
    with in_float32(family_of(pipe).denoiser(pipe)), eraser.applied_to(pipe):
        edited_prediction = predict_all(pipe, reference.z, reference.t, reference.states)
    shift = (row_errors(edited_prediction, reference.prediction) / reference.signal).cpu().numpy()
    return pd.DataFrame({"concept": reference.concept, "seed": reference.seed, "shift": shift, "kept": 1 - shift})
