"""A run that was stopped says how to go on, and what it says does all that was asked for at first."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from age_core import ConceptSet, Eraser, Run
from age_core.__main__ import main
from age_core.cli import erase

SIX = Path(__file__).parents[1] / "runs" / "e28eaab" / "six.csv"
STEPS = ["--method", "empty", "--steps", "3", "--set", "batch=2", "--set", "samples=2"]


@pytest.fixture
def stopped(monkeypatch):
    """Ctrl-C after the first step, this once."""
    start = erase.start_planned

    def start_and_stop(*given):
        run, events = start(*given)

        def until_stopped():
            for event in events:
                yield event
                if event.step == 1:
                    events.close()
                    raise KeyboardInterrupt

        return run, until_stopped()

    monkeypatch.setattr(erase, "start_planned", start_and_stop)


def test_what_it_says_goes_on_with_concepts_of_ones_own_to_the_place_that_was_asked_for(
    model, stopped, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "concepts of my own.csv"
    own.write_bytes(SIX.read_bytes())
    out = tmp_path / "it's done.safetensors"
    beginning = ["--model", model, "--concepts", str(own), "erase", "dog", "--out", str(out), "--run", "my run"]
    assert main([*beginning, *STEPS, "--set", "sample_steps=2"]) == 130
    said = capsys.readouterr().err.strip().splitlines()[-1]
    python, m, package, *arguments = shlex.split(said.split("Go on with: ")[1])
    assert (python, m, package) == ("python", "-m", "age_core") and not out.exists()
    assert main(arguments) == 0
    assert Run.open(tmp_path / "my run").status == "finished" and Eraser.load(out).concepts == ("dog",)
    assert len(ConceptSet.load(own)) == 6


def test_a_run_of_bundled_concepts_needs_no_more_than_its_folder(model, stopped, tmp_path, capsys):
    run = tmp_path / "run"
    begun = ["--model", model, "--concepts", "sd-imagenette", "erase", "golf ball", "--run", str(run), *STEPS]
    assert main([*begun, "--set", "sample_steps=2"]) == 130
    assert capsys.readouterr().err.strip().endswith(f"python -m age_core erase --run {run} --resume")
