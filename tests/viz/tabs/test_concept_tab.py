"""The tab of the picked concept: its pictures, erasing it now, and the strength of that."""

from __future__ import annotations

import json

import gradio as gr
import pytest

from viz.tabs import concept as tab
from viz.tabs import repaint
from viz.tabs.atlas_column import on_pick
from viz.tabs.map_view import USUAL, faces_of
from viz.tabs.session import Session


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """No pause between two updates: there is no browser that could drop one."""
    for module in (tab, repaint):
        monkeypatch.setattr(module, "settle", lambda *_: None)


def test_pictures_come_after_a_pick_unless_another_was_picked_meanwhile(data, ui, session):
    first, second = tab.on_picked(data, ui, session, "dog", 0)
    assert json.loads(first["locality"]["figure"])["data"] and second["own_pictures"].count("<img") == 4
    stream = tab.on_picked(data, ui, session, "dog", 0)
    assert "locality" in next(stream)
    session.picked = "cat"
    assert list(stream) == []


def test_erase_it_now_draws_every_picture_anew_and_stays_among_the_faces(data, ui, session):
    updates = list(tab.on_now(data, ui, session, "dog"))
    (face,) = session.faces.values()
    assert face.names == ("dog",) and face.by == "UCE" and face.eraser is not None
    assert set(face.table.index) == set(data.concepts.names) and face.table.index[0] == "dog"
    assert updates[0]["now"]["interactive"] is False and updates[-1]["now"]["interactive"] is True
    shown = [json.loads(update["graph"]["edited"]) for update in updates if "edited" in update.get("graph", {})]
    assert {one["key"] for one in shown} == {face.key}
    counts = [sum(len(sheet["places"]) for sheet in one["sheets"]) for one in shown]
    assert counts == sorted(counts) and counts[-1] == len(data.concepts)
    assert any("All 6 pictures are drawn anew" in update.get("now_status", "") for update in updates)
    assert faces_of(data, session, "dog") == {face.key: "UCE"}
    assert faces_of(data, Session("b" * 32), "dog") == {}  # nobody else sees it
    again = list(tab.on_now(data, ui, session, "dog"))
    assert again and [face.by for face in session.faces.values()] == ["UCE", "UCE, again 1"]


def test_the_nearest_follow_the_strength_and_the_face_stays_as_it_was(data, ui, session):
    list(tab.on_now(data, ui, session, "dog"))
    (face,) = session.faces.values()
    before = face.as_json()
    *_, last = tab.on_strength(data, ui, session, face.key, 0.5)
    shown = json.loads(last["graph"]["edited"])
    assert shown["title"] == "dog erased by UCE, strength 0.5" and shown["key"] != face.key
    assert face.as_json() == before and "No probe judged" in last["counting"]
    (whole,) = tab.on_strength(data, ui, session, face.key, 1)
    assert json.loads(whole["graph"]["edited"])["key"] == face.key
    assert list(tab.on_strength(data, ui, session, "esd", 0.5)) == [{"messages": gr.skip()}]  # it was recorded


def test_another_erasure_ends_the_drawing_of_the_first(data, ui, session):
    stream = tab.on_now(data, ui, session, "dog")
    while "by" not in (update := next(stream)):
        pass
    assert update["by"]["value"] == session.painting.key
    session.painting = None
    rest = list(stream)
    assert not any("All 6" in update.get("now_status", "") for update in rest)


@pytest.mark.parametrize("drawn", [1, 6])
def test_a_pick_that_ends_a_drawing_is_what_the_page_shows_at_last(data, ui, session, monkeypatch, drawn):
    monkeypatch.setattr("age_core.serve.faces.FIRST", 1)
    monkeypatch.setattr("age_core.serve.faces.BATCH", 1)
    stream = tab.on_now(data, ui, session, "dog")
    while len(session.painting.table if session.painting else ()) < drawn:
        next(stream)
    picked = on_pick(data, ui, session, "cat", "dog", None, None, USUAL, 8, False)  # its answer may come first
    *_, late, enabled = stream
    assert enabled == {"now": gr.update(interactive=True)} and "now_status" not in late
    assert late["selection"] == picked["selection"] and late["counting"] == picked["counting"]
    assert late["graph"]["edited"] == picked["graph"]["edited"] and late["by"] == picked["by"]
    assert "value" not in late["graph"], "a pick that came since is not undone"


def test_a_drawing_that_another_ended_says_nothing_more(data, ui, session):
    on_pick(data, ui, session, "dog", "cat", None, None, USUAL, 8, False)
    first = tab.on_now(data, ui, session, "dog")
    while not session.painting:
        next(first)
    second = tab.on_now(data, ui, session, "dog")
    while len(session.faces) < 2:
        next(second)
    next(second)
    assert list(first) == [{"now": gr.update(interactive=True)}]


def test_a_page_that_is_still_loading_says_so(data, ui):
    (updates,) = tab.on_now(data, ui, Session(), "dog")
    assert "still loading" in updates["messages"] and updates["now"]["interactive"] is True
