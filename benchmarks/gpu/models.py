"""The models that are measured: the shapes of SD 1.4 and SDXL with random weights, built on the device; tiny ones."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from diffusers import (
    DiffusionPipeline,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from age_core import Candidates, EraseOptions, load_pipeline
from age_core.erasure.methods import method_options
from age_core.models.pipelines import DTYPES
from benchmarks.gpu.bench import Bench
from benchmarks.speed.full_size import built_on, full_size, full_vae
from benchmarks.tiny import ONE_BLOCK, build_tiny_sd, build_tiny_sdxl, tiny_tokenizer

WORDS = ("wolf", "fox", "cat", "pizza", "church", "car", "bus", "horse", "cow", "owl", "ship", "rose")

PUBLISHED = {"age-paper-code": "paper-object"}  # presets; the other methods' is the balanced one
CHEAP = {"samples": 2, "candidate_samples": 1, "sample_steps": 2, "preview_every": 0, "min_candidate_distance": 0.0}


def tiny(bench: Bench, family: str, dtype: str) -> DiffusionPipeline:
    """The tiny random models that the tests erase from: every path of the code, and no time at all."""
    folder = bench.folder / f"tiny-{family}"
    folder.mkdir(exist_ok=True)
    changes = ONE_BLOCK if bench.small else {}
    pipe = build_tiny_sd(folder, "epsilon", **changes) if family == "sd" else build_tiny_sdxl(folder, **changes)
    pipe.set_progress_bar_config(disable=True)
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        part.requires_grad_(False)
    return pipe.to(bench.device, DTYPES[dtype])


def stable_diffusion(bench: Bench, dtype: str) -> DiffusionPipeline:
    """The shape of SD 1.4; tiny in a small round."""
    return tiny(bench, "sd", dtype) if bench.small else full_size(DTYPES[dtype], bench.device)


def sdxl(bench: Bench, dtype: str) -> DiffusionPipeline:
    """The shape of SDXL; tiny in a small round."""
    return tiny(bench, "xl", dtype) if bench.small else full_size_xl(DTYPES[dtype], bench.device)


def emoji(dtype: str, device: str) -> DiffusionPipeline:
    return load_pipeline("emoji", device, dtype)


def words(bench: Bench, count: int = 12) -> Candidates:
    """Candidates of the models of random weights, to which all words are alike."""
    names = WORDS[: min(count, 3 if bench.small else count)]
    return Candidates(names, tuple((row + 1) / 100 for row in range(len(names))))


def step_options(bench: Bench, method: str, **changes: object) -> EraseOptions:
    """A method whose steps are its own, and what comes before them as cheap as can be; in a small round steps too."""
    if bench.small:
        changes = {"batch": 2, "pi_batch": 1, "grid": 4} | changes
    return method_options(method, PUBLISHED.get(method, "balanced"), **(CHEAP | changes))


def full_size_xl(dtype: torch.dtype, device: str) -> StableDiffusionXLPipeline:
    """The classes and shapes of SDXL: a UNet of 2.6 billion parameters, two text encoders, pictures of 1024 px."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = tiny_tokenizer(Path(folder), length=77)
    first = CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, projection_dim=768
    )
    second = CLIPTextConfig(
        hidden_size=1280,
        intermediate_size=5120,
        num_hidden_layers=32,
        num_attention_heads=20,
        projection_dim=1280,
        hidden_act="gelu",
    )
    with built_on(device, dtype):
        unet = UNet2DConditionModel(
            sample_size=128,
            block_out_channels=(320, 640, 1280),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=(5, 10, 20),
            transformer_layers_per_block=(1, 2, 10),
            cross_attention_dim=2048,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
        )
        vae = full_vae(1024)
        encoders = CLIPTextModel(first), CLIPTextModelWithProjection(second)
    pipe = StableDiffusionXLPipeline(
        vae=vae.eval(),
        text_encoder=encoders[0].eval(),
        tokenizer=tokenizer,
        text_encoder_2=encoders[1].eval(),
        tokenizer_2=tokenizer,
        unet=unet.eval(),
        scheduler=EulerDiscreteScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            steps_offset=1,
            timestep_spacing="leading",
        ),
    )
    pipe.set_progress_bar_config(disable=True)
    for part in (unet, vae, *encoders):
        part.requires_grad_(False)
    return pipe.to(device)
