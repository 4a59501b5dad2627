"""The handlers of the Compare tab: what to compare with, prompts of one's own, and scores."""

from __future__ import annotations

import gradio as gr
import pytest

from age_core import Eraser
from viz.tabs import compare as tab
from viz.tabs.events import concept_in, where
from viz.tabs.session import MOST_ERASERS, EditedModel


@pytest.fixture
def edited(session):
    """A session with one edited model to choose, which does nothing."""
    session.edited["dog-uce-001"] = EditedModel(("dog",), Eraser({}))
    return session


@pytest.mark.parametrize("titles", [[], None, ["dog-uce-009"]])
def test_without_an_edited_model_there_is_nothing_to_compare(data, ui, edited, titles):
    for updates in (
        *tab.on_compare(data, ui, edited, titles, "", 0, 1),
        *tab.on_judge(data, ui, edited, titles),
    ):
        assert "Erase a concept first" in updates["messages"] and updates["compare_status"] == ""
    (updates,) = tab.on_compare(data, ui, None, ["dog-uce-001"], "", 0, 1)
    assert "still loading" in updates["messages"]


def test_prompts_of_ones_own_are_drawn_by_all_models(data, ui, edited):
    edited.pairs["old"] = (None, None)
    first, last = tab.on_compare(data, ui, edited, ["dog-uce-001"], "a dog\n\nquantum", 3, 2)
    assert "Drawing" in first["compare_status"] and last["compare_status"] == ""
    titles = [f"{prompt}, seed {seed}, dog-uce-001" for prompt in ("a dog", "quantum") for seed in (3, 4)]
    assert list(edited.pairs) == titles == last["pair"]["choices"] and last["pair"]["value"] == titles[0]
    assert last["drawn"].count("<img") >= 8 and "Outside this model" in last["drawn"]
    original, picture = edited.pairs[titles[0]]
    assert original.tobytes() == picture.tobytes()
    assert tab.on_pair(data, ui, edited, titles[0])["slider"]["value"][0].width >= 320
    nothing = {"slider": gr.skip()}
    assert tab.on_pair(data, ui, edited, "none such") == nothing == tab.on_pair(data, ui, None, titles[0])


def test_without_prompts_the_concepts_around_the_erased_one_are_drawn(data, ui, edited):
    *_, last = tab.on_compare(data, ui, edited, ["dog-uce-001"], " ", None, 1)
    kinds = [title.split(",")[0] for title in edited.pairs]
    assert kinds[:2] == ["dog", "hound"] and "(dog erased), seeds from 0" in last["drawn"]


def test_too_many_prompts_are_refused_and_leave_what_was_drawn(data, ui, edited):
    edited.pairs["old"] = (None, None)
    *_, last = tab.on_compare(data, ui, edited, ["dog-uce-001"], "a cat\n" * 9, 0, 1)
    assert "at most 8 lines" in last["messages"] and list(edited.pairs) == ["old"]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (where("wolf"), "wolf"),
        (where('<b>"cat" & co', "run"), "dog"),
        (where("wolf, cat", "both"), "dog"),
        (None, "dog"),
    ],
)
def test_what_was_recorded_is_of_what_the_page_says_it_is_about(data, ui, monkeypatch, line, name):
    assert concept_in(where('<b>"cat" & co')) == '<b>"cat" & co'
    monkeypatch.setattr(tab, "recorded", lambda _data, name: f"of {name}")
    assert tab.on_concept(data, ui, line, "dog") == {"grid": f"of {name}"}


def test_scores_need_a_probe(data, ui, edited):
    *_, last = tab.on_judge(data, ui, edited, ["dog-uce-001"])
    assert "opened without one" in last["messages"] and "scores" not in last


def test_three_methods_are_compared_only_on_a_concept_that_there_is(data, ui, session):
    (updates,) = tab.on_ablate(data, ui, session, ["grue"], 0)
    assert "no concept" in updates["messages"] and session.queued is None
    (updates,) = tab.on_ablate(data, ui, None, ["dog"], 0)
    assert "still loading" in updates["messages"]


def test_a_session_keeps_the_latest_edited_models(session, make_run):
    titles = [session.add(make_run()) for _ in range(MOST_ERASERS + 1)]
    assert list(session.edited) == titles[1:]
