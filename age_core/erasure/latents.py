"""What a run makes once for each concept before its first step: text states, and clean latents by the unedited model.

Each step's `batch.draw_batch` picks rows of them and adds noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from age_core.concepts.captions import prompts_of
from age_core.erasure.options import EraseOptions
from age_core.erasure.selectors import SELECTORS
from age_core.errors import AgeError
from age_core.models.families import encode_text, family_of, predict_all
from age_core.models.noise import spread_timesteps
from age_core.models.sampling import sample_latents

STORED = {"candidate_embeds": "matrix"}  # what checkpoints call it
CHUNK = 32  # pictures drawn at a time: small enough that Stop is obeyed within a second or two


@dataclass(frozen=True)
class LatentCache:
    """What the losses need for one concept: text states and clean latents, made once by the unedited model."""

    erased: Tensor  # (W T, L, D) the erased concept in each template, then each synonym that is erased with it
    candidate_embeds: Tensor  # (T, n, L, D) the candidates
    empty: Tensor  # (L, D) the empty prompt
    z_erased: Tensor  # (S, C, h, w); S = 0 where latents are sampled at each step
    z_candidates: Tensor  # (n, s, C, h, w)
    kept: Tensor  # (n,) rows of the given candidates that were not left out as alike

    def state(self) -> dict[str, Tensor]:
        return {STORED.get(field.name, field.name): getattr(self, field.name) for field in fields(self)}

    @staticmethod
    def restore(state: Mapping[str, Tensor], device: torch.device) -> LatentCache:
        names = [field.name for field in fields(LatentCache)]
        # copied: what was read in torch's inference mode could not be trained on
        return LatentCache(**{name: state[STORED.get(name, name)].to(device, copy=True) for name in names})


def text_states(
    pipe: DiffusionPipeline, concept: str, names: Sequence[str], synonyms: Sequence[str], templates: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """`LatentCache.erased` and `candidate_embeds` in the given templates; the empty target is "" in each of them."""

    def states(nouns: Sequence[str]) -> Tensor:
        """(T, n, L, D)"""
        prompts = [prompt for template in templates for prompt in prompts_of(pipe, nouns, [template])]
        return encode_text(pipe, prompts).float().unflatten(0, (len(templates), len(nouns)))

    return states((concept, *synonyms)).transpose(0, 1).flatten(0, 1), states(names)


def widened(
    pipe: DiffusionPipeline,
    cache: LatentCache,
    concept: str,
    names: Sequence[str],
    synonyms: Sequence[str],
    options: EraseOptions,
) -> LatentCache:
    """The cache with its words also in the prompts in which others are spared (`options.protect_in`).

    names: the candidates that the cache kept.
    """
    more = [template for template in dict.fromkeys(options.protect_in) if template not in options.templates]
    if len(cache.candidate_embeds) == len(options.templates) + len(more):
        return cache
    erased, candidate_embeds = text_states(pipe, concept, names, synonyms, more)
    both = [states.unflatten(0, (1 + len(synonyms), -1)) for states in (cache.erased, erased)]
    return replace(
        cache,
        erased=torch.cat(both, 1).flatten(0, 1),
        candidate_embeds=torch.cat([cache.candidate_embeds, candidate_embeds]),
    )


def prepare(
    pipe: DiffusionPipeline,
    concept: str,
    names: tuple[str, ...],
    options: EraseOptions,
    synonyms: tuple[str, ...] = (),
) -> Iterator[float | LatentCache]:
    """Yield the share done while the unedited model draws its samples, then the concept's LatentCache.

    names: of the candidates. synonyms: erased with the concept, on its pictures. Raises AgeError where no candidate
    draws anything but the concept itself.
    """
    erased, candidate_embeds = text_states(pipe, concept, names, synonyms, options.templates)
    empty = encode_text(pipe, [""])[0].float()
    compares = options.min_candidate_distance > 0 and not SELECTORS[options.target].takes_word and len(names) > 1
    counts = options.samples, options.candidate_samples if options.latents == "cached" else 0
    if options.latents != "cached" and not compares:
        counts = 0, 0
    own, others = erased[len(candidate_embeds) - 1], candidate_embeds[-1]
    prompt_embeds = torch.cat([own.expand(counts[0], -1, -1), others.repeat_interleave(counts[1], 0)])
    seeds = [(options.seed * 100_003 + row) % 2**63 for row in range(len(prompt_embeds))]
    shape = (0, *family_of(pipe).latent_shape(pipe))
    parts = [torch.zeros(shape, device=empty.device)]
    for start in range(0, len(prompt_embeds), CHUNK):
        yield start / len(prompt_embeds)
        rows = slice(start, start + CHUNK)
        parts.append(
            sample_latents(pipe, prompt_embeds[rows], seeds[rows], options.sample_steps, options.sample_guidance, CHUNK)
        )
    z_erased, z_candidates = torch.cat(parts).split([counts[0], len(names) * counts[1]])
    z_candidates = z_candidates.reshape(len(names), -1, *shape[1:])
    cache = LatentCache(erased, candidate_embeds, empty, z_erased, z_candidates, torch.arange(len(names)))
    if compares:
        unlike = (likeness(pipe, cache, options) >= options.min_candidate_distance).nonzero().flatten().cpu()
        if not len(unlike):
            raise AgeError(f"Every candidate draws the same as {concept!r}: give words that mean something else.")
        cache = replace(
            cache, candidate_embeds=candidate_embeds[:, unlike], z_candidates=z_candidates[unlike], kept=unlike
        )
    yield cache


def noised(pipe: DiffusionPipeline, z0: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Clean latents (B, C, h, w) with noise, and their timesteps (B,), which are spread over all there are."""
    t = spread_timesteps(pipe.scheduler, len(z0)).to(z0.device)
    return family_of(pipe).add_noise(pipe, z0, torch.randn(z0.shape, generator=generator).to(z0), t), t


def likeness(pipe: DiffusionPipeline, cache: LatentCache, options: EraseOptions, rows: int = 4) -> Tensor:
    """How far each candidate's prediction is from the erased concept's on the latter's own pictures; (n,).

    Mean squared difference over that between the erased concept and the empty prompt: near 0 is a synonym, whatever
    the words look like; 1 is as far as no words at all.
    """
    z0, own = cache.z_erased[:rows], cache.erased[len(cache.candidate_embeds) - 1]
    z, t = noised(pipe, z0, torch.Generator().manual_seed(options.seed))

    def predictions(prompt_embeds: Tensor) -> Tensor:
        """(m, L, D) to (m, rows, C, h, w)."""
        latents = z.repeat(len(prompt_embeds), 1, 1, 1)
        times, states = t.repeat(len(prompt_embeds)), prompt_embeds.repeat_interleave(len(z), 0)
        return predict_all(pipe, latents, times, states).unflatten(0, (len(prompt_embeds), len(z)))

    erased, empty = predictions(torch.stack([own, cache.empty]))
    distances = (predictions(cache.candidate_embeds[-1]) - erased).square().mean((1, 2, 3, 4))
    return distances / (empty - erased).square().mean()
