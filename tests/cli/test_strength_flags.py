"""--strength of evaluate, compare and export, and --until of erase, on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support import QUICK

from age_core import ConceptSet, Eraser, Run, load_pipeline, start_run
from age_core.__main__ import main
from age_core.measure.strength import AtStrength
from age_core.runs.run import list_runs

SIX = Path(__file__).parents[1] / "runs" / "e28eaab" / "six.csv"


@pytest.fixture(scope="module")
def eraser(model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("uce")
    out = folder / "dog.safetensors"
    assert (
        main(["--model", model, "erase", "dog", "--method", "uce", "--run", str(folder / "run"), "--out", str(out)])
        == 0
    )
    return out


def answer(capsys, *arguments: object, code: int = 0) -> dict:
    capsys.readouterr()
    assert main([str(argument) for argument in (*arguments, "--json")]) == code
    return json.loads(capsys.readouterr().out)


def same(one: Eraser, other: Eraser) -> bool:
    """Whether two erasers of the same weights are alike to the last bit, and say so."""
    changes = [torch.equal(change, other.delta[name]) for name, change in one.delta.items()]
    return one.info == other.info and len(changes) == len(other.delta) > 0 and all(changes)


def judged_by(monkeypatch, esr1) -> list[Eraser]:
    """Let erasures be judged by a function of the strength; the erasers that were to be judged."""
    erasers = []

    def judge_of(_pipe, _probe, _concepts, eraser, _erased):
        erasers.append(eraser)
        return lambda strength: AtStrength(strength, esr1(strength), 0.0, 100.0)

    monkeypatch.setattr("age_core.cli.erase.judge_of", judge_of)
    return erasers


# --- --strength -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("few_pictures")
def test_evaluate_has_a_row_for_each_strength(model, eraser, capsys):
    arguments = ["--model", model, "--concepts", SIX, "evaluate", "--probe", "emoji", "--images", "1", eraser]
    table = answer(capsys, *arguments, "--strength", "0", "--strength", "0.5", "--strength", "1")["table"]
    assert [row["method"] for row in table] == ["original", "dog at 0", "dog at 0.5", "dog at 1"]
    original, none, half, whole = ({**row, "method": ""} for row in table)
    assert none == original and 0 == none["distance"] < half["distance"] != whole["distance"] > 0


def test_compare_draws_at_the_strength(model, eraser, tmp_path, capsys):
    def distance(*strength: str) -> float:
        drawn = ["--model", model, "compare", eraser, "--probe", "emoji", "--seeds", "1", "--out", tmp_path]
        return answer(capsys, *drawn, *strength)["pairs"][0]["distance"]

    assert distance("--strength", "0") == 0
    assert distance("--strength", "0.5") not in (0, distance())


def test_export_writes_the_scaled_eraser(model, eraser, tmp_path, capsys):
    out = tmp_path / "half.safetensors"
    answer(capsys, "--model", model, "export", eraser, "--kind", "delta", "--strength", "0.5", "--out", out)
    half, whole = Eraser.load(out), Eraser.load(eraser)
    assert half.info["strength"] == 0.5
    assert all(torch.equal(change, 0.5 * whole.delta[name]) for name, change in half.delta.items())
    none = ["--model", model, "export", eraser, "--strength", "0", "--out", tmp_path / "none"]
    assert "At strength 0" in answer(capsys, *none, code=2)["error"] and not (tmp_path / "none").exists()


@pytest.mark.parametrize("command", ["evaluate", "compare", "export"])
@pytest.mark.parametrize("strength", ["-1", "nan", "inf", "1e9", "10.1", "half", "0,5", ""])
def test_what_is_no_strength_is_refused_before_anything_is_read(tmp_path, capsys, command, strength):
    out = [] if command == "evaluate" else ["--out", tmp_path / "x"]
    error = answer(capsys, command, "absent.safetensors", *out, "--strength", strength, code=2)["error"]
    assert f"--strength: The strength must be a number from 0 to 10, not {strength!r}" in error


# --- --until ----------------------------------------------------------------------------------------------------------


def until(model, folder, *more: str) -> list[object]:
    asked = ["--model", model, "erase", "dog", "--method", "uce", "--probe", "emoji", "--run", folder, *more]
    return [*asked, "--until", "95"]


def test_the_scaled_eraser_is_what_is_saved(model, eraser, tmp_path, capsys, monkeypatch):
    judged = judged_by(monkeypatch, lambda strength: 100.0 if strength >= 0.65 else 50.0)
    out = tmp_path / "scaled.safetensors"
    done = answer(capsys, *until(model, tmp_path / "run", "--out", str(out)))
    found = done["until"]
    assert found["reached"] and (found["goal"], found["strength"], found["esr1"]) == (95, 0.65, 100)
    assert [one["strength"] for one in found["tries"]][:2] == [1, 0]
    run, whole = Run.open(tmp_path / "run"), Eraser.load(eraser)
    assert [one.strength for one in judged] == [1]
    for scaled in (run.eraser(), Eraser.load(out)):
        assert scaled.info["strength"] == 0.65
        assert all(torch.equal(change, 0.65 * whole.delta[name]) for name, change in scaled.delta.items())
    assert "at strength 0.65" in run.events()[-1].note and run.status == "finished"


def test_out_of_reach_is_said_with_code_1_and_the_eraser_is_there(model, eraser, tmp_path, capsys, monkeypatch):
    judged_by(monkeypatch, lambda strength: 20 * strength)
    out = tmp_path / "dog.safetensors"
    error = answer(capsys, *until(model, tmp_path / "run", "--out", str(out)), code=1)["error"]
    assert "left as it was made, since ESR-1 95 is not reached: ESR-1 30.0" in error and str(out) in error
    assert same(Eraser.load(out), Eraser.load(eraser)) and same(
        Run.open(tmp_path / "run").eraser(), Eraser.load(eraser)
    )
    assert "not reached" in Run.open(tmp_path / "run").events()[-1].note


def test_a_model_that_never_drew_it_is_told_from_one_that_was_erased(model, tmp_path, capsys):
    """The tiny model's pictures are noise, in which the real probe sees no dog."""
    assert main([str(one) for one in until(model, tmp_path / "run")]) == 0
    assert "takes no eraser: ESR-1 100.0 (79.4 to 100.0) at strength 0" in capsys.readouterr().out
    assert "strength" not in Run.open(tmp_path / "run").eraser().info


def test_interrupted_the_eraser_is_as_it_was_made(model, eraser, tmp_path, capsys, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    judged_by(monkeypatch, interrupt)
    error = answer(capsys, *until(model, tmp_path / "run"), code=130)["error"]
    assert "Stopped while strengths were tried" in error
    assert same(Run.open(tmp_path / "run").eraser(), Eraser.load(eraser))


def test_a_run_that_goes_on_is_scaled_at_its_end(model, tmp_path, capsys, monkeypatch):
    judged_by(monkeypatch, lambda strength: 80 * strength)
    concepts = ConceptSet.load("emoji")
    run, events = start_run(load_pipeline(model), tmp_path, "random", "dog", concepts, model, pool=4, **QUICK)
    next(event for event in events if event.step == 1)
    events.close()
    found = answer(capsys, "erase", "--run", run.path, "--resume", "--until", "95", "--probe", "emoji")["until"]
    assert found["strength"] == run.eraser().info["strength"] == 1.2


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            ["--until", "0.95", "--probe", "emoji"],
            "--until: The ESR to reach must be a number from 1 to 100, not '0.95'",
        ),
        (["--until", "101", "--probe", "emoji"], "not '101'"),
        (["--until", "nan", "--probe", "emoji"], "not 'nan'"),
        (["--until", "all", "--probe", "emoji"], "not 'all'"),
        (["--until", "95"], "No probe came with"),
        (["--until", "95", "--probe", "absent"], "is no probe"),
        (["--until", "95", "--probe", "emoji", "--concepts", "own.csv"], "has no label 'gruebird'"),
    ],
)
def test_what_cannot_be_reached_or_judged_is_refused_before_the_run(model, tmp_path, monkeypatch, capsys, more, words):
    monkeypatch.chdir(tmp_path)
    rows = ["name,group,general,synonyms", "gruebird,bird,animal,", "dog,mammal,animal,"]
    Path("own.csv").write_text("\n".join(rows))
    name = "gruebird" if "own.csv" in more else "dog"
    assert words in answer(capsys, "--model", model, "erase", name, "--method", "uce", *more, code=2)["error"]
    assert not list_runs(tmp_path / "runs") and not (tmp_path / "runs").exists()
