"""Concept sets: look-up by name and synonym, errors that help, and the world's own consistency."""

from __future__ import annotations

import pytest

from age_core import AgeError, ConceptSet
from age_core.concepts import fill


def test_articles():
    assert fill("an emoji of {a_noun}", "owl") == "an emoji of an owl"
    assert fill("{noun}, {a_noun}", "dog") == "dog, a dog"


def test_found_by_name_or_synonym_in_any_case():
    emoji = ConceptSet.load("emoji")
    assert emoji.find("  DOG ").name == "dog"
    assert emoji.find("Puppy").name == "dog"
    assert emoji.prompt("owl") == "an emoji of an owl"


@pytest.mark.parametrize(("text", "words"), [("dgo", "did you mean"), ("", "needed"), ("quantum", "no concept")])
def test_unknown_concepts_are_explained(text, words):
    with pytest.raises(AgeError, match=words):
        ConceptSet.load("emoji").find(text)


def test_unknown_sets_list_the_known():
    with pytest.raises(AgeError, match="emoji"):
        ConceptSet.load("nothing")


def test_the_emoji_world_names_each_thing_once():
    emoji = ConceptSet.load("emoji")
    words = [word for concept in emoji for word in (concept.name, *concept.synonyms)]
    assert len(emoji) >= 190
    assert len(words) == len({word.lower() for word in words})
    assert all(concept.group and concept.general for concept in emoji)
