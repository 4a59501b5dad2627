"""The command line on a tiny model: documents, exit codes, interruption, and the way back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from support import QUICK, build_tiny_sd

from age_core import AgeError, ConceptSet, Eraser, load_pipeline
from age_core.__main__ import main
from age_core.erasure.by_method import erase_by, plan
from age_core.erasure.target_words import POOL, fixed_word
from age_core.measure.pairs import save_comparison
from age_core.runs.info import describe
from age_core.runs.record import make_config, model_identity, resume_run, start_run, vocabulary_hash
from age_core.runs.run import Run, list_runs
from age_core.study.task import METRICS

ROOT = Path(__file__).parents[2]
SIX = ROOT / "tests" / "runs" / "e28eaab" / "six.csv"
SMALL = [
    "--set",
    "batch=2",
    "--set",
    "pi_batch=2",
    "--set",
    "samples=2",
    "--set",
    "candidate_samples=1",
    "--set",
    "sample_steps=2",
    "--set",
    "min_candidate_distance=0.0",
]
FEW = ["--pool", "5", *SMALL]  # a look-ahead tries each candidate
BUNDLED = "emoji-netfive"  # few concepts, for what asks for any that are known by their name


@pytest.fixture(scope="module")
def finished(model, tmp_path_factory) -> Path:
    """A finished run of low-rank training, which every kind of export takes."""
    folder = tmp_path_factory.mktemp("runs") / "dog"
    done = main(["--model", model, "erase", "dog", "--run", str(folder), "--steps", "3", "--set", "train=lora", *FEW])
    assert done == 0
    return folder


def answer(capsys, *arguments: object, code: int = 0) -> dict:
    """What a command prints with --json: one document and nothing else on stdout."""
    capsys.readouterr()
    assert main([str(argument) for argument in (*arguments, "--json")]) == code
    return json.loads(capsys.readouterr().out)


def test_erase_leaves_a_run_and_an_eraser(model, tmp_path, capsys):
    out = tmp_path / "out" / "dog.safetensors"
    arguments = ["--model", model, "--concepts", BUNDLED, "erase", "dog", "--steps", "2", "--out", out, *FEW]
    found = answer(capsys, *arguments)
    run = Run.open(found["run"])
    assert run.status == "finished" and run.path.parent == out.parent and found["status"] == "finished"
    assert found["config"]["options"]["batch"] == 2 and found["config"]["concepts"] == ["dog"]
    written = Eraser.load(out)
    assert all(torch.equal(delta, run.eraser().delta[name]) for name, delta in written.delta.items())
    assert main([str(argument) for argument in arguments]) == 0  # again: another run, the same eraser replaced
    captured = capsys.readouterr()
    assert captured.out.startswith(f"saved {out}") and len(list_runs(out.parent)) == 2
    assert "dog:" not in captured.err  # no bar where nobody watches


def test_a_bar_where_somebody_watches(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    arguments = ["--model", model, "--concepts", BUNDLED, "erase", "dog", "--steps", "2", *FEW]
    assert main([*arguments, "--run", a]) == 0 and "dog:" in capsys.readouterr().err
    assert main([*arguments, "--run", b, "--json"]) == 0 and "dog:" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        (["--target", "fixed", "--word", "pizza"], "pizza"),
        (["--target", "fixed"], ""),
        (["--target", "random"], "random"),
        (["--method", "esd-x", "--word", "cat"], "cat"),
        (["--method", "in-class"], "in-class"),
    ],
)
def test_the_target_is_the_one_asked_for(model, tmp_path, arguments, target):
    concepts = ConceptSet.load("emoji")
    if target == "in-class":
        target = fixed_word(load_pipeline(model), "in-class", concepts["wolf"], concepts)
        assert target != "wolf" and concepts[target].group == concepts["wolf"].group
    started = ["--model", model, "erase", "wolf", "--steps", "1", "--run", str(tmp_path / "x")]
    assert main([*started, *arguments, *SMALL]) == 0
    run = Run.open(tmp_path / "x")
    assert run.eraser().info["target"] == target
    if target != "random":
        assert run.events()[-1].candidates[0] == target and run.events()[-1].sampled[0] == 1.0


def test_the_pool_is_as_large_as_asked_for(model, tmp_path):
    for arguments, size in ((["--pool", "7"], 7), ([], POOL)):
        folder = tmp_path / str(size)
        started = ["--model", model, "erase", "dog", "--method", "age-even", "--steps", "1", "--run", str(folder)]
        assert main([*started, *arguments, *SMALL]) == 0
        run = Run.open(folder)
        assert run.config.request["pool"] == size and len(run.events()[-1].candidates) == size


def test_closed_forms_have_runs_too(model, tmp_path):
    assert main(["--model", model, "erase", "dog", "cat", "--method", "uce", "--run", str(tmp_path / "x")]) == 0
    run = Run.open(tmp_path / "x")
    assert run.status == "finished" and run.config.concepts == ("dog", "cat")
    *_, last = erase_by(load_pipeline(model), "uce", ["dog", "cat"], ConceptSet.load("emoji"))
    assert all(torch.equal(delta, run.eraser().delta[name]) for name, delta in last.eraser.delta.items())
    assert len(run.eraser().delta) == len(last.eraser.delta) > 1 and any(d.any() for d in last.eraser.delta.values())


@pytest.mark.usefixtures("few_pictures")
def test_evaluate_takes_runs_and_files(model, finished, tmp_path, capsys):
    copy = tmp_path / "copy.safetensors"
    Run.open(finished).eraser().save(copy)
    arguments = ["--model", model, "--concepts", SIX, "evaluate", "--probe", "emoji", "--images", "1"]
    found = answer(capsys, *arguments, finished, copy)
    assert found["erased"] == ["dog"]
    assert [row["method"] for row in found["table"]] == ["original", "dog", "copy"]
    assert found["table"][1]["psr1"] == found["table"][2]["psr1"]


@pytest.mark.usefixtures("few_pictures")
def test_erasers_of_the_same_file_name_are_all_measured(model, finished, tmp_path, capsys):
    """Every run folder holds an eraser.safetensors, and one may be called as the original's row is."""
    eraser = Run.open(finished).eraser()
    paths = [tmp_path / name for name in ("a/eraser.safetensors", "b/eraser.safetensors", "b/original.safetensors")]
    for path, word in zip(paths, ("dog", "cat", "fox"), strict=True):
        path.parent.mkdir(exist_ok=True)
        replace(eraser, info={**eraser.info, "concept": word, "concepts": [word]}).save(path)
    arguments = ["--model", model, "--concepts", SIX, "evaluate", "--probe", "emoji", "--images", "1"]
    found = answer(capsys, *arguments, *paths)
    assert found["erased"] == ["cat", "dog", "fox"]
    assert [row["method"] for row in found["table"]] == ["original", "a/eraser", "b/eraser", "b/original"]
    twice = answer(capsys, *arguments, *paths, tmp_path / "a" / ".." / "a" / "eraser.safetensors", code=2)
    assert "is given twice" in twice["error"]


def test_compare_draws_pairs_and_says_what_the_probe_saw(model, finished, tmp_path, capsys):
    arguments = ["compare", finished, "--model", model, "--probe", "emoji", "--prompts", "a cat", "--names", "dog"]
    found = answer(capsys, *arguments, "--out", tmp_path / "pairs")
    assert [(pair["prompt"], pair["seed"]) for pair in found["pairs"]] == [
        ("an emoji of a dog", 0),
        ("an emoji of a dog", 1),
        ("a cat", 0),
        ("a cat", 1),
    ]
    assert json.loads((tmp_path / "pairs" / "pairs.json").read_text()) == {"pairs": found["pairs"]}
    with Image.open(tmp_path / "pairs" / "grid.png") as grid:
        assert grid.height > 4 * 256 and grid.width > 2 * 256
        assert len(np.unique(np.asarray(grid).reshape(-1, 3), axis=0)) > 50
    with pytest.raises(AgeError, match="nothing to compare"):
        save_comparison([], tmp_path / "none")


@pytest.mark.parametrize("kind", ["pipeline", "delta", "lora"])
def test_every_export_is_described(model, finished, tmp_path, capsys, kind):
    out = tmp_path / ("dog.safetensors" if kind == "delta" else "dog")
    found = answer(capsys, "--model", model, "export", finished, "--kind", kind, "--out", out)
    assert found["kind"] == kind and found["picture_difference"] <= 0.5
    about = answer(capsys, "info", out)
    assert about["kind"] == ("eraser" if kind == "delta" else "export") and about["bytes"] > 1000
    provenance = about["info"] if kind == "delta" else about["export"]["eraser"]
    assert provenance["concept"] == "dog" and provenance["options"]["train"] == "lora"
    assert (about.get("model") is not None) == (kind == "pipeline")
    assert answer(capsys, "--model", model, "export", finished, "--kind", kind, "--out", out, code=2)["error"]


def test_info_of_models_erasers_and_runs(model, finished, capsys):
    pipe = load_pipeline(model)
    about = answer(capsys, "--model", model, "info")
    assert about == answer(capsys, "info", model)
    assert about["class"] == "StableDiffusionPipeline" and about["prediction_type"] == "epsilon"
    assert about["parameters"]["unet"] == sum(p.numel() for p in pipe.unet.parameters())
    counts = about["trained_parameters"]
    assert counts["full"] == about["parameters"]["unet"] > counts["noxattn"] > counts["xattn"] > counts["xattn-qkv"]
    of_run = answer(capsys, "info", finished)
    assert of_run["kind"] == "run" and of_run["status"] == "finished" and of_run["step"] == of_run["steps"] == 3
    assert of_run["model"]["identity"] == about["identity"] and not of_run["resumable"]
    assert of_run["world"]["name"] == "emoji" and of_run["concepts"] == ["dog"]
    assert of_run["eraser"]["low_rank_factors"] == of_run["eraser"]["changed_tensors"] > 0
    factors = Run.open(finished).eraser().lora
    assert {name.split(".")[-3] for name in factors} == {"to_k", "to_v"}, "what the default protects sees text alone"
    assert 0 < sum(factor.numel() for factor in factors.values()) < counts["lora"]
    assert main(["info", str(finished)]) == 0
    assert "status: finished" in capsys.readouterr().out


def test_the_bundled_model_is_v_prediction_or_epsilon_by_its_own_word():
    assert describe("emoji")["prediction_type"] == load_pipeline("emoji").scheduler.config.prediction_type


def test_graph_keeps_its_flags(model, tmp_path, capsys):
    table = tmp_path / "graph.parquet"
    found = answer(
        capsys,
        "--model",
        model,
        "--concepts",
        SIX,
        "graph",
        "--erase",
        "dog",
        "--images",
        "1",
        "--steps",
        "1",
        "--target",
        "fixed",
        "--probe",
        "emoji",
        "--parts",
        tmp_path / "parts",
        "--out",
        table,
        *SMALL,
    )
    names, rows = ConceptSet.load(str(SIX)).names, pd.read_parquet(table)
    assert found["erased"] == ["dog"] and found["rows"] == len(rows)
    floor, rows = rows[rows["erased"] == ""], rows[rows["erased"] != ""]
    assert set(floor["metric"]) == {"DS-1", "DS-5"} and set(floor["affected"]) == set(names)  # nothing was erased
    assert set(rows["erased"]) == {"dog"} and set(rows["target"]) == {""} and set(rows["seed"]) == {0}
    affected = {metric: set(part["affected"]) for metric, part in rows.groupby("metric")}
    assert set(affected) == set(METRICS) and all(set(names) - {"dog"} <= words for words in affected.values())
    assert rows["delta"].notna().all() and (rows[rows["metric"] == "noise-shift"]["delta"] > 0).all()
    options = json.loads((tmp_path / "parts" / "dog-0.json").read_text())["options"]
    assert options["steps"] == 1 and options["target"] == "fixed" and options["pi_batch"] == 2


# --- exit codes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["erase", "quantum"], "no concept"),
        (["erase"], "Name a concept"),
        (["erase", "dog", "--set", "speed=3"], "no option 'speed'"),
        (["erase", "dog", "--set", "lr"], "lr=0.001"),
        (["erase", "dog", "--set", "lr=-1"], "above 0"),
        (["erase", "dog", "--set", "batch=many"], "such as 8, not 'many'"),
        (["erase", "dog", "--set", "normalise_terms=1"], "such as false"),
        (["erase", "dog", "--set", 'templates="dog"'], "'templates' takes"),
        (["erase", "dog", "--set", 'templates=["dog"]'], "{noun}"),
        (["erase", "dog", "--set", "pool=100"], "use --pool"),
        (["erase", "dog", "--set", "target=dog"], "use --method or --target"),
        (["erase", "dog", "--set", "preset=fast"], "use --preset"),
        (["erase", "dog", "--set", "name=x"], "no option 'name'"),
        (["erase", "dog", "--set", "model=y"], "no option 'model'"),
        (["erase", "dog", "--pool", "0"], "at least 1"),
        (["erase", "dog", "--seed", "-1"], "'seed' must be 0 or more"),
        (["erase", "dog", "--seed", "18446744073709551615"], "'seed' must be below"),
        (["erase", "dog", "--word", "cat"], "chooses its target itself"),
        (["erase", "--run", "nowhere", "--resume"], "no run folder"),
        (["erase", "dog", "--resume"], "--resume takes"),
        (["evaluate", "absent.safetensors"], "absent.safetensors"),
        (["compare", "absent.safetensors", "--out", "x"], "absent.safetensors"),
        (["export", "absent.safetensors", "--out", "x"], "absent.safetensors"),
        (["info", "nothing"], "no pipeline"),
        (["--device", "mars", "info"], "cannot be loaded"),
    ],
)
def test_bad_input_is_one_sentence_and_code_2(model, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert main(["--model", model, *arguments, "--json"]) == 2
    captured = capsys.readouterr()
    assert words in json.loads(captured.out)["error"] and words in captured.err
    assert "Traceback" not in captured.err and not list_runs(tmp_path / "runs")


def test_compare_refuses_seeds_that_torch_does_not_take(finished, tmp_path, capsys):
    for seed in (-1, 2**63 - 1):
        found = answer(capsys, "compare", finished, "--seed", seed, "--out", tmp_path / "x", code=2)
        assert "'seed' must be" in found["error"]


def test_divergence_is_code_1_and_the_run_says_why(model, tmp_path, capsys):
    diverging = ["--steps", "3", "--run", tmp_path / "x", "--set", "lr=1e30", *FEW]
    found = answer(capsys, "--model", model, "--concepts", BUNDLED, "erase", "dog", *diverging, code=1)
    assert "diverged" in found["error"] and "'x'" in found["error"]
    assert Run.open(tmp_path / "x").status.startswith("failed: The training diverged")


def test_a_taken_run_folder_is_refused(model, finished, capsys):
    assert main(["--model", model, "erase", "dog", "--run", str(finished), "--steps", "1"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["erase", "--run", str(finished), "--resume"]) == 2
    assert "is finished" in capsys.readouterr().err


# enough steps that seconds pass between the one that is waited for and the end
STEPS = ["--steps", "18", "--set", "checkpoint_every=3"]


def started(model: str, run: Path) -> subprocess.Popen:
    arguments = ["--model", model, "--concepts", BUNDLED, "erase", "dog", "--run", str(run), *STEPS]
    return subprocess.Popen(
        [sys.executable, "-m", "age_core", *arguments, *FEW],
        cwd=ROOT,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that runs the tests in the background has them, and so their children, ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def until_step(process: subprocess.Popen, run: Path, step: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if (run / "config.json").exists() and any(event.step >= step for event in Run.open(run).events()):
            return
        time.sleep(0.05)  # reading them takes a core from what writes them
    raise AssertionError(process.communicate())


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_ctrl_c_leaves_a_run_that_goes_on_to_the_same_bits(model, tmp_path, capsys):
    run = tmp_path / "stopped"
    process = started(model, run)
    until_step(process, run, 5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    (line,) = said.strip().splitlines()  # no remarks of the libraries, no traceback
    assert line.endswith(f"python -m age_core erase --run {run} --resume")
    assert Run.open(run).status == "stopped"
    about = answer(capsys, "info", run)
    assert about["resumable"] and about["step"] >= 5
    other = tmp_path / "other"
    build_tiny_sd(tmp_path, "v_prediction").save_pretrained(other)
    refused = answer(capsys, "--model", other, "erase", "--run", run, "--resume", code=2)
    assert "another model" in refused["error"]
    assert answer(capsys, "erase", "--run", run, "--resume")["status"] == "finished"  # the model is the run's own
    whole = ["--concepts", BUNDLED, "erase", "dog", "--run", tmp_path / "whole", *STEPS, *FEW]
    torch.set_num_threads(int(Run.open(run).config.machine["threads"]))  # as the resumed one did
    answer(capsys, "--model", model, *whole)
    one, two = Run.open(run).eraser(), Run.open(tmp_path / "whole").eraser()
    assert all(torch.equal(delta, two.delta[name]) for name, delta in one.delta.items())


# --- what a run depends on --------------------------------------------------------------------------------------------


def test_the_identity_sees_every_weight_and_the_configuration(tmp_path):
    pipe, again = build_tiny_sd(tmp_path, "epsilon"), build_tiny_sd(tmp_path, "epsilon")
    first = model_identity(pipe)
    assert model_identity(again) == first
    for part in (again.unet, again.text_encoder, again.vae):
        weight = next(part.parameters())
        with torch.no_grad():
            weight.view(-1)[0].add_(1e-6)
            assert model_identity(again) != first
            weight.copy_(
                next(getattr(pipe, {again.unet: "unet", again.vae: "vae"}.get(part, "text_encoder")).parameters())
            )
    assert model_identity(again) == first
    assert model_identity(build_tiny_sd(tmp_path, "v_prediction")) != first


FOUR_STEPS = {**QUICK, "steps": 4, "pool": 5}


def test_another_vocabulary_is_refused(model, tmp_path):
    pipe, concepts = load_pipeline(model), ConceptSet.load(BUNDLED)
    run, events = start_run(pipe, tmp_path, "age", "dog", concepts, model, **FOUR_STEPS)
    for event in events:
        if event.step == 2:
            events.close()
    smaller = replace(concepts, concepts=concepts.concepts[:20])
    assert vocabulary_hash(smaller) != vocabulary_hash(concepts)
    with pytest.raises(AgeError, match="another vocabulary"):
        resume_run(pipe, run, smaller)
    with pytest.raises(AgeError, match="another pool"):
        run.resume_state(make_config(pipe, plan("age", "dog", concepts, **FOUR_STEPS | {"pool": 7}), concepts, model))
    assert [event.step for event in resume_run(pipe, run, concepts)] == [3, 4]


def test_going_on_uses_the_runs_own_number_of_threads(model, tmp_path):
    pipe, concepts = load_pipeline(model), ConceptSet.load(BUNDLED)
    mine = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        *_, whole = start_run(pipe, tmp_path, "random", "dog", concepts, model, **FOUR_STEPS)[1]
        run, events = start_run(pipe, tmp_path, "random", "dog", concepts, model, **FOUR_STEPS)
        for event in events:
            if event.step == 2:
                events.close()
        torch.set_num_threads(1)
        assert {torch.get_num_threads() for _ in resume_run(pipe, run, concepts)} == {2}
        assert torch.get_num_threads() == 1
        assert all(torch.equal(delta, run.eraser().delta[name]) for name, delta in whole.eraser.delta.items())
    finally:
        torch.set_num_threads(mine)
