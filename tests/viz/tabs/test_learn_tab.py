"""The handlers of the Learn tab: a guess, its answer, and the lessons that what was measured allows."""

from __future__ import annotations

import pandas as pd
from support import QUICK, WORLD

from age_core import start_run
from age_core.serve import stored
from viz.charts import lessons
from viz.tabs import learn as tab
from viz.tabs.map_data import MapData


def test_a_guess_unlocks_the_answer(ui):
    lesson = lessons.erasing("dog", [0.5, 0.1], "horse", [1, 2, 9])
    two = lessons.Lesson("Two", "q", ("a", "b", "c"), ("a", "b"), "because <b>", "", lesson.draw)
    book = tab.Book([lesson, two], "film")
    first, second = book.lessons
    assert (first, second) == ("1 · What is erasing?", "2 · Two") and book.first == first
    ui.book = lambda: book
    assert tab.on_guess(ui, first, None, [])["interactive"] is False
    assert tab.on_guess(ui, first, "noise", [])["interactive"] is True
    assert [tab.on_guess(ui, second, None, list("abc")[:n])["interactive"] for n in range(4)] == [
        False,
        False,
        True,
        False,
    ]
    assert tab.on_act(ui, first, 2)["act_said"] != tab.on_act(ui, first, 1)["act_said"]
    assert list(tab.on_act(ui, second, 1)) == ["act_said"]  # it has none
    wrong, right = (tab.on_reveal(ui, first, guess, []) for guess in ("noise", lesson.right[0]))
    assert "Not quite" in wrong["answer"] and "Right." in right["answer"] and right["film"] == "film"
    both = tab.on_reveal(ui, second, None, ["a", "c"])
    assert "1 of 2 right" in both["answer"] and "because &lt;b&gt;" in both["answer"] and both["film"] == ""
    assert tab.on_lesson(ui, second)["answer"] == ""
    arrived = tab.on_arrive(ui)
    assert arrived["lesson"]["choices"] == [first, second] and "“dog”" in arrived["question"]["value"]


def test_the_lessons_are_those_that_what_was_measured_allows(data, ui, monkeypatch):
    trained = pd.DataFrame({"a": ["cat"], "b": ["dog"], "there": [0.1], "back": [0.4], "one_way": [True]})
    monkeypatch.setattr(stored, "both_ways", lambda *_: (trained, 0.3))
    titles = list(tab.make_book(data).lessons)
    assert titles[:2] == ["1 · Damage stays local", "2 · " + lessons.one_way(trained, 0.3).title] and len(titles) == 5
    bare = MapData(data.models, data.choice, data.concepts, data.layouts, None)
    assert len(tab.make_book(bare).lessons) == 3 and tab.offered(bare)
    monkeypatch.setattr(stored, "ablation", lambda: None)
    assert tab.offered(data) and not tab.offered(bare)


def test_a_run_that_came_with_the_model_is_the_first_lesson(data, explorer, tiny_pipe):
    options = QUICK | {"preview_every": 1}
    _, events = start_run(tiny_pipe, explorer.library.shipped, "age", "dog", WORLD, "tiny", **options)
    for _ in events:
        pass
    book = tab.make_book(data)
    assert book.first.endswith("What is erasing?") and book.film.count("<img") >= 2
