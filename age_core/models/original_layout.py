"""The names that Stable Diffusion's weights had before diffusers: what WebUI, ComfyUI and single files still use.

A checkpoint in one file holds the UNet as `model.diffusion_model.*`, the VAE as `first_stage_model.*` and the text
encoder as `cond_stage_model.*` (1.x: CLIP's own names; 2.x: OpenCLIP's) or `conditioner.embedders.*` (SDXL: both).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from torch import Tensor
from transformers import CLIPTextModel

from age_core.errors import AgeError
from age_core.models.families import family_of

SECOND = 1024  # numbers of a text token in Stable Diffusion 2; the first has 768
CHANNELS = 4  # of the latents that every reader of such files expects

OUTER = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
PARTS = ("q_proj", "k_proj", "v_proj")  # of an attention, which OpenCLIP keeps as one matrix


def unet_name(unet: Any, name: str) -> str:
    """A module or parameter of a UNet under its original name. Raises AgeError where there was none like it.

    Each resnet with its attention is an entry of a list; so is what halves the size. What doubles it is the last part
    of the entry before.
    """
    blocks = unet.config.layers_per_block
    if not isinstance(blocks, int):
        raise AgeError("Only a UNet whose blocks have as many layers each has names in the original layout.")
    for ours, theirs in OUTER.items():
        if name == ours or name.startswith(f"{ours}."):
            inner = name[len(ours) :]
            return theirs + (_renamed(inner, RESNET) if ".resnets." in ours else inner)
    if found := re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)(.*)", name):
        way, block, part, layer, inner = found[1], int(found[2]), found[3], int(found[4]), found[5]
        entry = (blocks + 1) * block + layer + (way == "down")
        inner = _renamed(inner, RESNET) if part == "resnets" else inner
        return f"{'input' if way == 'down' else 'output'}_blocks.{entry}.{int(part == 'attentions')}{inner}"
    if found := re.match(r"down_blocks\.(\d+)\.downsamplers\.0\.conv(.*)", name):
        return f"input_blocks.{(blocks + 1) * (int(found[1]) + 1)}.0.op{found[2]}"
    if found := re.match(r"up_blocks\.(\d+)\.upsamplers\.0\.conv(.*)", name):
        block = int(found[1])
        place = 2 if hasattr(unet.up_blocks[block], "attentions") else 1
        return f"output_blocks.{(blocks + 1) * block + blocks}.{place}.conv{found[2]}"
    raise AgeError(f"{name!r} of this UNet has no name in the original layout.")


def vae_name(name: str, levels: int) -> str:
    """A parameter of an autoencoder with that many block levels under its original name; the decoder counts down."""
    if found := re.match(r"(encoder|decoder)\.mid_block\.(resnets|attentions)\.(\d+)(\..*)", name):
        side, part, number, inner = found[1], found[2], int(found[3]) + 1, found[4]
        if part == "attentions":
            return f"{side}.mid.attn_{number}{_renamed(inner, VAE_ATTENTION)}"
        return f"{side}.mid.block_{number}{_shortcut(inner)}"
    if found := re.match(r"(encoder|decoder)\.(down|up)_blocks\.(\d+)\.(resnets|\w+samplers)\.(\d+)(\..*)", name):
        side, way, number, part, inner = found[1], found[2], int(found[3]), found[4], found[6]
        level = f"{side}.{way}.{number if way == 'down' else levels - 1 - number}"
        return f"{level}.block.{found[5]}{_shortcut(inner)}" if part == "resnets" else f"{level}.{way}sample{inner}"
    return name.replace("conv_norm_out", "norm_out")


def single_file_tensors(pipe: DiffusionPipeline) -> dict[str, Tensor]:
    """All weights of a pipeline as one checkpoint has them. Raises AgeError on a model that has no such file."""
    check_single_file(pipe)
    tensors = {
        f"model.diffusion_model.{unet_name(pipe.unet, name)}": value for name, value in pipe.unet.state_dict().items()
    }
    levels = len(pipe.vae.config.block_out_channels)
    for name, value in pipe.vae.state_dict().items():
        linear = ".attentions." in name and value.ndim == 2  # was a convolution of one pixel
        tensors[f"first_stage_model.{vae_name(name, levels)}"] = value[..., None, None] if linear else value
    first, *others = (encoder for _, encoder in family_of(pipe).text_parts(pipe))
    if others:
        tensors |= _clip(first, "conditioner.embedders.0.transformer.")
        tensors |= _open_clip(others[0], "conditioner.embedders.1.model.")
    elif is_second(pipe):
        tensors |= _open_clip(first, "cond_stage_model.model.")
    else:
        tensors |= _clip(first, "cond_stage_model.transformer.")
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def check_single_file(pipe: DiffusionPipeline) -> None:
    """Raise AgeError on a model that no program reads as one file."""
    if not isinstance(pipe, StableDiffusionPipeline | StableDiffusionXLPipeline):
        raise AgeError(f"A {type(pipe).__name__} cannot be written as one file: export it as 'pipeline'.")
    if not isinstance(pipe.text_encoder, CLIPTextModel):
        raise AgeError(
            f"One file holds Stable Diffusion with CLIP's text encoder; this model's is a "
            f"{type(pipe.text_encoder).__name__}: export it as 'pipeline'."
        )
    channels = pipe.vae.config.latent_channels
    if channels != CHANNELS:
        raise AgeError(
            f"One file holds an autoencoder of {CHANNELS} channels; this model's has {channels}: "
            "export it as 'pipeline'."
        )


def is_second(pipe: DiffusionPipeline) -> bool:
    """Whether a pipeline is of Stable Diffusion 2, as readers tell it: by the size of its text tokens."""
    return not isinstance(pipe, StableDiffusionXLPipeline) and pipe.unet.config.cross_attention_dim == SECOND


def _renamed(inner: str, names: Mapping[str, str]) -> str:
    """`.norm1.weight` with its first part (or two) renamed."""
    for ours, theirs in names.items():
        if inner == f".{ours}" or inner.startswith(f".{ours}."):
            return f".{theirs}{inner[len(ours) + 1 :]}"
    return inner


def _shortcut(inner: str) -> str:
    return inner.replace("conv_shortcut", "nin_shortcut")


def _clip(encoder: Any, prefix: str) -> dict[str, Tensor]:
    """CLIP's own names, which Transformers 5 has shortened."""
    states = _text_states(encoder)
    return {f"{prefix}text_model.{name}": value for name, value in states.items()}


def _open_clip(encoder: Any, prefix: str) -> dict[str, Tensor]:
    tensors, states = {}, _text_states(encoder)
    projection = states.pop("text_projection.weight", None)
    if projection is not None:
        tensors["text_projection"] = projection.T
    tensors["positional_embedding"] = states.pop("embeddings.position_embedding.weight")
    tensors["token_embedding.weight"] = states.pop("embeddings.token_embedding.weight")
    for kind in ("weight", "bias"):
        tensors[f"ln_final.{kind}"] = states.pop(f"final_layer_norm.{kind}")
    for name, value in states.items():
        layer, inner = name.removeprefix("encoder.layers.").split(".", 1)
        block = f"transformer.resblocks.{layer}"
        kind = inner.rsplit(".", 1)[1]
        if inner == f"self_attn.q_proj.{kind}":
            parts = [states[f"encoder.layers.{layer}.self_attn.{part}.{kind}"] for part in PARTS]
            tensors[f"{block}.attn.in_proj_{kind}"] = torch.cat(parts)
        elif not inner.startswith(tuple(f"self_attn.{part}" for part in PARTS)):
            tensors[f"{block}{_renamed(f'.{inner}', OPEN_CLIP_LAYER)}"] = value
    return {prefix + name: value for name, value in tensors.items()}


def _text_states(encoder: Any) -> dict[str, Tensor]:
    states = {name.removeprefix("text_model."): value for name, value in encoder.state_dict().items()}
    return {name: value for name, value in states.items() if not name.endswith("position_ids")}
