"""What the losses look at: text states, the original model's own pictures, and batches of them with noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from age_core.concepts import fill
from age_core.losses import add_noise, noise_timesteps
from age_core.options import EraseOptions
from age_core.pipeline import encode_text, sample_latents


@dataclass(frozen=True)
class Scene:
    """What the losses need: text states and clean latents, made once by the unedited model."""

    erased: Tensor  # (T, L, D) the erased concept in each template
    matrix: Tensor  # (T, n, L, D) the candidates
    z_erased: Tensor  # (S, C, h, w)
    z_candidates: Tensor  # (n, s, C, h, w)


@dataclass(frozen=True)
class Batch:
    """One step's inputs: rows of the erased concept and, for each, of the candidate drawn as its target."""

    erased: Tensor  # (L, D)
    matrix: Tensor  # (n, L, D)
    z_erased: Tensor  # (B, C, h, w) noised
    z_target: Tensor  # (B, C, h, w) noised
    t: Tensor  # (B,)

    def mix(self, weights: Tensor) -> Tensor:
        """Target states e_t = y M; (B, n) to (B, L, D)."""
        return torch.einsum("bn,nld->bld", weights, self.matrix)


def draw_batch(pipe: DiffusionPipeline, scene: Scene, weights: Tensor, generator: torch.Generator) -> Batch:
    """Noised latents of the erased concept and of each row's target, at the same timestep."""
    rows = len(weights)
    template = int(torch.randint(len(scene.erased), (1,), generator=generator))
    index = weights.detach().argmax(-1)  # (B,)
    z_erased = scene.z_erased[torch.randint(len(scene.z_erased), (rows,), generator=generator)]
    z_target = scene.z_candidates[index, torch.randint(scene.z_candidates.shape[1], (rows,), generator=generator)]
    t = noise_timesteps(pipe.scheduler, rows, generator)
    noise = torch.randn(2, *z_erased.shape, generator=generator)
    noise, t = noise.to(z_erased), t.to(z_erased.device)
    return Batch(
        scene.erased[template],
        scene.matrix[template],
        add_noise(pipe.scheduler, z_erased, noise[0], t),
        add_noise(pipe.scheduler, z_target, noise[1], t),
        t,
    )


def _states(pipe: DiffusionPipeline, nouns: tuple[str, ...], options: EraseOptions) -> Tensor:
    """(T, n, L, D); the empty target is the empty prompt in every template."""
    prompts = [fill(template, noun) if noun else "" for template in options.templates for noun in nouns]
    return encode_text(pipe, prompts).unflatten(0, (len(options.templates), len(nouns)))


def prepare(
    pipe: DiffusionPipeline, concept: str, names: tuple[str, ...], options: EraseOptions
) -> Iterator[float | Scene]:
    """Yield the share done while the unedited model draws its samples, then the scene."""
    erased = _states(pipe, (concept,), options)[:, 0]  # (T, L, D)
    matrix = _states(pipe, names, options)
    wanted = torch.cat(
        [
            erased[-1].expand(options.samples, -1, -1),
            matrix[-1].repeat_interleave(options.candidate_samples, 0),
        ]
    )
    seeds = [options.seed * 100_003 + row for row in range(len(wanted))]
    parts = []
    chunk = 32  # small enough that Stop is obeyed within a second or two
    for start in range(0, len(wanted), chunk):
        yield start / len(wanted)
        rows = slice(start, start + chunk)
        parts.append(
            sample_latents(pipe, wanted[rows], seeds[rows], options.sample_steps, options.sample_guidance, chunk)
        )
    latents = torch.cat(parts)
    z_candidates = latents[options.samples :].unflatten(0, (len(names), options.candidate_samples))
    yield Scene(erased, matrix, latents[: options.samples], z_candidates)
