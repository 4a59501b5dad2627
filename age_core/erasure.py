"""The one loop: a way to choose the target times a loss, as a generator of events that ends in an Eraser."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from torch import Tensor
from torch.func import functional_call

from age_core.concepts import fill
from age_core.errors import AgeError
from age_core.losses import add_noise, guided_target, noise_timesteps, row_errors
from age_core.pipeline import decode, encode_text, sample_latents
from age_core.targets import AdaptiveTarget, FixedTarget, RandomTarget, TargetSelector
from age_core.vocabulary import Candidates
from age_core.weights import Eraser, trained_parameters

TargetKind = Literal["adaptive", "fixed", "random"]
TARGET_KINDS: tuple[TargetKind, ...] = ("adaptive", "fixed", "random")


@dataclass(frozen=True, kw_only=True)
class EraseOptions:
    """Everything an erasure depends on besides the model, the concept and the candidates."""

    target: TargetKind = "adaptive"
    fixed_target: str = ""  # for target="fixed"; "" is the empty prompt
    train: str = "xattn"
    steps: int = 60
    batch: int = 8  # pictures of each of the two terms in a step
    lr: float = 3e-4
    preserve_weight: float = 1.0  # lambda
    negative_guidance: float = 0.0  # eta
    pi_lr: float = 0.15
    pi_temperature: float = 1.0
    pi_every: int = 2
    pi_rows: int = 4
    samples: int = 16  # cached pictures of the erased concept
    candidate_samples: int = 2  # and of each candidate
    sample_steps: int = 6
    sample_guidance: float = 3.0
    templates: tuple[str, ...] = ("{noun}", "an emoji of {a_noun}", "a picture of {a_noun}")
    preview_every: int = 10  # 0: none
    seed: int = 0

    @staticmethod
    def preset(name: str, **changes: object) -> EraseOptions:
        """How much computing to spend: "fast", "balanced" or "thorough"; `changes` override fields."""
        if name not in PRESETS:
            raise AgeError(f"There is no preset {name!r}; choose one of {', '.join(PRESETS)}.")
        return replace(PRESETS[name], **{k: v for k, v in changes.items() if v is not None})  # type: ignore[arg-type]

    def check(self) -> None:
        """Raise AgeError on values that cannot work."""
        if self.target not in TARGET_KINDS:
            raise AgeError(f"Unknown target {self.target!r}; choose one of {', '.join(TARGET_KINDS)}.")
        for field in ("steps", "batch", "pi_every", "pi_rows", "samples", "candidate_samples", "sample_steps"):
            if getattr(self, field) < 1:
                raise AgeError(f"The option {field!r} must be at least 1, not {getattr(self, field)}.")
        for field in ("lr", "pi_lr", "pi_temperature"):
            if not getattr(self, field) > 0:
                raise AgeError(f"The option {field!r} must be above 0, not {getattr(self, field)}.")


PRESETS = {
    "fast": EraseOptions(steps=30),
    "balanced": EraseOptions(),
    "thorough": EraseOptions(steps=150, samples=24),
}


@dataclass(frozen=True)
class EraseEvent:
    """What happened in one step. Plain values, except for the pictures and the final eraser."""

    step: int  # 0 while preparing
    steps: int
    note: str = ""
    loss_erase: float = math.nan
    loss_preserve: float = math.nan
    candidates: tuple[str, ...] = ()
    logits: tuple[float, ...] = ()  # pi
    shares: tuple[float, ...] = ()  # softmax(pi), without noise
    used: tuple[float, ...] = ()  # share of this step's pictures that used each candidate
    entropy: float = math.nan  # of shares, in nats; exp of it is "effectively N words"
    elapsed_s: float = 0.0
    remaining_s: float = math.nan
    preview_prompts: tuple[str, ...] = ()
    previews: tuple[Image.Image, ...] = ()
    eraser: Eraser | None = None

    def top_targets(self, k: int) -> list[tuple[str, float]]:
        """The k candidates with the largest share."""
        return sorted(zip(self.candidates, self.shares, strict=True), key=lambda pair: -pair[1])[:k]


@dataclass(frozen=True)
class _Scene:
    """What the losses need: text states and clean latents, made once by the unedited model."""

    erased: Tensor  # (T, L, D) the erased concept in each template
    matrix: Tensor  # (T, n, L, D) the candidates
    z_erased: Tensor  # (S, C, h, w)
    z_candidates: Tensor  # (n, s, C, h, w)


def erase(
    pipe: StableDiffusionPipeline, concept: str, candidates: Candidates, options: EraseOptions
) -> Generator[EraseEvent, None, None]:
    """Fine-tune `pipe` to map `concept` onto a target; the pipeline itself is not changed.

    Objective (paper, method.md section B): min over theta', max over c_t of
    ||e'(c_e) - e(c_t)||^2 + lambda ||e'(c_t) - e(c_t)||^2. Yields an event a step; the last one carries the
    Eraser. Closing the generator stops the run. Bad input raises AgeError here, before the first event.
    """
    options.check()
    if not concept.strip():
        raise AgeError("The concept to erase is empty: name one.")
    if options.target == "fixed":
        if options.fixed_target.strip().lower() == concept.strip().lower():
            raise AgeError(f"{concept!r} cannot be its own target: nothing would be erased. Choose another word.")
        candidates = Candidates((options.fixed_target.strip(),), (math.nan,))
    trained_parameters(pipe.unet, options.train)
    return _run(pipe, concept.strip(), candidates, options)


def _selector(options: EraseOptions, count: int) -> TargetSelector:
    if options.target == "fixed":
        return FixedTarget(count, 0)
    if options.target == "random":
        return RandomTarget(count)
    return AdaptiveTarget(count, options.pi_lr, options.pi_temperature)


def _states(pipe: StableDiffusionPipeline, nouns: tuple[str, ...], options: EraseOptions) -> Tensor:
    """(T, n, L, D); the empty target is the empty prompt in every template."""
    prompts = [fill(template, noun) if noun else "" for template in options.templates for noun in nouns]
    return encode_text(pipe, prompts).unflatten(0, (len(options.templates), len(nouns)))


def _prepare(
    pipe: StableDiffusionPipeline, concept: str, names: tuple[str, ...], options: EraseOptions
) -> Iterator[float | _Scene]:
    """Yield the share done while the unedited model draws its samples, then the scene."""
    erased = _states(pipe, (concept,), options)[:, 0]  # (T, L, D)
    matrix = _states(pipe, names, options)
    template = -1 if len(options.templates) == 1 else 1
    wanted = torch.cat(
        [
            erased[template].expand(options.samples, -1, -1),
            matrix[template].repeat_interleave(options.candidate_samples, 0),
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
    yield _Scene(erased, matrix, latents[: options.samples], z_candidates)


def _run(
    pipe: StableDiffusionPipeline, concept: str, candidates: Candidates, options: EraseOptions
) -> Generator[EraseEvent, None, None]:
    started = time.monotonic()
    names = candidates.names
    scene: _Scene | None = None
    for progress in _prepare(pipe, concept, names, options):
        if isinstance(progress, _Scene):
            scene = progress
        else:
            note = f"drawing what the original model makes of {concept} and its neighbours: {progress:.0%}"
            yield EraseEvent(0, options.steps, note, candidates=names, elapsed_s=time.monotonic() - started)
    assert scene is not None  # the last item is always the scene
    teacher = trained_parameters(pipe.unet, options.train)
    student = {name: value.detach().clone().requires_grad_(True) for name, value in teacher.items()}
    adam = torch.optim.Adam(student.values(), lr=options.lr)
    selector = _selector(options, len(names))
    generator = torch.Generator().manual_seed(options.seed)
    loop_started = time.monotonic()
    for step in range(1, options.steps + 1):
        weights = selector.draw(options.batch, generator)
        batch = _draw_batch(pipe, scene, weights, generator)
        loss_erase, loss_preserve = _terms(pipe, student, batch, batch.mix(weights), options.negative_guidance)
        loss = loss_erase + options.preserve_weight * loss_preserve
        if not torch.isfinite(loss):
            raise AgeError(f"The training diverged at step {step}: lower the learning rate (now {options.lr:g}).")
        gradients = torch.autograd.grad(loss, list(student.values()), allow_unused=True)
        for parameter, gradient in zip(student.values(), gradients, strict=True):
            parameter.grad = gradient
        adam.step()
        if step % options.pi_every == 0 and isinstance(selector, AdaptiveTarget):
            _update_selector(pipe, student, scene, selector, options, generator)
        eraser = _eraser(student, teacher, concept, options) if step == options.steps else None
        prompts: tuple[str, ...] = ()
        previews: tuple[Image.Image, ...] = ()
        if options.preview_every and (step % options.preview_every == 0 or eraser):
            shown = (concept, *candidates.names[:3]) if options.target != "fixed" else (concept,)
            prompts = tuple(fill(options.templates[-1], noun) for noun in shown if noun)
            previews = tuple(_preview(pipe, student, prompts, options))
        shares = torch.softmax(selector.logits.detach(), -1)
        now = time.monotonic()
        yield EraseEvent(
            step=step,
            steps=options.steps,
            loss_erase=float(loss_erase.detach()),
            loss_preserve=float(loss_preserve.detach()),
            candidates=names,
            logits=tuple(selector.logits.detach().tolist()),
            shares=tuple(shares.tolist()),
            used=tuple(weights.mean(0).tolist()),
            entropy=float(torch.special.entr(shares).sum()),
            elapsed_s=now - started,
            remaining_s=(now - loop_started) / step * (options.steps - step),
            preview_prompts=prompts,
            previews=previews,
            eraser=eraser,
        )


@dataclass(frozen=True)
class _Batch:
    """One step's inputs: rows of the erased concept and, for each, of the candidate drawn as its target."""

    erased: Tensor  # (L, D)
    matrix: Tensor  # (n, L, D)
    z_erased: Tensor  # (B, C, h, w) noised
    z_target: Tensor  # (B, C, h, w) noised
    t: Tensor  # (B,)

    def mix(self, weights: Tensor) -> Tensor:
        """Target states e_t = y M; (B, n) to (B, L, D)."""
        return torch.einsum("bn,nld->bld", weights, self.matrix)


def _draw_batch(pipe: StableDiffusionPipeline, scene: _Scene, weights: Tensor, generator: torch.Generator) -> _Batch:
    """Noised latents of the erased concept and of each row's target, at the same timestep."""
    rows = len(weights)
    template = int(torch.randint(len(scene.erased), (1,), generator=generator))
    index = weights.detach().argmax(-1)  # (B,)
    z_erased = scene.z_erased[torch.randint(len(scene.z_erased), (rows,), generator=generator)]
    z_target = scene.z_candidates[index, torch.randint(scene.z_candidates.shape[1], (rows,), generator=generator)]
    t = noise_timesteps(pipe.scheduler, rows, generator)
    noise = torch.randn(2, *z_erased.shape, generator=generator)
    noise, t = noise.to(z_erased), t.to(z_erased.device)
    return _Batch(
        scene.erased[template],
        scene.matrix[template],
        add_noise(pipe.scheduler, z_erased, noise[0], t),
        add_noise(pipe.scheduler, z_target, noise[1], t),
        t,
    )


def _terms(
    pipe: StableDiffusionPipeline, student: dict[str, Tensor], batch: _Batch, states: Tensor, eta: float
) -> tuple[Tensor, Tensor]:
    """The two losses for the student's step; the teacher's side carries no gradient."""
    erased = batch.erased.expand(len(states), -1, -1)
    z, t = torch.cat([batch.z_erased, batch.z_target]), torch.cat([batch.t, batch.t])
    with torch.no_grad():
        at_erased, at_target = pipe.unet(z, t, torch.cat([states, states])).sample.chunk(2)
        pushed = pipe.unet(batch.z_erased, batch.t, erased).sample if eta else at_erased
    moved, kept = functional_call(pipe.unet, student, (z, t, torch.cat([erased, states]))).sample.chunk(2)
    return row_errors(moved, guided_target(at_erased, pushed, eta)).mean(), row_errors(kept, at_target).mean()


def _update_selector(
    pipe: StableDiffusionPipeline,
    student: dict[str, Tensor],
    scene: _Scene,
    selector: AdaptiveTarget,
    options: EraseOptions,
    generator: torch.Generator,
) -> None:
    """One ascent step of pi on both terms, differentiated through the target in teacher and student."""
    frozen = {name: value.detach() for name, value in student.items()}

    def gain(weights: Tensor) -> Tensor:
        batch = _draw_batch(pipe, scene, weights, generator)
        states = batch.mix(weights)
        with torch.no_grad():
            erased = batch.erased.expand(len(states), -1, -1)
            moved = functional_call(pipe.unet, frozen, (batch.z_erased, batch.t, erased)).sample
        z, t = torch.cat([batch.z_erased, batch.z_target]), torch.cat([batch.t, batch.t])
        at_erased, at_target = pipe.unet(z, t, torch.cat([states, states])).sample.chunk(2)
        kept = functional_call(pipe.unet, frozen, (batch.z_target, batch.t, states)).sample
        return (row_errors(moved, at_erased) + options.preserve_weight * row_errors(kept, at_target)).mean()

    selector.update(gain, options.pi_rows, generator)


def _preview(
    pipe: StableDiffusionPipeline, student: dict[str, Tensor], prompts: tuple[str, ...], options: EraseOptions
) -> list[Image.Image]:
    """Pictures from the student in mid-training."""
    teacher = dict(pipe.unet.named_parameters())
    delta = {name: value.detach() - teacher[name] for name, value in student.items()}
    with Eraser(delta).applied_to(pipe):
        seeds = [options.seed] * len(prompts)
        latents = sample_latents(pipe, encode_text(pipe, prompts), seeds, options.sample_steps, options.sample_guidance)
    return decode(pipe, latents)


def _eraser(
    student: dict[str, Tensor], teacher: dict[str, torch.nn.Parameter], concept: str, options: EraseOptions
) -> Eraser:
    delta = {name: (value.detach() - teacher[name].detach()).cpu() for name, value in student.items()}
    info = {
        "concept": concept,
        "target": options.fixed_target if options.target == "fixed" else options.target,
        "train": options.train,
        "steps": options.steps,
        "seed": options.seed,
    }
    return Eraser(delta, info)
