"""Leave this project's format: a diffusers folder, a delta, or LoRA weights; each reopened and compared before done."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from age_core.concepts.captions import article_of
from age_core.concepts.concept_set import fill
from age_core.errors import AgeError
from age_core.files import PARTIAL, check_unused, disk_errors, new_folder, replacing, safe_name, write_json
from age_core.models.eraser import Eraser
from age_core.models.families import device_of, dtype_of, encode_text, family_of, predict_all
from age_core.models.portable import save_pipeline
from age_core.models.sampling import generate
from age_core.runs.kohya import save_kohya

ExportKind = Literal["pipeline", "delta", "lora"]
KINDS: tuple[ExportKind, ...] = ("pipeline", "delta", "lora")
NOTE = "age_export.json"  # in an exported folder: what it is and how the check went
STEPS, PER_PROMPT = 4, 2
# How far a reopened export may be from the eraser itself. Pictures: mean absolute difference in levels of 255.
# Predictions: root mean square, as a share of how far the eraser moves them, beyond the arithmetic's own grain.
PICTURE_LIMIT = {torch.float32: 0.5, torch.float16: 3.0, torch.bfloat16: 6.0}
SHARE_LIMIT = 0.05
GRAIN = {torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 4e-2}


@dataclass(frozen=True)
class Export:
    """A finished export and how it compared, reopened, with the eraser applied to the original model."""

    path: Path
    kind: ExportKind
    prompts: tuple[str, ...]
    picture_difference: float  # mean absolute, in levels of 255
    prediction_difference: float  # root mean square, over that of the predictions
    edit_size: float  # what the eraser does to the predictions, in the same unit


@dataclass(frozen=True)
class Look:
    """What a model makes of a few prompts."""

    pictures: np.ndarray  # (B, H, W, 3) levels
    predictions: Tensor  # (B, C, h, w) of fixed noise


def export_eraser(pipe: DiffusionPipeline, eraser: Eraser, path: str | Path, kind: ExportKind) -> Export:
    """Write `eraser` for use elsewhere, reopen it, and compare its pictures before it takes its place at `path`.

    "pipeline": a folder for `DiffusionPipeline.from_pretrained`, edited; "delta": a safetensors file for
    `Eraser.load`; "lora": a folder for `pipe.load_lora_weights`, and in it a second file for WebUI and ComfyUI
    (`age_core.runs.kohya`). `pipe` is as before afterwards. Raises AgeError when
    the eraser does not fit the kind or the model, `path` exists already or the reopened export draws other
    pictures; RunFailed when the disk is full. `path` then does not exist.
    """
    path = Path(path)
    _check(eraser, path, kind)
    prompts = _prompts(pipe, eraser)
    original = _look(pipe, prompts)
    with eraser.applied_to(pipe):
        edited_look = _look(pipe, prompts)
    with disk_errors(f"The export {path.name!r}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) if kind == "delta" else new_folder(path) as temporary:
            written_look = _look_of_written(pipe, eraser, temporary, kind, prompts)
            result = _compare(
                original, edited_look, written_look, dtype_of(pipe), Export(path, kind, prompts, 0.0, 0.0, 0.0)
            )
            if kind != "delta":
                note = asdict(result) | {"path": None, "eraser": dict(eraser.info)}
                write_json(temporary / NOTE, note)
    return result


def _check(eraser: Eraser, path: Path, kind: str) -> None:
    if kind not in KINDS:
        raise AgeError(f"Unknown kind of export {kind!r}; choose one of {', '.join(KINDS)}.")
    if eraser.strength == 0:
        raise AgeError("At strength 0 an eraser changes nothing and cannot be exported: choose another strength.")
    safe_name(path.name)
    check_unused(path)
    if (eraser.directions or eraser.prompts) and kind != "delta":
        raise AgeError("This eraser acts while the model draws, not on its weights: export it as 'delta'.")
    if kind == "lora":
        factored = {key.removesuffix(".lora_A.weight") + ".weight" for key in eraser.lora if ".lora_A." in key}
        if not factored:
            raise AgeError("This eraser was not trained as low-rank factors: export it as 'pipeline' or 'delta'.")
        if set(eraser.delta) - factored:
            raise AgeError("This eraser changes more than its low-rank factors: export it as 'pipeline' or 'delta'.")


def _prompts(pipe: DiffusionPipeline, eraser: Eraser) -> tuple[str, ...]:
    """The erased concepts, where the edit shows, and the empty-handed prompt, where it should not."""
    named = eraser.concepts or ("thing",)
    return (*(fill("a picture of {a_noun}", noun, article_of(pipe)) for noun in named[:3]), "a picture")


def _look_of_written(
    pipe: DiffusionPipeline, eraser: Eraser, path: Path, kind: ExportKind, prompts: Sequence[str]
) -> Look:
    """Write the export to `path`, open it as its user would, and look."""
    if kind == "delta":
        eraser.save(path)
        with Eraser.load(path).applied_to(pipe):
            return _look(pipe, prompts)
    if kind == "pipeline":
        with eraser.applied_to(pipe):
            save_pipeline(pipe, path)
        opened = DiffusionPipeline.from_pretrained(path, dtype=dtype_of(pipe), use_safetensors=True)
        opened.set_progress_bar_config(disable=True)
        for name, part in opened.components.items():
            if isinstance(part, torch.nn.Module):
                part.to(getattr(pipe, name).device)
        return _look(opened, prompts)
    type(pipe).save_lora_weights(path, unet_lora_layers=dict(eraser.lora), safe_serialization=True)
    save_kohya(pipe, eraser, path / f"{path.name.removeprefix('.').removesuffix(PARTIAL)}-kohya.safetensors")
    denoiser = family_of(pipe).denoiser(pipe)
    # a copy of it: loading LoRA weights rebuilds its modules
    copied = {name: copy.deepcopy(part) for name, part in pipe.components.items() if part is denoiser}
    opened = type(pipe)(**_parts(pipe) | copied)
    opened.set_progress_bar_config(disable=True)
    opened.load_lora_weights(path)
    return _look(opened, prompts)


def _parts(pipe: DiffusionPipeline) -> dict[str, Any]:
    """A pipeline's constructor arguments: its components and switches."""
    switches = {
        name: pipe.config[name]
        for name in ("requires_safety_checker", "force_zeros_for_empty_prompt")
        if name in pipe.config
    }
    return dict(pipe.components) | switches


@torch.no_grad()
def _look(pipe: DiffusionPipeline, prompts: Sequence[str]) -> Look:
    rows = [prompt for prompt in prompts for _ in range(PER_PROMPT)]
    pictures = generate(pipe, rows, list(range(len(rows))), STEPS)
    noise = torch.Generator().manual_seed(0)
    z = torch.randn(len(rows), *family_of(pipe).latent_shape(pipe), generator=noise)
    t = torch.linspace(100, 900, len(rows)).long().to(device_of(pipe))
    states = encode_text(pipe, rows)
    predictions = predict_all(pipe, z.to(device_of(pipe)), t, states, batch_size=4).cpu()
    return Look(np.stack([np.asarray(picture.convert("RGB"), np.float32) for picture in pictures]), predictions)


def _compare(original: Look, edited_look: Look, written_look: Look, dtype: torch.dtype, blank: Export) -> Export:
    """Raise AgeError when the reopened export is not the edit: other pictures, or predictions without its trace."""
    scale = edited_look.predictions.square().mean().sqrt()
    edit = float((edited_look.predictions - original.predictions).square().mean().sqrt() / scale)
    off = float((written_look.predictions - edited_look.predictions).square().mean().sqrt() / scale)
    levels = float(np.abs(written_look.pictures - edited_look.pictures).mean())
    # written so that a NaN fails
    if not (levels <= PICTURE_LIMIT[dtype] and off <= SHARE_LIMIT * edit + GRAIN[dtype]):
        raise AgeError(
            f"The export {blank.path.name!r}, opened again, differs from the eraser (pictures by {levels:.2f} levels "
            f"of 255, predictions by {off:.2g} where the edit itself is {edit:.2g}): it was removed."
        )
    return Export(blank.path, blank.kind, blank.prompts, levels, off, edit)
