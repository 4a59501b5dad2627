"""What programs are answered, without a server: runs of one's own, plain values, one sentence where it cannot be."""

from __future__ import annotations

import json
import time
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from support import QUICK, WORLD, build_tiny_sd

from age_core import AgeError, Eraser
from age_core.erasure import options
from age_core.erasure.methods import METHODS
from age_core.serve.api import Api
from age_core.serve.explorer import Explorer
from age_core.serve.library import Library
from age_core.serve.queue import RunQueue

BEN = "b" * 32


@pytest.fixture(scope="module")
def explorer(tmp_path_factory):
    pipe = build_tiny_sd(tmp_path_factory.mktemp("tokenizer"), "epsilon")
    queue = RunQueue(60)
    yield Explorer(pipe, None, WORLD, queue, Library(tmp_path_factory.mktemp("runs"), None, "tiny"), "tiny")
    queue.close()


@pytest.fixture
def api(explorer, tmp_path):
    places = (tmp_path / str(number) for number in range(100))
    return Api(lambda: explorer, lambda: None, lambda: next(places))


def ended(api, told):
    while told["state"] in ("waiting", "running"):
        time.sleep(0.05)
        told = api.poll(told["run"], told["token"])
    return told


@pytest.fixture
def finished(api):
    return ended(api, api.start("dog", "uce", "balanced", "", 0, ""))


def test_what_there_is_to_erase_and_how(api):
    assert [concept["name"] for concept in api.concepts()] == list(WORLD.names)
    assert api.concepts()[0] == {"name": "dog", "group": "mammal", "general": "animal", "synonyms": ["hound"]}
    told = {method["name"]: method for method in api.methods()}
    assert told.keys() == METHODS.keys() and told["age"]["trains"] and not told["uce"]["trains"]


def test_a_run_is_begun_followed_and_used(api, finished):
    assert finished["state"] == "finished" and finished["step"] == finished["steps"] and json.dumps(finished)
    mine = finished["run"], finished["token"]
    pairs = api.pairs(*mine, ["dog", "two wolves"], 0, 1.0)
    assert [pair["prompt"] for pair in pairs] == ["a photo of a dog", "two wolves"]
    assert all(Image.open(pair[side]).size == (16, 16) for pair in pairs for side in ("original", "edited"))
    rows = api.measure(*mine, 3, 1.0)
    assert len(rows) == 3 and rows[0]["concept"] == "dog"
    assert all(row["distance"] is None and row["recognised"] is None for row in rows)  # nobody judges this model
    assert Eraser.load(api.file(*mine, "delta")).concepts == ("dog",)
    assert zipfile.ZipFile(api.file(*mine, "bundle")).testzip() is None
    assert Path(api.file(*mine, "single-file")).suffix == ".safetensors"


def test_a_run_is_its_owner_s_alone(api, finished):
    run = finished["run"]
    for ask in (
        lambda: api.poll(run, BEN),
        lambda: api.stop(run, BEN),
        lambda: api.pairs(run, BEN, ["dog"], 0, 1.0),
        lambda: api.measure(run, BEN, 3, 1.0),
        lambda: api.file(run, BEN, "bundle"),
    ):
        with pytest.raises(AgeError, match="There is no run"):
            ask()
    with pytest.raises(AgeError, match="no token"):
        api.poll(run, "")
    assert api.start("cat", "uce", "balanced", "", 0, BEN)["token"] == BEN


def test_a_run_is_stopped_and_told_of_afterwards(api, monkeypatch):
    monkeypatch.setitem(options.PRESETS, "balanced", QUICK | {"steps": 1000})
    told = api.start("dog", "empty", "balanced", "", 0, "")
    with pytest.raises(AgeError, match="ask again when it has finished"):
        api.file(told["run"], told["token"], "delta")
    told = ended(api, api.stop(told["run"], told["token"]))
    assert told["state"] == "stopped" and told["step"] < 1000


def test_nothing_is_recorded_of_a_model_that_came_from_elsewhere(api):
    with pytest.raises(AgeError, match="is recorded: start one"):
        api.victims("dog", "esd", 3)
