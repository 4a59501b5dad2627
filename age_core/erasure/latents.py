"""What the losses look at: text states, and latents with noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from age_core.concepts.concept_set import fill
from age_core.erasure.options import EraseOptions
from age_core.erasure.student import Student
from age_core.errors import AgeError
from age_core.models.families import encode_text, family_of, predict, predict_all
from age_core.models.noise import noise_timesteps, spread_timesteps
from age_core.models.sampling import sample_latents

STORED = {"candidate_embeds": "matrix"}  # what checkpoints call it


@dataclass(frozen=True)
class LatentCache:
    """What the losses need for one concept: text states and clean latents, made once by the unedited model."""

    erased: Tensor  # (T, L, D) the erased concept in each template
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
        return LatentCache(**{name: state[STORED.get(name, name)].to(device) for name in names})


@dataclass(frozen=True)
class Batch:
    """One step's inputs: rows of the erased concept and, for each, of the target and of what is preserved."""

    erased: Tensor  # (L, D)
    candidate_embeds: Tensor  # (n, L, D)
    empty: Tensor  # (L, D)
    z_erased: Tensor  # (B, C, h, w) noised
    z_target: Tensor  # (B, C, h, w) noised
    kept: Tensor  # (B, L, D) what is preserved
    z_kept: Tensor  # (B, C, h, w) noised
    t: Tensor  # (B,) what the UNet is told
    weight: Tensor  # (B,) of each row's squared error

    def mix(self, weights: Tensor) -> Tensor:
        """Target states e_t = y M; (B, n) to (B, L, D)."""
        return mixture(weights, self.candidate_embeds)


def mixture(weights: Tensor, candidate_embeds: Tensor) -> Tensor:
    """y M; weights (B, n) of candidates' states (n, L, D) to (B, L, D)."""
    return torch.einsum("bn,nld->bld", weights, candidate_embeds)


def draw_batch(
    pipe: DiffusionPipeline,
    cache: LatentCache,
    weights: Tensor,
    options: EraseOptions,
    generator: torch.Generator,
    student: Student,
    for_pi: bool = False,
) -> Batch:
    """Latents of the erased concept, each row's target (weights (B, n)) and what it preserves, at the same timestep.

    Where latents are sampled anew, those that no loss looks at (for_pi: no gain) are not, and hold another's.
    """
    rows, scheduler, family = len(weights), pipe.scheduler, family_of(pipe)
    template = int(torch.randint(len(cache.erased), (1,), generator=generator))
    erased, candidate_embeds = cache.erased[template], cache.candidate_embeds[template]
    target = mixture(weights.detach(), candidate_embeds)
    drawn = weights.detach().argmax(-1)  # (B,)
    if options.preserve == "neighbours":
        neighbour = torch.randint(candidate_embeds.shape[0], (rows,), generator=generator).to(drawn.device)
        kept = candidate_embeds[neighbour]
    else:
        neighbour, kept = drawn, cache.empty.expand_as(target) if options.preserve == "empty" else target
    if options.latents == "cached":
        pick = torch.randint(max(len(cache.z_erased), 1), (rows,), generator=generator)
        other = torch.randint(cache.z_candidates.shape[1], (rows,), generator=generator)
        z_target, z_kept = cache.z_candidates[drawn, other], cache.z_candidates[neighbour, other]
        z_erased = z_target if options.latents_of == "target" else cache.z_erased[pick]
        t = level = noise_timesteps(scheduler, rows, generator).to(z_erased.device)
        noise = torch.randn(2, *z_erased.shape, generator=generator).to(z_erased)
        z_erased = family.add_noise(pipe, z_erased, noise[0], t)
        z_target, z_kept = (family.add_noise(pipe, z, noise[1], t) for z in (z_target, z_kept))
    else:
        wanted: dict[str, Tensor] = {}
        if options.inner_objective == "both" or not for_pi:
            wanted["erased"] = target if options.latents_of == "target" else erased.expand_as(target)
        if for_pi or options.preserve == "target":
            wanted["target"] = target
        if options.preserve == "neighbours" and not for_pi:
            wanted["kept"] = kept
        stacked = torch.stack(list(wanted.values()))
        sampled, t, level = _partial_samples(pipe, stacked, cache.empty, options, generator, student)
        z = dict(zip(wanted, sampled, strict=True))
        z_target = z.get("target", sampled[0])
        z_erased, z_kept = z.get("erased", z_target), z.get("kept", z_target)
    if options.preserve == "empty":  # at the erased concept's latents, as the paper's graph was made (section A)
        z_kept = z_erased
    weight = family.error_weights(pipe, level, options.weighting, options.weight_clip)
    return Batch(erased, candidate_embeds, cache.empty, z_erased, z_target, kept, z_kept, t, weight)


@torch.no_grad()
def _partial_samples(
    pipe: DiffusionPipeline,
    prompt_embeds: Tensor,
    empty: Tensor,
    options: EraseOptions,
    generator: torch.Generator,
    student: Student,
) -> tuple[Tensor, Tensor, Tensor]:
    """Latents (m, B, C, h, w) that guided DDIM made of pure noise for states (m, B, L, D), down to a random level.

    Also t (B,) to ask the UNet at. The trajectories of a row start from the same noise and stop at the same
    k ~ U{0..grid-1} (method.md, section B steps 3 and 4). Without legacy_offset they stop at grid timestep k, and that
    is asked. With it (section C, point 3) the grid lacks its top, so that z is less noisy than the UNet is told: it
    stops at grid timestep k - 2 (clean for k <= 1) and t ~ U{k d .. k d + d - 1} is asked, d being the grid's spacing.
    The third answer is the timesteps (B,) whose noise level turns a prediction into a clean latent.
    """
    several, rows = prompt_embeds.shape[:2]
    prompt_embeds = prompt_embeds.flatten(0, 1)
    family = family_of(pipe)
    spacing = pipe.scheduler.config.num_train_timesteps // options.grid
    k = torch.randint(options.grid, (rows,), generator=generator)
    within = torch.randint(spacing, (rows,), generator=generator)
    shape = (rows, *family.latent_shape(pipe))
    # float32 whatever the states are, as everything that is added up over steps
    z = torch.randn(shape, generator=generator).to(prompt_embeds.device).repeat(several, 1, 1, 1)
    top = options.grid - 2 if options.legacy_offset else options.grid - 1  # where pure noise is taken to be
    stop = (k - 2).clamp(min=-1) if options.legacy_offset else k  # the grid index to end at; -1: clean
    ending = stop.repeat(several).to(z.device)
    with student.active() if options.latents == "student" else nullcontext():
        for index in range(top, int(stop.min()), -1):
            going = (ending < index).nonzero().flatten()  # rows that arrived rest
            t = torch.full((len(going),), index * spacing + 1, device=z.device)
            # a row's trajectories start from one noise: there one answer to the empty prompt serves them all
            bare = going[: len(going) // several] if index == top else going
            both = torch.cat([empty.expand_as(prompt_embeds[bare]), prompt_embeds[going]])
            answer = predict(pipe, torch.cat([z[bare], z[going]]), t[:1].expand(len(both)), both)
            unguided, guided = answer.split([len(bare), len(going)])
            unguided = unguided.repeat(len(going) // len(bare), 1, 1, 1)
            prediction = unguided + options.sample_guidance * (guided - unguided)
            below = torch.full_like(t, max(index - 1, 0) * spacing + (1 if index else 0))  # the last step ends at t = 0
            z[going] = family.step(pipe, prediction, z[going], t, below)
    level = k * spacing + 1
    asked = k * spacing + within if options.legacy_offset else level
    return z.unflatten(0, (several, rows)), asked.to(z.device), level.to(z.device)


def _states(pipe: DiffusionPipeline, nouns: tuple[str, ...], options: EraseOptions) -> Tensor:
    """(T, n, L, D); the empty target is the empty prompt in every template."""
    prompts = [fill(template, noun) if noun else "" for template in options.templates for noun in nouns]
    return encode_text(pipe, prompts).float().unflatten(0, (len(options.templates), len(nouns)))


def prepare(
    pipe: DiffusionPipeline, concept: str, names: tuple[str, ...], options: EraseOptions
) -> Iterator[float | LatentCache]:
    """Yield the share done while the unedited model draws its samples, then the scene."""
    erased = _states(pipe, (concept,), options)[:, 0]  # (T, L, D)
    candidate_embeds = _states(pipe, names, options)
    empty = encode_text(pipe, [""])[0].float()
    compares = options.min_candidate_distance > 0 and options.target != "fixed" and len(names) > 1
    looks = options.latents == "cached" or compares
    wanted = torch.cat(
        [
            erased[-1].expand(options.samples, -1, -1),
            candidate_embeds[-1].repeat_interleave(options.candidate_samples if options.latents == "cached" else 0, 0),
        ]
    )
    wanted = wanted if looks else wanted[:0]
    seeds = [(options.seed * 100_003 + row) % 2**63 for row in range(len(wanted))]
    shape = (0, *family_of(pipe).latent_shape(pipe))
    parts = [torch.zeros(shape, device=empty.device)]
    chunk = 32  # small enough that Stop is obeyed within a second or two
    for start in range(0, len(wanted), chunk):
        yield start / len(wanted)
        rows = slice(start, start + chunk)
        parts.append(
            sample_latents(pipe, wanted[rows], seeds[rows], options.sample_steps, options.sample_guidance, chunk)
        )
    latents = torch.cat(parts)
    z_candidates = latents[options.samples :].reshape(len(names), -1, *shape[1:])
    kept = torch.arange(len(names))
    cache = LatentCache(erased, candidate_embeds, empty, latents[: options.samples], z_candidates, kept)
    if compares:
        kept = (likeness(pipe, cache, options) >= options.min_candidate_distance).nonzero().flatten().cpu()
        if not len(kept):
            raise AgeError(f"Every candidate draws the same as {concept!r}: give words that mean something else.")
        cache = replace(cache, candidate_embeds=candidate_embeds[:, kept], z_candidates=z_candidates[kept], kept=kept)
    yield cache


def likeness(pipe: DiffusionPipeline, cache: LatentCache, options: EraseOptions, rows: int = 4) -> Tensor:
    """How far each candidate's prediction is from the erased concept's on the latter's own pictures; (n,).

    Mean squared difference over that between the erased concept and the empty prompt: near 0 is a synonym, whatever
    the words look like; 1 is as far as no words at all.
    """
    z0 = cache.z_erased[:rows]
    generator = torch.Generator().manual_seed(options.seed)
    t = spread_timesteps(pipe.scheduler, len(z0)).to(z0.device)
    z = family_of(pipe).add_noise(pipe, z0, torch.randn(z0.shape, generator=generator).to(z0), t)

    def at(prompt_embeds: Tensor) -> Tensor:
        """(m, L, D) to the predictions (m, rows, C, h, w)."""
        latents, times, words = (
            z.repeat(len(prompt_embeds), 1, 1, 1),
            t.repeat(len(prompt_embeds)),
            prompt_embeds.repeat_interleave(len(z), 0),
        )
        return predict_all(pipe, latents, times, words).unflatten(0, (len(prompt_embeds), len(z)))

    own, empty = at(torch.stack([cache.erased[-1], cache.empty]))
    return (at(cache.candidate_embeds[-1]) - own).square().mean((1, 2, 3, 4)) / (empty - own).square().mean()
