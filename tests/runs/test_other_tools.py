"""Files that WebUI, ComfyUI and kohya's scripts read: names by their readers' rules, numbers by what they do."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers.loaders.single_file_utils import infer_diffusers_model_type
from safetensors import safe_open
from safetensors.torch import load_file
from support import build_tiny_sd, build_tiny_sdxl, text_numbers, tiny_tokenizer
from test_export import dense, edited_pictures, low_rank, pictures
from transformers import CLIPTextConfig, CLIPTextModel

from age_core import AgeError, Eraser
from age_core.models.original_layout import unet_name, vae_name
from age_core.models.portable import save_configurations
from age_core.runs.export import export_eraser, summary
from age_core.runs.low_rank import factored
from benchmarks.tiny import assembled, tiny_vae

# the blocks of Stable Diffusion 1.x and 2.x, and of SDXL, few numbers wide
FOUR_BLOCKS = {
    "block_out_channels": (16, 16, 32, 32),
    "layers_per_block": 2,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
}
THREE_BLOCKS = {
    "block_out_channels": (16, 32, 32),
    "layers_per_block": 2,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 3),
    "attention_head_dim": (2, 4, 4),
}


def first(folder):
    return build_tiny_sd(folder, "epsilon", **FOUR_BLOCKS)


def second(folder):
    """Its text tokens have 1,024 numbers, by which readers know it, and its text encoder comes from OpenCLIP."""
    tokenizer = tiny_tokenizer(folder)
    sizes = {"hidden_size": 1024, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = CLIPTextModel(CLIPTextConfig(**sizes, **text_numbers(tokenizer)))
    shape = FOUR_BLOCKS | {"cross_attention_dim": 1024, "use_linear_projection": True}
    return assembled(tiny_vae(), text, tokenizer, build_tiny_sd(folder, "epsilon", **shape).unet, "v_prediction")


def xl(folder):
    pipe = build_tiny_sdxl(folder, **THREE_BLOCKS)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(params=[first, second, xl], ids=lambda build: build.__name__)
def pipe(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("tokenizer"))


named_in_both_ways = pytest.mark.parametrize("pipe", [first, xl], indirect=True, ids=lambda build: build.__name__)


def metadata(path):
    with safe_open(path, "pt") as file:
        return file.metadata()


def test_a_single_file_opens_as_the_edited_model(pipe, tmp_path):
    eraser = dense(pipe)
    path = tmp_path / "no dogs.safetensors"
    done = export_eraser(pipe, eraser, path, "single-file")
    assert done.picture_difference < 0.01 and done.edit_size > 0.01
    save_configurations(pipe, tmp_path / "beside")
    again = type(pipe).from_single_file(str(path), config=str(tmp_path / "beside"), local_files_only=True)
    again.set_progress_bar_config(disable=True)
    assert np.abs(pictures(again) - edited_pictures(pipe, eraser)).mean() < 0.01  # memory may be aligned otherwise
    with eraser.applied_to(pipe):
        for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
            if model := getattr(pipe, part, None):
                read = getattr(again, part).state_dict()
                assert all(torch.equal(value, read[name]) for name, value in model.state_dict().items()), part
    assert [file.name for file in tmp_path.iterdir() if file.name != "beside"] == [path.name]


def test_a_single_file_is_told_apart_as_its_readers_do(pipe, tmp_path, request):
    kind = request.node.callspec.id
    path = export_eraser(pipe, dense(pipe), tmp_path / "x.safetensors", "single-file", precision="float16").path
    tensors = load_file(path)
    roots = {".".join(name.split(".")[:3]) for name in tensors}
    if kind == "xl":
        assert {"conditioner.embedders.0", "conditioner.embedders.1"} < roots
        assert tensors["conditioner.embedders.1.model.text_projection"].shape == (32, 24)  # as OpenCLIP multiplies
        assert "model.diffusion_model.label_emb.0.0.weight" in tensors
    else:
        assert infer_diffusers_model_type(tensors) == {"first": "v1", "second": "v2"}[kind]
        text = "cond_stage_model.transformer.text_model" if kind == "first" else "cond_stage_model.model.transformer"
        assert any(name.startswith(f"{text}.") for name in tensors)
    assert tensors["first_stage_model.encoder.mid.attn_1.q.weight"].shape == (16, 16, 1, 1)
    assert {value.dtype for value in tensors.values() if value.is_floating_point()} == {torch.float16}
    told = metadata(path)
    wanted = {"first": "stable-diffusion-v1", "second": "stable-diffusion-v2", "xl": "stable-diffusion-xl-v1-base"}
    assert told["modelspec.architecture"] == wanted[kind] and told["age.concepts"] == "dog"
    assert told["modelspec.prediction_type"] == ("v" if kind == "second" else "epsilon")


def test_the_bundled_model_has_no_single_file(emoji_pipe, tmp_path):
    eraser = Eraser({"conv_in.weight": torch.ones_like(emoji_pipe.unet.conv_in.weight)}, {"concept": "dog"})
    with pytest.raises(AgeError, match="CLIP's text encoder; this model's is a BertModel"):
        export_eraser(emoji_pipe, eraser, tmp_path / "x.safetensors", "single-file")
    assert not list(tmp_path.iterdir())


def test_modules_are_named_as_trainers_of_sdxl_name_them():
    """Facts of the original layout: block i's attention j stands at input 3 i + j + 1 and output 3 i + j."""
    unet = SimpleNamespace(config=SimpleNamespace(layers_per_block=2), up_blocks=[SimpleNamespace(attentions=[]), None])
    inner = "transformer_blocks.0.attn2.to_q"
    assert unet_name(unet, f"down_blocks.1.attentions.0.{inner}") == f"input_blocks.4.1.{inner}"
    assert unet_name(unet, f"mid_block.attentions.0.{inner}") == f"middle_block.1.{inner}"
    assert unet_name(unet, f"up_blocks.1.attentions.2.{inner}") == f"output_blocks.5.1.{inner}"
    assert unet_name(unet, "down_blocks.0.downsamplers.0.conv.weight") == "input_blocks.3.0.op.weight"
    assert unet_name(unet, "up_blocks.0.upsamplers.0.conv.weight") == "output_blocks.2.2.conv.weight"
    assert unet_name(unet, "up_blocks.1.upsamplers.0.conv.weight") == "output_blocks.5.1.conv.weight"
    assert unet_name(unet, "mid_block.resnets.1.time_emb_proj.bias") == "middle_block.2.emb_layers.1.bias"
    with pytest.raises(AgeError, match="no name in the original layout"):
        unet_name(unet, "encoder_hid_proj.weight")
    assert (
        vae_name("decoder.up_blocks.0.resnets.1.conv_shortcut.weight", 4) == "decoder.up.3.block.1.nin_shortcut.weight"
    )


def added(unet, tensors, name_of):
    """A UNet changed by a file's whole changes as their readers do it; and whether all of them found a place."""
    changed, left = copy.deepcopy(unet), dict(tensors)
    with torch.no_grad():
        for name, parameter in changed.named_parameters():
            module, _, kind = name.rpartition(".")
            key = f"lora_unet_{name_of(module).replace('.', '_')}.{'diff' if kind == 'weight' else 'diff_b'}"
            if key in left:
                parameter.add_(left.pop(key).float())
    return changed, not left


@named_in_both_ways
def test_a_whole_file_holds_every_changed_number(pipe, tmp_path):
    eraser = dense(pipe)
    done = export_eraser(pipe, eraser, tmp_path / "no dogs.safetensors", "whole", precision="float32")
    original = type(pipe).__name__.endswith("XLPipeline")
    tensors = load_file(done.path)
    assert {name.rsplit(".", 1)[1] for name in tensors} == {"diff", "diff_b"} and len(tensors) == len(eraser.delta)
    unet, all_placed = added(pipe.unet, tensors, lambda name: unet_name(pipe.unet, name) if original else name)
    assert all_placed
    with eraser.applied_to(pipe):
        wanted = copy.deepcopy(pipe.unet.state_dict())
    assert all(torch.equal(value, wanted[name]) for name, value in unet.state_dict().items())
    half = export_eraser(pipe, eraser, tmp_path / "half.safetensors", "whole")
    assert half.path.stat().st_size < 0.7 * done.path.stat().st_size
    told = metadata(half.path)
    assert told["ss_network_module"] == "lycoris.kohya" and told["modelspec.title"] == "half"


def test_norms_have_names_of_their_own(tiny_epsilon, tmp_path):
    name = "mid_block.attentions.0.transformer_blocks.0.norm2"
    ones = torch.ones(tiny_epsilon.unet.get_submodule(name).weight.shape)
    eraser = Eraser({f"{name}.weight": ones, f"{name}.bias": ones * 0.1}, {"concept": "dog"})
    done = export_eraser(tiny_epsilon, eraser, tmp_path / "x.safetensors", "whole")
    module = f"lora_unet_{name.replace('.', '_')}"
    assert set(load_file(done.path)) == {f"{module}.w_norm", f"{module}.b_norm"}


def test_factors_are_the_nearest_of_their_rank(tiny_epsilon):
    """Eckart and Young: what is missed are the singular values after the first few."""
    eraser = dense(tiny_epsilon)
    low = factored(eraser, 4)
    missed = whole = 0.0
    for name, change in eraser.delta.items():
        whole += float(change.square().sum())
        if change.ndim < 2:
            assert name in low.left_out
            missed += float(change.square().sum())
            continue
        missed += float(torch.linalg.svdvals(change)[4:].square().sum())
        up, down = (low.eraser.lora[name.replace(".weight", f".lora_{part}.weight")] for part in "BA")
        assert up.shape == (change.shape[0], 4) and down.shape == (4, change.shape[1])
        assert torch.allclose(up @ down, low.eraser.delta[name])
    assert low.error == pytest.approx((missed / whole) ** 0.5, rel=1e-4)
    exact = factored(eraser, 64)
    matrices = [name for name, change in eraser.delta.items() if change.ndim == 2]
    assert all(torch.allclose(exact.eraser.delta[name], eraser.delta[name], atol=1e-5) for name in matrices)


@named_in_both_ways
def test_a_full_change_becomes_a_lora_of_the_wanted_rank(pipe, tmp_path):
    eraser = dense(pipe)
    done = {rank: export_eraser(pipe, eraser, tmp_path / f"at {rank}", "lora", rank=rank) for rank in (8, 32)}
    assert done[8].lost > done[32].lost and done[8].error > done[32].error
    assert done[32].left_out and "at rank 32 its predictions are" in summary(done[32])
    tensors = load_file(done[8].path / "at 8-kohya.safetensors")
    assert {len(value) for name, value in tensors.items() if name.endswith("lora_down.weight")} == {8}
    assert metadata(done[8].path / "at 8-kohya.safetensors")["ss_network_dim"] == "8"
    low = factored(eraser, 8).eraser
    for file in ("pytorch_lora_weights.safetensors", "at 8-kohya.safetensors"):
        other = copy.deepcopy(pipe)
        other.load_lora_weights(done[8].path, weight_name=file)
        assert np.abs(pictures(other) - edited_pictures(pipe, low)).mean() < 0.5, file
        assert np.abs(pictures(other) - pictures(pipe)).mean() > 2, file


@pytest.mark.parametrize("kind", ["lora", "whole", "single-file"])
def test_a_model_in_half_precision_has_such_files_too(kind, tmp_path, tmp_path_factory):
    """Its own arithmetic is coarser than the file's, and decides how near the two can be."""
    pipe = build_tiny_sd(tmp_path_factory.mktemp("tokenizer"), "epsilon").to(torch.bfloat16)
    done = export_eraser(pipe, low_rank(pipe), tmp_path / "x.safetensors", kind)
    assert done.edit_size > 0.01 and pipe.unet.dtype == torch.bfloat16
    if kind == "single-file":
        assert load_file(done.path)["model.diffusion_model.out.2.weight"].dtype == torch.bfloat16


def test_a_convolution_of_several_pixels_is_no_lora(tiny_epsilon, tmp_path):
    change = {"mid_block.resnets.0.conv1.weight": torch.ones(64, 64, 3, 3)}
    with pytest.raises(AgeError, match="changes a convolution"):
        export_eraser(tiny_epsilon, Eraser(change, {"concept": "dog"}), tmp_path / "x", "lora")
    with pytest.raises(AgeError, match="changes no matrix"):
        factored(Eraser({"conv_in.bias": torch.ones(32)}), 4)


@pytest.mark.parametrize("rank", [0, -1, 2000, "many", 1.5])
def test_a_rank_that_is_none_is_refused(tiny_epsilon, tmp_path, rank):
    with pytest.raises(AgeError, match=r"The rank must be a whole number"):
        export_eraser(tiny_epsilon, dense(tiny_epsilon), tmp_path / "x", "lora", rank=rank)


def test_a_precision_that_is_none_is_refused(tiny_epsilon, tmp_path):
    with pytest.raises(AgeError, match="choose one of float32, float16"):
        export_eraser(tiny_epsilon, dense(tiny_epsilon), tmp_path / "x", "lora", precision="int8")
    with pytest.raises(AgeError, match="leave out the precision"):
        export_eraser(tiny_epsilon, dense(tiny_epsilon), tmp_path / "x", "pipeline", precision="float16")
