"""Diffusers pipelines: load, encode text, predict noise, generate. The only module that loads weights."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
)
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from PIL import Image
from torch import Tensor

from age_core.assets import MODELS
from age_core.errors import AgeError

CLASSES = {"StableDiffusionPipeline": StableDiffusionPipeline, "StableDiffusionXLPipeline": StableDiffusionXLPipeline}
PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
TEXTS = 128  # encoded at once: the activations of more leave the cache, and 450 take a fifth longer
TOKENIZING = threading.Lock()  # a fast tokenizer breaks off when two threads ask it at once
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_pipeline(
    source: str | Path,
    device: str = "cpu",
    dtype: str = "float32",
    attention_slicing: bool = False,
    gradient_checkpointing: bool = False,
    offload: bool = False,
) -> DiffusionPipeline:
    """Open a bundled model ("emoji"), a diffusers folder or a Hub id of Stable Diffusion or SDXL.

    dtype: of all weights; erasing keeps its own float32 copy of what it trains. attention_slicing and
    gradient_checkpointing trade speed for memory; offload keeps all but the UNet in main memory and computes it there:
    text is encoded once a prompt, pictures are decoded once, and the UNet does the rest. Raises AgeError when the
    folder lacks parts, the id cannot be loaded or the device is not there.
    """
    folder = MODELS.get(str(source), Path(source))
    if dtype not in DTYPES:
        raise AgeError(f"Unknown number format {dtype!r}; choose one of {', '.join(DTYPES)}.")
    if folder.is_dir():
        missing = [part for part in ("model_index.json", *PARTS) if not (folder / part).exists()]
        if missing:
            raise AgeError(f"The pipeline folder {folder.name!r} lacks {', '.join(missing)}.")
    elif str(source) in MODELS:
        raise AgeError(f"The bundled model {str(source)!r} is missing from assets: build it with `make emoji`.")
    elif folder.exists() or str(source).count("/") != 1:
        raise _no_pipeline(str(source))
    else:
        _check_hub(str(source))
    path = folder if folder.is_dir() else str(source)
    try:
        named = str(DiffusionPipeline.load_config(path).get("_class_name"))
        if named not in CLASSES:
            raise AgeError(f"{str(source)!r} is a {named}; erasing works on {' and '.join(CLASSES)}.")
        unchecked = {} if "XL" in named else {"safety_checker": None, "requires_safety_checker": False}
        pipe = CLASSES[named].from_pretrained(path, dtype=DTYPES[dtype], use_safetensors=True, **unchecked)
        (pipe.unet if offload else pipe).to(device)
    except AgeError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise AgeError(f"The pipeline {str(source)!r} cannot be loaded: {reason}") from error
    pipe.set_progress_bar_config(disable=True)
    for part in (pipe.unet, pipe.vae, pipe.text_encoder, getattr(pipe, "text_encoder_2", None)):
        if part is not None:
            part.requires_grad_(False)
    if attention_slicing:
        pipe.enable_attention_slicing()
    if gradient_checkpointing:
        pipe.unet.enable_gradient_checkpointing()
    return pipe


def _no_pipeline(name: str) -> AgeError:
    return AgeError(
        f"{name!r} is no pipeline: give {', '.join(map(repr, MODELS))}, a diffusers folder, or a Hub id such as "
        "'CompVis/stable-diffusion-v1-4'."
    )


def _check_hub(name: str) -> None:
    """Raise AgeError at once where a Hub id is neither kept on this machine nor to be had; loading tries for long."""
    try:
        if try_to_load_from_cache(name, "model_index.json"):
            return
        HfApi().model_info(name, timeout=10)
    except HFValidationError as error:
        raise _no_pipeline(name) from error
    except HfHubHTTPError as error:
        raise AgeError(
            f"The Hugging Face Hub does not give out {name!r}: check the name, or log in where it wants an agreement."
        ) from error
    except Exception as error:  # whatever the HTTP library of the day raises where there is no network
        raise AgeError(
            f"{name!r} is not on this machine and the Hugging Face Hub cannot be reached: connect to the internet (a "
            "Stable Diffusion 1.x takes some 4 GB), or give the folder of a copy."
        ) from error


def device_of(pipe: DiffusionPipeline) -> torch.device:
    """Where the UNet is, and with it every latent and every text state; `load_pipeline` may leave the rest behind."""
    return pipe.unet.device


def _has_pooled(pipe: DiffusionPipeline) -> bool:
    """Whether the UNet also wants a pooled text vector and the picture's size (SDXL)."""
    return pipe.unet.config.addition_embed_type == "text_time"


@torch.no_grad()
def encode_text(pipe: DiffusionPipeline, prompts: Sequence[str]) -> Tensor:
    """What the UNet is conditioned on for each prompt, exactly as in the pipeline; (B, L, D).

    For SDXL the pooled vector, padded with zeros, follows as a last row, (B, L + 1, D): one tensor a prompt can be
    mixed, cached and differentiated like any other, and only `predict` needs to know. There the empty prompt
    is all zeros where the pipeline's configuration says so.
    """
    wanted = list(prompts)
    starts = range(0, max(len(wanted), 1), TEXTS)
    return torch.cat([_encode_texts(pipe, wanted[start : start + TEXTS]) for start in starts])


def _encode_texts(pipe: DiffusionPipeline, wanted: list[str]) -> Tensor:
    if not _has_pooled(pipe):
        with TOKENIZING:
            prompt_embeds, _ = pipe.encode_prompt(wanted, pipe.text_encoder.device, 1, False)
        return prompt_embeds.to(device_of(pipe))
    with TOKENIZING:
        prompt_embeds, _, pooled, _ = pipe.encode_prompt(
            wanted, device=pipe.text_encoder.device, num_images_per_prompt=1, do_classifier_free_guidance=False
        )
    last = torch.nn.functional.pad(pooled, (0, prompt_embeds.shape[-1] - pooled.shape[-1])).unsqueeze(1)
    packed = torch.cat([prompt_embeds, last], 1)
    if pipe.config.force_zeros_for_empty_prompt:
        packed[[row for row, prompt in enumerate(wanted) if not prompt]] = 0
    return packed.to(device_of(pipe))


def token_states(pipe: DiffusionPipeline, prompt_embeds: Tensor) -> Tensor:
    """The part of `encode_text`'s answer that cross-attention sees; (B, L, D)."""
    return prompt_embeds[:, :-1] if _has_pooled(pipe) else prompt_embeds


def predict(pipe: DiffusionPipeline, z: Tensor, t: Tensor, prompt_embeds: Tensor) -> Tensor:
    """The UNet's raw prediction (epsilon or v); z (B, C, h, w), t (B,) or (), states from `encode_text`.

    Differentiable in z, states and the UNet's weights.
    """
    dtype = pipe.unet.dtype
    if not _has_pooled(pipe):
        return pipe.unet(z.to(dtype), t, prompt_embeds.to(dtype)).sample.float()
    width = pipe.text_encoder_2.config.projection_dim
    size = pipe.unet.config.sample_size * pipe.vae_scale_factor
    time_ids = torch.tensor([size, size, 0, 0, size, size], device=z.device, dtype=dtype).expand(len(z), -1)
    added = {"text_embeds": prompt_embeds[:, -1, :width].to(dtype), "time_ids": time_ids}
    tokens = token_states(pipe, prompt_embeds).to(dtype)
    return pipe.unet(z.to(dtype), t, tokens, added_cond_kwargs=added).sample.float()


@torch.no_grad()
def predict_all(pipe: DiffusionPipeline, z: Tensor, t: Tensor, prompt_embeds: Tensor, batch_size: int = 64) -> Tensor:
    """`predict` for any number of rows, a batch at a time and without gradients; t (B,)."""
    parts = zip(z.split(batch_size), t.split(batch_size), prompt_embeds.split(batch_size), strict=True)
    return torch.cat([predict(pipe, *part) for part in parts])


def embed_concepts(pipe: DiffusionPipeline, names: Sequence[str]) -> np.ndarray:
    """One unit vector a name, the mean of its token states; (n, D)."""
    with TOKENIZING:
        ids = pipe.tokenizer(list(names), padding="max_length", truncation=True, return_tensors="pt").attention_mask
    mask = ids.to(device_of(pipe)).unsqueeze(-1).float()  # (n, L, 1)
    mean = (token_states(pipe, encode_text(pipe, names)).float() * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(mean, dim=-1).cpu().numpy()


def check_generation(prompts: Sequence[str], seeds: Sequence[int], steps: int) -> None:
    """Raise AgeError before any work is done on prompts that cannot be drawn."""
    if not prompts:
        raise AgeError("There is no prompt: write what to draw, such as 'an emoji of a dog'.")
    if len(prompts) != len(seeds):
        raise AgeError(f"{len(prompts)} prompts came with {len(seeds)} seeds: give one seed a prompt.")
    if steps < 1:
        raise AgeError(f"The number of sampling steps must be at least 1, not {steps}.")


def generate(
    pipe: DiffusionPipeline,
    prompts: Sequence[str],
    seeds: Sequence[int],
    steps: int = 8,
    guidance: float = 3.0,
    batch_size: int = 64,
) -> list[Image.Image]:
    """One picture a prompt, drawn from its own seed, so that a picture does not depend on its batch.

    Sampled by DPM-Solver++ (2M), which needs few steps. "" asks for nothing in particular. Raises AgeError when there
    is no prompt, or not one seed for each.
    """
    check_generation(prompts, seeds, steps)
    latents = sample_latents(pipe, encode_text(pipe, prompts), seeds, steps, guidance, batch_size)
    return decode(pipe, latents)


@torch.no_grad()
def sample_latents(
    pipe: DiffusionPipeline,
    prompt_embeds: Tensor,
    seeds: Sequence[int],
    steps: int = 8,
    guidance: float = 3.0,
    batch_size: int = 64,
    late: Callable[[], AbstractContextManager[Any]] | None = None,
    late_from: int = 0,
) -> Tensor:
    """Latents (B, C, h, w) of text states (B, L, D) under classifier-free guidance against the empty prompt.

    `late` is entered before step `late_from`, such as an eraser that is to finish what the original model began.
    """
    config = pipe.unet.config
    shape = (config.in_channels, config.sample_size, config.sample_size)
    noise = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(int(s))) for s in seeds])
    noise = noise.to(device_of(pipe))
    empty = encode_text(pipe, [""])
    done = []
    for z, text in zip(noise.split(batch_size), prompt_embeds.split(batch_size), strict=True):
        # solver state lives in the scheduler, hence a fresh one for each batch
        scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
        scheduler.set_timesteps(steps, device=device_of(pipe))
        z = z * scheduler.init_noise_sigma
        both = torch.cat([empty.expand_as(text), text])
        with ExitStack() as stack:
            for step, t in enumerate(scheduler.timesteps):
                if late and step == late_from:
                    stack.enter_context(late())
                unguided, guided = predict(pipe, scheduler.scale_model_input(torch.cat([z, z]), t), t, both).chunk(2)
                z = scheduler.step(unguided + guidance * (guided - unguided), t, z).prev_sample
        done.append(z)
    return torch.cat(done)


@torch.no_grad()
def decode(pipe: DiffusionPipeline, latents: Tensor, batch_size: int = 64) -> list[Image.Image]:
    """Latents (B, C, h, w) to pictures."""
    pictures: list[Image.Image] = []
    for part in latents.split(batch_size):
        decoded = pipe.vae.decode((part / pipe.vae.config.scaling_factor).to(pipe.vae.device, pipe.vae.dtype)).sample
        pictures += pipe.image_processor.postprocess(decoded.float(), output_type="pil")
    return pictures
