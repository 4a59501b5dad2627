"""The picker of the model: what goes with a model, what cannot be opened, and what a page shows of another one."""

from __future__ import annotations

from dataclasses import replace

from age_core import Eraser
from viz.tabs import model as tab
from viz.tabs.page import TABS
from viz.tabs.session import EditedModel


def test_a_model_brings_its_concepts_and_its_probe(data, ui):
    assert tab.on_model(data, ui, "emoji") == {"concept_set": "emoji", "probe": "emoji"}
    assert tab.on_model(data, ui, "CompVis/stable-diffusion-v1-4")["probe"] == "microsoft/resnet-50"


def test_a_model_that_cannot_be_opened_leaves_the_page_as_it_is(maps, ui, session):
    queued = session.queued = object()
    first, last = tab.opener(TABS)(maps, ui, session, " not a/model ", "mine", None, "", "cpu")
    assert "Loading the weights of not a/model" in first["model_status"]
    assert last.keys() == {"model_status", "messages"} and "no pipeline" in last["messages"]
    assert session.queued is queued
    (updates,) = tab.opener(TABS)(maps, ui, None, "tiny", "mine", None, "", "cpu")
    assert "still loading" in updates["messages"]


def test_another_model_is_shown_in_every_tab_and_nothing_of_the_one_before(maps, ui, session, make_run):
    session.edited["old"] = EditedModel(("dog",), Eraser({}))
    run = make_run()
    updates = list(tab.opener(TABS)(maps, ui, session, "tiny", "x", "mine", None, "cpu"))
    (page,), (*_, locality, pictures) = [update for update in updates if "choice" in update], updates
    assert page["choice"] == maps.models.choice and "tiny with 6 concepts" in page["opened"]
    assert page["session"].owner == session.owner and not page["session"].edited
    assert page["erasers"] == {"choices": [], "value": [], "__type__": "update"}
    assert page["search"]["choices"] == ["dog", "wolf", "cat", "pizza", "church", "car"]
    assert page["run"]["choices"] == [run.path.name] and "Nothing is running" in page["status"]
    assert page["build_offer"]["visible"] is True
    assert page["by"]["visible"] is False and page["chip"] == "tiny · 6 concepts ▾"
    drawn = [update["graph"]["original"] for update in updates if "graph" in update and update["graph"].get("original")]
    assert '"church"' in drawn[-1]  # its atlas is drawn on opening
    assert locality["locality"]["figure"] == "" and pictures["own_pictures"].count("<img") == 4


def test_what_a_model_lacks_is_said(data):
    text = tab.what_is_open(data)
    assert "No probe judges its pictures" in text and "Without a GPU" in text
    emoji = replace(data, choice=replace(data.choice, model="emoji", probe="emoji"))
    assert "Judged by the probe emoji." in tab.what_is_open(emoji) and "Without a GPU" not in tab.what_is_open(emoji)
