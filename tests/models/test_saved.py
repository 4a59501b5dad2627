"""What is written opens and draws in plain diffusers, of which these tests use nothing else, and names no path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from support import WORLD, build_tiny_sd
from transformers import AutoModelForImageClassification

from age_core import erase_by, export_eraser, load_pipeline

ROOT = Path(__file__).parents[2]


def drawn(folder, side):
    """A picture by plain diffusers, with nothing but the folder."""
    pipe = StableDiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe("a dog", num_inference_steps=1, height=side, width=side).images[0]


def paths_in(folder):
    """Every entry of the folder's JSON files that holds the path of whoever wrote them."""
    entries = {}
    for file in folder.rglob("*.json"):
        content = json.loads(file.read_text(encoding="utf-8"))
        for name in ("_name_or_path", "name_or_path", "special_tokens_map_file", "tokenizer_file"):
            if isinstance(content, dict) and name in content:
                entries[f"{file}: {name}"] = content[name]
    return entries


def test_the_bundled_model_opens_and_draws_in_plain_diffusers():
    assert drawn(ROOT / "assets" / "emoji-sd", 64).size == (64, 64)


@pytest.mark.parametrize("name", ["emoji-probe", "emoji-style-probe"])
def test_the_bundled_probes_open_and_judge_in_plain_transformers(name):
    probe = AutoModelForImageClassification.from_pretrained(ROOT / "assets" / name)
    with torch.no_grad():
        assert probe(torch.zeros(1, 3, 64, 64)).logits.isfinite().all()


@pytest.mark.parametrize("part", ["assets", "benchmarks", "docs", "tests", "viz"])
def test_nothing_in_the_repository_names_a_path_of_its_maker(part):
    assert paths_in(ROOT / part) == {}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_an_export_opens_and_draws_in_plain_diffusers_and_names_no_path(tmp_path, dtype):
    source = tmp_path / "a-folder-of-mine"
    source.mkdir()
    build_tiny_sd(source, "epsilon").save_pretrained(source / "sd")
    pipe = load_pipeline(source / "sd", dtype=dtype)
    assert pipe.unet.config["_name_or_path"]
    *_, last = erase_by(pipe, "uce", "dog", WORLD)
    export_eraser(pipe, last.eraser, tmp_path / "export", "pipeline")
    assert drawn(tmp_path / "export", 16).size == (16, 16)
    assert paths_in(tmp_path / "export") == {}
    for file in (tmp_path / "export").rglob("*"):
        assert not file.is_file() or str(source).encode() not in file.read_bytes(), file
    again = load_pipeline(tmp_path / "export", dtype=dtype)
    name = next(iter(last.eraser.delta))
    with last.eraser.applied_to(pipe):
        assert torch.equal(again.unet.get_parameter(name), pipe.unet.get_parameter(name))
