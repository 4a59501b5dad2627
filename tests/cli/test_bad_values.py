"""The command line given what it cannot take: for each flag one sentence, code 2, and nothing begun."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pandas as pd
import pytest

from age_core import AgeError, ConceptSet, Eraser
from age_core.__main__ import main
from age_core.concepts.concept_set import TEMPLATES
from age_core.erasure.by_method import plan
from age_core.erasure.methods import METHODS
from age_core.models.sampling import check_generation
from age_core.runs.run import list_runs
from age_core.validation import as_source, field_seed, whole_number

GRAPH = ["graph", "--parts", "parts", "--out", "out.parquet"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with an eraser of a dog and one that is nothing, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    Eraser({}, {"concept": "dog"}).save("dog.safetensors")
    (tmp_path / "note.txt").write_text("none of ours")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["erase", "dog", "--steps", "many"], "--steps: The number must be a whole number, not 'many'"),
        (["erase", "dog", "--seed", "1.5"], "--seed: The number must be a whole number, not '1.5'"),
        (["erase", "dog", "--seed", "1e999999999"], "must be a whole number"),
        (["erase", "dog", "--seed", "-1"], "'seed' must be 0 or more, not -1"),
        (["erase", "dog", "--seed", "18446744073709551616"], "'seed' must be below 9223372036854775808"),
        (["erase", "dog", "--set", "seed=1.5"], "'seed' takes a value such as 0"),
        (["erase", "dog", "--method", "magic"], "--method: invalid choice: 'magic'"),
        (["erase", "dog", "--preset", "slow"], "--preset: invalid choice"),
        (["erase", "dog", "--dtype", "float8"], "--dtype: invalid choice"),
        (["erase", "dog", "--method", "uce", "--word", "dog"], "cannot be its own target"),
        (["erase", "dog", "--method", "uce", "--word", "ＰＵＰＰＹ"], "cannot be its own target"),
        (["erase", "cat", "dog", "--method", "rece", "--word", "puppy "], "is 'dog' itself"),
        (["erase", "dog", "cat", "--method", "in-class"], "name it, or choose 'empty'"),
        (["erase", "dog, cat", "--method", "uce"], "given one by one"),
        (["erase", " ", "--method", "uce"], "A concept is needed"),
        (["erase", "dog", "--run", ""], "--run: the name of a file or folder is empty"),
        (["erase", "dog", "--run", ".."], "cannot name a folder"),
        (["erase", "dog", "--run", "note.txt"], "exists already"),
        (["erase", "dog", "--out", "."], "'.' cannot be written as a file"),
        (["erase", "dog", "--out", "note.txt/dog.safetensors"], "cannot be written as a file"),
        (["erase", "dog", "--no-such-flag"], "Unrecognized arguments: --no-such-flag"),
        (["erase", "--run", "note.txt", "--resume"], "is no run folder"),
        ([], "arguments are required: COMMAND"),
        (["paint"], "invalid choice: 'paint'"),
        (["evaluate", "dog.safetensors"], "No probe came with"),
        (["evaluate", "dog.safetensors", "--probe", "note.txt"], "is no probe"),
        (["evaluate", "dog.safetensors", "--probe", "emoji", "--images", "0"], "at least one picture"),
        (["evaluate", "dog.safetensors", "--probe", "emoji", "--metrics", "beauty"], "beauty"),
        (["evaluate", "dog.safetensors", "dog.safetensors"], "is given twice"),
        (["evaluate", "note.txt"], "cannot be read as an eraser"),
        (["evaluate", "."], "is no run folder"),
        (["compare", "dog.safetensors", "--out", "x", "--seeds", "0"], "at least 1"),
        (["compare", "dog.safetensors", "--out", "x", "--names", ""], "A concept is needed"),
        (["compare", "dog.safetensors", "--out", "x", "--names", "quantum"], "no concept 'quantum'"),
        (["compare", "dog.safetensors", "--out", "x", "--seed", "9e18", "--seeds", "1000000000000000000"], "'seed'"),
        (["export", "dog.safetensors", "--out", ".."], "cannot name a folder"),
        (["export", "dog.safetensors", "--out", "note.txt"], "exists already"),
        (["export", "dog.safetensors", "--out", "x", "--kind", "ckpt"], "--kind: invalid choice"),
        (["bundle", "absent", "--out", "x.zip"], "is no run folder"),
        (["import", "absent.zip"], "no file 'absent.zip'"),
        (["import", "note.txt"], "is no bundle"),
        (["info", "absent"], "is no pipeline"),
        (["info", "note.txt"], "cannot be read as an eraser"),
        ([*GRAPH, "--erase", "quantum"], "no concept 'quantum'"),
        ([*GRAPH, "--metrics", "DS-2"], "no metric 'DS-2'"),
        ([*GRAPH, "--images", "0", "--probe", "emoji"], "at least one picture"),
        ([*GRAPH, "--erase", "dog", "--probe", "emoji", "--seeds", "3", "-1"], "'seed' must be 0 or more"),
        ([*GRAPH, "--erase", "dog", "--probe", "emoji", "--method", "uce", "--word", "dog"], "its own target"),
        ([*GRAPH, "--erase", "dog", "--probe", "emoji", "--workers", "0"], "at least 1"),
        ([*GRAPH, "--erase", "dog", "--probe", "emoji", "--backend", "dask"], "address of a scheduler"),
        ([*GRAPH, "--erase", "dog", "--probe", "nothing"], "is no probe"),
        ([*GRAPH, "--erase", "dog"], "Without a probe only noise-shift"),
        (["graph", "--parts", "note.txt", "--out", "x.parquet"], "cannot be written as a folder"),
        (["compare", "dog.safetensors", "--out", "note.txt"], "cannot be written as a folder"),
        (["import", "absent.zip", "--root", "note.txt"], "cannot be written as a folder"),
        (["graph", "--parts", "parts", "--out", ".", "--erase", "dog"], "cannot be written as a file"),
        ([*GRAPH, "--watched", "absent.csv"], "no concept file 'absent.csv'"),
        (["statistics", "absent.parquet"], "'absent.parquet' cannot be read"),
        (["statistics", "note.txt"], "'note.txt' cannot be read"),
        (["statistics", "."], "No erasure is finished"),
        (["statistics", "note.txt", "--nearest", "0"], "At least one concept"),
        (["statistics", "note.txt", "--metric", "beauty"], "--metric: invalid choice"),
        (["--concepts", "absent.csv", "erase", "dog"], "no concept file 'absent.csv'"),
        (["--concepts", "note.txt", "erase", "dog"], "lacks the columns"),
        (["--concepts", "absent", "erase", "dog"], "no concept set named 'absent'"),
        (["--model", "~nobody/sd", "info"], "is no pipeline"),
    ],
)
def test_every_flag_refuses_what_it_cannot_take(model, place, capsys, arguments, words):
    before = sorted(place.iterdir())
    given = [] if "--model" in arguments else ["--model", model]
    code = main([*given, *arguments, "--json"])
    captured = capsys.readouterr()
    assert words in json.loads(captured.out)["error"] and words in captured.err.splitlines()[-1]
    assert code == 2 and not list_runs(place / "runs")
    assert [path for path in sorted(place.iterdir()) if path.name not in ("runs", "parts")] == before


def test_a_terminal_that_lacks_letters_is_told_all_the_same(monkeypatch):
    for encoding, name in (("ascii", "東京 🦉"), ("cp1252", "東京 🦉"), ("utf-8", "bad \udcff byte")):
        streams = {part: io.TextIOWrapper(io.BytesIO(), encoding=encoding) for part in ("stdout", "stderr")}
        for part, stream in streams.items():
            monkeypatch.setattr(sys, part, stream)
        assert main(["info", name, "--json"]) == 2
        streams["stdout"].seek(0)
        assert repr(name) in json.loads(streams["stdout"].read())["error"]


def test_a_broken_part_is_named(model, place, capsys):
    (place / "parts").mkdir()
    (place / "parts" / "dog-0.parquet").write_bytes(b"PAR1")
    assert main(["statistics", "parts"]) == 2 and "'dog-0.parquet' cannot be read" in capsys.readouterr().err


def test_a_target_is_never_the_concept_itself_whatever_the_method():
    emoji = ConceptSet.load("emoji")
    for name, method in METHODS.items():
        for word in ("dog", " DOG", "puppy", "ｄｏｇ"):
            if method.word == "synonym" and word == "puppy":
                continue
            with pytest.raises(AgeError, match="its own target" if method.word else "chooses its target itself"):
                plan(name, ["cat", "dog"], emoji, target=word)
    assert [concept.name for concept in plan("uce", ["dog", "Dog", "puppy"], emoji).concepts] == ["dog"]


# --- numbers and names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"), [("7", 7), (" 7 ", 7), ("1e3", 1000), ("7.0", 7), (7.0, 7), (-3, -3), (str(2**64), 2**64)]
)
def test_whole_numbers_are_taken_as_they_are_written(text, number):
    assert whole_number(text) == number


@pytest.mark.parametrize("text", ["", "x", "1.5", "nan", "inf", "1e99", "1e999999999", True, None, "1,5", "0x10"])
def test_what_is_no_whole_number(text):
    with pytest.raises(AgeError, match="must be a whole number"):
        whole_number(text)


def test_a_seed_of_the_page_is_what_its_field_can_hold():
    assert field_seed(None) == 0 and field_seed(2**53) == 2**53 and field_seed(7.0) == 7
    for value in (-1, 1.5, 2.0**60, 2**64):  # a browser would have rounded the large ones
        with pytest.raises(AgeError, match=r"[Ss]eed"):
            field_seed(value)


def test_pictures_take_every_seed_that_torch_takes():
    check_generation(["a dog"] * 4, [0, 2**64 - 1, 1094785838562435, np.int64(3)], 1)
    for seed in (-1, 2**64, 1.5, "7"):
        with pytest.raises(AgeError, match=r"A seed must be a whole number from 0 to 18446744073709551615"):
            check_generation(["a dog"], [seed], 1)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (' "models/sd" ', "models/sd"),
        ("'models/sd/'", "models/sd"),
        ("\u201cC:\\models\\sd\u201d", "C:\\models\\sd"),
        ("https://huggingface.co/CompVis/stable-diffusion-v1-4", "CompVis/stable-diffusion-v1-4"),
        ("https://huggingface.co/CompVis/stable-diffusion-v1-4/tree/main?x=1", "CompVis/stable-diffusion-v1-4"),
        ("hf.co/a/b.git", "a/b"),
        ("https://huggingface.co/datasets/a/b", "https://huggingface.co/datasets/a/b"),
        ("CompVis/stable-diffusion-v1-4", "CompVis/stable-diffusion-v1-4"),
        ("emoji", "emoji"),
        ("/", "/"),
        ("C:\\", "C:\\"),
        ("", ""),
    ],
)
def test_a_source_is_read_as_it_is_meant(text, meant):
    assert as_source(text) == meant


def test_the_home_folder_may_be_written_as_in_a_shell(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    assert as_source("~/sd") == "/home/ann/sd" and as_source("'~/sd'") == "/home/ann/sd"


def test_a_table_of_another_model_is_not_read_with_this_one(model, place, capsys):
    rows = pd.DataFrame([{"erased": "dog", "affected": "cat", "delta": 0.1, "low": 0.0, "high": 0.2}])
    facts = {"model": model, "identity": "0123456789abcdef", "method": "uce", "target": "", "seed": 0}
    rows.assign(before=1.0, after=0.9, metric="noise-shift", **facts).to_parquet("other.parquet")
    assert "emoji" in TEMPLATES and main(["statistics", "other.parquet"]) == 2  # the model is the table's own
    assert "has other weights" in capsys.readouterr().err
