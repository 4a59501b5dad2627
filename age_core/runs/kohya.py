"""Changes of weights under the names that WebUI, ComfyUI and kohya's scripts read: as low-rank factors, and whole.

A module's weight changes by alpha / rank times up @ down. Its name stands after `lora_unet_`, with "_" for each ".":
the diffusers one, of SDXL the one of the original layout, as its trainers write it. All modules get one rank, and the
alpha that is equal to it: diffusers 0.42 scales a module wrongly where these differ from another's, and warns only.
Whole changes (LyCORIS calls them full) are exact, biases and norms included; WebUI and ComfyUI read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import DiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor

from age_core.errors import AgeError
from age_core.models.eraser import Eraser
from age_core.models.families import family_of
from age_core.models.identity import model_identity
from age_core.models.original_layout import is_second, unet_name

DOWN, UP, ALPHA = "lora_down.weight", "lora_up.weight", "alpha"
WHOLE = {"weight": "diff", "bias": "diff_b"}
PREFIX = "lora_unet_"


def save_kohya(pipe: DiffusionPipeline, eraser: Eraser, path: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write an eraser's low-rank factors, and read them again. Raises AgeError where they are not its edit any more."""
    tensors = {key: _in(value, dtype) for key, value in kohya_tensors(pipe, eraser.lora).items()}
    save_file(tensors, path, metadata=metadata_of(pipe, eraser, path.stem, "lora") | _rank(tensors))
    changes = weight_changes(load_file(path))
    for name, module in _modules(pipe, eraser.lora).items():
        down, up = (eraser.lora[f"{name}.{factor}.weight"].float() for factor in ("lora_A", "lora_B"))
        _check_same(changes[module], up.flatten(1) @ down.flatten(1), name, dtype)


def save_whole(
    pipe: DiffusionPipeline, eraser: Eraser, path: Path, title: str, dtype: torch.dtype = torch.float32
) -> Eraser:
    """Write every changed number, and read the eraser that the file holds. Raises AgeError where it is another."""
    names = {name: _whole_name(pipe, name) for name in eraser.delta}
    tensors = {names[name]: change.detach().cpu().to(dtype).contiguous() for name, change in eraser.delta.items()}
    metadata = metadata_of(pipe, eraser, title, "lora") | {"ss_network_module": "lycoris.kohya"}
    save_file(tensors, path, metadata=metadata)
    read = load_file(path)
    for name, change in eraser.delta.items():
        _check_same(read[names[name]].float(), change.cpu().float(), name, dtype)
    return Eraser({name: read[key].float() for name, key in names.items()}, eraser.info)


def kohya_tensors(pipe: DiffusionPipeline, lora: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`<module>.lora_A.weight` (rank, in) and `<module>.lora_B.weight` (out, rank) under the other names.

    What has a smaller rank than the largest gets zeros.
    """
    modules = _modules(pipe, lora)
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
    """What a file of such factors adds to each module's weight, (out, in), by the modules' names in it."""
    changes = {}
    for module in (key.removesuffix(f".{ALPHA}") for key in tensors if key.endswith(f".{ALPHA}")):
        down, up = (tensors[f"{module}.{factor}"].float().flatten(1) for factor in (DOWN, UP))
        changes[module] = float(tensors[f"{module}.{ALPHA}"]) / down.shape[0] * up @ down
    return changes


def metadata_of(pipe: DiffusionPipeline, eraser: Eraser, name: str, kind: str = "") -> dict[str, str]:
    """By what WebUI sorts its files, and what they are: of which base, without which concepts, by which method.

    kind: "lora", or "" for a whole model. Added to another base than the one named, a change erases something else.
    """
    xl, second = isinstance(pipe, StableDiffusionXLPipeline), is_second(pipe)
    architecture = "stable-diffusion-xl-v1-base" if xl else f"stable-diffusion-v{2 if second else 1}"
    prediction = family_of(pipe).prediction_type(pipe)
    metadata = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{architecture}/{kind}".rstrip("/"),
        "modelspec.title": name,
        "modelspec.prediction_type": "v" if prediction == "v_prediction" else prediction,
        "age.base": model_identity(pipe),
        "age.concepts": ", ".join(eraser.concepts),
        "age.method": str(eraser.info.get("method", "")),
    }
    if kind == "lora":
        metadata |= {
            "ss_base_model_version": "sdxl_base_v1-0" if xl else "sd_v2" if second else "sd_v1",
            "ss_v2": str(second),
            "ss_output_name": name,
        }
    return metadata


def _modules(pipe: DiffusionPipeline, lora: Mapping[str, Tensor]) -> dict[str, str]:
    """The names of the modules in diffusers, and in such a file."""
    names = [key.removesuffix(".lora_A.weight") for key in lora if key.endswith(".lora_A.weight")]
    return {name: _module_name(pipe, name) for name in names}


def _module_name(pipe: DiffusionPipeline, name: str) -> str:
    if isinstance(pipe, StableDiffusionXLPipeline):
        name = unet_name(pipe.unet, name)
    return PREFIX + name.replace(".", "_")


def _whole_name(pipe: DiffusionPipeline, parameter: str) -> str:
    """A parameter's key: a norm's is marked as such, and has fewer readers."""
    module, _, kind = parameter.rpartition(".")
    norm = isinstance(family_of(pipe).denoiser(pipe).get_submodule(module), torch.nn.GroupNorm | torch.nn.LayerNorm)
    return f"{_module_name(pipe, module)}.{f'{kind[0]}_norm' if norm else WHOLE[kind]}"


def _rank(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    rank = next(len(value) for key, value in tensors.items() if key.endswith(DOWN))
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(float(rank)),
    }


def _in(value: Tensor, dtype: torch.dtype) -> Tensor:
    """Factors in a number format; alpha stays as it is."""
    return value.to(dtype) if value.ndim else value


def _check_same(read: Tensor, wanted: Tensor, name: str, dtype: torch.dtype) -> None:
    """Raise AgeError unless a change that was read is the one that was meant, but for the format's grain."""
    grain = 1e-4 if dtype == torch.float32 else 4e-3
    if not torch.linalg.vector_norm(read - wanted) <= grain * torch.linalg.vector_norm(wanted) + 1e-6:
        raise AgeError(f"The changes of {name!r}, read again, are other ones: the file was removed.")
