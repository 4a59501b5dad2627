"""The one loop: a way to choose the target times a loss, as a generator of events that ends in an Eraser."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from torch import Tensor
from torch.func import functional_call

from age_core.concepts import fill
from age_core.errors import AgeError
from age_core.losses import guided_target, row_errors
from age_core.options import EraseOptions
from age_core.pipeline import decode, encode_text, sample_latents
from age_core.scene import Batch, Scene, draw_batch, prepare
from age_core.targets import AdaptiveTarget, FixedTarget, RandomTarget, TargetSelector
from age_core.vocabulary import Candidates
from age_core.weights import Eraser, trained_parameters


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
        """The k candidates with the largest share; none while preparing."""
        pairs = zip(self.candidates, self.shares, strict=True) if self.shares else ()
        return sorted(pairs, key=lambda pair: -pair[1])[:k]


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


def _run(
    pipe: StableDiffusionPipeline, concept: str, candidates: Candidates, options: EraseOptions
) -> Generator[EraseEvent, None, None]:
    started = time.monotonic()
    names = candidates.names
    scene: Scene | None = None
    for progress in prepare(pipe, concept, names, options):
        if isinstance(progress, Scene):
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
        batch = draw_batch(pipe, scene, weights, generator)
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


def _terms(
    pipe: StableDiffusionPipeline, student: dict[str, Tensor], batch: Batch, states: Tensor, eta: float
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
    scene: Scene,
    selector: AdaptiveTarget,
    options: EraseOptions,
    generator: torch.Generator,
) -> None:
    """One ascent step of pi on both terms, differentiated through the target in teacher and student."""
    frozen = {name: value.detach() for name, value in student.items()}

    def gain(weights: Tensor) -> Tensor:
        batch = draw_batch(pipe, scene, weights, generator)
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
