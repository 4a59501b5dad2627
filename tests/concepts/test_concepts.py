"""Concept sets: look-up by name and synonym, errors that help, and the world's own consistency."""

from __future__ import annotations

import json

import pytest

from age_core import AgeError, ConceptSet
from age_core.concepts.articles import by_letter, by_sound
from age_core.concepts.captions import article_of
from age_core.concepts.concept_set import TEMPLATES, Concept, fill, vocabulary_hash
from age_core.emoji.captions import caption
from age_core.runs import untrusted

EMOJI = TEMPLATES["emoji"]


def test_articles():
    assert fill("an emoji of {a_noun}", "owl") == "an emoji of an owl"
    assert fill("{noun}, {a_noun}", "dog") == "dog, a dog"
    assert fill("a picture of {a_noun}", "scissors") == "a picture of scissors"


@pytest.mark.parametrize(
    ("article", "nouns"),
    [
        ("a", "unicorn|ukulele|European|UFO|one-eyed cat|uniform|utensil|ewe|NASA rocket|U-turn|T-shirt|bus|glass"),
        ("a", "Golden Retriever|Picasso|princess|lens|tennis ball|xylophone|DOG|1,000-piece puzzle|東京|🦉"),
        ("an", "hour|honest person|heir|X-ray|x-ray|8-ball|18-wheeler|11|FBI agent|HTML page|éclair|'owl'|OWL"),
        ("an", "unidentified flying object|unimpressed face|umbrella|usher|hourglass|octopus|onerous task"),
        ("", "scissors|jeans|french fries|glasses|water|people|Van Gogh|Vincent van Gogh|J. M. W. Turner"),
        ("", "Kelly McKernan|the Eiffel Tower|two dogs|a dog|"),
    ],
)
def test_the_article_goes_by_sound(article, nouns):
    assert {noun: by_sound(noun) for noun in nouns.split("|")} == dict.fromkeys(nouns.split("|"), article)


def test_prompts_of_the_emoji_world_are_those_that_its_model_was_trained_with():
    for name in ("emoji", "emoji-netfive", "emoji-attributes"):
        concepts = ConceptSet.load(name)
        for concept in concepts:
            for word in (concept.name, *concept.synonyms):
                article = "an" if word[0].lower() in "aeiou" else "a"
                assert concepts.prompt(word) == f"an emoji of {article} {word}" == caption(word, EMOJI, "")
    assert ConceptSet.load("emoji").prompt("unicorn") == "an emoji of an unicorn"
    assert vocabulary_hash(ConceptSet.load("emoji")) == "e530c77171b7638c"  # of the recorded world


def test_a_model_is_asked_with_the_articles_that_it_was_trained_with(emoji_pipe, tiny_sd):
    assert article_of(emoji_pipe) is by_letter and article_of(tiny_sd) is by_sound


def test_found_by_name_or_synonym_in_any_case():
    emoji = ConceptSet.load("emoji")
    assert emoji.find("  DOG ").name == "dog"
    assert emoji.find("Puppy").name == "dog"
    assert emoji.prompt("owl") == "an emoji of an owl"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dgo", "did you mean"),
        ("", "needed"),
        ("\u200b", "needed"),
        ("quantum", "no concept"),
        ("dog, cat", "given one by one, such as 'dog' and 'cat'"),
        ("dog; cat", "given one by one"),
        ("dog and cat", "given one by one"),
    ],
)
def test_unknown_concepts_are_explained(text, words):
    with pytest.raises(AgeError, match=words):
        ConceptSet.load("emoji").find(text)


def test_an_unknown_concept_is_told_one_of_the_sets_own():
    with pytest.raises(AgeError, match="it knows 7 concepts, such as 'noto'"):
        ConceptSet.load("emoji-styles").find("quantum")


@pytest.mark.parametrize("name", ["nothing", "/tmp/server/nothing", "/tmp/server/nothing.xlsx"])
def test_unknown_sets_list_the_known_and_no_folder(name):
    with pytest.raises(AgeError, match=r"named 'nothing(\.xlsx)?'; choose one of emoji, ") as refused:
        ConceptSet.load(name)
    assert "server" not in str(refused.value)


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


GOOD = "name,group,general,synonyms\n"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("dog,mammal,animal,\n,mammal,animal,\n", "line 3: the field 'name' is empty"),
        ("dog,mammal,animal,\nDog,x,y,\n", "line 3: 'dog' is in line 2 already"),
        ("dog,mammal,animal,hound\nhound,x,y,\n", "line 3: 'hound' is in line 2 already"),
        ("dog,mammal,animal,,more\n", "line 2: there are more fields than columns"),
        ("dog,mammal\n", "line 2: there are fewer fields"),
        ("dog" * 50 + ",mammal,animal,\n", "line 2: 'dogdog.*longer than 100"),
        ("dog\x07,mammal,animal,\n", "line 2: .*cannot be printed"),
        (",a,b,\n" * 9, "line 6: the field 'name' is empty; and 4 more"),
        ("dog,a,b,,\ncat,a,b,,more\n", "line 3: there are more fields than columns that have a name"),
        ("\ndog,a,b,\n\n,a,b,\n", "line 5: the field 'name' is empty"),
        ('"hot\ndog",a,b,\n,a,b,\n', "line 2: a field holds a line break; line 4: the field 'name'"),
        ("hot_x000D_dog,a,b,\n", "line 2: a field holds a line break"),
        ('dog,a,b,\n"cat,a,b,\nfox,a,b,\n', "line 3: unexpected end"),
        ("\u202edog,a,b,\n", "line 2: .*cannot be printed"),
        ("caf\u00e9,a,b,\ncafe\u0301,a,b,\n", "line 3: 'café' is in line 2 already"),
        ("dog,a,b,\nｄｏｇ,a,b,\n", "line 3: 'ｄｏｇ' is in line 2 already"),
    ],
)
def test_every_bad_row_of_a_file_is_named(tmp_path, rows, words):
    path = tmp_path / "own.csv"
    path.write_text(GOOD + rows, encoding="utf-8")
    with pytest.raises(AgeError, match=rf"own\.csv.*{words}"):
        ConceptSet.load(str(path))


def test_a_file_of_ones_own_is_loaded_by_its_path_whatever_wrote_it(tmp_path):
    path = tmp_path / "own.csv"
    path.write_bytes(b"\xef\xbb\xbf" + (GOOD + " dog ,mammal,animal, hound | puppy \r\n").encode())
    own = ConceptSet.load(str(path))
    assert own["dog"].synonyms == ("hound", "puppy") and own.prompt("dog") == "a picture of a dog"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AgeError, match="no CSV file in UTF-8"):
        ConceptSet.load(str(path))
    path.write_bytes((GOOD + "dog,a,b,\ncafé,a,b,\n").encode("cp1252"))
    with pytest.raises(AgeError, match=r"line 3 holds letters in another encoding.*save it as 'CSV UTF-8'"):
        ConceptSet.load(str(path))
    path.write_bytes(b"PK\x03\x04\x14\x00\x06\x00")
    with pytest.raises(AgeError, match="as spreadsheets"):
        ConceptSet.load(str(path))
    path.write_text("name|group|general|synonyms\n")
    with pytest.raises(AgeError, match=r"it begins with 'name\|group"):
        ConceptSet.load(str(path))
    path.write_text("name,Name,group,general,synonyms\n")
    with pytest.raises(AgeError, match="has the column 'name' twice"):
        ConceptSet.load(str(path))


TWO = [("hot dog", "meal", ("frank",)), ("cat", "animal", ())]


@pytest.mark.parametrize(
    "text",
    [
        "name,group,general,synonyms,,\nhot dog,meal,food,frank,,\ncat,animal,thing,,,\n",  # padded columns
        "\n name,group,general,synonyms\n\nhot dog,meal,food,frank\n , ,,\ncat,animal,thing,\n,,,\n\n",  # blank rows
        "name;group;general;synonyms\nhot dog;meal;food;frank\ncat;animal;thing;\n",
        "name\tgroup\tgeneral\tsynonyms\nhot dog\tmeal\tfood\tfrank\ncat\tanimal\tthing\t\n",
        "sep=;\nname;group;general;synonyms\nhot dog;meal;food;frank\ncat;animal;thing;\n",
        '"sep=,"\nname,group,general,synonyms\nhot dog,meal,food,frank\ncat,animal,thing,\n',
        '"Name","GROUP"," General ","Synonyms"\n"hot dog","meal","food","frank"\n"cat","animal","thing",""\n',
        "name,group,general,synonyms\rhot dog,meal,food,frank\rcat,animal,thing,\r",
        "name,group,general,synonyms\r\nhot dog,meal,food,frank\r\ncat,animal,thing\r\n",  # a field left out
        'name,group,general,synonyms\nhot dog_x000D_,meal,food,frank_x000d_\n"cat\n",animal,thing,\n',
        "name,group,general,synonyms\nhot\u00a0dog ,meal,food,fr\u00adank\n\u200ecat,animal,thing,\u200b\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_a_file_is_read_as_it_is_meant_whatever_program_wrote_it(tmp_path, text, encoding):
    path = tmp_path / "TWO.CSV"
    path.write_bytes((b"\xfe\xff" if encoding == "utf-16-be" else b"") + text.encode(encoding))
    assert [(c.name, c.group, c.synonyms) for c in ConceptSet.load(str(path))] == TWO


def test_names_stay_what_they_are(tmp_path):
    names = (
        "007",
        "TRUE",
        "1.50",
        "Vincent van Gogh",
        "👩\u200d🚒",
        "می\u200cخانه",
        "כלב",
        "\U0001fae8",
        "=1+1",
        "-dog",
    )
    path = tmp_path / "own.csv"
    path.write_text(GOOD + "".join(f"{name},g,thing,\n" for name in names), encoding="utf-8")
    assert ConceptSet.load(str(path)).names == names
    for name in names:  # and a bundle's texts are allowed what a name may hold
        assert untrusted.read_object(json.dumps({"concept": name}).encode()) == {"concept": name}


def test_a_word_is_found_in_whatever_form_it_is_typed(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(GOOD + "cafe\u0301,g,thing,\nStraße,g,thing,\n", encoding="utf-8")
    own = ConceptSet.load(str(path))
    assert (
        own.find("CAF\u00c9").name == own.find("ｃａｆé").name == "caf\u00e9" and own.find("STRASSE").name == "Straße"
    )


@pytest.mark.parametrize("name", TEMPLATES)
def test_bundled_sets_are_whole(name):
    found = ConceptSet.load(name)
    assert len(found) >= 5 and all(found.prompt(concept.name) for concept in found)


def test_netfive_has_five_groups_of_five_each_led_by_an_anchor_with_targets():
    emoji = ConceptSet.load("emoji")
    for name in ("emoji-netfive", "sd-netfive"):
        five = ConceptSet.load(name)
        assert len(five) == 25 and [c.group for c in five] == [
            g for g in dict.fromkeys(c.group for c in five) for _ in "12345"
        ]
        for row, concept in enumerate(five):
            assert set(concept.targets) == (set() if row % 5 else {"synonym", "in-class", "general", "unrelated"})
            if not row % 5:
                assert five[concept.targets["in-class"]].group == concept.group
                assert five[concept.targets["unrelated"]].group != concept.group
    assert all(emoji[concept.name].group == concept.group for concept in ConceptSet.load("emoji-netfive"))


def test_imagenette_splits_are_two_pairs_of_halves():
    ten = ConceptSet.load("sd-imagenette")
    for one, other in (("v1", "v2"), ("v3", "v4")):
        assert len(ten.split(one)) == 5 and set(ten.split(one)) | set(ten.split(other)) == set(ten.names)
    assert "Cassette Player" in ten.split("v3")
    with pytest.raises(AgeError, match="it has v1, v2, v3, v4"):
        ten.split("v5")


def test_labels_of_emoji_sets_are_the_probes(emoji_probe):
    for name in ("emoji-netfive", "emoji-attributes"):
        for concept in ConceptSet.load(name):
            assert emoji_probe.rows(concept.labels)


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
