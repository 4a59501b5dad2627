"""Whose map is shown: what came with the package belongs to weights, not to the name under which a model is open."""

from __future__ import annotations

import numpy as np
import pytest

from age_core import ConceptSet
from age_core.serve import stored
from age_core.serve.explorer import Explorer
from age_core.serve.library import Library
from age_core.serve.registry import Choice
from viz.atlas import layout
from viz.tabs import page
from viz.tabs.map_data import MapCache
from viz.tabs.session import Session

EMOJI = ConceptSet.load("emoji")


class Opening:
    """Stands for `OpenModels` whose one model is not open at first."""

    def __init__(self, explorer: Explorer):
        self.open, self.is_open = explorer, False

    def explorer(self, choice: Choice) -> Explorer:
        self.is_open = True
        return self.open

    def has(self, choice: Choice) -> bool:
        return self.is_open


@pytest.fixture
def opened(queue, tmp_path):
    """Models with one that is about to be open under a name; its concepts are laid out already."""

    def make(pipe, name: str) -> Opening:
        explorer = Explorer(pipe, None, EMOJI, queue, Library(tmp_path / "runs", None, name), name)
        angles = np.linspace(0, 6, len(EMOJI))
        points = np.stack([np.cos(angles), np.sin(angles)], 1)
        layout.write_layout(stored.measured_layouts(explorer), EMOJI.names, points)
        return Opening(explorer)

    return make


def test_the_bundled_models_map_stays_the_one_that_was_seen_before_it_was_open(opened, emoji_pipe):
    maps = MapCache(opened(emoji_pipe, "emoji"))
    data = maps.of(Choice())
    assert data.world is not None and not maps.models.is_open
    maps.models.explorer(Choice())
    assert maps.of(Choice()) is data


def test_a_model_of_the_bundled_ones_name_but_other_weights_shows_nothing_of_its_recordings(opened, tiny_pipe, ui):
    maps = MapCache(opened(tiny_pipe, "emoji"))
    assert maps.of(Choice()).world is not None  # nobody can know yet
    maps.models.explorer(Choice())
    data = maps.of(Choice())
    assert data.world is None and data.effects is None and not data.originals.sheets and data.unmeasured == len(EMOJI)
    assert maps.of(Choice()) is data and maps.reread(Choice()).world is None
    update = next(page.on_ready(data, ui, Session("a" * 32)))  # a page that shows them is told
    assert update["graph"]["edited"] == update["graph"]["original"] == "" and not update["by"]["visible"]


@pytest.mark.parametrize("concepts", ["emoji", "emoji-netfive"])
def test_the_bundled_weights_elsewhere_have_what_was_recorded_of_them(opened, emoji_pipe, tiny_pipe, concepts):
    choice = Choice("/else/where", concepts, "")
    for pipe, known in ((emoji_pipe, True), (tiny_pipe, False)):
        models = opened(pipe, "/else/where")
        identity = stored.compared_identity(models.open)
        effects = stored.side_effects(choice.model, EMOJI, concepts, lambda models=models: models.open, identity)
        assert (effects is not None) == known
        assert (stored.recorded_world(choice.model, EMOJI, identity) is not None) == known
    assert stored.recorded_world("emoji", EMOJI, identity) is None


def test_a_copy_of_the_bundled_model_opens_with_its_recorded_world(opened, emoji_pipe):
    maps = MapCache(opened(emoji_pipe, "/else/where"))
    data = maps.of(Choice("/else/where", "emoji", ""))
    assert data.world is not None and data.first == "dog" and data.originals.sheets


def test_in_another_number_format_the_name_has_to_do(opened, tiny_pipe, monkeypatch):
    monkeypatch.setattr(Explorer, "number_format", "bfloat16")
    for name, known in (("emoji", True), ("/else/where", False)):
        models = opened(tiny_pipe, name)
        identity = stored.compared_identity(models.open)
        assert stored.is_recorded(name, identity) == known
