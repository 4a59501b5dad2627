"""Who is near an erased concept and who is far: one ranking and one choice for everything that watches damage."""

from __future__ import annotations

import copy
from itertools import pairwise

import numpy as np
import pytest

from age_core import Concept, ConceptSet, Vocabulary
from age_core.concepts import candidates
from age_core.concepts.candidates import FAR, NEAR, near_and_far, rank_others


def test_the_near_come_first_and_the_far_are_spread_over_all_the_rest():
    ranked = [str(row) for row in range(429 + NEAR)]
    near, far = near_and_far(ranked)
    assert near == tuple(ranked[:NEAR]) and len(far) == FAR
    places = [int(name) - NEAR for name in far]
    gaps = {later - earlier for earlier, later in pairwise(places)}
    assert places[0] == 0 and gaps <= {429 // FAR, 429 // FAR + 1} and 429 - places[-1] <= max(gaps)


@pytest.mark.parametrize(("others", "near", "far"), [(0, 0, 0), (15, 15, 0), (25, 20, 5), (40, 20, 20), (50, 20, 20)])
def test_a_small_set_is_watched_whole(others, near, far):
    sides = near_and_far([str(row) for row in range(others)])
    assert [len(side) for side in sides] == [near, far] and len(set(sides[0] + sides[1])) == near + far


def test_others_are_ranked_by_words_without_what_should_vanish(emoji_pipe):
    emoji = ConceptSet.load("emoji")
    ranked = rank_others(emoji_pipe, emoji, emoji["dog"])
    assert len(ranked) == len(set(ranked)) == len(emoji) - 1 and "dog" not in ranked
    assert {"hot dog", "wolf"} <= set(ranked[:NEAR])  # what shares a word is hurt most
    vectors = Vocabulary.of(emoji.names).vectors(emoji_pipe)
    assert rank_others(emoji_pipe, emoji, emoji["dog"], vectors) == ranked


def test_a_kind_is_ranked_by_its_word_and_none_of_its_members_counts(emoji_pipe):
    emoji = ConceptSet.load("emoji")
    fruit = emoji.of_general("fruit")
    ranked = rank_others(emoji_pipe, emoji, fruit)
    assert not set(fruit.labels) & set(ranked) and len(ranked) == len(emoji) - len(fruit.labels)
    puppy = Concept("puppy", "mammal", "animal", labels=("dog",))
    assert "dog" not in rank_others(emoji_pipe, emoji, puppy)


def test_words_are_read_once_by_whoever_asks_for_fewer(tiny_sd, monkeypatch):
    read = []
    real = candidates.embed_concepts
    monkeypatch.setattr(candidates, "embed_concepts", lambda pipe, words: (read.append(words), real(pipe, words))[1])
    words = ("a raft", "a kite", "a barge", "a sled")
    whole = Vocabulary(words).vectors(tiny_sd)
    assert np.array_equal(Vocabulary(words[:0:-1]).vectors(tiny_sd), whole[:0:-1])
    assert read == [words]
    Vocabulary((*words, "a tram")).vectors(tiny_sd)
    assert read == [words, (*words, "a tram")]
    other = copy.copy(tiny_sd)  # another pipeline is read anew, whatever it shares
    Vocabulary(words).vectors(other)
    assert len(read) == 3
