"""The tab of lessons, without a browser."""

from __future__ import annotations

from types import SimpleNamespace

from viz.charts import lessons
from viz.tabs import learn as page_learn


def test_a_guess_unlocks_the_answer():
    lesson = lessons.erasing("dog", [0.5, 0.1], "horse", [1, 2, 9])
    two = lessons.Lesson("Two", "q", ("a", "b", "c"), ("a", "b"), "because <b>", "", lesson.draw)
    book = page_learn.Book([lesson, two], "film")
    first, second = book.lessons
    assert (first, second) == ("1 · What is erasing?", "2 · Two") and book.first == first
    parts = "lesson question one many reveal answer film lesson_figure act slide act_said"
    ui = SimpleNamespace(book=lambda: book, **{name: name for name in parts.split()})
    assert page_learn.on_guess(ui, first, None, [])["interactive"] is False
    assert page_learn.on_guess(ui, first, "noise", [])["interactive"] is True
    assert [page_learn.on_guess(ui, second, None, list("abc")[:n])["interactive"] for n in range(4)] == [
        False,
        False,
        True,
        False,
    ]
    assert page_learn.on_act(ui, first, 2)["act_said"] != page_learn.on_act(ui, first, 1)["act_said"]
    assert list(page_learn.on_act(ui, second, 1)) == ["act_said"]  # it has none
    wrong, right = (page_learn.on_reveal(ui, first, guess, []) for guess in ("noise", lesson.right[0]))
    assert "Not quite" in wrong["answer"] and "Right." in right["answer"] and right["film"] == "film"
    both = page_learn.on_reveal(ui, second, None, ["a", "c"])
    assert "1 of 2 right" in both["answer"] and "because &lt;b&gt;" in both["answer"] and both["film"] == ""
    assert page_learn.on_lesson(ui, second)["answer"] == ""
    arrived = page_learn.on_arrive(ui)
    assert arrived["lesson"]["choices"] == [first, second] and "“dog”" in arrived["question"]["value"]
