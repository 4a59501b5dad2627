"""One step's inputs: the text states of a row of each term, and latents with noise to look at them on.

They come from the concept's `LatentCache`, or from partial samplings by student or teacher at each step. What is drawn
is drawn on the CPU, whose numbers are the same everywhere, and sent in few copies that nothing waits for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from age_core.erasure.latents import LatentCache
from age_core.erasure.options import EraseOptions
from age_core.erasure.student import Student
from age_core.models.families import device_of, family_of, predict
from age_core.models.noise import noise_timesteps
from age_core.models.precision import to_device

ROWS = ("erased", "target", "z_erased", "z_target", "kept", "z_kept", "t", "weight")  # fields of a Batch that have rows


@dataclass(frozen=True)
class Batch:
    """One step's inputs: rows of the erased concept and, for each, of the target and of what is preserved."""

    erased: Tensor  # (B, L, D) the concept, by its name or a synonym
    candidate_embeds: Tensor  # (n, L, D)
    empty: Tensor  # (L, D)
    target: Tensor  # (B, L, D) the drawn targets
    z_erased: Tensor  # (B, C, h, w) noised
    z_target: Tensor  # (B, C, h, w) noised
    kept: Tensor  # (B, L, D) what is preserved
    z_kept: Tensor  # (B, C, h, w) noised
    t: Tensor  # (B,) the timestep that the UNet is given
    weight: Tensor  # (B,) of each row's squared error
    attacked: Tensor | None = None  # (B, L, D) what the student is shown in the erased concept's place

    def mix(self, weights: Tensor) -> Tensor:
        """Target states e_t = y M; (B, n) to (B, L, D)."""
        return mixture(weights, self.candidate_embeds)

    def parts(self, rows: int) -> Iterator[tuple[Batch, float]]:
        """The same, at most `rows` rows at a time (0: all), each part with its share of the rows."""
        whole = len(self.t)
        if not 0 < rows < whole:
            yield self, 1.0
            return
        for start in range(0, whole, rows):
            names = ROWS if self.attacked is None else (*ROWS, "attacked")
            part = {name: getattr(self, name)[start : start + rows] for name in names}
            yield replace(self, **part), len(part["t"]) / whole


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
    """Latents of the erased concept, each row's target and what it preserves, at the same timestep.

    weights (B, n): of the candidates in each row's target, on the CPU and without a gradient. Where latents are sampled
    anew, those that nothing looks at (the loss or, for_pi, the inner objective) are not, and hold another's.
    """
    template = int(torch.randint(len(cache.candidate_embeds), (1,), generator=generator))
    erased = _erased_states(cache, template, len(weights), generator)
    candidate_embeds = cache.candidate_embeds[template]
    device = device_of(pipe)
    target = mixture(to_device(weights, device), candidate_embeds)
    likeliest = weights.argmax(-1)  # (B,) the candidate whose pictures stand for the target's
    neighbour = likeliest
    if options.preserve == "neighbours":
        neighbour = torch.randint(candidate_embeds.shape[0], likeliest.shape, generator=generator)
        kept = candidate_embeds[to_device(neighbour, device)]
    else:
        kept = cache.empty.expand_as(target) if options.preserve == "empty" else target
    if options.latents == "cached":
        z_erased, z_target, z_kept, t = _noised_pictures(pipe, cache, likeliest, neighbour, options, generator)
        level = t
    else:
        states = {}  # of the trajectories that a loss looks at
        if options.inner_objective == "both" or not for_pi:
            states["erased"] = target if options.latents_of == "target" else erased
        if for_pi or options.preserve == "target":
            states["target"] = target
        if options.preserve == "neighbours" and not for_pi:
            states["kept"] = kept
        stacked = torch.stack(list(states.values()))
        latents, t, level = _partial_samples(pipe, stacked, cache.empty, options, generator, student)
        z = dict(zip(states, latents, strict=True))
        z_target = z.get("target", latents[0])
        z_erased, z_kept = z.get("erased", z_target), z.get("kept", z_target)
    if options.preserve == "empty":  # at the erased concept's latents, as the paper's graph was made (section A)
        z_kept = z_erased
    weight = family_of(pipe).error_weights(pipe, level, options.weighting, options.weight_clip)
    return Batch(erased, candidate_embeds, cache.empty, target, z_erased, z_target, kept, z_kept, t, weight)


def _erased_states(cache: LatentCache, template: int, rows: int, generator: torch.Generator) -> Tensor:
    """The concept's states in a template (B, L, D): by its name, but half of the rows by synonyms that go with it."""
    templates = len(cache.candidate_embeds)
    words = len(cache.erased) // templates
    if words == 1:
        return cache.erased[template].expand(rows, -1, -1)
    drawn = torch.zeros(rows, dtype=torch.long)
    drawn[(rows + 1) // 2 :] = torch.randint(1, words, (rows // 2,), generator=generator)
    return cache.erased[to_device(templates * drawn + template, cache.erased.device)]


def _noised_pictures(
    pipe: DiffusionPipeline,
    cache: LatentCache,
    target: Tensor,
    neighbour: Tensor,
    options: EraseOptions,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cached pictures with noise: of the erased concept, of candidates `target` and `neighbour` (B,); and t (B,).

    Target and neighbour share the noise and the number of the picture: where they are one candidate, they are equal.
    """
    rows, family, device = len(target), family_of(pipe), cache.z_candidates.device
    own = torch.randint(max(len(cache.z_erased), 1), (rows,), generator=generator)
    other = torch.randint(cache.z_candidates.shape[1], (rows,), generator=generator)
    drawn = torch.stack([target, neighbour, own, other, noise_timesteps(pipe.scheduler, rows, generator)])
    noise = torch.randn(2, rows, *cache.z_candidates.shape[2:], generator=generator)
    target, neighbour, own, other, t = to_device(drawn, device)
    noise = to_device(noise, device)
    z_target, z_neighbour = cache.z_candidates[target, other], cache.z_candidates[neighbour, other]
    z_erased = z_target if options.latents_of == "target" else cache.z_erased[own]
    z_erased = family.add_noise(pipe, z_erased, noise[0], t)
    z_target, z_neighbour = (family.add_noise(pipe, z, noise[1], t) for z in (z_target, z_neighbour))
    return z_erased, z_target, z_neighbour, t


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
    k ~ U{0..grid-1} (docs/method.md, section B, steps 3 and 4). Without legacy_offset they stop at grid timestep k, and
    the UNet is asked there. With it (section C, point 3) the grid lacks its top, so that z has less noise than the UNet
    takes it to have: they stop at grid timestep k - 2 (clean for k <= 1) and the UNet is asked at
    t ~ U{k d .. k d + d - 1}, d being the grid's spacing.
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
    noise = torch.randn(shape, generator=generator)
    top = options.grid - 2 if options.legacy_offset else options.grid - 1  # where pure noise is taken to be
    stop = (k - 2).clamp(min=-1) if options.legacy_offset else k  # the grid index to end at; -1: clean
    indices = range(top, int(stop.min()), -1)
    ending = stop.repeat(several)
    going_at = [(ending < index).nonzero().flatten() for index in indices]  # rows that arrived rest
    level = k * spacing + 1
    t_unet = k * spacing + within if options.legacy_offset else level
    z = to_device(noise, prompt_embeds.device).repeat(several, 1, 1, 1)
    sent = to_device(torch.cat([t_unet, level, *going_at]), prompt_embeds.device)
    t_unet, level, *going_at = sent.split([rows, rows, *map(len, going_at)])
    with student.active() if options.latents == "student" else nullcontext():
        for index, going in zip(indices, going_at, strict=True):
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
    return z.unflatten(0, (several, rows)), t_unet, level
