"""Erase by any method of the table."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from diffusers import DiffusionPipeline

from age_core.concepts.candidates import Candidates, Vocabulary
from age_core.concepts.concept_set import Concept, ConceptSet
from age_core.erasure.closed_form.methods import closed_form
from age_core.erasure.events import EraseEvent, TrainingState
from age_core.erasure.look_ahead import best_target, look_ahead, with_prior
from age_core.erasure.loop import erase
from age_core.erasure.methods import METHODS, find_method, method_options
from age_core.erasure.options import EraseOptions
from age_core.erasure.selectors import SELECTORS
from age_core.erasure.target_words import POOL, banned, check_target, fixed_word, neighbours, resolve
from age_core.erasure.torch_modes import with_gradients
from age_core.errors import AgeError
from age_core.models.eraser import trained_parameters


def plan(
    method: str,
    names: str | Sequence[str],
    concepts: ConceptSet,
    preset: str = "balanced",
    target: str | None = None,
    **changes: object,
) -> tuple[list[Concept], EraseOptions]:
    """The concepts that `erase_by` erases, each once, and the options it does so with.

    Raises AgeError on what it cannot do.
    """
    if target is not None and find_method(method).word is None:
        fixed = ", ".join(name for name, entry in METHODS.items() if entry.word)
        raise AgeError(f"The method {method!r} chooses its target itself; a word of your own goes with {fixed}.")
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise AgeError("The concept to erase is empty: name one.")
    erased = list({concept.name: concept for concept in (resolve(concepts, name) for name in names)}.values())
    for concept in erased:
        check_target(concept, target, find_method(method).word)
    if concepts.erase_templates:
        changes.setdefault("templates", concepts.erase_templates)
    return erased, method_options(method, preset, **changes)


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
    pool: int = POOL,
    resume: TrainingState | None = None,
    **changes: object,
) -> Generator[EraseEvent, None, None]:
    """Erase by a named method; the last event carries the Eraser. Bad input raises AgeError before the first event.

    names: concepts, synonyms or general words of `concepts`. target: a word of the caller's own for methods with a
    fixed target ("" is the empty prompt). changes: fields of EraseOptions. With several concepts, each fixed target is
    the same word, and gradient methods must be given it or use "empty".
    """
    chosen = find_method(method)
    erased, options = plan(method, names, concepts, preset, target, **changes)
    names = [concept.name for concept in erased]
    if resume is None and (chosen.prior or (chosen.word == "look-ahead" and target is None and len(names) == 1)):
        trained_parameters(pipe.unet, options.train)  # an empty selection is refused now, not in half a minute
        return _look_and_erase(pipe, candidates_for(pipe, method, erased, concepts, pool), options, concepts)
    if chosen.word is None:
        return erase(pipe, names, candidates_for(pipe, method, erased, concepts, pool), options, resume)
    if target is None:
        words = {c.name: fixed_word(pipe, chosen.word, c, concepts, pool, erased, options.seed) for c in erased}
    else:
        words = dict.fromkeys(names, target)
    if chosen.kind == "closed":
        gone = banned(erased)
        return _closed(pipe, method, words, [name for name in concepts.names if name not in gone])
    if len(set(words.values())) > 1:
        raise AgeError("Several concepts share one fixed target: name it, or choose 'empty'.")
    pools = candidates_for(pipe, method, erased, concepts, pool) if options.preserve == "neighbours" else {}
    return erase(pipe, names, pools, replace(options, fixed_target=words[names[0]]), resume)


@with_gradients
def _look_and_erase(
    pipe: DiffusionPipeline, pools: Mapping[str, Candidates], options: EraseOptions, concepts: ConceptSet
) -> Generator[EraseEvent, None, None]:
    """Try every candidate in closed form, with events that say how far it is, then erase from where it points."""
    started = time.monotonic()
    with_priors: dict[str, Candidates] = {}
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
    with closing(erase(pipe, list(with_priors), with_priors, options)) as events:
        for event in events:
            yield replace(event, elapsed_s=event.elapsed_s + before)


@with_gradients
def _closed(
    pipe: DiffusionPipeline, method: str, words: Mapping[str, str], preserve: Sequence[str]
) -> Generator[EraseEvent, None, None]:
    started = time.monotonic()
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
