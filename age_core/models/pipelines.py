"""Diffusers pipelines: from a folder or the Hub, checked; and back into a folder. Nobody else loads their weights."""

from __future__ import annotations

import ctypes
import gc
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from age_core.assets import MODELS
from age_core.errors import AgeError
from age_core.models.checks import longest
from age_core.models.families import CLASSES, editable
from age_core.models.precision import prepare_device

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# unet/diffusion_pytorch_model.fp16.safetensors, text_encoder/model.fp16-00001-of-00002.safetensors: part and variant
WEIGHTS = re.compile(
    r"(\w+)/(?:diffusion_pytorch_model|model)(?:-\d+-of-\d+)?(?:\.(\w+?))?(?:-\d+-of-\d+)?\.safetensors"
)
PICKLED = re.compile(r"(\w+)/(?:diffusion_pytorch_model|pytorch_model)\S*\.bin")


def load_pipeline(
    source: str | Path,
    device: str = "cpu",
    dtype: str = "float32",
    gradient_checkpointing: bool = False,
    offload: bool = False,
) -> DiffusionPipeline:
    """Open a bundled model ("emoji"), a diffusers folder or a Hub id of Stable Diffusion or SDXL.

    dtype: of all weights; erasing keeps its own float32 copy of what it trains. gradient_checkpointing trades speed for
    memory; offload keeps all but the UNet in main memory: text is encoded there once a prompt, and the VAE comes to the
    device to decode one picture at a time. Weights of a variant ("fp16") are read where a part has no others. Raises
    AgeError when the folder lacks parts, the id cannot be loaded, the model is of another kind or cannot be edited
    wholly, or the device is not there.
    """
    if dtype not in DTYPES:
        raise AgeError(f"Unknown number format {dtype!r}; choose one of {', '.join(DTYPES)}.")
    path, files = _find(str(source))
    prepare_device(device)
    try:
        name = str(DiffusionPipeline.load_config(path).get("_class_name"))
        if name not in CLASSES:
            raise AgeError(f"{str(source)!r} is a {name}; erasing works on {' and '.join(CLASSES)}.")
        family = CLASSES[name]
        options = {"variant": _variant(files, family.parts), **family.load_options}
        pipe = family.pipeline.from_pretrained(path, dtype=DTYPES[dtype], use_safetensors=True, **options)
        for tokenizer, encoder in family.text_parts(pipe):
            # a tokenizer's folder need not name a length; texts would then be padded to 10^30 pieces
            tokenizer.model_max_length = min(tokenizer.model_max_length, longest(encoder))
        denoiser: Any = editable(pipe).denoiser(pipe)
        (denoiser if offload else pipe).to(device)
    except AgeError:
        raise
    except Exception as error:  # whatever the libraries raise on damaged folders and absent devices
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise AgeError(f"The pipeline {str(source)!r} cannot be loaded: {reason}") from error
    pipe.set_progress_bar_config(disable=True)
    for part in (denoiser, pipe.vae, *(encoder for _, encoder in family.text_parts(pipe))):
        part.requires_grad_(False)
    if gradient_checkpointing:
        denoiser.enable_gradient_checkpointing()
    return pipe


def release_memory() -> None:
    """Let go of a model that was closed: some of what holds it goes round in circles, and CUDA keeps what it had.

    So does the C library of Linux: each thread that opened a model had an arena of its own, which stays with the
    process until it is told to give free pages back.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # musl's has no such call
            ctypes.CDLL(None).malloc_trim(0)


def _variant(files: Iterable[str], parts: Sequence[str]) -> str | None:
    """The variant of the weights that some part has no others than; None where all have plain ones.

    Raises AgeError where parts have different variants, or one has pickled weights alone.
    """
    variants: dict[str, set[str]] = {}
    pickled = []
    for file in files:
        if (weights := WEIGHTS.fullmatch(file)) and weights[1] in parts:
            variants.setdefault(weights[1], set()).add(weights[2] or "")
        elif (weights := PICKLED.fullmatch(file)) and weights[1] in parts:
            pickled.append(weights[1])
    unsafe = [part for part in pickled if part not in variants]
    if unsafe:
        raise AgeError(
            f"The weights of {unsafe[0]} are there as .bin files only, which could run code when they are read: take a "
            "copy with .safetensors files, or write one, `pipe.save_pretrained(folder, safe_serialization=True)`."
        )
    choices = [choice for choice in variants.values() if "" not in choice]
    if not choices:
        return None
    common = set.intersection(*choices)
    if not common:
        several = sorted(set.union(*choices))
        raise AgeError(f"The parts' weights are of different variants ({', '.join(several)}): take a copy with one.")
    return min(common)


def _find(source: str) -> tuple[Path | str, list[str]]:
    """A folder, or a Hub id that can be had, and its files. Raises AgeError on anything else, and on missing parts."""
    folder = MODELS.get(source, Path(source))
    if folder.is_dir():
        missing = [part for part in ("model_index.json", *PARTS) if not (folder / part).exists()]
        if missing:
            raise AgeError(f"The pipeline folder {folder.name!r} lacks {', '.join(missing)}.")
        return folder, _files_in(folder)
    if source in MODELS:
        raise AgeError(f"The bundled model {source!r} is missing from assets: build it with `make emoji`.")
    if folder.exists() or source.count("/") != 1:
        raise _no_pipeline(source)
    return source, _find_on_hub(source)


def _files_in(folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in folder.glob("*/*")]


def _no_pipeline(name: str) -> AgeError:
    return AgeError(
        f"{name!r} is no pipeline: give {', '.join(map(repr, MODELS))}, a diffusers folder, or a Hub id such as "
        "'CompVis/stable-diffusion-v1-4'."
    )


def _find_on_hub(name: str) -> list[str]:
    """The files of a Hub id. Raises AgeError at once where it is neither kept here nor to be had; loading tries on."""
    try:
        index_file = try_to_load_from_cache(name, "model_index.json")
        if isinstance(index_file, str):  # what is not kept may be fetched, so that nothing is missing yet
            return [file for file in _files_in(Path(index_file).parent) if file.endswith(".safetensors")]
        return [file.rfilename for file in HfApi().model_info(name, timeout=10).siblings or ()]
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
