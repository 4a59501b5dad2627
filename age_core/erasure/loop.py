"""The one loop: a generator of events that ends in an Eraser.

Each step draws a concept to erase; its target comes from a selector (`selectors`), the latents to look at from `batch`,
the loss from `objective`, and the `Student` takes one step down; where the selector learns, it then takes one step up.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from types import MappingProxyType

import torch
from diffusers import DiffusionPipeline
from PIL import Image
from torch import Tensor

from age_core.concepts.candidates import Candidates
from age_core.erasure.batch import Batch, draw_batch, mixture
from age_core.erasure.events import EraseEvent, TrainingState
from age_core.erasure.latents import LatentCache, noised, prepare, widened
from age_core.erasure.objective import inner_gradient, losses, share_left
from age_core.erasure.options import EraseOptions
from age_core.erasure.previews import Preview, draw_previews, previews_of_words
from age_core.erasure.protection import protection_of
from age_core.erasure.rows import passes
from age_core.erasure.selectors import SELECTORS
from age_core.erasure.torch_modes import advice_when_memory_runs_out, arithmetic, with_gradients
from age_core.erasure.training import Training, stored_cache
from age_core.errors import AgeError, RunFailed
from age_core.models.eraser import Eraser
from age_core.models.families import device_of, editable, family_of
from age_core.models.precision import in_float32

NO_PREVIEWS: Mapping[str, Sequence[Preview]] = MappingProxyType({})
NO_SYNONYMS: Mapping[str, Sequence[str]] = MappingProxyType({})


def erase(
    pipe: DiffusionPipeline,
    names: str | Sequence[str],
    candidates: Candidates | Mapping[str, Candidates],
    options: EraseOptions,
    resume: TrainingState | None = None,
    previews: Mapping[str, Sequence[Preview]] = NO_PREVIEWS,
    protected: Sequence[str] = (),
    synonyms: Mapping[str, Sequence[str]] = NO_SYNONYMS,
) -> Generator[EraseEvent, None, None]:
    """Fine-tune `pipe` to map each concept in `names` onto a target of its own; the pipeline itself is not changed.

    `objective.published_objective` is what the two players, the student and the targets, descend and climb; each step
    draws one of the concepts. Several concepts need candidates for each. Yields an event a step; the last one carries
    the Eraser. Closing the generator stops the run; `resume` goes on from an event's `state`. `previews`: what to draw
    every `options.preview_every` steps, by erased concept. `protected`: the words that `options.protect` spares; none:
    all candidates. `synonyms`: by erased concept, the words that `options.synonyms` erases with it. Bad input
    raises AgeError here, before the first event.
    """
    options.check()
    names = [names] if isinstance(names, str) else list(names)
    names = list(dict.fromkeys(name.strip() for name in names))
    if not names or not all(names):
        raise AgeError("The concept to erase is empty: name one.")
    pools = {name: candidates if isinstance(candidates, Candidates) else candidates.get(name) for name in names}
    takes_word = SELECTORS[options.target].takes_word
    if takes_word:
        target = options.fixed_target.strip()
        if target.lower() in [name.lower() for name in names]:
            raise AgeError(f"{target!r} cannot be its own target: nothing would be erased. Choose another word.")
        if options.preserve == "neighbours":  # the others are preserved, never erased to
            pools = {name: pool and pool.led_by(target) for name, pool in pools.items()}
        else:
            pools = dict.fromkeys(names, Candidates((target,), (math.nan,)))
    lacking = [name for name, pool in pools.items() if pool is None]
    if lacking or (len(names) > 1 and isinstance(candidates, Candidates) and not takes_word):
        raise AgeError(f"Each erased concept needs candidates of its own; {(lacking or names)[0]!r} has none.")
    editable(pipe).trained(pipe, options.train)
    spaces = {name: pool for name, pool in pools.items() if pool is not None}
    words = protected or [word for pool in spaces.values() for word in pool.names if word not in names]
    also = {name: tuple(synonyms.get(name, ())) if options.synonyms else () for name in names}
    return _run(pipe, spaces, options, resume, previews, words, also)


def _prepare_all(
    pipe: DiffusionPipeline,
    pools: Mapping[str, Candidates],
    options: EraseOptions,
    resume: TrainingState | None,
    synonyms: Mapping[str, tuple[str, ...]],
) -> Iterator[tuple[str, float] | dict[str, LatentCache]]:
    """Yield (concept, share done) while the unedited model draws, then every concept's cache."""
    caches: dict[str, LatentCache] = {}
    for row, (name, pool) in enumerate(pools.items()):
        if resume is not None:
            caches[name] = stored_cache(resume, row, device_of(pipe))
            continue
        drawing = prepare(pipe, name, pool.names, options, synonyms[name])
        while True:
            with advice_when_memory_runs_out(), arithmetic(pipe, options):
                part = next(drawing)
            if isinstance(part, LatentCache):
                caches[name] = part
                break
            yield name, part
    yield caches


@with_gradients
def _run(
    pipe: DiffusionPipeline,
    pools: Mapping[str, Candidates],
    options: EraseOptions,
    resume: TrainingState | None,
    previews: Mapping[str, Sequence[Preview]],
    protected: Sequence[str],
    synonyms: Mapping[str, tuple[str, ...]],
) -> Generator[EraseEvent, None, None]:
    started = time.monotonic()
    caches: dict[str, LatentCache] = {}
    for progress in _prepare_all(pipe, pools, options, resume, synonyms):
        if isinstance(progress, dict):
            caches = progress
            continue
        name, share = progress
        note = f"drawing what the original model makes of {name} and its neighbours: {share:.0%}"
        elapsed = time.monotonic() - started
        yield EraseEvent(0, options.steps, note, name, candidates=pools[name].names, elapsed_s=elapsed)
    candidates = {name: tuple(pool.names[row] for row in caches[name].kept.tolist()) for name, pool in pools.items()}
    step = done = resume.step if resume else 0
    with advice_when_memory_runs_out():
        quiet = None if options.protect == "none" else protection_of(pipe, list(pools), protected, options)
        training = Training.start(pipe, pools, caches, options, resume, quiet)
        end, _ = _look(pipe, training, candidates, synonyms, options, step)
    loop_started = kept_at = time.monotonic()
    while step < end:
        step += 1
        row = int(torch.randint(len(pools), (1,), generator=training.generator)) if len(pools) > 1 else 0
        concept = list(pools)[row]
        asked: Sequence[Preview] = ()
        pictures: tuple[Image.Image, ...] = ()
        state: TrainingState | None = None
        with advice_when_memory_runs_out():
            weights, loss_erase, loss_preserve = _step(pipe, training, concept, options, step)
            end, left = _look(pipe, training, candidates, synonyms, options, step)
            last = step == end
            if options.preview_every and (step % options.preview_every == 0 or last):
                asked = previews.get(concept) or previews_of_words(concept, candidates[concept], options)
                pictures = draw_previews(pipe, training.student, asked, options)
            now = time.monotonic()
            due = options.checkpoint_every and (step % options.checkpoint_every == 0 or last)
            if due and now - kept_at >= training.seconds_apart:
                state, kept_at = training.state(step), now
        logits = training.selectors[concept].logits.detach()
        probabilities = torch.softmax(logits, -1)
        yield EraseEvent(
            step=step,
            steps=end,
            note="" if last or math.isnan(left) else f"{left:.0%} of the way to the target is left: it goes on",
            concept=concept,
            loss_erase=loss_erase,
            loss_preserve=loss_preserve,
            candidates=candidates[concept],
            logits=tuple(logits.tolist()),
            probabilities=tuple(probabilities.tolist()),
            sampled=tuple(weights.mean(0).tolist()),
            entropy=float(torch.special.entr(probabilities).sum()),
            elapsed_s=now - started,
            remaining_s=(now - loop_started) / (step - done) * (end - step),
            preview_concepts=tuple(preview.concept for preview in asked),
            preview_prompts=tuple(preview.prompt for preview in asked),
            previews=pictures,
            state=state,
            eraser=_eraser(training, options, step) if last else None,
        )


def _step(
    pipe: DiffusionPipeline, training: Training, concept: str, options: EraseOptions, step: int
) -> tuple[Tensor, float, float]:
    """One descent of the student and, when it is due, one ascent of pi; the drawn weights (B, n) and both losses.

    The losses are read last, and both at once: until then nothing has the CPU wait for the device.
    """
    student, selector, generator = training.student, training.selectors[concept], training.generator
    cache, (each, _) = training.caches[concept], passes(pipe, options)
    weights = selector.draw(options.batch, generator)
    terms = torch.zeros(2, device=device_of(pipe))
    with arithmetic(pipe, options):
        batch = draw_batch(pipe, cache, weights, options, generator, student)
    if concept in training.adversaries:
        with in_float32(family_of(pipe).denoiser(pipe)):
            attacked = training.adversaries[concept].attack(pipe, student, batch, training.rows_of(2))
        batch = replace(batch, attacked=attacked)
    with arithmetic(pipe, options):
        for part, share in batch.parts(training.rows_of(each)):
            erasing, preserving = losses(pipe, student, part, part.target, options)
            training.descend(share * (erasing + options.preserve_weight * preserving))
            terms += share * torch.stack([erasing.detach(), preserving.detach()])
    training.update(options.lr_at(step))
    if selector.learns and step % options.pi_every == 0:

        def batch_of(weights: Tensor) -> Batch:
            with arithmetic(pipe, options):
                return draw_batch(pipe, cache, weights.detach(), options, generator, student, for_pi=True)

        def inner_objective(weights: Tensor) -> Tensor:
            """Linear in the drawn weights, with the gradient of what pi climbs."""
            batch = batch_of(weights)
            return (batch.mix(weights.to(device_of(pipe))) * _pi_gradient(pipe, training, batch, options)).sum()

        if step <= options.settle * options.steps:
            selector.update(inner_objective, options.pi_batch, generator)
        else:  # drawn all the same: where the target would not have changed anyway, the run ends in the same bits
            batch_of(selector.explore(options.pi_batch, generator))
    loss_erase, loss_preserve = terms.tolist()
    if not math.isfinite(loss_erase + options.preserve_weight * loss_preserve):
        raise RunFailed(f"The training diverged at step {step}: lower the learning rate (now {options.lr:g}).")
    return weights, loss_erase, loss_preserve


def _pi_gradient(pipe: DiffusionPipeline, training: Training, batch: Batch, options: EraseOptions) -> Tensor:
    """`inner_gradient` at the batch's own targets, in float32; (B, L, D)."""
    _, each = passes(pipe, options)
    at_once = 0 if options.normalise_terms else training.rows_of(each)  # terms are normalised over the whole batch
    with in_float32(family_of(pipe).denoiser(pipe)):
        gradients = [
            share * inner_gradient(pipe, training.student, part, part.target, options)
            for part, share in batch.parts(at_once)
        ]
    return torch.cat(gradients)


def _look(
    pipe: DiffusionPipeline,
    training: Training,
    candidates: Mapping[str, Sequence[str]],
    synonyms: Mapping[str, Sequence[str]],
    options: EraseOptions,
    step: int,
) -> tuple[int, float]:
    """The last step of a run that has done `step` of them, as far as it knows; what is left, where it looked, or nan.

    Where it goes on, it erases the concept in all prompts in which it looked. A run that is resumed here sees the same.
    """
    if not options.most_left:
        return options.steps, math.nan
    end = options.end_after(step - 1)
    if step < end or step >= 2 * options.steps:
        return end, math.nan
    wide = {
        name: widened(pipe, cache, name, candidates[name], synonyms[name], options)
        for name, cache in training.caches.items()
    }
    left = max(_share_left(pipe, training, name, cache, options) for name, cache in wide.items())
    if left <= options.most_left:
        return step, left
    training.caches.update(wide)
    return options.end_after(step), left


def _share_left(
    pipe: DiffusionPipeline, training: Training, concept: str, cache: LatentCache, options: EraseOptions
) -> float:
    """`share_left` of one concept in the template where most is, on all its pictures, by draws of its own."""
    generator, rows = torch.Generator().manual_seed(options.seed), len(cache.z_erased)
    z, t = noised(pipe, cache.z_erased, generator)
    weights = training.selectors[concept].draw(rows, generator).to(z.device)
    goals = [cache.empty.expand(rows, -1, -1)] * len(cache.candidate_embeds)
    if options.erase_to == "target":
        goals = [mixture(weights, embeds) for embeds in cache.candidate_embeds]
    with arithmetic(pipe, options):
        return max(
            share_left(pipe, training.student, z, t, own.expand_as(goal), goal, options.negative_guidance)
            for own, goal in zip(cache.erased, goals, strict=False)  # the concept's own states come before synonyms'
        )


def _eraser(training: Training, options: EraseOptions, steps: int) -> Eraser:
    names = list(training.caches)
    info = {
        "concept": names[0],
        "concepts": names,
        "target": options.fixed_target if SELECTORS[options.target].takes_word else options.target,
        "options": asdict(options) | {"rows_at_once": training.rows_at_once},
        "train": options.train,
        "steps": steps,
        "seed": options.seed,
    }
    return Eraser(training.student.delta(), info, training.student.lora())
