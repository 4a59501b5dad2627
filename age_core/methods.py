"""The table of named methods, and one function that erases by any of them."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from diffusers import DiffusionPipeline

from age_core.closed_form import closed_form
from age_core.concepts import Concept, ConceptSet
from age_core.erasure import erase
from age_core.errors import AgeError
from age_core.events import EraseEvent, TrainingState
from age_core.lookahead import best_target, look_ahead, with_prior
from age_core.options import EraseOptions, make_options
from age_core.vocabulary import Candidates, Vocabulary
from age_core.weights import trained_parameters
from age_core.words import POOL, WordKind, banned, fixed_word, neighbours, resolve


@dataclass(frozen=True)
class Method:
    """One named way to erase. `changes` are options on top of the defaults; a preset and the caller come after them."""

    label: str
    about: str  # one sentence, with its source
    kind: Literal["gradient", "closed"] = "gradient"
    word: WordKind | None = None  # how the fixed target is chosen where the caller names none
    prior: bool = False  # whether a look-ahead sets the first logits
    published_space: bool = False  # candidates as the published code takes them
    changes: Mapping[str, Any] = field(default_factory=dict)


_ESD = {"target": "fixed", "preserve": "none", "negative_guidance": 1.0, "latents": "student", "templates": ("{noun}",)}
_BARE = {"templates": ("{noun}",), "exclude_alike": 0.0, "preserve": "target"}


def _fixed(word: WordKind, about: str) -> Method:
    return Method(f"fixed target: {word}", about, word=word, changes={"target": "fixed"})


METHODS: dict[str, Method] = {
    "age": Method(
        "AGE",
        "The default: adaptive target by minimax from where a look-ahead points, any neighbour preserved.",
        prior=True,
        changes={"committed": True},
    ),
    "age-even": Method("AGE from even logits", "The default without its look-ahead, each picture's target drawn."),
    "age-paper": Method(
        "AGE, as published",
        "The published equation: eta 0, both terms differentiated through a soft mixture, the student's own latents.",
        changes=_BARE
        | {"gain": "both", "relaxation": "soft", "pi_temperature": 0.5, "latents": "student", "pi_every": 1},
    ),
    "age-paper-code": Method(
        "AGE, as coded",
        "What the published code computes: eta 1, errors weighed by 1/SNR, an offset between z and its timestep, and a "
        "gradient of pi from the preserving term's student side alone.",
        published_space=True,
        changes=_BARE
        | {"gain": "student", "negative_guidance": 1.0, "weighting": "x0", "latents": "student"}
        | {"legacy_offset": True, "pi_every": 1, "pi_temperature": 0.1},
    ),
    "look-ahead": _fixed("look-ahead", "The one candidate whose closed-form trial erases most for its damage."),
    "random": Method(
        "random neighbour", "A uniform draw each time: what adaptive must beat.", changes={"target": "random"}
    ),
    "synonym": _fixed("synonym", "The concept's first synonym."),
    "in-class": _fixed("in-class", "The nearest concept of the same group."),
    "general": _fixed("general", "The general word for the concept."),
    "unrelated": _fixed("unrelated", "A concept of another group, drawn by the seed from the farther half."),
    "empty": _fixed("empty", "The empty prompt."),
    "nearest": _fixed("nearest", "The nearest candidate."),
    "random-word": _fixed("random-word", "One word of the vocabulary, drawn by the seed."),
    "esd-x": Method("ESD-x", "Away from the concept; keeps nothing (arXiv 2303.07345).", word="empty", changes=_ESD),
    "esd-u": Method(
        "ESD-u", "ESD on everything but cross-attention.", word="empty", changes=_ESD | {"train": "noxattn"}
    ),
    "naive": Method(
        "ESD with a target",
        "ESD-x with a chosen target, and 0.1 times the empty prompt preserved at the same latents: how the paper's "
        "graph was made.",
        word="empty",
        changes=_ESD | {"preserve": "empty", "preserve_weight": 0.1},
    ),
    "ca": Method(
        "CA",
        "Concept ablation: the concept's prediction is the anchor's, on the anchor's pictures (arXiv 2303.13516).",
        word="general",
        changes={"target": "fixed", "preserve": "none", "latents_of": "target", "candidate_samples": 16},
    ),
    "ap": Method(
        "AP",
        "To the empty prompt, preserving an adversarially chosen concept (arXiv 2410.15618).",
        changes={"erase_to": "empty", "gain": "preserve", "preserve": "target"},
    ),
    "uce": Method("UCE", "Closed form on keys and values (arXiv 2308.14761).", "closed", "empty"),
    "rece": Method("RECE", "UCE, then what would revive the concept, in turn (arXiv 2407.12383).", "closed", "empty"),
    "speed": Method("SPEED", "An edit in the null space of what is preserved (arXiv 2503.07392).", "closed", "empty"),
    "oce": Method("OCE", "An orthogonal rotation of the values (arXiv 2605.28902).", "closed", "empty"),
    "adavd": Method("AdaVD", "The concept's share is taken out of each value (arXiv 2412.06143).", "closed", "empty"),
}


def find_method(name: str) -> Method:
    """The method of that name. Raises AgeError listing the names there are."""
    if name not in METHODS:
        raise AgeError(f"There is no method {name!r}; choose one of {', '.join(METHODS)}.")
    return METHODS[name]


def method_label(name: str, target: str | None = None) -> str:
    """What people call a method; with the caller's own target word, where it was given one."""
    label = find_method(name).label
    if target is None:
        return label
    word = target or "empty"
    return f"fixed target: {word}" if label.startswith("fixed target") else f"{label} to {word}"


def method_options(name: str, preset: str = "balanced", **changes: object) -> EraseOptions:
    """The options of a method under a preset; `changes` that are not None come last. Raises AgeError on bad ones."""
    options = make_options(preset, find_method(name).changes, changes)
    options.check()
    return options


def plan(
    method: str,
    concepts: str | Sequence[str],
    world: ConceptSet,
    preset: str = "balanced",
    target: str | None = None,
    **changes: object,
) -> tuple[list[Concept], EraseOptions]:
    """The concepts that `erase_by` erases and the options it does so with. Raises AgeError on what it cannot do."""
    if target is not None and find_method(method).word is None:
        fixed = ", ".join(name for name, entry in METHODS.items() if entry.word)
        raise AgeError(f"The method {method!r} chooses its target itself; a word of your own goes with {fixed}.")
    names = [concepts] if isinstance(concepts, str) else list(concepts)
    if not names:
        raise AgeError("The concept to erase is empty: name one.")
    erased = [resolve(world, name) for name in names]
    if world.erase_templates:
        changes.setdefault("templates", world.erase_templates)
    return erased, method_options(method, preset, **changes)


def candidates_for(
    pipe: DiffusionPipeline, method: str, erased: Sequence[Concept], world: ConceptSet, pool: int = POOL
) -> dict[str, Candidates]:
    """The search space of each erased concept, as the method takes it."""
    if find_method(method).published_space:
        vocabulary = Vocabulary(world.names)
        return {concept.name: vocabulary.near_as_published(pipe, concept.name, pool) for concept in erased}
    return {concept.name: neighbours(pipe, concept, world, pool, erased) for concept in erased}


def erase_by(
    pipe: DiffusionPipeline,
    method: str,
    concepts: str | Sequence[str],
    world: ConceptSet,
    preset: str = "balanced",
    target: str | None = None,
    pool: int = POOL,
    resume: TrainingState | None = None,
    **changes: object,
) -> Generator[EraseEvent, None, None]:
    """Erase by a named method; the last event carries the Eraser. Bad input raises AgeError before the first event.

    concepts: names, synonyms or general words of `world`. target: a word of the caller's own for methods with a fixed
    target ("" is the empty prompt). changes: fields of EraseOptions. With several concepts, each fixed target is the
    same word, and gradient methods must be given it or use "empty".
    """
    chosen = find_method(method)
    erased, options = plan(method, concepts, world, preset, target, **changes)
    names = [concept.name for concept in erased]
    if resume is None and (chosen.prior or (chosen.word == "look-ahead" and target is None and len(names) == 1)):
        trained_parameters(pipe.unet, options.train)  # an empty selection is refused now, not in half a minute
        return _look_and_erase(pipe, candidates_for(pipe, method, erased, world, pool), options, world)
    if chosen.word is None:
        return erase(pipe, names, candidates_for(pipe, method, erased, world, pool), options, resume)
    if target is None:
        words = {c.name: fixed_word(pipe, chosen.word, c, world, pool, erased, options.seed) for c in erased}
    else:
        words = dict.fromkeys(names, target)
    if chosen.kind == "closed":
        gone = banned(erased)
        return _closed(pipe, method, words, [name for name in world.names if name not in gone])
    if len(set(words.values())) > 1:
        raise AgeError("Several concepts share one fixed target: name it, or choose 'empty'.")
    pools = candidates_for(pipe, method, erased, world, pool) if options.preserve == "neighbours" else {}
    return erase(pipe, names, pools, replace(options, fixed_target=words[names[0]]), resume)


def _look_and_erase(
    pipe: DiffusionPipeline, pools: Mapping[str, Candidates], options: EraseOptions, world: ConceptSet
) -> Generator[EraseEvent, None, None]:
    """Try every candidate in closed form, tell how far it is, then erase from what was found."""
    started = time.monotonic()
    found: dict[str, Candidates] = {}
    for name, candidates in pools.items():
        for part in look_ahead(pipe, name, candidates, world):
            if isinstance(part, int):
                note = f"looking ahead: {part} of {len(candidates)} targets tried on {name}"
                elapsed = time.monotonic() - started
                yield EraseEvent(0, options.steps, note, name, candidates=candidates.names, elapsed_s=elapsed)
            else:
                found[name], best = with_prior(candidates, part, options.prior_strength), best_target(part)
    if options.target == "fixed":
        options = replace(options, fixed_target=best)
    before = time.monotonic() - started
    with closing(erase(pipe, list(found), found, options)) as events:
        for event in events:
            yield replace(event, elapsed_s=event.elapsed_s + before)


def _closed(
    pipe: DiffusionPipeline, method: str, words: Mapping[str, str], preserve: Sequence[str]
) -> Generator[EraseEvent, None, None]:
    started = time.monotonic()
    eraser = closed_form(pipe, method, words, preserve)
    concept, elapsed = next(iter(words)), time.monotonic() - started
    candidates = (words[concept],)
    yield EraseEvent(
        1, 1, concept=concept, candidates=candidates, logits=(0.0,), shares=(1.0,), used=(1.0,), entropy=0.0,
        elapsed_s=elapsed, remaining_s=0.0, eraser=eraser,
    )  # fmt: skip
