"""Which words may be erased and erased to: what a concept set says of them, and the kinds of fixed targets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from diffusers import DiffusionPipeline

from age_core.concepts.candidates import Candidates, Vocabulary
from age_core.concepts.concept_set import Concept, ConceptSet
from age_core.erasure.look_ahead import best_target, look_ahead
from age_core.erasure.methods import WordKind
from age_core.erasure.noise_distance import noise_distances
from age_core.errors import AgeError
from age_core.models.families import TOKENIZING
from age_core.validation import word_key

POOL = 30  # candidates of a target unless said otherwise
# The paper's presets bring its own (docs/method.md, section B); of a style's 1000 a k-means leaves 100.
POOLS = {"paper-object": 100, "paper-style": 1000, "paper-attribute": 100}


def resolve(concepts: ConceptSet, text: str) -> Concept:
    """The concept that `text` names; a kind or group ("fruit") counts as one that shows wherever a member does."""
    try:
        return concepts.find(text)
    except AgeError as unknown:
        try:
            return concepts.of_general(text)
        except AgeError:
            raise unknown from None


def banned(erased: Sequence[Concept]) -> tuple[str, ...]:
    """Words that would keep an erased concept alive as a target: every erased one, its synonyms and its members."""
    return tuple(word for concept in erased for word in (concept.name, *concept.synonyms, *concept.labels))


def check_target(concept: Concept, target: str | None, kind: WordKind | None) -> None:
    """Raise AgeError on a target that is the concept itself or means the same: nothing would be erased.

    kind: of the method's own fixed target; "synonym" is there to show how little a synonym does.
    """
    word = (target or "").strip()
    same = (concept.name, *(() if kind == "synonym" else concept.synonyms))
    if word and word_key(word) in map(word_key, same):
        raise AgeError(f"{word!r} is {concept.name!r} itself and cannot be its own target: choose another.")


def neighbours(
    pipe: DiffusionPipeline, concept: Concept, concepts: ConceptSet, k: int = POOL, erased: Sequence[Concept] = ()
) -> Candidates:
    """The k concepts nearest to `concept` that may be its target when `erased` (itself, when left out) vanish."""
    return Vocabulary.of(concepts.names).near(pipe, concept.name, k, exclude=banned(erased or [concept]))


def outside(pipe: DiffusionPipeline, prompt: str, concepts: ConceptSet) -> str:
    """What to know of a prompt that leaves `concepts`, the world that a model was trained on; "" when nothing is."""
    limit = pipe.tokenizer.model_max_length
    text = ""
    if not prompt.strip():
        text = "The prompt is empty: this is what the model draws when it is asked for nothing."
    elif not concepts.named_in(prompt):
        near = Vocabulary.of(concepts.names).near(pipe, prompt, 3).names
        text = (
            f"Outside this model's world: the prompt names none of its {len(concepts)} concepts, so that it draws a "
            f"blend of what it knows. Nearest in meaning: {', '.join(near)}."
        )
    with TOKENIZING:
        pieces = len(pipe.tokenizer(prompt).input_ids)
    if pieces > limit:
        text += f" The prompt is long: the model reads its first {limit} word pieces and no more."
    return text.strip()


def fixed_word(
    pipe: DiffusionPipeline,
    kind: WordKind,
    concept: Concept,
    concepts: ConceptSet,
    pool: int = POOL,
    erased: Sequence[Concept] = (),
    seed: int = 0,
) -> str:
    """The target word of a kind (docs/method.md, section A): the one that its set names, else as the kind says.

    `pool` and `erased` as for `neighbours`. Raises AgeError where the concept has none.
    """
    if kind in concept.targets:
        return concept.targets[kind]
    rng = np.random.default_rng(seed)
    if kind == "empty":
        return ""
    if kind == "random-word":
        return str(rng.choice([name for name in concepts.names if name != concept.name]))
    if kind == "general":
        if concept.general.lower() == concept.name.lower():
            raise AgeError(f"{concept.name!r} is a general word itself: choose another kind of target.")
        return concept.general
    if kind == "synonym":
        if not concept.synonyms:
            raise AgeError(
                f"{concept.name!r} has no synonym in the {concepts.name} set: choose another kind of target."
            )
        return concept.synonyms[0]
    if kind == "nearest":
        return neighbours(pipe, concept, concepts, pool, erased).names[0]
    if kind == "lacu":
        words = neighbours(pipe, concept, concepts, pool, erased).names
        return words[int(noise_distances(pipe, concept.name, words, seed).argmin())]
    if kind == "look-ahead":
        candidates = neighbours(pipe, concept, concepts, pool, erased)
        *_, table = look_ahead(pipe, concept.name, candidates, concepts)
        assert isinstance(table, pd.DataFrame)  # what it ends with
        return best_target(table)
    everyone = neighbours(pipe, concept, concepts, len(concepts), erased).names
    if kind == "in-class":
        same = [name for name in everyone if concepts[name].group == concept.group]
        if not same:
            raise AgeError(f"{concept.name!r} is alone in its group: choose another kind of target.")
        return same[0]
    far = [name for name in everyone[len(everyone) // 2 :] if concepts[name].group != concept.group]
    return str(rng.choice(far or [everyone[-1]]))
