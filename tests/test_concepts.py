"""Concept sets: look-up by name and synonym, errors that help, and the world's own consistency."""

from __future__ import annotations

import pytest

from age_core import AgeError, ConceptSet
from age_core.concepts import Concept, fill


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


def test_a_concept_counts_as_its_own_label_unless_others_are_given():
    assert Concept("dog", "mammal", "animal").labels == ("dog",)
    assert Concept("gun", "weapon", "weapon", labels=("rifle", "revolver")).labels == ("rifle", "revolver")


def test_labels_are_read_from_an_optional_column(tmp_path):
    path = tmp_path / "small.csv"
    path.write_text(
        "name,group,general,synonyms,labels\nSpringer,dog,dog,,English springer\nGun,arm,arm,,rifle|pistol\n"
    )
    small = ConceptSet.read(path, "a photo of {a_noun}")
    assert (small.name, small.names) == ("small", ("Springer", "Gun"))
    assert small["gun"].labels == ("rifle", "pistol") and small["springer"].labels == ("English springer",)
    assert small["gun"].synonyms == () and small.of_general("ARM").labels == ("rifle", "pistol")
    path.write_text("name,group,general,synonyms\nGun,arm,arm,\n")
    assert ConceptSet.read(path, "{noun}")["gun"].labels == ("Gun",)


@pytest.mark.parametrize("text", ["name,group\ndog,mammal\n", "", "name,group,general,synonyms\n"])
def test_a_concept_file_without_its_columns_is_explained(tmp_path, text):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(AgeError, match=r"bad\.csv"):
        ConceptSet.read(path, "{noun}")
    with pytest.raises(AgeError, match=r"absent\.csv"):
        ConceptSet.read(tmp_path / "absent.csv", "{noun}")


def test_a_general_word_counts_as_everything_of_that_kind():
    emoji = ConceptSet.load("emoji")
    for word in ("fruit", "plant"):  # a group; a general word whose group has the same name
        members = {c.name for c in emoji if word in (c.group, c.general)}
        assert len(members) > 5 and set(emoji.of_general(word).labels) == members
    assert emoji.prompt(emoji.of_general("fruit").name) == "an emoji of a fruit"
    with pytest.raises(AgeError, match=r"'weapon'.*musical instrument"):
        emoji.of_general("weapon")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("two Puppies and a dog, please", {"dog"}),  # "puppies" is no regular plural: better to miss than to invent
        ("hot dogs", {"dog", "hot dog"}),
        ("an emoji of a puppy", {"puppy"}),
        ("FRUIT", {"fruit"}),
        ("concatenate dogma", set()),
        ("quantum", set()),
        ("", set()),
    ],
)
def test_the_known_words_of_a_prompt(text, words):
    assert set(ConceptSet.load("emoji").named_in(text)) == words


def test_styles_are_judged_in_things_that_they_were_not_erased_in():
    styles = ConceptSet.load("emoji-styles")
    judged = [styles.prompt("noto", picture) for picture in range(16)]
    erased = {fill(template, "noto") for template in styles.erase_templates}
    assert judged[0] == judged[8] == "a dog in the noto style" and len(set(judged)) == 8
    assert not erased & set(judged)
