"""Tiny random models of the real classes, and six concepts: every path of the code in no time, for tests as well."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from age_core import Concept, ConceptSet

WORLD = ConceptSet(
    "tiny",
    (
        Concept("dog", "mammal", "animal", ("hound",)),
        Concept("wolf", "mammal", "animal"),
        Concept("cat", "mammal", "animal"),
        Concept("pizza", "meal", "food"),
        Concept("church", "building", "place"),
        Concept("car", "vehicle", "thing"),
    ),
    "a photo of {a_noun}",
)
# what both tiny UNets have
TWO_BLOCKS: dict[str, object] = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "norm_num_groups": 8,
}
# changes of the UNet, which make of it all that is computed with and nothing twice
ONE_BLOCK = {
    "block_out_channels": (32,),
    "down_block_types": ("CrossAttnDownBlock2D",),
    "mid_block_type": None,
    "up_block_types": ("CrossAttnUpBlock2D",),
    "attention_head_dim": 8,
    "transformer_layers_per_block": 1,
}
QUICK = {
    "steps": 2,
    "batch": 2,
    "pi_every": 1,
    "pi_batch": 2,
    "samples": 2,
    "candidate_samples": 1,
    "sample_steps": 2,
    "preview_every": 0,
    "min_candidate_distance": 0.0,
    "grid": 4,
}


def tiny_tokenizer(folder: Path, length: int = 20) -> CLIPTokenizer:
    """A CLIP tokenizer whose vocabulary is single letters: real class, no download."""
    letters = [chr(c) for c in range(97, 123)]
    vocab = {token: row for row, token in enumerate([*letters, *(f"{c}</w>" for c in letters)])}
    vocab |= {"<|startoftext|>": len(vocab), "<|endoftext|>": len(vocab) + 1}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=length)


def text_numbers(tokenizer: CLIPTokenizer) -> dict[str, int]:
    """What a CLIP text encoder's configuration has to know of a tiny tokenizer."""
    return {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 20,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def tiny_vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=16,
    )


def assembled(
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    unet: UNet2DConditionModel,
    prediction_type: str = "epsilon",
) -> StableDiffusionPipeline:
    """The parts as Stable Diffusion 1.x and 2.x put them together, with their noise schedule; no safety checker."""
    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        prediction_type=prediction_type,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="leading",
    )
    pipe = StableDiffusionPipeline(
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def build_tiny_sd(folder: Path, prediction_type: str, **changes: object) -> StableDiffusionPipeline:
    """The classes of Stable Diffusion 1.x and 2.x, randomly initialised and small; `changes` make another UNet."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer(folder)
    text = CLIPTextConfig(
        hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4, **text_numbers(tokenizer)
    )
    unet = UNet2DConditionModel(**TWO_BLOCKS | {"cross_attention_dim": 32, "attention_head_dim": 8} | changes)
    with torch.no_grad():  # at random the text hardly matters; let it, as in a trained model
        for name, weight in unet.named_parameters():
            if ".attn2.to_" in name and weight.ndim == 2:
                weight.mul_(4)
    pipe = assembled(tiny_vae(), CLIPTextModel(text), tokenizer, unet, prediction_type)
    pipe.unet.requires_grad_(False)
    return pipe


def build_tiny_sdxl(folder: Path, **changes: object) -> StableDiffusionXLPipeline:
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer(folder)
    text = {"intermediate_size": 37, "num_hidden_layers": 3, "num_attention_heads": 4} | text_numbers(tokenizer)
    first, second = CLIPTextConfig(hidden_size=16, **text), CLIPTextConfig(hidden_size=32, projection_dim=24, **text)
    shape: dict[str, object] = TWO_BLOCKS | {
        "cross_attention_dim": 48,
        "attention_head_dim": (2, 4),
        "transformer_layers_per_block": (1, 2),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 24 + 6 * 8,
    }
    unet = UNet2DConditionModel(**shape | changes)
    scheduler = EulerDiscreteScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1, timestep_spacing="leading"
    )
    return StableDiffusionXLPipeline(
        vae=tiny_vae().eval(),
        text_encoder=CLIPTextModel(first).eval(),
        tokenizer=tokenizer,
        text_encoder_2=CLIPTextModelWithProjection(second).eval(),
        tokenizer_2=tokenizer,
        unet=unet.eval(),
        scheduler=scheduler,
    )
