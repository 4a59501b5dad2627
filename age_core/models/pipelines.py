"""Diffusers pipelines: from a folder or the Hub, checked. The only module that loads a model's weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from age_core.assets import MODELS
from age_core.errors import AgeError
from age_core.models.families import CLASSES
from age_core.models.precision import prepare_device

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
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
    folder lacks parts, the id cannot be loaded, the model is of another kind or the device is not there.
    """
    if dtype not in DTYPES:
        raise AgeError(f"Unknown number format {dtype!r}; choose one of {', '.join(DTYPES)}.")
    path = _check_source(str(source))
    prepare_device(device)
    try:
        name = str(DiffusionPipeline.load_config(path).get("_class_name"))
        if name not in CLASSES:
            raise AgeError(f"{str(source)!r} is a {name}; erasing works on {' and '.join(CLASSES)}.")
        family = CLASSES[name]
        options = family.load_options
        pipe = family.pipeline.from_pretrained(path, dtype=DTYPES[dtype], use_safetensors=True, **options)
        family.check(pipe)
        denoiser: Any = family.denoiser(pipe)
        (denoiser if offload else pipe).to(device)
    except AgeError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AssertionError, ImportError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise AgeError(f"The pipeline {str(source)!r} cannot be loaded: {reason}") from error
    pipe.set_progress_bar_config(disable=True)
    for part in (denoiser, pipe.vae):
        part.requires_grad_(False)
    for tokenizer, encoder in family.text_parts(pipe):
        encoder.requires_grad_(False)
        # a tokenizer's folder need not name a length; texts would then be padded to 10^30 pieces
        tokenizer.model_max_length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
    if attention_slicing:
        pipe.enable_attention_slicing()
    if gradient_checkpointing:
        denoiser.enable_gradient_checkpointing()
    return pipe


def _check_source(source: str) -> Path | str:
    """A folder, or a Hub id that can be had. Raises AgeError on anything else, and on a folder that lacks parts."""
    folder = MODELS.get(source, Path(source))
    if folder.is_dir():
        missing = [part for part in ("model_index.json", *PARTS) if not (folder / part).exists()]
        if missing:
            raise AgeError(f"The pipeline folder {folder.name!r} lacks {', '.join(missing)}.")
        return folder
    if source in MODELS:
        raise AgeError(f"The bundled model {source!r} is missing from assets: build it with `make emoji`.")
    if folder.exists() or source.count("/") != 1:
        raise _no_pipeline(source)
    _check_hub(source)
    return source


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
