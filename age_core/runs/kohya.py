"""LoRA weights under the names that WebUI, ComfyUI and kohya's scripts read; diffusers reads both.

A module's weight changes by alpha / rank times up @ down. Its name is the diffusers one with "_" for each ".", after
`lora_unet_`. All modules get one rank, and the alpha that is equal to it: diffusers 0.42 scales a module wrongly where
these differ from another's, and warns only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor

from age_core.errors import AgeError
from age_core.models.eraser import Eraser
from age_core.models.families import family_of

DOWN, UP, ALPHA = "lora_down.weight", "lora_up.weight", "alpha"
SECOND = 1024  # numbers of a text token in Stable Diffusion 2; the first has 768


def save_kohya(pipe: DiffusionPipeline, eraser: Eraser, path: Path) -> None:
    """Write an eraser's low-rank factors, and read them again. Raises AgeError where they are not its edit any more."""
    tensors = kohya_tensors(eraser.lora)
    save_file(tensors, path, metadata=_metadata(pipe, eraser, path.stem, _rank(tensors)))
    changes = weight_changes(load_file(path))
    for name, module in _modules(eraser.lora).items():
        down, up = (eraser.lora[f"{name}.{factor}.weight"].float() for factor in ("lora_A", "lora_B"))
        if not torch.allclose(changes[module], up.flatten(1) @ down.flatten(1), rtol=1e-4, atol=1e-6):
            raise AgeError(f"The LoRA weights of {name!r}, read again, are other ones: they were removed.")


def kohya_tensors(lora: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`<module>.lora_A.weight` (rank, in) and `<module>.lora_B.weight` (out, rank) under the other names.

    What has a smaller rank than the largest gets zeros.
    """
    modules = _modules(lora)
    rank = max(lora[f"{name}.lora_A.weight"].shape[0] for name in modules)
    tensors = {}
    for name, module in modules.items():
        down, up = lora[f"{name}.lora_A.weight"].cpu(), lora[f"{name}.lora_B.weight"].cpu()
        missing = rank - down.shape[0]
        tensors[f"{module}.{DOWN}"] = torch.cat([down, down.new_zeros(missing, *down.shape[1:])])
        more = up.new_zeros(up.shape[0], missing, *up.shape[2:])
        tensors[f"{module}.{UP}"] = torch.cat([up, more], 1)
        tensors[f"{module}.{ALPHA}"] = torch.tensor(float(rank))
    return tensors


def weight_changes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a file of such weights adds to each module's weight, (out, in), by the modules' names in it."""
    changes = {}
    for module in (key.removesuffix(f".{ALPHA}") for key in tensors if key.endswith(f".{ALPHA}")):
        down, up = (tensors[f"{module}.{factor}"].float().flatten(1) for factor in (DOWN, UP))
        changes[module] = float(tensors[f"{module}.{ALPHA}"]) / down.shape[0] * up @ down
    return changes


def _modules(lora: Mapping[str, Tensor]) -> dict[str, str]:
    """The names of the modules in diffusers, and in such a file."""
    names = [key.removesuffix(".lora_A.weight") for key in lora if key.endswith(".lora_A.weight")]
    return {name: f"lora_unet_{name.replace('.', '_')}" for name in names}


def _rank(tensors: Mapping[str, Tensor]) -> int:
    return next(len(value) for key, value in tensors.items() if key.endswith(DOWN))


def _metadata(pipe: DiffusionPipeline, eraser: Eraser, name: str, rank: int) -> dict[str, str]:
    """By what WebUI sorts its LoRA weights, and what they are."""
    xl, second = isinstance(pipe, StableDiffusionXLPipeline), _text_size(pipe) == SECOND
    base = "sdxl_base_v1-0" if xl else "sd_v2" if second else "sd_v1"
    kind = "stable-diffusion-xl-v1-base" if xl else f"stable-diffusion-v{2 if second else 1}"
    return {
        "ss_base_model_version": base,
        "ss_v2": str(second and not xl),
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(float(rank)),
        "ss_output_name": name,
        "modelspec.architecture": f"{kind}/lora",
        "modelspec.title": name,
        "age.concepts": ", ".join(eraser.concepts),
        "age.method": str(eraser.info.get("method", "")),
    }


def _text_size(pipe: DiffusionPipeline) -> int:
    denoiser: Any = family_of(pipe).denoiser(pipe)
    return int(denoiser.config.cross_attention_dim)
