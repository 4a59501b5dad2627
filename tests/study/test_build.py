"""Building side effects on tiny and bundled models: complete, restartable, in parallel, clear when refused."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from support import build_tiny_sd
from transformers import ResNetConfig, ResNetForImageClassification

from age_core import AgeError, ConceptSet, Eraser, Probe
from age_core.__main__ import main
from age_core.concepts.concept_set import Concept
from age_core.measure.evaluation import evaluate
from age_core.study.baseline import FILE, Original
from age_core.study.build import FLOOR_FILE, Job, MeasureSetup, Task, build_side_effects, keep_floor
from age_core.study.floor import UNEDITED
from age_core.study.tables import COLUMNS, SideEffects, gather, load_side_effects
from age_core.study.task import METRICS
from age_core.versions import library_versions

SMALL = {"steps": 2, "batch": 2, "samples": 2, "candidate_samples": 1, "sample_steps": 2, "preview_every": 0}
SMALL["min_candidate_distance"] = 0.0  # random weights draw all words alike
LABELS = ("dog", "cat", "fox", "owl", "bee", "ant")
WORLD = ConceptSet("tiny", tuple(Concept(n, "g", "thing") for n in ("dog", "cat", "fox")), "a photo of {a_noun}")
RANDOM = Task.of("random", SMALL, images=2, erased_images=3)


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic", num_labels=len(LABELS))
    probe = Probe(ResNetForImageClassification(config).eval(), LABELS, name="random", version="0123456789ab")
    return MeasureSetup(build_tiny_sd(tmp_path_factory.mktemp("tokenizer"), "epsilon"), probe, WORLD, WORLD)


def test_every_pair_is_measured_and_a_restart_recomputes_nothing(setup, tmp_path, monkeypatch):
    first = build_side_effects(setup, RANDOM, ["dog", "cat"], tmp_path)
    assert next(first).erased == "dog"
    first.close()  # killed between two erasures
    assert len(list(tmp_path.glob("*.parquet"))) == 1
    written = (tmp_path / "dog-0.parquet").stat().st_mtime_ns
    with monkeypatch.context() as restarted:
        restarted.setattr("age_core.study.baseline.draw_and_judge", None)  # what the original draws is kept, too
        assert len(list(build_side_effects(setup, RANDOM, ["dog", "cat"], tmp_path))) == 2
    assert (tmp_path / "dog-0.parquet").stat().st_mtime_ns == written
    table = gather(tmp_path)
    assert list(table.columns) == list(COLUMNS)
    assert set(table["metric"]) == set(METRICS)
    assert len(table) == 2 * (3 * 3 + 2)  # erased x affected x metric; nobody is far from itself
    assert set(table["method"]) == {"random"} and set(table["target"]) == {"random"}
    sign = np.where(table["metric"] == "distance", -1, 1)
    assert ((sign * (table["before"] - table["after"]) - table["delta"]).abs() < 1e-9).all()
    for metric in ("noise-shift", "distance"):
        found = table[table["metric"] == metric]
        assert (found["before"] == (metric == "noise-shift")).all() and (found["delta"] > 0).all()
        assert (found["low"] >= 0).all() and (found["high"] >= found["delta"]).all()
    provenance = json.loads((tmp_path / "dog-0.json").read_text())
    assert provenance["seconds"] > 0 and provenance["options"]["steps"] == 2
    assert provenance["probe"] == {"name": "random", "version": "0123456789ab"}


def test_what_the_original_draws_is_read_back_as_it_was(setup, tmp_path):
    drawn = Original.open(setup.pipe, setup.probe, WORLD, 2, tmp_path)
    kept = Original.open(setup.pipe, setup.probe, WORLD, 2, tmp_path)
    pd.testing.assert_frame_equal(drawn.table, kept.table)
    assert np.array_equal(drawn.pictures, kept.pictures) and torch.equal(drawn.reference.z, kept.reference.z)
    assert drawn.reference.concept == kept.reference.concept and drawn.reference.seed == kept.reference.seed
    others, pictures = kept.without("cat")
    assert others["concept"].tolist() == ["dog", "dog", "fox", "fox"] and len(pictures) == 4
    assert np.array_equal(np.asarray(pictures[2]), drawn.pictures[4])
    with pytest.raises(AgeError, match="other numbers"):
        Original.open(setup.pipe, setup.probe, WORLD, 3, tmp_path)
    (tmp_path / FILE).write_bytes(b"broken")
    with pytest.raises(AgeError, match="cannot be read"):
        Original.open(setup.pipe, setup.probe, WORLD, 2, tmp_path)


def test_seeds_are_erasures_of_their_own(setup, tmp_path):
    task = replace(RANDOM, metrics=("noise-shift",))
    assert [job.seed for job in build_side_effects(setup, task, ["dog"], tmp_path, seeds=(3, 4))] == [3, 4]
    table = gather(tmp_path)
    assert set(table["seed"]) == {3, 4} and len(table) == 2 * 3
    deltas = table.pivot(index="affected", columns="seed", values="delta")
    assert (deltas[3] != deltas[4]).all()


def test_damage_is_measured_on_what_is_watched_and_targets_are_those_its_set_names(setup, tmp_path):
    watched = ConceptSet("few", (Concept("dog", "g", "thing", targets={"in-class": "fox"}), WORLD["cat"]), "{noun}")
    task = Task.of("in-class", SMALL, images=1, erased_images=1, metrics=("DS-1",))
    list(build_side_effects(replace(setup, watched=watched), task, ["dog"], tmp_path))
    table = gather(tmp_path)
    assert set(table["affected"]) == {"dog", "cat"} and set(table["target"]) == {"fox"}


def test_a_folder_holds_the_erasures_of_one_task_only(setup, tmp_path):
    task = Task.of("uce", target="fox", images=1, erased_images=1)
    list(build_side_effects(setup, task, ["dog"], tmp_path))
    assert set(gather(tmp_path)["method"]) == {"uce"} and set(gather(tmp_path)["target"]) == {"fox"}
    assert SideEffects(gather(tmp_path)).methods == ["uce to fox"]
    with pytest.raises(AgeError, match="name another"):
        next(build_side_effects(setup, replace(task, target="pizza"), ["dog", "cat"], tmp_path))


@pytest.fixture
def others(setup, tmp_path):
    """Setups that make other numbers, by what is other in them: the weights alone, words alone, the judge alone."""
    pipe = build_tiny_sd(tmp_path, "epsilon")
    with torch.no_grad():
        pipe.unet.conv_in.bias[0] += 1e-3
    general = replace(WORLD, concepts=(Concept("dog", "g", "beast"), *WORLD.concepts[1:]))  # the names are the same
    return {
        "model": replace(setup, pipe=pipe),
        "concepts": replace(setup, concepts=general),
        "watched": replace(setup, watched=replace(WORLD, template="a drawing of {a_noun}")),
        "probe": replace(setup, probe=replace(setup.probe, version="fedcba987654")),
    }


def test_a_folder_holds_the_erasures_of_one_setup_only(setup, others, tmp_path):
    task = Task.of("uce", images=1, erased_images=1)
    list(build_side_effects(setup, task, ["dog"], tmp_path / "parts"))
    written = {path: path.read_bytes() for path in (tmp_path / "parts").iterdir()}
    for what, other in others.items():
        for name in ("dog", "cat"):  # the finished one, and one that would stand beside it
            with pytest.raises(AgeError, match=rf"'parts' holds the erasure 'dog-0' with another {what} \("):
                list(build_side_effects(other, task, [name], tmp_path / "parts"))
    same = replace(setup, model="elsewhere/")  # the same weights under another name
    assert [job.erased for job in build_side_effects(same, task, ["dog"], tmp_path / "parts")] == ["dog"]
    assert written == {path: path.read_bytes() for path in (tmp_path / "parts").iterdir()}


def test_erasures_of_other_versions_of_the_libraries_stay_and_are_told(setup, tmp_path, monkeypatch, caplog):
    task, parts = Task.of("uce", images=1, metrics=("noise-shift",)), tmp_path / "parts"
    now = library_versions()
    for name, versions in (("dog", now | {"torch": "2.0.1"}), ("cat", now)):
        monkeypatch.setattr("age_core.study.task.library_versions", lambda versions=versions: versions)
        caplog.clear()
        list(build_side_effects(setup, task, [name], parts))
    (record,) = caplog.records
    assert f"'parts' holds 1 that were computed with torch 2.0.1 (now {now['torch']})" in record.getMessage()
    assert "\n" not in record.getMessage()
    dog = parts / "dog-0.json"
    assert json.loads(dog.read_text())["versions"]["torch"] == "2.0.1"
    dog.write_text(
        json.dumps({name: value for name, value in json.loads(dog.read_text()).items() if name != "versions"})
    )
    caplog.clear()
    assert [job.erased for job in build_side_effects(setup, task, ["dog", "cat"], parts)] == ["dog", "cat"]
    assert not caplog.records  # an earlier version did not write them down


def test_what_the_original_draws_is_kept_for_one_model_and_its_prompts(setup, others, tmp_path):
    Original.open(setup.pipe, setup.probe, WORLD, 1, tmp_path)
    for other in (others["model"], others["watched"], others["probe"]):
        with pytest.raises(AgeError, match="what another model drew"):
            Original.open(other.pipe, other.probe, other.watched, 1, tmp_path)


def test_the_noise_floor_of_another_setup_is_measured_anew(setup, others, tmp_path):
    task = Task.of("uce", images=2, metrics=("DS-1",), floor=True)
    original = Original.open(setup.pipe, setup.probe, WORLD, 2, tmp_path)
    keep_floor(setup, original, task, tmp_path)
    (identity,) = pd.read_parquet(tmp_path / FLOOR_FILE)["identity"].unique()
    keep_floor(others["model"], original, task, tmp_path)
    (other,) = pd.read_parquet(tmp_path / FLOOR_FILE)["identity"].unique()
    assert identity == setup.identity != other == others["model"].identity


def test_the_noise_floor_is_measured_once_a_folder_and_is_no_erasure(setup, tmp_path, monkeypatch):
    task = Task.of("uce", images=2, erased_images=1, metrics=("DS-1", "noise-shift"), floor=True)
    first = build_side_effects(setup, task, ["dog", "cat"], tmp_path)
    next(first)
    first.close()
    monkeypatch.setattr("age_core.study.build.unedited_rows", None)  # it is there
    list(build_side_effects(setup, task, ["dog", "cat"], tmp_path))
    table = gather(tmp_path)
    floor = table[table["erased"] == ""]
    assert set(floor["method"]) == {UNEDITED} and set(floor["metric"]) == {"DS-1"} and len(floor) == len(WORLD)
    effects = SideEffects(table)
    assert effects.missing(WORLD) == ["fox"] and effects.methods == ["uce"]
    assert effects.floor(("uce", "DS-1")).value == floor["delta"].abs().max()
    assert "measured" in effects.floor(("uce", "DS-1")).how and "table" in effects.floor(("uce", "noise-shift")).how
    for path in tmp_path.glob("*-0.parquet"):
        path.unlink()
    assert (tmp_path / FLOOR_FILE).exists()
    with pytest.raises(AgeError, match="No erasure is finished"):
        gather(tmp_path)


def test_bad_tasks_are_refused_before_any_work(setup, tmp_path):
    with pytest.raises(AgeError, match="no metric 'DS-2'"):
        Task.of("uce", metrics=("DS-2",))
    with pytest.raises(AgeError, match="at least one picture"):
        Task.of("uce", images=0)
    unknown = replace(WORLD, concepts=(*WORLD.concepts, Concept("yak", "g", "thing")))
    with pytest.raises(AgeError, match="no label 'yak'"):
        next(build_side_effects(replace(setup, watched=unknown), RANDOM, ["dog"], tmp_path))
    with pytest.raises(AgeError, match="No erasure is finished"):
        gather(tmp_path)


def test_any_name_stays_in_the_folder(tmp_path):
    tables = [
        Job(name, 0, tmp_path).table
        for name in ("../../dog", "a/b", "..", ".", "C:\\x", "hot dog", "-x", "aux.x", "Con.")
    ]
    for table in tables:
        assert table.parent == tmp_path and table.resolve().parent == tmp_path.resolve()
        assert not table.name.startswith(".") and table.name.split(".")[0].strip().lower() not in ("aux", "con", "nul")
    assert len(set(tables)) == len(tables)
    long = [Job("\u732b" * 100 + end, 0, tmp_path).table.name for end in "ab"]
    assert long[0] != long[1] and all(len(name) < 200 for name in long)
    assert Job("hot dog", 0, tmp_path).table.name == "hot dog-0.parquet"


def test_an_erasure_killed_while_writing_leaves_no_half_table(setup, tmp_path, monkeypatch):
    def full_disk(self, path, **_):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(pd.DataFrame, "to_parquet", full_disk)
        with pytest.raises(AgeError, match="disk is full"):
            list(build_side_effects(setup, RANDOM, ["dog"], tmp_path))
    assert not list(tmp_path.glob("*.parquet"))
    list(build_side_effects(setup, RANDOM, ["dog"], tmp_path))
    assert len(gather(tmp_path)) == 11


def test_a_missing_table_is_explained():
    with pytest.raises(AgeError, match="No side effects"):
        load_side_effects("nothing")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "nothing", "erase", "dog"], "pipeline"),
        (["erase", "quantum"], "no concept"),
        (["erase", "dog", "--steps", "-2"], "at least 1"),
        (["evaluate", "absent.safetensors"], "absent.safetensors"),
    ],
)
def test_the_command_line_refuses_in_one_sentence(arguments, words, capsys):
    assert main(arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert words in said and "Traceback" not in said


def test_the_command_line_erases_and_evaluates(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("age_core.cli.evaluate.evaluate", partial(evaluate, erased_images=6))
    concepts = tmp_path / "few.csv"
    names = ("dog", "wolf", "cat", "truck", "trumpet", "church", "television")
    concepts.write_text("\n".join(["name,group,general,synonyms", *(f"{name},g,thing," for name in names)]))

    def erase(name, *how):
        out = tmp_path / f"{name}.safetensors"
        assert main(["--concepts", str(concepts), "erase", "dog", *how, "--word", "", "--out", str(out)]) == 0
        assert f"saved {out}" in capsys.readouterr().out
        return Eraser.load(out)

    trained = erase("trained", "--target", "fixed", "--steps", "1", "--set", "samples=4", "--set", "sample_steps=2")
    assert {key: trained.info[key] for key in ("concept", "target")} == {"concept": "dog", "target": ""}
    assert trained.info["options"]["steps"] == 1 and trained.info["options"]["samples"] == 4
    erase("closed", "--method", "uce")
    moved = [delta.abs().max().item() for delta in trained.delta.values()]
    assert 0 < max(moved) < 0.01  # by one step of AdamW, whose size is its learning rate
    paths = [str(tmp_path / f"{name}.safetensors") for name in ("trained", "closed")]
    asked = ["--json", "--concepts", str(concepts), "evaluate", *paths, "--images", "1", "--probe", "emoji"]
    assert main(asked) == 0
    document = json.loads(capsys.readouterr().out)
    original, one_step, closed = document["table"]
    assert document["erased"] == ["dog"] and one_step["method"] == "trained"
    assert original["esr1"] <= one_step["esr1"] + 10 <= 30 and closed["esr1"] >= 80
    assert closed["psr1"] >= original["psr1"] - 20 and original["distance"] == 0 < one_step["distance"]
