"""What is near an erased concept: its candidates, the search space C; and whom to watch for damage."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from diffusers import DiffusionPipeline

from age_core.concepts.concept_set import Concept, ConceptSet
from age_core.errors import AgeError
from age_core.models.families import embed_concepts, encode_text, reading, token_states

NEAR, FAR = 20, 20  # whom to watch unless said otherwise


@dataclass(frozen=True)
class Candidates:
    """Possible targets, nearest first, with their distance to the erased concept."""

    names: tuple[str, ...]
    distances: tuple[float, ...]
    prior: tuple[float, ...] = ()  # first logits pi, 1/n each when empty

    def __post_init__(self) -> None:
        if not self.names or len(self.names) != len(self.distances) or len(self.prior) not in (0, len(self.names)):
            raise AgeError("Candidates need at least one name, a distance for each, and a prior for each or none.")

    def __len__(self) -> int:
        return len(self.names)

    def led_by(self, word: str) -> Candidates:
        """The same with `word` as the first, whether or not it is among them; without a prior."""
        others = [(name, d) for name, d in zip(self.names, self.distances, strict=True) if name != word]
        return Candidates((word, *(n for n, _ in others)), (math.nan, *(d for _, d in others)))


# What `_vectors` read last: of which pipeline, how that read, and each word's vector.
_latest: tuple[weakref.ref[DiffusionPipeline], tuple[Any, ...], dict[str, np.ndarray]] | None = None


def _vectors(pipe: DiffusionPipeline, words: Sequence[str]) -> np.ndarray:
    """(n, D) by `embed_concepts`. Words that were all among the latest read for the pipeline are not read again.

    So an erasure, which chooses among all words and preserves all but its own, reads them once: two seconds on a CPU.
    """
    global _latest
    latest, how = _latest, reading(pipe)
    if latest is None or latest[0]() is not pipe or latest[1] != how or not latest[2].keys() >= set(words):
        read = dict(zip(words, embed_concepts(pipe, words), strict=True))
        _latest = latest = weakref.ref(pipe), how, read
    return np.stack([latest[2][word] for word in words])


class Vocabulary:
    """Words that may become targets. Order and duplicates of the input do not matter."""

    def __init__(self, words: Iterable[str]):
        self.words = tuple(dict.fromkeys(word.strip() for word in words if word.strip()))
        if len(self.words) < 2:
            raise AgeError("A vocabulary needs at least two different words.")
        self._read: tuple[weakref.ref[DiffusionPipeline], tuple[Any, ...], np.ndarray] | None = None

    @staticmethod
    @lru_cache(maxsize=8)
    def of(words: tuple[str, ...]) -> Vocabulary:
        """The same one for the same words, which reads them once for a model however often it is asked."""
        return Vocabulary(words)

    def vectors(self, pipe: DiffusionPipeline) -> np.ndarray:
        """A unit vector for each word (see `embed_concepts`), kept for the pipeline that was asked last."""
        how = reading(pipe)
        if self._read is None or self._read[0]() is not pipe or self._read[1] != how:
            self._read = weakref.ref(pipe), how, _vectors(pipe, self.words)
        return self._read[2]

    def near(self, pipe: DiffusionPipeline, concept: str, k: int = 30, exclude: Sequence[str] = ()) -> Candidates:
        """The k words nearest to `concept` by the angle of their mean token states.

        The concept, `exclude` (its synonyms, other erased concepts) and words that share a word with any
        of them ("hot dog" for "dog") are left out: a target that still names the concept erases nothing.
        """
        if not concept.strip():
            raise AgeError("The concept to erase is empty: name one.")
        if k < 1:
            raise AgeError(f"The number of candidates must be at least 1, not {k}.")
        banned = [set(text.lower().split()) for text in (concept, *exclude)]
        rows = [row for row, word in enumerate(self.words) if not any(set(word.lower().split()) & b for b in banned)]
        words = [self.words[row] for row in rows]
        if not words:
            raise AgeError(f"No word is left as a target for {concept!r} after leaving out the concept itself.")
        distance = 1 - self.vectors(pipe)[rows] @ embed_concepts(pipe, [concept])[0]
        order = np.argsort(distance, kind="stable")[:k]
        return Candidates(tuple(words[i] for i in order), tuple(float(distance[i]) for i in order))

    def near_as_published(
        self, pipe: DiffusionPipeline, concept: str, k: int = 100, centres: int = 100, letters_only: bool = False
    ) -> Candidates:
        """The published code's search space (docs/method.md, section B, "Candidates").

        Words by L2 distance of their flattened token states, padding included, the erased concept and its synonyms not
        left out; the k nearest, and where more than `centres` remain, one word for each centre of a k-means on the
        scalar distance. letters_only drops every word that holds something else, a space for instance.
        """
        if k < 1 or centres < 1:
            raise AgeError(f"The numbers of candidates and of centres must be at least 1, not {k} and {centres}.")
        words = [word for word in self.words if word.isalpha() or not letters_only]
        if not words:
            raise AgeError("No word of the vocabulary is made of letters alone.")
        states = token_states(pipe, encode_text(pipe, [concept, *words])).float().flatten(1)
        distance = (states[1:] - states[0]).norm(dim=1).cpu().numpy()
        order = np.argsort(distance, kind="stable")[:k]
        if len(order) > centres:
            from sklearn.cluster import KMeans  # 0.13 s of every start, and only one option needs it

            fitted = KMeans(centres, n_init=1, random_state=0).fit(distance[order, None])
            away = np.abs(distance[order, None] - fitted.cluster_centers_.T)  # (k, centres)
            order = order[sorted(set(away.argmin(axis=0)))]
        return Candidates(tuple(words[i] for i in order), tuple(float(distance[i]) for i in order))


def rank_others(
    pipe: DiffusionPipeline, concepts: ConceptSet, concept: Concept, vectors: np.ndarray | None = None
) -> tuple[str, ...]:
    """The set's other concepts, the nearest in words first, without those that should vanish along with `concept`.

    `vectors` (n, D): those of the set's names, where they are at hand. Unlike `Vocabulary.near` it keeps what shares a
    word: "hot dog" may be no target for "dog", but it is what erasing "dog" hurts most.
    """
    vectors = Vocabulary.of(concepts.names).vectors(pipe) if vectors is None else vectors
    listed = concept.name in concepts.names
    own = vectors[concepts.names.index(concept.name)] if listed else embed_concepts(pipe, [concept.name])[0]
    gone = {word.lower() for word in (concept.name, *concept.synonyms, *concept.labels)}
    order = np.argsort(-(vectors @ own), kind="stable")
    return tuple(concepts.names[row] for row in order if concepts.names[row].lower() not in gone)


def near_and_far(ranked: Sequence[str], near: int = NEAR, far: int = FAR) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Whom to watch for damage: the first `near` of others ranked by nearness, and `far` spread over the rest."""
    rest = ranked[near:]
    count = min(far, len(rest))
    return tuple(ranked[:near]), tuple(rest[place * len(rest) // count] for place in range(count))
