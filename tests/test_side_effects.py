"""Building side effects through the command line on a tiny model: complete, restartable, clear when refused."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import torch
from conftest import build_tiny_sd
from transformers import ResNetConfig, ResNetForImageClassification

from age_core import AgeError, ConceptSet, Probe
from age_core.__main__ import main
from age_core.concepts import Concept
from age_core.side_effects import COLUMNS, build_side_effects, gather, load_side_effects

SMALL = {"steps": 2, "batch": 2, "samples": 2, "candidate_samples": 1, "sample_steps": 2, "preview_every": 0}
WORLD = ConceptSet(
    "tiny", tuple(Concept(n, "g", "thing") for n in ("dog", "cat", "fox")), "a photo of {a_noun}"
)  # fmt: skip


def random_probe(labels: tuple[str, ...]) -> Probe:
    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic", num_labels=len(labels))
    return Probe(ResNetForImageClassification(config).eval(), labels, name="random", version="0123456789ab")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return build_tiny_sd(tmp_path_factory.mktemp("tokenizer"), "epsilon")


def test_every_pair_is_measured_and_a_restart_recomputes_nothing(tiny, tmp_path, monkeypatch):
    probe = random_probe(("dog", "cat", "fox", "owl", "bee", "ant"))
    first = build_side_effects(tiny, probe, WORLD, ["dog", "cat"], "random", tmp_path, 2, 3, **SMALL)
    assert next(first) == "dog"
    first.close()  # killed between two erasures
    assert not (tmp_path / "cat.parquet").exists()
    written = (tmp_path / "dog.parquet").stat().st_mtime_ns
    list(build_side_effects(tiny, probe, WORLD, ["dog", "cat"], "random", tmp_path, 2, 3, **SMALL))
    assert (tmp_path / "dog.parquet").stat().st_mtime_ns == written
    table = gather(tmp_path)
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == 2 * 3 * 3  # erased x affected x metric
    assert set(table["method"]) == {"random neighbour"} and set(table["target"]) == {"random"}
    assert ((table["before"] - table["after"] - table["delta"]).abs() < 1e-9).all()
    shift = table[table["metric"] == "noise-shift"]
    assert (shift["before"] == 1).all() and (shift["delta"] > 0).all()
    provenance = json.loads((tmp_path / "dog.json").read_text())
    assert provenance["seconds"] > 0 and provenance["options"]["steps"] == 2
    assert provenance["probe"] == {"name": "random", "version": "0123456789ab"}


def test_a_folder_holds_the_erasures_of_one_method_only(tiny, tmp_path):
    probe = random_probe(("dog", "cat", "fox", "owl", "bee", "ant"))
    list(build_side_effects(tiny, probe, WORLD, ["dog"], "uce", tmp_path, 1, 1, target="fox"))
    assert set(gather(tmp_path)["method"]) == {"UCE to fox"} and set(gather(tmp_path)["target"]) == {"fox"}
    with pytest.raises(AgeError, match="name another"):
        next(build_side_effects(tiny, probe, WORLD, ["dog", "cat"], "uce", tmp_path, 1, 1, target="cat"))


def test_an_erasure_killed_while_writing_leaves_no_half_table(tiny, tmp_path, monkeypatch):
    def full_disk(self, path, **_):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    probe = random_probe(("dog", "cat", "fox", "owl", "bee", "ant"))
    with monkeypatch.context() as broken:
        broken.setattr(pd.DataFrame, "to_parquet", full_disk)
        with pytest.raises(OSError, match="space"):
            list(build_side_effects(tiny, probe, WORLD, ["dog"], "random", tmp_path, 1, 1, **SMALL))
    assert not list(tmp_path.glob("*.parquet"))
    list(build_side_effects(tiny, probe, WORLD, ["dog"], "random", tmp_path, 1, 1, **SMALL))
    assert len(gather(tmp_path)) == 9


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


def test_the_command_line_erases_and_evaluates(tmp_path, capsys):
    path = tmp_path / "owl.safetensors"
    assert main(["erase", "owl", "--steps", "1", "--target", "fixed", "--word", "", "--out", str(path)]) == 0
    assert path.stat().st_size > 1e6
    assert "saved" in capsys.readouterr().out
