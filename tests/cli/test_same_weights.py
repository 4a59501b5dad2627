"""What was measured or recorded belongs to weights, not to the folder or the name under which they lay."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from support import build_tiny_sd

from age_core import AgeError
from age_core.__main__ import main
from age_core.study.tables import SideEffects

SIX = Path(__file__).parents[1] / "runs" / "e28eaab" / "six.csv"
GRAPH = ["graph", "--metrics", "noise-shift", "--images", "1", "--method", "uce", "--erase", "dog", "cat"]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A folder with models: bob is alice but for the weights of the UNet, carol but for how latents are decoded."""
    folder = tmp_path_factory.mktemp("models")
    pipe = build_tiny_sd(folder, "epsilon")
    pipe.save_pretrained(folder / "alice")
    shutil.copytree(folder / "alice", folder / "carol")
    settings = folder / "carol" / "vae" / "config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"scaling_factor": 0.5}))
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in pipe.unet.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    pipe.save_pretrained(folder / "bob")
    return folder


def answer(capsys, *arguments: object, code: int = 0) -> dict:
    capsys.readouterr()
    assert main([str(argument) for argument in (*arguments, "--json")]) == code
    return json.loads(capsys.readouterr().out)


def graph(capsys, model: object, parts: Path, code: int = 0) -> dict:
    out = parts.with_suffix(".parquet")
    return answer(capsys, "--model", model, "--concepts", SIX, *GRAPH, "--parts", parts, "--out", out, code=code)


def test_finished_erasures_are_not_taken_for_those_of_another_model(models, tmp_path, monkeypatch, capsys):
    parts = tmp_path / "parts"
    graph(capsys, models / "alice", parts)
    refused = graph(capsys, models / "bob", parts, code=2)
    assert "'parts' holds the erasure 'cat-0' with another model (" in refused["error"]
    graph(capsys, models / "bob", tmp_path / "bobs")
    one, two = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("parts", "bobs"))
    assert (one["delta"] != two["delta"]).all() and set(one["identity"]).isdisjoint(two["identity"])
    both = answer(capsys, "statistics", tmp_path / "parts.parquet", tmp_path / "bobs.parquet", code=2)
    assert "of several models" in both["error"]

    monkeypatch.chdir(models)
    for place in ("alice/", "./alice", models / "link"):  # the same weights, whatever they are called
        if place == models / "link":
            place.symlink_to(models / "alice")
        assert graph(capsys, place, parts)["rows"] == len(one)
    shutil.copytree(models / "alice", tmp_path / "mine")
    graph(capsys, tmp_path / "mine", parts)
    shutil.rmtree(tmp_path / "mine")
    shutil.copytree(models / "bob", tmp_path / "mine")  # new weights in the old place
    assert "with another model" in graph(capsys, tmp_path / "mine", parts, code=2)["error"]


def test_what_an_earlier_version_recorded_is_of_all_that_share_the_weights(models, tmp_path, capsys):
    parts = tmp_path / "parts"
    first = graph(capsys, models / "alice", parts)["rows"]
    assert "with another model (" in graph(capsys, models / "carol", parts, code=2)["error"]
    table = pd.read_parquet(tmp_path / "parts.parquet")
    (identity,) = table["identity"].unique()
    early = identity.split("-")[0]
    assert len(early) == 16 and early != identity
    for path in parts.glob("*.json"):
        path.write_text(path.read_text().replace(identity, early))
    original = parts / "original.safetensors"
    original.write_bytes(original.read_bytes().replace(f'"{identity}"'.encode(), f'"{early}"         '.encode()))
    times = {path: path.stat().st_mtime_ns for path in parts.iterdir()}
    for name in ("alice", "carol"):
        assert graph(capsys, models / name, parts)["rows"] == first
    assert times == {path: path.stat().st_mtime_ns for path in parts.iterdir()}
    both = pd.concat([table.assign(identity=early), table])
    assert SideEffects(both).model == (str(models / "alice"), identity)
    with pytest.raises(AgeError, match="of several models"):
        SideEffects(pd.concat([both, table.assign(identity=f"{early}-{'0' * 8}")]))


@pytest.mark.usefixtures("few_pictures")
def test_a_run_is_looked_at_with_the_model_that_it_edited(models, tmp_path, capsys):
    place = tmp_path / "mine"
    shutil.copytree(models / "alice", place)
    run = tmp_path / "run"
    asked = ["--concepts", SIX, "erase", "dog", "--method", "uce", "--run", run]
    answer(capsys, "--model", place, *asked)
    measured = ["--concepts", SIX, "evaluate", run, "--probe", "emoji", "--images", "1"]
    own = answer(capsys, *measured)["table"]
    assert own == answer(capsys, "--model", models / "alice", *measured)["table"]
    shutil.rmtree(place)
    shutil.copytree(models / "bob", place)
    for command in (measured, ["compare", run, "--probe", "emoji", "--out", tmp_path / "x"]):
        assert "are not those that the run edited" in answer(capsys, *command, code=2)["error"]
    assert "name their file by --concepts" in answer(capsys, "erase", "--run", run, "--resume", code=2)["error"]
