"""Where commands compute: what --device and --dtype stand for, and that a run goes on where it was begun."""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace

import pytest
import torch
from support import QUICK

from age_core import ConceptSet, load_pipeline
from age_core.__main__ import main
from age_core.cli.common import place_of
from age_core.runs.config import RunConfig
from age_core.runs.record import Place, start_run
from age_core.runs.run import Run


@pytest.fixture(scope="module")
def stopped(model, tmp_path_factory):
    """A run in bfloat16, stopped after its first step, with activations that are computed again; never changed."""
    pipe = load_pipeline(model, dtype="bfloat16", gradient_checkpointing=True)
    request = QUICK | {"steps": 3, "checkpoint_every": 1}
    run, events = start_run(
        pipe, tmp_path_factory.mktemp("runs"), "random", "dog", ConceptSet.load("emoji"), model, pool=4, **request
    )
    next(event for event in events if event.step == 1)
    events.close()
    return run


@pytest.fixture
def begun(stopped, tmp_path):
    """A copy of it."""
    return Run.open(shutil.copytree(stopped.path, tmp_path / stopped.path.name))


def written(run: Run, **machine: str) -> Run:
    """The run as if it had been begun elsewhere."""
    document = json.loads((run.path / "config.json").read_text())
    document["machine"] = {**document["machine"], **machine}
    (run.path / "config.json").write_text(json.dumps(document))
    return Run.open(run.path)


def test_a_run_says_where_it_was_begun(begun):
    machine = begun.config.machine
    assert (machine["device"], machine["dtype"], machine["low_memory"]) == ("cpu", "bfloat16", "yes")
    assert Place.of(begun) == Place("cpu", "bfloat16", True)


def test_a_run_goes_on_in_its_own_format(begun, capsys):
    assert main(["erase", "--run", str(begun.path), "--resume"]) == 0
    assert Run.open(begun.path).status == "finished"


def test_another_format_is_another_model(begun, capsys):
    assert main(["--dtype", "float32", "erase", "--run", str(begun.path), "--resume"]) == 2
    assert "another model" in capsys.readouterr().err


def test_a_run_of_a_card_that_is_not_here_says_how_to_go_on(begun, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    written(begun, device="cuda:3")
    assert main(["erase", "--run", str(begun.path), "--resume"]) == 2
    assert "begun on cuda:3" in capsys.readouterr().err
    assert main(["erase", "--device", "cpu", "--run", str(begun.path), "--resume"]) == 0


@pytest.mark.parametrize("device", ["meta", "cuda:99999", "cpu; rm", "xpu", ""])
def test_a_device_that_no_run_has_is_passed_over(begun, device):
    assert Place.of(written(begun, device=device, dtype="int8", low_memory="perhaps")) == Place("", "float32", False)


def test_runs_before_were_float32_and_lack_later_options(begun):
    config = begun.config
    before = replace(config, machine={"device": "cpu", "threads": "1"})
    assert Place.of(Run(begun.path, before)) == Place("cpu", "float32", False)
    fewer = {name: value for name, value in config.options.items() if name != "rows_at_once"}
    assert RunConfig.differences(replace(config, options=fewer), config) == []
    assert RunConfig.differences(replace(config, options=fewer | {"rows_at_once": 2}), config)


def test_what_is_not_given_is_what_the_device_computes_well_in(monkeypatch):
    monkeypatch.setattr("age_core.cli.common.default_dtype", lambda device: f"best on {device}")
    unset = {"device": None, "dtype": None}
    assert place_of(argparse.Namespace(**unset)) == ("cpu", "best on cpu")
    assert place_of(argparse.Namespace(**unset), "cuda:1") == ("cuda:1", "best on cuda:1")
    assert place_of(argparse.Namespace(**unset | {"device": "cuda"})) == ("cuda", "best on cuda")
    assert place_of(argparse.Namespace(device=None, dtype="float16")) == ("cpu", "float16")


def test_info_says_where_and_in_what(model, capsys):
    assert main(["--model", model, "--json", "info"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["device"], about["dtype"]) == ("cpu", "float32")
