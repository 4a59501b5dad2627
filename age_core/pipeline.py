"""Diffusers pipelines: load, encode text, predict noise, generate. The only module that loads weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from PIL import Image
from torch import Tensor

from age_core.concepts import ASSETS
from age_core.errors import AgeError

BUNDLED = {"emoji": ASSETS / "emoji-sd"}
PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")


def load_pipeline(source: str | Path, device: str = "cpu") -> StableDiffusionPipeline:
    """Open a bundled model ("emoji"), a diffusers folder or a Hub id, in float32, without progress bars.

    Raises AgeError when the folder lacks parts or the id cannot be loaded.
    """
    folder = BUNDLED.get(str(source), Path(source))
    if folder.is_dir():
        missing = [part for part in ("model_index.json", *PARTS) if not (folder / part).exists()]
        if missing:
            raise AgeError(f"The pipeline folder {folder.name!r} lacks {', '.join(missing)}.")
    elif str(source) in BUNDLED:
        raise AgeError(f"The bundled model {str(source)!r} is missing from assets: build it with `make emoji`.")
    elif folder.exists() or str(source).count("/") != 1:
        raise AgeError(
            f"{str(source)!r} is no pipeline: give {', '.join(map(repr, BUNDLED))}, a diffusers folder, "
            "or a Hub id such as 'CompVis/stable-diffusion-v1-4'."
        )
    try:
        pipe = StableDiffusionPipeline.from_pretrained(
            folder if folder.is_dir() else str(source),
            dtype=torch.float32,
            use_safetensors=True,
            safety_checker=None,
            requires_safety_checker=False,
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise AgeError(f"The pipeline {str(source)!r} cannot be loaded: {reason}") from error
    pipe.set_progress_bar_config(disable=True)
    pipe.unet.requires_grad_(False)
    pipe.vae.requires_grad_(False)
    pipe.text_encoder.requires_grad_(False)
    return pipe.to(device)


@torch.no_grad()
def encode_text(pipe: StableDiffusionPipeline, prompts: Sequence[str]) -> Tensor:
    """Hidden states of prompts, exactly those that the pipeline conditions on; (B, L, D)."""
    states, _ = pipe.encode_prompt(list(prompts), pipe.device, 1, False)
    return states


def embed_concepts(pipe: StableDiffusionPipeline, names: Sequence[str]) -> Any:
    """One unit vector a name, the mean of its token states; (n, D) numpy array."""
    ids = pipe.tokenizer(list(names), padding="max_length", truncation=True, return_tensors="pt").attention_mask
    mask = ids.to(pipe.device).unsqueeze(-1).float()  # (n, L, 1)
    mean = (encode_text(pipe, names) * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(mean, dim=-1).cpu().numpy()


def check_generation(prompts: Sequence[str], seeds: Sequence[int], steps: int) -> None:
    """Raise AgeError before any work is done on prompts that cannot be drawn."""
    if not prompts or any(not prompt.strip() for prompt in prompts):
        raise AgeError("The prompt is empty: write what to draw, such as 'an emoji of a dog'.")
    if len(prompts) != len(seeds):
        raise AgeError(f"{len(prompts)} prompts came with {len(seeds)} seeds: give one seed a prompt.")
    if steps < 1:
        raise AgeError(f"The number of sampling steps must be at least 1, not {steps}.")


def generate(
    pipe: StableDiffusionPipeline,
    prompts: Sequence[str],
    seeds: Sequence[int],
    steps: int = 8,
    guidance: float = 3.0,
    batch_size: int = 64,
) -> list[Image.Image]:
    """One picture a prompt, drawn from its own seed, so that a picture does not depend on its batch.

    Sampled by DPM-Solver++ (2M), which needs few steps. Raises AgeError on an empty prompt.
    """
    check_generation(prompts, seeds, steps)
    latents = sample_latents(pipe, encode_text(pipe, prompts), seeds, steps, guidance, batch_size)
    return decode(pipe, latents)


@torch.no_grad()
def sample_latents(
    pipe: StableDiffusionPipeline,
    states: Tensor,
    seeds: Sequence[int],
    steps: int = 8,
    guidance: float = 3.0,
    batch_size: int = 64,
) -> Tensor:
    """Latents (B, C, h, w) of text states (B, L, D) under classifier-free guidance against the empty prompt."""
    config = pipe.unet.config
    shape = (config.in_channels, config.sample_size, config.sample_size)
    noise = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(int(s))) for s in seeds])
    noise = noise.to(pipe.device, pipe.unet.dtype)
    empty = encode_text(pipe, [""])
    done = []
    for z, text in zip(noise.split(batch_size), states.split(batch_size), strict=True):
        # solver state lives in the scheduler, hence a fresh one for each batch
        scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
        scheduler.set_timesteps(steps, device=pipe.device)
        z = z * scheduler.init_noise_sigma
        both = torch.cat([empty.expand_as(text), text])
        for t in scheduler.timesteps:
            unguided, guided = pipe.unet(scheduler.scale_model_input(torch.cat([z, z]), t), t, both).sample.chunk(2)
            z = scheduler.step(unguided + guidance * (guided - unguided), t, z).prev_sample
        done.append(z)
    return torch.cat(done)


@torch.no_grad()
def decode(pipe: StableDiffusionPipeline, latents: Tensor, batch_size: int = 64) -> list[Image.Image]:
    """Latents (B, C, h, w) to pictures."""
    pictures: list[Image.Image] = []
    for part in latents.split(batch_size):
        decoded = pipe.vae.decode(part / pipe.vae.config.scaling_factor).sample
        pictures += pipe.image_processor.postprocess(decoded, output_type="pil")
    return pictures
