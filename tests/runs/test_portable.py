"""Exports open elsewhere: in other programs, by other versions, and with nothing of this machine in them."""

from __future__ import annotations

import json
import os

import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from safetensors import safe_open
from safetensors.torch import load_file
from support import build_tiny_sd, build_tiny_sdxl
from test_export import dense, low_rank

from age_core import AgeError, load_pipeline
from age_core.models.original_layout import unet_name
from age_core.runs.export import KINDS, export_eraser
from age_core.runs.kohya import kohya_tensors, save_kohya, weight_changes


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder as old versions wrote it: the tokenizer in two files, CLIP under its old names, half precision."""
    folder = tmp_path_factory.mktemp("home of ann") / "model"
    words = tmp_path_factory.mktemp("tokenizer")
    pipe = build_tiny_sd(words, "epsilon")
    pipe.save_pretrained(folder)
    (folder / "tokenizer" / "vocab.json").write_text((words / "vocab.json").read_text() + "\n")
    (folder / "tokenizer" / "merges.txt").write_text("#version: 0.2 - of the source\n")
    return folder


def exported(source, out, dtype="float32"):
    pipe = load_pipeline(source, dtype=dtype)
    return export_eraser(pipe, dense(pipe), out, "pipeline").path, pipe


def test_the_tokenizer_keeps_the_files_that_the_source_had(source, tmp_path):
    out, _ = exported(source, tmp_path / "out")
    for name in ("vocab.json", "merges.txt"):
        assert (out / "tokenizer" / name).read_bytes() == (source / "tokenizer" / name).read_bytes()


def test_without_a_source_the_tokenizer_s_files_are_made_of_what_it_holds(tmp_path, tmp_path_factory):
    words = tmp_path_factory.mktemp("tokenizer")
    pipe = build_tiny_sd(words, "epsilon")
    out = export_eraser(pipe, dense(pipe), tmp_path / "out", "pipeline").path
    assert json.loads((out / "tokenizer" / "vocab.json").read_text()) == json.loads((words / "vocab.json").read_text())
    assert (out / "tokenizer" / "merges.txt").read_text() == "#version: 0.2\n"


def test_files_of_another_tokenizer_are_not_taken_over(source, tmp_path):
    pipe = load_pipeline(source)
    vocabulary = json.loads((source / "tokenizer" / "vocab.json").read_text())
    (source / "tokenizer" / "vocab.json").rename(tmp_path / "kept")
    (source / "tokenizer" / "vocab.json").write_text(json.dumps(vocabulary | {"other": 99}))
    try:
        out = export_eraser(pipe, dense(pipe), tmp_path / "out", "pipeline").path
    finally:
        os.replace(tmp_path / "kept", source / "tokenizer" / "vocab.json")
    assert json.loads((out / "tokenizer" / "vocab.json").read_text()) == vocabulary


def test_the_word_pieces_of_the_bundled_model_are_written_too(emoji_pipe, tmp_path):
    out = export_eraser(emoji_pipe, dense(emoji_pipe, 0.01), tmp_path / "out", "pipeline").path
    pieces = (out / "tokenizer" / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert dict(zip(pieces, range(len(pieces)), strict=True)) == emoji_pipe.tokenizer.get_vocab()


def test_clip_s_weights_have_the_names_that_old_versions_read(source, tmp_path):
    out, pipe = exported(source, tmp_path / "out")
    names = load_file(out / "text_encoder" / "model.safetensors")
    assert names and all(name.startswith("text_model.") for name in names)
    again = StableDiffusionPipeline.from_pretrained(out)
    assert all(torch.equal(v, pipe.text_encoder.state_dict()[n]) for n, v in again.text_encoder.state_dict().items())


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_folder_draws_as_it_is_opened_by_whoever_knows_nothing_of_it(source, tmp_path, dtype):
    out, _ = exported(source, tmp_path / "out", dtype)
    again = DiffusionPipeline.from_pretrained(out)
    again.set_progress_bar_config(disable=True)
    assert again.text_encoder.dtype == again.unet.dtype == torch.float32
    assert len(again("dog", num_inference_steps=1, height=16, width=16).images) == 1


def test_both_text_encoders_of_sdxl_are_mended(tmp_path, tmp_path_factory):
    pipe = build_tiny_sdxl(tmp_path_factory.mktemp("tokenizer"))
    pipe.set_progress_bar_config(disable=True)
    out = export_eraser(pipe, dense(pipe), tmp_path / "out", "pipeline").path
    assert (out / "tokenizer_2" / "vocab.json").exists()
    second = load_file(out / "text_encoder_2" / "model.safetensors")
    assert {name.split(".")[0] for name in second} == {"text_model", "text_projection"}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_is_written_names_a_folder_of_this_machine(source, tmp_path, kind):
    pipe = load_pipeline(source)
    assert "home of ann" in pipe.unet.config["_name_or_path"]
    out = export_eraser(pipe, low_rank(pipe), tmp_path / "out.safetensors", kind).path
    for path in [out, *out.rglob("*")]:
        if path.is_file():
            assert b"_name_or_path" not in path.read_bytes() and b"home of ann" not in path.read_bytes(), path


def plainly(path):
    """A file for WebUI as its readers take it: the change of each weight, by the module's name."""
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}
    modules = {key.split(".")[0] for key in tensors}
    assert {key.split(".", 1)[1] for key in tensors} == {"lora_down.weight", "lora_up.weight", "alpha"}
    assert len(tensors) == 3 * len(modules)
    ranks = {len(tensors[f"{module}.lora_down.weight"]) for module in modules}
    assert len(ranks) == len({tensors[f"{module}.alpha"].item() for module in modules}) == 1
    return {
        module: tensors[f"{module}.lora_up.weight"].float()
        @ tensors[f"{module}.lora_down.weight"].float()
        * (tensors[f"{module}.alpha"] / max(ranks))
        for module in modules
    }


@pytest.mark.parametrize("build", [lambda folder: build_tiny_sd(folder, "epsilon"), build_tiny_sdxl])
def test_a_lora_export_holds_the_file_of_webui_and_comfyui_too(tmp_path, tmp_path_factory, build):
    pipe = build(tmp_path_factory.mktemp("tokenizer"))
    pipe.set_progress_bar_config(disable=True)
    eraser = low_rank(pipe)
    out = export_eraser(pipe, eraser, tmp_path / "no dogs", "lora").path
    changes = plainly(out / "no dogs-kohya.safetensors")
    xl = "XL" in type(pipe).__name__
    modules = {name: name.removesuffix(".weight") for name in eraser.delta}
    names = {name: unet_name(pipe.unet, module) if xl else module for name, module in modules.items()}
    wanted = {f"lora_unet_{names[name].replace('.', '_')}": delta for name, delta in eraser.delta.items()}
    assert changes.keys() == wanted.keys()
    assert all(torch.allclose(changes[name], wanted[name], rtol=0, atol=4e-3) for name in wanted)  # in half precision
    with safe_open(out / "no dogs-kohya.safetensors", "pt") as file:
        metadata = file.metadata()
    assert metadata["ss_network_module"] == "networks.lora" and metadata["ss_network_dim"] == "2"
    assert metadata["ss_base_model_version"].startswith("sdxl" if xl else "sd_v1")
    pipe.load_lora_weights(out)  # of the two files, diffusers takes its own
    assert pipe.get_active_adapters()


def test_diffusers_reads_that_file_as_well(tmp_path, tmp_path_factory):
    pipe = build_tiny_sd(tmp_path_factory.mktemp("tokenizer"), "epsilon")
    eraser = low_rank(pipe)
    save_kohya(pipe, eraser, tmp_path / "x.safetensors")
    z, t, states = torch.ones(1, 4, 8, 8), torch.tensor([500]), torch.ones(1, 20, 32)
    with torch.no_grad(), eraser.applied_to(pipe):
        wanted = pipe.unet(z, t, states).sample
    pipe.load_lora_weights(tmp_path / "x.safetensors")
    with torch.no_grad():
        assert (pipe.unet(z, t, states).sample - wanted).abs().max() < 1e-4


def test_modules_of_a_smaller_rank_are_filled_up_with_zeros(tiny_sd):
    noise = torch.Generator().manual_seed(0)
    lora = {}
    for name, rank, into, out in (("a.b", 4, 6, 5), ("c", 1, 3, 2)):
        lora[f"{name}.lora_A.weight"] = torch.randn(rank, into, generator=noise)
        lora[f"{name}.lora_B.weight"] = torch.randn(out, rank, generator=noise)
    tensors = kohya_tensors(tiny_sd, lora)
    assert tensors["lora_unet_c.lora_down.weight"].shape == (4, 3) and float(tensors["lora_unet_c.alpha"]) == 4
    changes = weight_changes(tensors)
    assert torch.allclose(changes["lora_unet_c"], lora["c.lora_B.weight"] @ lora["c.lora_A.weight"])
    assert torch.allclose(changes["lora_unet_a_b"], lora["a.b.lora_B.weight"] @ lora["a.b.lora_A.weight"])


def test_a_convolution_of_one_pixel_is_a_matrix(tiny_sd):
    lora = {"conv.lora_A.weight": torch.ones(2, 3, 1, 1), "conv.lora_B.weight": torch.ones(5, 2, 1, 1)}
    tensors = kohya_tensors(tiny_sd, lora)
    assert tensors["lora_unet_conv.lora_down.weight"].shape == (2, 3, 1, 1)
    assert torch.equal(weight_changes(tensors)["lora_unet_conv"], torch.full((5, 3), 2.0))


def test_a_file_that_lost_its_numbers_is_found_out(tiny_sd, tmp_path, monkeypatch):
    halved = {key: value / 2 for key, value in kohya_tensors(tiny_sd, low_rank(tiny_sd).lora).items()}
    monkeypatch.setattr("age_core.runs.kohya.load_file", lambda _: halved)
    with pytest.raises(AgeError, match="are other ones"):
        save_kohya(tiny_sd, low_rank(tiny_sd), tmp_path / "x.safetensors")
