"""Are two models the same? Hashes of weights, and of all that makes a pipeline."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import nn

from age_core.models.families import family_of


def weights_hash(model: nn.Module) -> str:
    """Twelve hexadecimal digits of the SHA-256 of a model's weights: the same weights, the same digits."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())  # numpy has no bfloat16
    return digest.hexdigest()[:12]


def model_identity(pipe: DiffusionPipeline) -> str:
    """A hash of the denoiser's and the scheduler's configuration and of all weights: equal for equal models; 16 digits.

    Reads every weight, about a second for each 2 GB.
    """
    family, digest = family_of(pipe), hashlib.blake2b(digest_size=8)
    denoiser: Any = family.denoiser(pipe)
    for part in (denoiser, pipe.scheduler):
        digest.update(repr(sorted((k, str(v)) for k, v in part.config.items() if not k.startswith("_"))).encode())
    for part in (denoiser, *(encoder for _, encoder in family.text_parts(pipe)), pipe.vae):
        digest.update(weights_hash(part).encode())
    return digest.hexdigest()
