"""The handlers of the atlas: picks, who erased, the heat map, all arrows at once, and measuring what is missing."""

from __future__ import annotations

import json
from dataclasses import replace

import gradio as gr
import pytest
from made_up_world import MadeUpWorld

from age_core import ConceptSet
from viz.tabs import atlas_column as column
from viz.tabs import concept, whole_map
from viz.tabs.faces import Pictures, ServedSheet
from viz.tabs.map_data import MapData
from viz.tabs.map_view import AS_SHOWN, USUAL
from viz.tabs.session import Session

HOW = (None, AS_SHOWN, USUAL, 8, False)
BY_NUMBERS = (None, 0, USUAL, 8, False)
SIZES = {
    ("esd", "dog", "dog"): 0.9,
    ("esd", "dog", "wolf"): 0.7,
    ("esd", "dog", "cat"): 0.3,
    ("esd", "cat", "dog"): 0.4,
    ("age", "dog", "wolf"): 0.25,
}


@pytest.fixture
def drawn(data) -> MapData:
    """The same map with recorded erasures: of dog by both methods, of cat by ESD."""
    world = MadeUpWorld(SIZES)
    return replace(data, world=world, effects=world.effects(), originals=Pictures([ServedSheet.of(world.original)]))


def looks(updates) -> dict[str, list]:
    return json.loads(updates["graph"]["edited"])["looks"]


def test_a_concept_is_picked_by_any_of_its_names(data, ui, session):
    updates = column.on_pick(data, ui, session, "Hound", "cat", *HOW)
    assert updates["graph"]["value"] == "dog"
    assert column.on_named(data, ui, session, "Hound", "dog") == {"search": "dog", "erased": ["dog"]}
    assert "wolf" in updates["graph"]["arrows"] and "pizza" not in updates["graph"]["arrows"]
    assert 'data-concept="dog"' in updates["where"] and updates["messages"] == ""
    unclear = column.on_pick(data, ui, session, "dog", "cat", None, 0, USUAL, 8, True)
    assert "pizza" in unclear["graph"]["arrows"]


def test_a_pick_shows_who_was_hurt_in_pictures_and_counts_them(drawn, ui, session):
    updates = column.on_pick(drawn, ui, session, "dog", "cat", *HOW)
    assert looks(updates)["wolf"] == [0.7, 1] and looks(updates)["cat"] == [0.3, 0]
    assert [arrow["to"] for arrow in json.loads(updates["graph"]["arrows"])] == ["wolf", "cat"]
    panel = updates["selection"]
    assert panel.index('data-concept="dog"') < panel.index('data-concept="wolf"') < panel.index('data-concept="cat"')
    assert "✓ erased" in panel and "wolf after dog erased by ESD" in panel and "0.69–0.71" in panel
    assert "dog is hurt by erasing (ESD)" in panel and "dog after cat erased by ESD" in panel
    assert "Erasing dog by ESD visibly changed 2 of 5 other concepts" in updates["counting"]
    assert updates["by"]["choices"] == [("ESD", "esd"), ("AGE", "age")] and updates["by"]["value"] == "esd"


def test_esd_or_age_is_one_switch(drawn, ui, session):
    updates = column.on_other(drawn, ui, session, "dog", "esd", *HOW[1:])
    assert updates["by"]["value"] == "age" and looks(updates)["wolf"] == [0.25, 0]
    assert updates["other"]["value"] == "Now with ESD" and "by AGE visibly changed 1 of 5" in updates["counting"]
    back = column.on_other(drawn, ui, session, "dog", "age", *HOW[1:])
    assert back["by"]["value"] == "esd"


def test_a_concept_that_nobody_erased_shows_no_arrows_and_says_so(drawn, ui, session):
    updates = column.on_pick(drawn, ui, session, "pizza", "dog", *HOW)
    assert updates["graph"]["edited"] == "" and updates["graph"]["arrows"] == "[]"
    assert "was not recorded" in updates["counting"] and "Not recorded yet" in updates["selection"]
    assert updates["by"]["visible"] is False and updates["other"]["visible"] is False


def test_arrows_can_tell_who_hurts_and_be_measured_otherwise(drawn, ui, session):
    inward = column.on_pick(drawn, ui, session, "dog", "dog", None, AS_SHOWN, "Who hurts it", 8, False)
    assert [(arrow["from"], arrow["to"]) for arrow in json.loads(inward["graph"]["arrows"])] == [("cat", "dog")]
    both = column.on_pick(drawn, ui, session, "dog", "dog", None, AS_SHOWN, "Both", 1, False)
    assert [arrow["to"] for arrow in json.loads(both["graph"]["arrows"])] == ["wolf"]
    numbers = column.on_pick(drawn, ui, session, "dog", "dog", *BY_NUMBERS)
    assert "Arrows were measured by really erasing" in numbers["caption"]


def test_another_is_one_that_was_recorded_and_of_another_group(drawn, ui, session):
    names = {column.on_another(drawn, ui, session, "pizza", *HOW)["graph"]["value"] for _ in range(20)}
    assert names == {"dog", "cat"}


def test_a_damaged_sheet_gives_numbers_and_no_wrong_picture(data, ui, session):
    world = MadeUpWorld(SIZES, damaged=("esd",))
    bare = replace(data, world=world, effects=world.effects(), originals=Pictures([ServedSheet.of(world.original)]))
    updates = column.on_pick(bare, ui, session, "dog", "cat", *HOW)
    assert json.loads(updates["graph"]["edited"])["sheets"] == [] and looks(updates)["wolf"] == [0.7, 1]
    assert "wolf after dog" not in updates["selection"] and 'class="tile none"' in updates["selection"]


def test_what_is_right_already_is_not_written_back(data, ui, session):
    assert "value" not in column.on_pick(data, ui, session, "dog", "dog", *HOW)["graph"]
    assert column.on_named(data, ui, session, "dog", "dog") == {"search": gr.skip(), "erased": ["dog"]}


def test_a_name_that_is_typed_comes_before_those_that_hold_it(data):
    names = replace(data, concepts=ConceptSet.load("emoji")).names_to_type
    assert sorted(names) == sorted(ConceptSet.load("emoji").names)
    holding = [(one, other) for one in names for other in names if one != other and one.lower() in other.lower()]
    assert ("apple", "pineapple") in holding
    assert all(names.index(one) < names.index(other) for one, other in holding)


def test_a_search_is_left_as_it_was_typed_where_that_is_a_concepts_own_name(data, ui, session):
    assert "search" not in column.on_search(data, ui, session, "wolf", "dog", *HOW)
    again = column.on_search(data, ui, session, "dog", "dog", *HOW)
    assert "search" not in again and "value" not in again["graph"]
    otherwise = column.on_search(data, ui, session, " DOG", "cat", *HOW)
    assert otherwise["search"] == "dog" == otherwise["graph"]["value"]
    unknown = column.on_search(data, ui, session, "<b>grue</b>", "cat", *HOW)
    assert unknown["search"] == "cat" and unknown.keys() == {"messages", "search"}
    assert column.on_erased(data, ui, session, "wolf") == {"erased": ["wolf"]}
    session.lesson_asks = True
    assert column.on_erased(data, ui, session, "wolf") == {"messages": gr.skip()}


def test_an_unknown_name_is_answered_by_a_message_and_changes_nothing(data, ui, session, warnings):
    updates = column.on_pick(data, ui, session, "<b>grue</b>", "cat", *HOW)
    assert updates.keys() == {"messages"}
    assert column.on_named(data, ui, session, "<b>grue</b>", "cat")["search"] == "cat"
    assert "&lt;b&gt;grue" in updates["messages"] and "<b>grue" not in updates["messages"]
    assert warnings and "<b>" not in warnings[0]


def test_without_side_effects_the_atlas_says_so_and_has_no_arrows(data, ui, session):
    bare = MapData(data.models, data.choice, data.concepts, data.layouts, None)
    updates = column.on_pick(bare, ui, session, "cat", "dog", None, None, USUAL, 8, False)
    assert updates["graph"]["arrows"] == "[]" and "not recorded yet" in updates["caption"]
    assert whole_map.on_view(bare, ui, "Heat map", None)["heat"]["visible"] == "hidden"
    assert whole_map.on_everything(bare, ui, 100, None)["graph"]["overview"] == "[]"
    updates = column.map_updates(bare, ui, session)
    assert updates["build_offer"]["visible"] and "6 of the 6" in updates["build_status"]


def test_a_cell_of_the_heat_map_picks_whom_it_tells_of(data, ui, session):
    updates = whole_map.on_view(data, ui, "Heat map", 0)
    assert updates["heat"]["visible"] is True and "wolf" in updates["heat"]["figure"]
    assert whole_map.on_view(data, ui, "Atlas", 0)["graph"]["visible"] is True
    assert column.on_cell(data, ui, session, '["dog", "wolf"]', *HOW)["graph"]["value"] == "dog"
    assert "messages" in column.on_cell(data, ui, session, None, *HOW)


def test_all_arrows_at_once_are_the_clear_ones(data, ui):
    updates = whole_map.on_everything(data, ui, 100, 0)
    (arrow,) = json.loads(updates["graph"]["overview"])  # the weakest is where they begin
    assert arrow == [0, 1, 1.0, 1]
    assert whole_map.on_everything(data, ui, 0, 0)["graph"]["overview"] == "[]"


def test_what_is_missing_is_measured_once_at_a_time(maps, ui, session):
    choice = maps.models.choice
    maps.measuring.add(choice)
    (refusal,) = column.on_measure(maps, ui, session, choice)
    assert "for somebody else" in refusal["messages"] and choice in maps.measuring
    maps.measuring.clear()
    updates = list(column.on_measure(maps, ui, session, choice))
    assert updates[0]["build"]["interactive"] is False
    assert any("6 of 6" in update.get("build_status", "") for update in updates)
    (shown,) = [update for update in updates if "build_offer" in update]
    assert shown["build"]["interactive"] is True and shown["build_offer"]["visible"] is False
    assert maps.of(choice).unmeasured == 0 and maps.measuring == set()


@pytest.mark.parametrize("again", ["wolf", "church"])
def test_whoever_picks_while_a_map_is_made_anew_keeps_the_pick(maps, ui, session, monkeypatch, again):
    monkeypatch.setattr(column, "settle", lambda *_: None)
    monkeypatch.setattr(concept, "settle", lambda *_: None)
    session.picked = "wolf"
    stream = column.on_measure(maps, ui, session, maps.models.choice)
    shown = next(update for update in stream if "graph" in update)
    assert shown["graph"]["value"] == "wolf" and 'data-concept="wolf"' in shown["where"]
    assert shown["erased"]["value"] == ["wolf"] and shown["search"]["value"] == "wolf"
    session.picked = again
    told = [update["own_pictures"] for update in stream if "own_pictures" in update]
    assert [isinstance(pictures, str) for pictures in told] == [again == "wolf"], "its own event tells of another"


def test_a_model_whose_pictures_nobody_drew_draws_them_once_the_nearest_first(maps, ui):
    data = maps.of(maps.models.choice)
    assert data.originals.as_json() == ""
    *_, last = column.draw_originals(data, ui, "dog")
    places = [name for sheet in json.loads(last["graph"]["original"])["sheets"] for name in sheet["places"]]
    assert places[0] == "dog" and sorted(places) == sorted(data.concepts.names) and last["model_status"] == ""
    assert list(column.draw_originals(data, ui, "dog")) == []


def test_the_whole_graph_is_read_on_demand(data, ui):
    (text,) = whole_map.on_facts(data, ui, 0).values()
    assert "UCE, noise-shift: 2 clear damages" in text and "0% of them go both ways" in text
    assert "harms most: dog (0.50, 1 others), cat (0.30, 1 others)" in text
    assert "hurt most: wolf (0.50, by 1 erasures), dog (0.30, by 1 erasures)" in text
    bare = MapData(data.models, data.choice, data.concepts, data.layouts, None)
    assert "Nothing was measured" in whole_map.on_facts(bare, ui, None)["facts"]


def test_a_click_while_a_lesson_asks_is_a_guess(drawn, ui):
    asked = Session("a" * 32, lesson_open=True, lesson_asks=True)
    assert column.on_click(drawn, ui, asked, "dog", "cat", *HOW) == {"messages": gr.skip()}
    assert column.on_named(drawn, ui, asked, "cat", "dog") == {"messages": gr.skip()}
    asked.lesson_asks = False
    assert column.on_click(drawn, ui, asked, "dog", "cat", *HOW)["graph"]["value"] == "dog"
