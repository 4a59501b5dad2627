"""Erase by any method of the table."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from diffusers import DiffusionPipeline

from age_core.concepts.candidates import Candidates, Vocabulary
from age_core.concepts.concept_set import Concept, ConceptSet
from age_core.erasure.closed_form.methods import closed_form
from age_core.erasure.events import EraseEvent, TrainingState
from age_core.erasure.look_ahead import best_target, look_ahead, with_prior
from age_core.erasure.loop import erase
from age_core.erasure.methods import METHODS, find_method, method_options
from age_core.erasure.options import EraseOptions
from age_core.erasure.previews import previews_around
from age_core.erasure.selectors import SELECTORS
from age_core.erasure.target_words import POOL, POOLS, banned, check_target, fixed_word, neighbours, resolve
from age_core.erasure.torch_modes import advice_when_memory_runs_out, with_gradients
from age_core.errors import AgeError
from age_core.models.families import editable


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to erase and how, read and checked once; a run is recorded from it and carried out by it."""

    method: str
    concepts: tuple[Concept, ...]
    options: EraseOptions
    target: str | None  # a word of the caller's own; None: the method chooses
    pool: int
    arguments: Mapping[str, Any]  # preset, target, pool and changed options, to plan the same again


def plan(
    method: str,
    names: str | Sequence[str],
    concepts: ConceptSet,
    preset: str = "balanced",
    target: str | None = None,
    pool: int | None = None,
    **changes: Any,
) -> Request:
    """What `erase_by` with these arguments erases, each concept once, and how. Raises AgeError on what it cannot do.

    pool: candidates of a target, by default the preset's own or POOL.
    """
    if target is not None and find_method(method).word is None:
        fixed = ", ".join(name for name, entry in METHODS.items() if entry.word)
        raise AgeError(f"The method {method!r} chooses its target itself; a word of your own goes with {fixed}.")
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise AgeError("The concept to erase is empty: name one.")
    erased = tuple({concept.name: concept for concept in (resolve(concepts, name) for name in names)}.values())
    for concept in erased:
        check_target(concept, target, find_method(method).word)
    changes = {name: value for name, value in changes.items() if value is not None}
    pool = POOLS.get(preset, POOL) if pool is None else pool
    arguments = {"preset": preset, "target": target, "pool": pool, **changes}
    if concepts.erase_templates:
        changes.setdefault("templates", concepts.erase_templates)
    options = method_options(method, preset, **changes)
    if options.protect != "none" and "protect_in" not in changes:  # a word is spared in the prompts that it is asked in
        options = replace(options, protect_in=(concepts.template,))
    return Request(method=method, concepts=erased, options=options, target=target, pool=pool, arguments=arguments)


def candidates_for(
    pipe: DiffusionPipeline, method: str, erased: Sequence[Concept], concepts: ConceptSet, pool: int = POOL
) -> dict[str, Candidates]:
    """The search space of each erased concept, as the method takes it."""
    if find_method(method).published_space:
        vocabulary = Vocabulary.of(concepts.names)
        return {concept.name: vocabulary.near_as_published(pipe, concept.name, pool) for concept in erased}
    return {concept.name: neighbours(pipe, concept, concepts, pool, erased) for concept in erased}


def erase_by(
    pipe: DiffusionPipeline,
    method: str,
    names: str | Sequence[str],
    concepts: ConceptSet,
    preset: str = "balanced",
    target: str | None = None,
    pool: int | None = None,
    resume: TrainingState | None = None,
    **changes: object,
) -> Generator[EraseEvent, None, None]:
    """Erase by a named method; the last event carries the Eraser. Bad input raises AgeError before the first event.

    names: concepts, synonyms or general words of `concepts`. target: a word of the caller's own for methods with a
    fixed target ("" is the empty prompt). pool: candidates, by default the preset's own or POOL. changes: fields of
    EraseOptions. With several concepts, each fixed target is the same word, and gradient methods must be given it or
    use "empty".
    """
    return carry_out(pipe, plan(method, names, concepts, preset, target, pool, **changes), concepts, resume)


def carry_out(
    pipe: DiffusionPipeline, request: Request, concepts: ConceptSet, resume: TrainingState | None = None
) -> Generator[EraseEvent, None, None]:
    """The same of a request that is planned already."""
    family = editable(pipe)
    method, target, options = find_method(request.method), request.target, request.options
    names, gone = [concept.name for concept in request.concepts], banned(request.concepts)
    others = [name for name in concepts.names if name not in gone]  # who is to be preserved

    def pools() -> dict[str, Candidates]:
        return candidates_for(pipe, request.method, request.concepts, concepts, request.pool)

    around: dict[str, Any] = {"protected": others, "synonyms": {c.name: c.synonyms for c in request.concepts}}
    if options.preview_every and method.kind == "gradient":
        around["previews"] = {c.name: previews_around(pipe, c, concepts) for c in request.concepts}
    if resume is None and (method.prior or (method.word == "look-ahead" and target is None and len(names) == 1)):
        family.trained(pipe, options.train)  # an empty selection is refused now, not in half a minute
        return _look_and_erase(pipe, pools(), options, concepts, around)
    if method.word is None:
        return erase(pipe, names, pools(), options, resume, **around)
    if target is None:
        words = {
            concept.name: fixed_word(pipe, method.word, concept, concepts, request.pool, request.concepts, options.seed)
            for concept in request.concepts
        }
    else:
        words = dict.fromkeys(names, target)
    if method.kind == "closed":
        return _closed(pipe, request.method, words, others)
    if len(set(words.values())) > 1:
        raise AgeError("Several concepts share one fixed target: name it, or choose 'empty'.")
    space = pools() if options.preserve == "neighbours" else {}
    return erase(pipe, names, space, replace(options, fixed_target=words[names[0]]), resume, **around)


@with_gradients
def _look_and_erase(
    pipe: DiffusionPipeline,
    pools: Mapping[str, Candidates],
    options: EraseOptions,
    concepts: ConceptSet,
    around: Mapping[str, Any],
) -> Generator[EraseEvent, None, None]:
    """Try every candidate in closed form, with events that say how far it is, then erase from where it points.

    around: what `erase` is to know of other words.
    """
    started = time.monotonic()
    with_priors: dict[str, Candidates] = {}
    with advice_when_memory_runs_out():
        for name, candidates in pools.items():
            for part in look_ahead(pipe, name, candidates, concepts):
                if isinstance(part, int):
                    note = f"looking ahead: {part} of {len(candidates)} targets tried on {name}"
                    elapsed = time.monotonic() - started
                    yield EraseEvent(0, options.steps, note, name, candidates=candidates.names, elapsed_s=elapsed)
                else:
                    with_priors[name], best = with_prior(candidates, part, options.prior_strength), best_target(part)
    if SELECTORS[options.target].takes_word:
        options = replace(options, fixed_target=best)
    before = time.monotonic() - started
    with closing(erase(pipe, list(with_priors), with_priors, options, **around)) as events:
        for event in events:
            yield replace(event, elapsed_s=event.elapsed_s + before)


@with_gradients
def _closed(
    pipe: DiffusionPipeline, method: str, words: Mapping[str, str], preserve: Sequence[str]
) -> Generator[EraseEvent, None, None]:
    started = time.monotonic()
    with advice_when_memory_runs_out():
        eraser = closed_form(pipe, method, words, preserve)
    concept, elapsed = next(iter(words)), time.monotonic() - started
    candidates = (words[concept],)
    yield EraseEvent(
        1,
        1,
        concept=concept,
        candidates=candidates,
        logits=(0.0,),
        probabilities=(1.0,),
        sampled=(1.0,),
        entropy=0.0,
        elapsed_s=elapsed,
        remaining_s=0.0,
        eraser=eraser,
    )
