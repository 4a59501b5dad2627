"""Exports are reopened by the tools that others use, draw the same pictures, and are whole or absent."""

from __future__ import annotations

import copy
import subprocess

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from support import build_tiny_sd

from age_core import AgeError, Eraser, encode_text, generate
from age_core.errors import RunFailed
from age_core.files import read_json
from age_core.runs.export import KINDS, NOTE, export_eraser

PROMPTS = ["a picture of a dog", "a photo of a cat"]


def dense(pipe, size=0.2):
    noise = torch.Generator().manual_seed(0)
    chosen = {n: p for n, p in pipe.unet.named_parameters() if ".attn2." in n}
    delta = {name: torch.randn(p.shape, generator=noise) * size for name, p in chosen.items()}
    return Eraser(delta, {"concept": "dog", "train": "xattn"})


def low_rank(pipe, rank=2):
    noise = torch.Generator().manual_seed(0)
    delta, lora = {}, {}
    for name, module in pipe.unet.named_modules():
        if name.endswith((".attn2.to_k", ".attn2.to_v", ".attn2.to_out.0")):
            down = torch.randn(rank, module.in_features, generator=noise) * 0.3
            up = torch.randn(module.out_features, rank, generator=noise) * 0.3
            lora |= {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
            delta[f"{name}.weight"] = up @ down
    return Eraser(delta, {"concept": "dog"}, lora=lora)


def value_directions(pipe):
    modules = dict(pipe.unet.named_modules())
    names = [name for name in modules if name.endswith(".attn2.to_v")]
    directions = {name: torch.randn(1, modules[name].out_features) for name in names}
    return Eraser({}, {"concept": "dog", "sharpness": 20.0, "threshold": 0.0}, directions=directions)


def prompt_pairs(pipe):
    states = encode_text(pipe, ["dog", "cat"])  # each way, so that one of the two is there to take out
    return Eraser({}, {"concept": "dog"}, prompts={"concept": states, "target": states.flip(0)})


def pictures(pipe):
    drawn = generate(pipe, PROMPTS, [5, 6], steps=3)
    return np.stack([np.asarray(picture, np.float32) for picture in drawn])


def edited_pictures(pipe, eraser):
    with eraser.applied_to(pipe):
        return pictures(pipe)


def nothing_left(folder):
    return not list(folder.iterdir())


def test_a_pipeline_export_opens_with_plain_diffusers(tiny_sd, tmp_path):
    before = copy.deepcopy(tiny_sd.unet.state_dict())
    eraser = dense(tiny_sd)
    done = export_eraser(tiny_sd, eraser, tmp_path / "deep" / "edited", "pipeline")
    again = DiffusionPipeline.from_pretrained(done.path)
    again.set_progress_bar_config(disable=True)
    assert np.array_equal(pictures(again), edited_pictures(tiny_sd, eraser))
    assert np.abs(pictures(again) - pictures(tiny_sd)).mean() > 0.1  # and it is an edit
    assert done.picture_difference == 0 and done.edit_size > 0.01
    assert read_json(done.path / NOTE)["eraser"]["concept"] == "dog"
    assert all(torch.equal(value, before[name]) for name, value in tiny_sd.unet.state_dict().items())


def test_a_half_precision_pipeline_keeps_its_number_format(tmp_path, tmp_path_factory):
    pipe = build_tiny_sd(tmp_path_factory.mktemp("tokenizer"), "epsilon").to(torch.bfloat16)
    done = export_eraser(pipe, dense(pipe), tmp_path / "half", "pipeline")
    again = StableDiffusionPipeline.from_pretrained(done.path, dtype=torch.bfloat16)
    assert again.unet.dtype == torch.bfloat16 and done.edit_size > 0.01


@pytest.mark.parametrize("make", [dense, low_rank, value_directions, prompt_pairs])
def test_a_delta_export_is_the_eraser(tiny_epsilon, tmp_path, make):
    eraser = make(tiny_epsilon)
    done = export_eraser(tiny_epsilon, eraser, tmp_path / "dog.safetensors", "delta")
    assert np.array_equal(edited_pictures(tiny_epsilon, Eraser.load(done.path)), edited_pictures(tiny_epsilon, eraser))
    assert [file.name for file in tmp_path.iterdir()] == ["dog.safetensors"]


def test_a_lora_export_loads_with_load_lora_weights(tiny_epsilon, tmp_path):
    eraser = low_rank(tiny_epsilon)
    names = [name for name, _ in tiny_epsilon.unet.named_modules()]
    done = export_eraser(tiny_epsilon, eraser, tmp_path / "lora", "lora")
    assert [name for name, _ in tiny_epsilon.unet.named_modules()] == names  # no adapter stays behind
    other = copy.deepcopy(tiny_epsilon)
    other.load_lora_weights(done.path)
    wanted = edited_pictures(tiny_epsilon, eraser)
    assert np.abs(pictures(other) - wanted).mean() < 0.05
    assert np.abs(pictures(tiny_epsilon) - wanted).mean() > 0.1
    other.set_adapters(other.get_active_adapters(), 0.0)  # its strength can be turned down
    assert np.abs(pictures(other) - pictures(tiny_epsilon)).mean() < 0.05


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (value_directions, "pipeline", "export it as 'delta'"),
        (value_directions, "lora", "export it as 'delta'"),
        (prompt_pairs, "pipeline", "export it as 'delta'"),
        (prompt_pairs, "lora", "export it as 'delta'"),
        (value_directions, "whole", "export it as 'delta'"),
        (prompt_pairs, "single-file", "export it as 'delta'"),
        (dense, "whole", "let 'x' end in .safetensors"),
        (dense, "single-file", "let 'x' end in .safetensors"),
        (dense, "onnx", "pipeline, delta, lora, whole, single-file"),
    ],
)
def test_a_kind_that_does_not_fit_is_refused(tiny_epsilon, tmp_path, make, kind, words):
    with pytest.raises(AgeError, match=words):
        export_eraser(tiny_epsilon, make(tiny_epsilon), tmp_path / "x", kind)
    assert nothing_left(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_an_existing_path_is_never_overwritten(tiny_epsilon, tmp_path, kind):
    mine = tmp_path / "mine.safetensors"
    mine.write_text("keep")
    with pytest.raises(AgeError, match="exists already"):
        export_eraser(tiny_epsilon, low_rank(tiny_epsilon), mine, kind)
    assert mine.read_text() == "keep"


def test_factors_whose_product_is_not_the_delta_are_found_out(tiny_epsilon, tmp_path):
    """The export is judged by what it draws when opened, not by what was written."""
    eraser = low_rank(tiny_epsilon)
    wrong = Eraser(eraser.delta, eraser.info, lora={name: value * 0.8 for name, value in eraser.lora.items()})
    with pytest.raises(AgeError, match="differs from the eraser"):
        export_eraser(tiny_epsilon, wrong, tmp_path / "lora", "lora")
    assert nothing_left(tmp_path)


@pytest.mark.parametrize("size", [0.2, 1e-3])
def test_a_folder_saved_without_the_edit_is_found_out_however_small_the_edit(tiny_epsilon, tmp_path, monkeypatch, size):
    eraser, original = dense(tiny_epsilon, size), copy.deepcopy(tiny_epsilon)
    monkeypatch.setattr(
        type(tiny_epsilon),
        "save_pretrained",
        lambda _, path, **kw: DiffusionPipeline.save_pretrained(original, path, **kw),
    )
    with pytest.raises(AgeError, match="differs from the eraser"):
        export_eraser(tiny_epsilon, eraser, tmp_path / "edited", "pipeline")
    assert nothing_left(tmp_path)


def test_a_killed_exports_leftovers_do_not_stop_the_next(tiny_epsilon, tmp_path):
    half = tmp_path / ".edited.partial"
    half.mkdir()
    (half / "stale.bin").write_text("half")
    done = export_eraser(tiny_epsilon, dense(tiny_epsilon), tmp_path / "edited", "pipeline")
    assert not (done.path / "stale.bin").exists() and not half.exists()


@pytest.fixture
def tiny_disk(tmp_path):
    """A real disk of 256 KiB, less than any export."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_one_sentence_and_nothing_half_done(tiny_epsilon, tiny_disk, kind):
    (tiny_disk / "filler").write_bytes(bytes(240_000))
    with pytest.raises(RunFailed, match="disk is full"):
        export_eraser(tiny_epsilon, low_rank(tiny_epsilon, rank=16), tiny_disk / "edited.safetensors", kind)
    assert [file.name for file in tiny_disk.iterdir()] == ["filler"]
