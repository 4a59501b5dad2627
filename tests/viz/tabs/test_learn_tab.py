"""The handlers of Learn: a guess by pictures here or on the atlas, its answer, and which lessons are offered."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import gradio as gr
import pytest
from made_up_world import MadeUpWorld
from support import QUICK, WORLD

from age_core import start_run
from age_core.serve import stored
from viz.tabs import concept, lesson_book
from viz.tabs import learn as tab
from viz.tabs.atlas_column import on_click

# dog breaks three others and, of them, the car a little less; a wolf leaves the dog alone
SIZES = {
    ("esd", "dog", "dog"): 1.0,
    ("esd", "dog", "wolf"): 0.9,
    ("esd", "dog", "cat"): 0.8,
    ("esd", "dog", "pizza"): 0.6,
    ("esd", "dog", "car"): 0.3,
    ("esd", "wolf", "cat"): 0.4,
    ("age", "dog", "wolf"): 0.3,
}
NEIGHBOURS, ONE_WAY = "Damage stays local", "One-way streets"


@pytest.fixture
def seen(data):
    """A model with a recorded world."""
    world = MadeUpWorld(SIZES)
    return replace(data, world=world, effects=world.effects())


def pressed(html: str, kind: str = "") -> list[str]:
    """The names of the buttons, or of those of a kind."""
    return re.findall(rf'class="pick {kind or "[a-z]*"}" data-name="([^"]+)"', html)


def test_a_lesson_is_guessed_by_its_pictures_and_answered_by_what_was_recorded(seen, ui, session):
    opened = tab.on_open(seen, ui, session, None)
    assert opened["lesson"]["choices"][1] == ("2 Neighbours", NEIGHBOURS)
    asked = tab.on_lesson(seen, ui, session, NEIGHBOURS)
    assert set(pressed(asked["guess"]["body"])) == {"wolf", "cat", "pizza", "church", "car"}
    assert asked["guess"]["most"] == 3 and asked["graph"]["edited"] == "" and asked["answer"] == ""
    two, three = (tab.on_guess(seen, ui, NEIGHBOURS, json.dumps(names)) for names in (["cat"], ["cat", "car", "wolf"]))
    assert not two["reveal"]["interactive"] and three["reveal"]["interactive"]
    assert json.loads(three["graph"]["lit"]) == {"cat": 1, "car": 1, "wolf": 1}
    told = tab.on_reveal(seen, ui, session, NEIGHBOURS, json.dumps(["cat", "car", "wolf"]))
    assert "2 of 3 right." in told["answer"] and "car (your guess)" in told["answer"]
    assert pressed(told["guess"]["body"], "wrong") == ["car"] and "disabled" in told["guess"]["body"]
    edited = json.loads(told["graph"]["edited"])
    assert edited["play"] and edited["erased"] == ["dog"] and edited["looks"]["wolf"] == [0.9, 1]
    assert edited["sheets"][0]["url"].endswith("/esd-dog.webp")
    assert told["next_lesson"]["visible"] and tab.on_next(seen, ui, session, NEIGHBOURS)["lesson"] == ONE_WAY


def test_no_answer_without_as_many_guesses_as_are_asked_for(seen, ui, session):
    tab.on_open(seen, ui, session, NEIGHBOURS)
    for sent in ("[]", '["cat"]', "no json", '{"a": 1}', "[1, 2, 3]", ""):
        assert list(tab.on_reveal(seen, ui, session, NEIGHBOURS, sent)) == ["reveal"] and not session.lesson_told


def test_a_click_on_the_atlas_is_a_guess_only_while_a_lesson_asks(seen, ui, session):
    def click(name, value="[]"):
        return tab.on_atlas(seen, ui, session, NEIGHBOURS, value, name)

    assert list(click("church")) == ["guess"] and "selection" in on_click(seen, ui, session, "cat", "dog")
    tab.on_lesson(seen, ui, session, NEIGHBOURS)
    first = click("church")
    assert json.loads(first["guess"]["value"]) == ["church"] and json.loads(first["graph"]["lit"]) == {"church": 1}
    assert first["graph"]["value"] == "dog", "the question stays about the erased one"
    assert json.loads(click("church", '["church", "cat"]')["guess"]["value"]) == ["cat"]
    assert json.loads(click("wolf", '["church", "cat", "car"]')["guess"]["value"]) == ["cat", "car", "wolf"]
    assert json.loads(click("dog", '["cat"]')["guess"]["value"]) == ["cat"], "the erased one cannot break"
    assert list(on_click(seen, ui, session, "cat", "dog")) == ["messages"]
    assert list(concept.on_picked(seen, ui, session, "cat", 0)) == [{"own_pictures": gr.skip()}]
    tab.on_reveal(seen, ui, session, NEIGHBOURS, '["cat", "car", "wolf"]')
    assert list(click("church")) == ["guess"] and "selection" in on_click(seen, ui, session, "cat", "dog")


def test_a_click_on_the_atlas_makes_no_lessons_where_none_asks(seen, ui, session, monkeypatch):
    monkeypatch.setattr(tab, "book_of", lambda _: pytest.fail("it takes the model"))
    for person in (session, None):
        assert tab.on_atlas(seen, ui, person, NEIGHBOURS, "[]", "church") == {"guess": gr.skip()}


def test_the_atlas_is_given_back_when_another_view_is_turned_to(seen, ui, session):
    assert list(tab.on_leave(seen, ui, session, "cat")) == ["messages"], "nothing was taken"
    tab.on_open(seen, ui, session, None)
    tab.on_lesson(seen, ui, session, NEIGHBOURS)
    left = tab.on_leave(seen, ui, session, "cat")
    assert left["graph"]["value"] == "cat" and not session.lesson_asks and not session.lesson_open
    tab.on_reveal(seen, ui, session, NEIGHBOURS, '["cat", "car", "wolf"]')
    again = tab.on_open(seen, ui, session, NEIGHBOURS)
    assert json.loads(again["graph"]["edited"])["erased"] == ["dog"] and "question" not in again
    assert not session.lesson_asks


def test_the_one_way_pair_and_the_gentler_method_are_those_of_the_record(seen, ui, session):
    book = lesson_book.book_of(seen).lessons
    assert book[ONE_WAY].right == ("wolf",) and "Erasing wolf moves dog by 0.010" in book[ONE_WAY].acts[1].said
    told = book["Why the target matters"].reveal([])
    assert "AGE kept more. ESD visibly changed 4 of 5 other concepts; 3 are" in told
    turned = tab.on_act(seen, ui, ONE_WAY, book[ONE_WAY].acts[1].title)
    assert json.loads(turned["graph"]["edited"])["erased"] == ["wolf"]
    assert list(tab.on_act(seen, ui, ONE_WAY, "no such")) == ["act_said"]


def test_only_the_erased_one_changes_when_the_first_lesson_is_answered(seen, ui, session):
    title = tab.on_open(seen, ui, session, None)["lesson"]["value"]
    told = tab.on_reveal(seen, ui, session, title, '["other"]')
    assert json.loads(told["graph"]["edited"])["looks"] == {"dog": [1.0, 1]} and "“hat” (40 %)" in told["answer"]


def test_a_picture_that_is_missing_is_an_empty_place_and_no_other_picture(data):
    world = MadeUpWorld(SIZES, damaged=("esd",))
    harm = lesson_book.recorded(world, "esd", "dog")
    assert 'class="tile none"' in harm.after("wolf") and "original.webp" in harm.after("church")
    titles = lesson_book.book_of(replace(data, world=world, effects=world.effects())).lessons
    assert "What is erasing?" not in titles, "its picture is what it is about"


def test_the_lessons_are_those_that_what_was_measured_allows(data, ui, monkeypatch):
    measured = list(lesson_book.book_of(data).lessons)
    assert ONE_WAY in measured and NEIGHBOURS not in measured, "a dog hurts one other, a cat one"
    bare = replace(data, effects=None)
    assert len(lesson_book.book_of(bare).lessons) == 4 and tab.offered(bare)
    monkeypatch.setattr(stored, "ablation", lambda: None)
    monkeypatch.setattr(stored, "gold_reference", lambda: None)
    nothing = replace(data, effects=None)
    assert not lesson_book.book_of(nothing).lessons and not tab.offered(nothing) and tab.offered(data)
    assert "nothing to ask" in tab.on_open(nothing, ui, tab.Session(), None)["question"]


def test_another_model_begins_with_its_own_first_lesson(seen, data, ui):
    for model in (seen, data):
        book, updates = lesson_book.book_of(model), tab.reset(model, ui, "")
        assert updates["lesson"]["value"] == book.first and book.lessons[book.first].question in updates["question"]
        assert updates["guess"]["value"] == "[]"


def test_a_run_that_came_with_the_model_is_shown_after_the_first_lesson(data, explorer, tiny_pipe, ui, session):
    options = QUICK | {"preview_every": 1}
    _, events = start_run(tiny_pipe, explorer.library.shipped, "age", "dog", WORLD, "tiny", **options)
    for _ in events:
        pass
    title = tab.on_open(data, ui, session, None)["lesson"]["value"]
    assert title == "What is erasing?" and not list(tab.on_told(data, ui, session, title))
    tab.on_reveal(data, ui, session, title, '["noise"]')
    (later,) = tab.on_told(data, ui, session, title)
    assert later["film"].count("<img") >= 2 and json.loads(later["lesson_figure"]["figure"])["data"]


def test_what_a_model_drew_that_never_saw_the_concept_came_with_the_explorer():
    table, sheet = stored.gold_reference()
    lesson = lesson_book.gold_lesson(None)
    assert sheet is not None and lesson.right == ("never saw it",)
    own = table[table["word"] == table["word"].iloc[0]].set_index("model")["distance"]
    assert f"{own['age']:.1f}" in lesson.reveal([]) and "gold-squirrel.png" in lesson.options[0].picture
    assert sheet.tile(stored.gold_tile("age", 2)).size == (64, 64)
