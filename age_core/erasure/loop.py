"""The one loop: a way to choose the target times a loss, as a generator of events that ends in an Eraser."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch
from diffusers import DiffusionPipeline
from PIL import Image
from torch import Tensor

from age_core.concepts.candidates import Candidates
from age_core.concepts.concept_set import fill
from age_core.erasure.events import EraseEvent, TrainingState
from age_core.erasure.latents import LatentCache, draw_batch, prepare
from age_core.erasure.objective import autocast, inner_gradient, losses
from age_core.erasure.options import EraseOptions
from age_core.erasure.selectors import TargetSelector, adam_state, make_selector, restore_adam
from age_core.erasure.student import Student
from age_core.errors import AgeError, RunFailed
from age_core.models.eraser import Eraser
from age_core.models.families import device_of, encode_text, family_of
from age_core.models.sampling import decode, sample_latents


def erase(
    pipe: DiffusionPipeline,
    concepts: str | Sequence[str],
    candidates: Candidates | Mapping[str, Candidates],
    options: EraseOptions,
    resume: TrainingState | None = None,
) -> Generator[EraseEvent, None, None]:
    """Fine-tune `pipe` to map each concept onto a target of its own; the pipeline itself is not changed.

    Objective (paper, method.md section B): min over theta', E over c_e, max over c_t of
    ||e'(c_e) - e(c_t)||^2 + lambda ||e'(c_t) - e(c_t)||^2; each step draws one of the concepts. Several concepts need
    candidates for each. Yields an event a step; the last one carries the Eraser. Closing the generator stops the run;
    `resume` goes on from an event's `state`. Bad input raises AgeError here, before the first event.
    """
    options.check()
    names = [concepts] if isinstance(concepts, str) else list(concepts)
    names = list(dict.fromkeys(name.strip() for name in names))
    if not names or not all(names):
        raise AgeError("The concept to erase is empty: name one.")
    pools = {name: candidates if isinstance(candidates, Candidates) else candidates.get(name) for name in names}
    if options.target == "fixed":
        target = options.fixed_target.strip()
        if target.lower() in [name.lower() for name in names]:
            raise AgeError(f"{target!r} cannot be its own target: nothing would be erased. Choose another word.")
        if options.preserve == "neighbours":  # the others are preserved, never erased to
            pools = {name: pool and pool.led_by(target) for name, pool in pools.items()}
        else:
            pools = dict.fromkeys(names, Candidates((target,), (math.nan,)))
    lacking = [name for name, pool in pools.items() if pool is None]
    if lacking or (len(names) > 1 and isinstance(candidates, Candidates) and options.target != "fixed"):
        raise AgeError(f"Each erased concept needs candidates of its own; {(lacking or names)[0]!r} has none.")
    family_of(pipe).trained(pipe, options.train)
    return _run(pipe, {name: pool for name, pool in pools.items() if pool is not None}, options, resume)


@contextmanager
def _advice_when_memory_runs_out() -> Iterator[None]:
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        words = str(error).lower()
        if isinstance(error, RuntimeError) and "out of memory" not in words and "allocate memory" not in words:
            raise
        raise RunFailed(
            "The memory ran out: lower `batch` and `pi_batch`, load the pipeline with offload=True, "
            "gradient_checkpointing=True, attention_slicing=True or dtype='float16' (--low-memory does the first "
            "three), or train fewer weights (train='lora')."
        ) from error


@dataclass
class _Training:
    """The moving parts of one run."""

    student: Student
    adam: torch.optim.Adam
    selectors: dict[str, TargetSelector]
    caches: dict[str, LatentCache]
    generator: torch.Generator

    def state(self, step: int) -> TrainingState:
        parts = {"student": {n: leaf.detach().clone() for n, leaf in self.student.leaves.items()}}
        parts["optimiser"] = adam_state(self.adam)
        for row, name in enumerate(self.selectors):
            parts[f"target{row}"] = self.selectors[name].state()
            parts[f"scene{row}"] = self.caches[name].state()
        tensors = {f"{part}/{k}": v.cpu() for part, held in parts.items() for k, v in held.items()}
        return TrainingState(step, tensors | {"generator": self.generator.get_state()})


def _parts(state: TrainingState, part: str) -> dict[str, Tensor]:
    return {key.split("/", 1)[1]: value for key, value in state.tensors.items() if key.startswith(f"{part}/")}


def _prepare_all(
    pipe: DiffusionPipeline, pools: Mapping[str, Candidates], options: EraseOptions, resume: TrainingState | None
) -> Iterator[tuple[str, float] | dict[str, LatentCache]]:
    """Yield (concept, share done) while the unedited model draws, then every concept's scene."""
    caches: dict[str, LatentCache] = {}
    for row, (name, pool) in enumerate(pools.items()):
        if resume is not None:
            caches[name] = LatentCache.restore(_parts(resume, f"scene{row}"), device_of(pipe))
            continue
        drawing = prepare(pipe, name, pool.names, options)
        while True:
            with _advice_when_memory_runs_out(), autocast(pipe, options):
                part = next(drawing)
            if isinstance(part, LatentCache):
                caches[name] = part
                break
            yield name, part
    yield caches


def _run(
    pipe: DiffusionPipeline,
    pools: Mapping[str, Candidates],
    options: EraseOptions,
    resume: TrainingState | None,
) -> Generator[EraseEvent, None, None]:
    started = time.monotonic()
    caches: dict[str, LatentCache] = {}
    for progress in _prepare_all(pipe, pools, options, resume):
        if isinstance(progress, dict):
            caches = progress
            continue
        name, share = progress
        note = f"drawing what the original model makes of {name} and its neighbours: {share:.0%}"
        elapsed = time.monotonic() - started
        yield EraseEvent(0, options.steps, note, name, candidates=pools[name].names, elapsed_s=elapsed)
    kept = {name: caches[name].kept.tolist() for name in pools}
    names = {name: tuple(pools[name].names[row] for row in kept[name]) for name in pools}
    family = family_of(pipe)
    student = Student(family.denoiser(pipe), options, family.selections)
    priors = {name: [pools[name].prior[row] for row in kept[name]] if pools[name].prior else [] for name in pools}
    selectors = {name: make_selector(options, len(names[name]), priors[name]) for name in pools}
    generator = torch.Generator().manual_seed(options.seed)
    training = _Training(
        student, torch.optim.Adam(student.leaves.values(), lr=options.lr), selectors, caches, generator
    )
    if resume is not None:
        _restore(training, resume)
    first = 1 + (resume.step if resume else 0)
    loop_started = time.monotonic()
    for step in range(first, options.steps + 1):
        drawn = int(torch.randint(len(pools), (1,), generator=generator)) if len(pools) > 1 else 0
        concept = list(pools)[drawn]
        with _advice_when_memory_runs_out(), autocast(pipe, options):
            weights, loss_erase, loss_preserve = _step(pipe, training, concept, options, step)
        last = step == options.steps
        prompts: tuple[str, ...] = ()
        previews: tuple[Image.Image, ...] = ()
        if options.preview_every and (step % options.preview_every == 0 or last):
            shown = (concept, *names[concept][:3]) if options.target != "fixed" else (concept,)
            prompts = tuple(fill(options.templates[-1], noun) for noun in shown if noun)
            previews = tuple(_preview(pipe, student, prompts, options))
        due = options.checkpoint_every and (step % options.checkpoint_every == 0 or last)
        logits = selectors[concept].logits.detach()
        probabilities = torch.softmax(logits, -1)
        now = time.monotonic()
        yield EraseEvent(
            step=step,
            steps=options.steps,
            concept=concept,
            loss_erase=loss_erase,
            loss_preserve=loss_preserve,
            candidates=names[concept],
            logits=tuple(logits.tolist()),
            probabilities=tuple(probabilities.tolist()),
            sampled=tuple(weights.mean(0).tolist()),
            entropy=float(torch.special.entr(probabilities).sum()),
            elapsed_s=now - started,
            remaining_s=(now - loop_started) / (step - first + 1) * (options.steps - step),
            preview_prompts=prompts,
            previews=previews,
            state=training.state(step) if due else None,
            eraser=_eraser(training, options) if last else None,
        )


def _restore(training: _Training, state: TrainingState) -> None:
    with torch.no_grad():
        for name, value in _parts(state, "student").items():
            training.student.leaves[name].copy_(value)
    restore_adam(training.adam, _parts(state, "optimiser"))
    for row, selector in enumerate(training.selectors.values()):
        selector.restore(_parts(state, f"target{row}"))
    training.generator.set_state(state.tensors["generator"].clone())


def _step(
    pipe: DiffusionPipeline, training: _Training, concept: str, options: EraseOptions, step: int
) -> tuple[Tensor, float, float]:
    """One descent of the student and, when it is due, one ascent of pi; the drawn weights (B, n) and both losses."""
    student, selector, generator = training.student, training.selectors[concept], training.generator
    cache = training.caches[concept]
    weights = selector.draw(options.batch, generator).to(device_of(pipe))
    batch = draw_batch(pipe, cache, weights, options, generator, student)
    loss_erase, loss_preserve = losses(pipe, student, batch, batch.mix(weights), options)
    loss = loss_erase + options.preserve_weight * loss_preserve
    if not torch.isfinite(loss):
        raise RunFailed(f"The training diverged at step {step}: lower the learning rate (now {options.lr:g}).")
    leaves = list(student.leaves.values())
    with student.active():
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    for leaf, gradient in zip(leaves, gradients, strict=True):
        leaf.grad = gradient
    training.adam.param_groups[0]["lr"] = options.lr_at(step)
    training.adam.step()
    if step % options.pi_every == 0 and options.target == "adaptive":

        def inner_objective(drawn: Tensor) -> Tensor:
            """Linear in the drawn weights, with the gradient of what pi climbs."""
            chosen = drawn.detach().to(device_of(pipe))
            inputs = draw_batch(pipe, cache, chosen, options, generator, student, for_pi=True)
            prompt_embeds = inputs.mix(drawn.to(device_of(pipe)))
            return (prompt_embeds * inner_gradient(pipe, student, inputs, prompt_embeds, options)).sum()

        selector.update(inner_objective, options.pi_batch, generator)
    return weights, float(loss_erase.detach()), float(loss_preserve.detach())


@torch.no_grad()
def _preview(
    pipe: DiffusionPipeline, student: Student, prompts: tuple[str, ...], options: EraseOptions
) -> list[Image.Image]:
    """Pictures from the student in mid-training."""
    with student.active(), autocast(pipe, options):
        seeds = [options.seed] * len(prompts)
        latents = sample_latents(pipe, encode_text(pipe, prompts), seeds, options.sample_steps, options.sample_guidance)
    return decode(pipe, latents)


def _eraser(training: _Training, options: EraseOptions) -> Eraser:
    names = list(training.caches)
    info = {
        "concept": names[0],
        "concepts": names,
        "target": options.fixed_target if options.target == "fixed" else options.target,
        "options": asdict(options),
        "train": options.train,
        "steps": options.steps,
        "seed": options.seed,
    }
    return Eraser(training.student.delta(), info, training.student.lora())
