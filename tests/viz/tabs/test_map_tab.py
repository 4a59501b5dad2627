"""The handlers of the map: picks, the heat map, all arrows at once, and measuring what is missing."""

from __future__ import annotations

import json

import gradio as gr

from viz.tabs import map as tab
from viz.tabs.map_data import MapData
from viz.tabs.map_view import USUAL

HOW = (0, USUAL, 8, False)


def test_a_concept_is_picked_by_any_of_its_names(data, ui):
    updates = tab.on_pick(data, ui, "Hound", "cat", *HOW)
    assert updates["graph"]["value"] == updates["search"] == "dog" and updates["erased"] == ["dog"]
    assert "wolf" in updates["graph"]["arrows"] and "pizza" not in updates["graph"]["arrows"]
    assert 'data-concept="dog"' in updates["where"] and updates["messages"] == ""
    unclear = tab.on_pick(data, ui, "dog", "cat", 0, USUAL, 8, True)
    assert "pizza" in unclear["graph"]["arrows"]


def test_what_is_right_already_is_not_written_back(data, ui):
    assert "value" not in tab.on_pick(data, ui, "dog", "dog", *HOW)["graph"]
    assert tab.on_search(data, ui, "dog", "cat", *HOW)["search"] == gr.skip()
    assert tab.on_search(data, ui, "hound", "cat", *HOW)["search"] == "dog"


def test_an_unknown_name_is_answered_by_a_message_and_changes_nothing(data, ui, warnings):
    updates = tab.on_pick(data, ui, "<b>grue</b>", "cat", *HOW)
    assert updates.keys() == {"search", "messages"} and updates["search"] == "cat"
    assert "&lt;b&gt;grue" in updates["messages"] and "<b>grue" not in updates["messages"]
    assert warnings and "<b>" not in warnings[0]


def test_pictures_come_after_a_pick_unless_another_was_picked_meanwhile(data, ui, session):
    first, second = tab.on_picked(data, ui, session, "dog", 0)
    assert json.loads(first["locality"]["figure"])["data"] and second["own_pictures"].count("<img") == 4
    stream = tab.on_picked(data, ui, session, "dog", 0)
    assert "locality" in next(stream)
    session.picked = "cat"
    assert list(stream) == []


def test_without_side_effects_the_map_says_so_and_has_no_arrows(data, ui):
    bare = MapData(data.models, data.choice, data.concepts, data.layouts, None)
    updates = tab.on_pick(bare, ui, "cat", "dog", None, USUAL, 8, False)
    assert updates["graph"]["arrows"] == "[]" and "not measured yet" in updates["caption"]
    assert tab.on_view(bare, ui, "Heat map", None)["heat"]["visible"] == "hidden"
    assert tab.on_everything(bare, ui, 100, None)["overview"] == "[]"
    updates = tab.map_updates(bare, ui)
    assert updates["build_offer"]["visible"] and "6 of the 6" in updates["build_status"]


def test_a_cell_of_the_heat_map_picks_whom_it_tells_of(data, ui):
    updates = tab.on_view(data, ui, "Heat map", 0)
    assert updates["heat"]["visible"] is True and "wolf" in updates["heat"]["figure"]
    assert tab.on_view(data, ui, "Map", 0)["graph"]["visible"] is True
    assert tab.on_cell(data, ui, '["dog", "wolf"]', *HOW)["search"] == "dog"
    assert "messages" in tab.on_cell(data, ui, None, *HOW)


def test_all_arrows_at_once_are_the_clear_ones(data, ui):
    (arrow,) = json.loads(tab.on_everything(data, ui, 100, 0)["overview"])  # the weakest is where they begin
    assert arrow == [0, 1, 1.0, 1]
    assert tab.on_everything(data, ui, 0, 0)["overview"] == "[]"


def test_what_is_missing_is_measured_once_at_a_time(maps, ui):
    choice = maps.models.choice
    maps.measuring.add(choice)
    (refusal,) = tab.on_measure(maps, ui, choice)
    assert "for somebody else" in refusal["messages"] and choice in maps.measuring
    maps.measuring.clear()
    *progress, map_update, _, _ = tab.on_measure(maps, ui, choice)
    assert progress[0]["build"]["interactive"] is False and "6 of 6" in progress[-1]["build_status"]
    assert map_update["build"]["interactive"] is True and map_update["build_offer"]["visible"] is False
    assert maps.of(choice).unmeasured == 0 and maps.measuring == set()


def test_the_whole_graph_is_read_on_demand(data, ui):
    (text,) = tab.on_facts(data, ui, 0).values()
    assert "UCE, noise-shift: 2 clear damages" in text and "0% of them go both ways" in text
    assert "harms most: dog (0.50, 1 others), cat (0.30, 1 others)" in text
    assert "hurt most: wolf (0.50, by 1 erasures), dog (0.30, by 1 erasures)" in text
    bare = MapData(data.models, data.choice, data.concepts, data.layouts, None)
    assert "Nothing was measured" in tab.on_facts(bare, ui, None)["facts"]
