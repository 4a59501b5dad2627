"""Who arrives, what the page's address asks for, and what a tab takes."""

from __future__ import annotations

import re
import time

import gradio as gr
import pytest
from support import QUICK, WORLD

from age_core.serve.registry import OpenModels
from viz.tabs import events, page
from viz.tabs.events import Tab, answers
from viz.tabs.map_data import MapCache
from viz.tabs.session import Session

ANN = "a" * 32


@pytest.mark.parametrize("owner", ["", "../x", "A" * 32, ANN])
def test_whoever_arrives_has_a_token_of_ours(data, ui, owner):
    updates = page.on_arrive(data, ui, owner, {"run": "my dog", "tab": "nowhere"})
    assert (updates["owner"] == ANN) == (owner == ANN) and len(updates["owner"]) == 32
    assert updates["session"].owner == updates["owner"] and updates["session"].run_in_address == "my dog"
    assert updates.keys() == {"owner", "session"}


def test_the_address_names_a_concept_and_a_tab(data, ui):
    updates = page.on_arrive(data, ui, ANN, {"concept": "hound", "tab": "runs"})
    assert updates["search"] == "dog" and updates["tabs"].selected == "runs"
    assert "no concept" in page.on_arrive(data, ui, ANN, {"concept": "<grue>"})["messages"]


@pytest.mark.parametrize(
    ("query", "strength"),
    [
        ({}, None),
        ({"by": "esd", "strength": "0.5"}, None),  # what was recorded has the strength that it has
        ({"by": "uce"}, 1.0),
        ({"by": "uce", "strength": "0.5"}, 0.5),
        ({"by": "uce", "strength": "900"}, 1.5),
        ({"by": "uce", "strength": "-1"}, 0.0),
        ({"by": "uce", "strength": "<b>"}, 1.0),
        ({"by": "uce", "strength": "nan"}, 1.0),
    ],
)
def test_how_strongly_an_address_has_its_concept_erased(query, strength):
    assert page.strength_in(query) == strength


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_an_erasure_of_the_address_is_done_again(data, ui, strength):
    arrived = page.on_arrive(data, ui, ANN, {"concept": "dog", "by": "uce", "strength": str(strength)})
    session = arrived["session"]
    sent = list(page.on_ready(data, ui, session))
    (face,) = session.faces.values()
    assert face.by == "UCE" and face.names == ("dog",)
    by = [updates["by"]["value"] for updates in sent if "by" in updates]
    assert by[-1] == face.key
    strengths = [updates["strength"]["value"] for updates in sent if "strength" in updates]
    assert strengths[-1] == strength
    assert session.painting is not None and session.painting.strength == strength
    assert len(session.painting.table) == len(WORLD)


def test_a_ready_page_shows_the_run_of_its_address_or_the_one_that_came_with_the_model(data, ui, make_run):
    mine, _ = make_run(), make_run("shipped", "theirs")
    updates, *_ = page.on_ready(data, ui, Session(ANN))
    assert updates["erasers"]["value"] == ["theirs"] and "erased" not in updates and "messages" not in updates
    assert updates["run"]["choices"] == [mine.path.name, "theirs"] and "cpu" in updates["device"]["choices"]
    updates, *_ = page.on_ready(data, ui, Session(ANN, run_in_address=mine.path.name))
    assert updates["erasers"]["value"] == [mine.path.name] and updates["erased"] == ["dog"]
    updates, *_ = page.on_ready(data, ui, Session(ANN, run_in_address="../../etc"))
    assert "no run" in updates["messages"] and "run" in updates  # the page is complete all the same


def test_a_ready_page_turns_to_a_run_that_went_on_alone(data, ui):
    queued = data.explorer.start("c" * 32, "dog", "empty", True, **QUICK | {"steps": 100_000})
    session = Session("c" * 32)
    stream = page.on_ready(data, ui, session)
    assert next(stream)["tabs"].selected == "erase" and "Preparing to erase dog" in next(stream)["status"]
    data.explorer.queue.stop(queued)
    assert any("Stopped" in update.get("status", "") for update in stream) and session.queued is queued


def test_a_run_that_the_queue_stopped_says_why(data, ui, monkeypatch):
    monkeypatch.setattr(data.explorer.queue, "longest_s", 0)
    data.explorer.start("f" * 32, "dog", "empty", True, **QUICK | {"steps": 100_000})
    told = "".join(str(update.get("status", "")) for update in page.on_ready(data, ui, Session("f" * 32)))
    assert re.search(r"Stopped .*A run trains 0 min at a stretch here. Resume goes on from the last checkpoint", told)


def test_a_ready_page_shows_a_run_that_ended_alone_once(data, ui, monkeypatch):
    queued = data.explorer.start("e" * 32, "dog", "empty", True, **QUICK)
    while not queued.ended:
        time.sleep(0.01)

    def shown():
        return "".join(str(update.get("status", "")) for update in page.on_ready(data, ui, Session("e" * 32)))

    with monkeypatch.context() as patch:
        patch.setattr(type(queued.run.config), "edited", lambda *_: False)  # a page of another model
        assert "dog was erased" not in shown()
    assert "Done: dog was erased in 2 steps" in shown()
    assert "dog was erased" not in shown()  # it has been seen


def test_a_tab_is_one_file_and_one_line(tmp_path, monkeypatch):
    def lay_out(ui, data):
        ui.more = gr.Button(f"{len(data.concepts)} concepts", elem_id="more")

    def connect(link):
        link.on(link.ui.more.click, answers()(lambda data, ui: {ui.more: data.first}), [], ["more"], events.QUICK)

    monkeypatch.setattr(page, "TABS", (*page.TABS, Tab("More", lay_out, connect)))
    made = page.build(MapCache(OpenModels(tmp_path)))
    ids = {block.elem_id for block in made.blocks.values()}
    assert {"more", "concept-map", "erase-button", "compare-grid", "lesson", "run-table", "model-name"} <= ids
    assert [block.label for block in made.blocks.values() if isinstance(block, gr.Tab)][-1] == "More"
