"""What the page reads before any model is open: the recorded world first, and without it what there was."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from age_core import ConceptSet
from age_core.serve import stored
from age_core.study.world_files import numbers_file

EMOJI = ConceptSet.load("emoji")
ESD = ("naive", "distance")


@pytest.fixture(autouse=True)
def _anew():
    stored.recorded_world.cache_clear()
    yield
    stored.recorded_world.cache_clear()


def no_model():
    raise AssertionError("everything came with the package")


def test_the_maps_first_source_is_the_recorded_world_by_distance():
    effects, world = stored.side_effects("emoji", EMOJI, "emoji", no_model), stored.recorded_world("emoji", EMOJI)
    assert effects.sources[0] == ESD and effects.floor(ESD) == world.floor
    assert stored.source_title(ESD) == ("ESD with a target", "distance")
    assert ("uce", "noise-shift") in effects.sources and effects.missing(EMOJI) == []
    assert set(effects.pairs(ESD)["erased"]) == set(world.erased("esd"))
    for name in set(EMOJI.names) - set(world.erased("esd")):  # whatever other sources know of it
        assert not effects.measured(ESD, name, "hurts") and effects.strongest(ESD, name, "hurts").empty
    dog = world.erasure("esd", "dog")
    arrows = effects.strongest(ESD, "dog", "hurts", k=450)
    assert set(arrows["affected"]) == set(dog.table.index[dog.table["distance"] > world.floor.value]) - {"dog"}
    assert arrows["high"].notna().mean() > 0.9  # what moved was drawn four times


@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_without_a_recorded_world_the_map_has_what_there_was(how, tmp_path, monkeypatch):
    if how == "damaged":
        shutil.copytree(stored.WORLD, tmp_path / "world")
        (tmp_path / "world" / numbers_file("esd")).write_bytes(b"PAR1")
    monkeypatch.setattr(stored, "WORLD", tmp_path / "world")
    effects = stored.side_effects("emoji", EMOJI, "emoji", no_model)
    assert stored.recorded_world("emoji", EMOJI) is None
    assert effects.sources[0] == ("uce", "noise-shift") and ESD not in effects.sources


def test_the_recorded_world_is_of_its_own_model_and_concepts():
    netfive = ConceptSet.load("emoji-netfive")
    assert stored.recorded_world("emoji", netfive) is None and stored.recorded_world("mine", EMOJI) is None
    assert ESD in stored.side_effects("emoji", netfive, "emoji-netfive", no_model).sources  # of its own graph


def test_targets_under_one_protection_are_told_apart_from_what_the_default_was(tmp_path, monkeypatch):
    guarded = {"protect": "near", "train": "kv"}
    rows = [
        ("age", {}, 100.0),
        ("age", {"settle": 1.0, "most_left": 0.0}, 95.0),
        ("age", {"protect_in": [], "reach": 0.4}, 92.0),
        ("random", guarded, 90.0),
        ("random", guarded | {"protect_in": []}, 80.0),
        ("random", guarded | {"most_left": 0.2}, 75.0),
        ("age-unprotected", {}, 70.0),
    ]
    table = pd.DataFrame(rows, columns=["named", "options", "esr1"])
    table.assign(options=table["options"].map(json.dumps)).to_csv(tmp_path / "protection.csv", index=False)
    monkeypatch.setattr(stored, "PROTECTION", tmp_path / "protection.csv")
    told = stored.protection()
    assert told is not None and told["esr1"].to_dict() == {"age": 95.0, "random": 90.0}
    monkeypatch.setattr(stored, "PROTECTION", tmp_path / "none.csv")
    assert stored.protection() is None
