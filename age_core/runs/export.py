"""Leave this project's format: what diffusers, WebUI and ComfyUI read; each reopened and compared before done."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import save_file
from torch import Tensor

from age_core.concepts.captions import article_of
from age_core.concepts.concept_set import fill
from age_core.errors import AgeError
from age_core.files import PARTIAL, check_unused, disk_errors, new_folder, replacing, safe_name, write_json
from age_core.models.eraser import Eraser
from age_core.models.families import device_of, dtype_of, encode_text, family_of, predict_all
from age_core.models.original_layout import check_single_file, single_file_tensors
from age_core.models.portable import save_configurations, save_pipeline
from age_core.models.sampling import generate
from age_core.runs.kohya import metadata_of, save_kohya, save_whole
from age_core.runs.low_rank import checked_rank, factored

ExportKind = Literal["pipeline", "delta", "lora", "whole", "single-file"]
# what each is for, as people are told
USES: dict[ExportKind, str] = {
    "pipeline": "a folder for `DiffusionPipeline.from_pretrained`: the whole edited model",
    "delta": "an eraser file, for this program",
    "lora": "a folder for `load_lora_weights`, with a second file in it for the LoRA folder of WebUI and ComfyUI",
    "whole": "a LyCORIS file for the LoRA folder of WebUI and ComfyUI: every changed number, without loss",
    "single-file": "a checkpoint for the model folder of WebUI and ComfyUI: the whole edited model in one file",
}
KINDS: tuple[ExportKind, ...] = tuple(USES)
FOLDERS = ("pipeline", "lora")
SAFETENSORS = ".safetensors"  # what the programs that read the other files go by
RANK = 32  # of a change that was not trained as factors: 99 % of what it does (docs/formats.md)
PRECISIONS = {"float32": torch.float32, "float16": torch.float16}
NOTE = "age_export.json"  # in an exported folder: what it is and how the check went
STEPS, PER_PROMPT = 4, 2
# How far a reopened export may be from the eraser itself. Pictures: mean absolute difference in levels of 255.
# Predictions: root mean square, as a share of how far the eraser moves them, beyond the arithmetic's own grain.
PICTURE_LIMIT = {torch.float32: 0.5, torch.float16: 3.0, torch.bfloat16: 6.0}
SHARE_LIMIT = 0.05
GRAIN = {torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 4e-2}


@dataclass(frozen=True)
class Export:
    """A finished export and how it compared, reopened, with the eraser applied to the original model.

    A change that was not trained as low-rank factors is not all in a "lora": `lost` is how far the predictions of the
    nearest one of that rank are from the eraser's own, as a share of `edit_size`; `error` the same of the weights; what
    is no matrix is `left_out`. The reopened file is compared with that nearest one.
    """

    path: Path
    kind: str
    prompts: tuple[str, ...]
    picture_difference: float = 0.0  # mean absolute, in levels of 255
    prediction_difference: float = 0.0  # root mean square, over that of the predictions
    edit_size: float = 0.0  # what the eraser does to the predictions, in the same unit
    rank: int | None = None  # of the factors that a change was taken apart into
    error: float = 0.0
    lost: float = 0.0
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Look:
    """What a model makes of a few prompts."""

    pictures: np.ndarray  # (B, H, W, 3) levels
    predictions: Tensor  # (B, C, h, w) of fixed noise


def export_eraser(
    pipe: DiffusionPipeline,
    eraser: Eraser,
    path: str | Path,
    kind: str,
    rank: int = RANK,
    precision: str | None = None,
) -> Export:
    """Write `eraser` for use elsewhere, reopen it, and compare its pictures before it takes its place at `path`.

    kind: as USES says; "lora" and "whole" under the names that `age_core.runs.kohya` tells, "single-file" under those
    of `age_core.models.original_layout`. rank: of a "lora" whose eraser was not trained as one. precision: "float16" or
    "float32" of "lora", "whole" and "single-file"; unless given, half for the first two and the model's own for the
    last. `pipe` is as before afterwards. Raises AgeError when the eraser does not fit the kind or the model, `path`
    exists already or the reopened export draws other pictures; RunFailed when the disk is full. `path` then does not
    exist.
    """
    path = Path(path)
    dtype = _check(pipe, eraser, path, kind, precision)
    low = factored(eraser, rank) if kind == "lora" and not _trained_as_factors(eraser) else None
    meant = low.eraser if low else eraser
    prompts = _prompts(pipe, eraser)
    original = _look(pipe, prompts)
    with eraser.applied_to(pipe):
        edited = wanted = _look(pipe, prompts)
    blank = Export(path, kind, prompts, edit_size=_apart(edited, original) / _size(edited))
    if low:
        with meant.applied_to(pipe):
            wanted = _look(pipe, prompts)
        lost = _apart(wanted, edited) / max(_apart(edited, original), 1e-12)
        blank = replace(blank, rank=checked_rank(rank), error=low.error, lost=lost, left_out=low.left_out)
    with disk_errors(f"The export {path.name!r}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_folder(path) if kind in FOLDERS else replacing(path) as temporary:
            written = _look_of_written(pipe, meant, temporary, kind, dtype, prompts)
            result = _compare(wanted, written, {dtype, dtype_of(pipe)}, blank)
            if kind in FOLDERS:
                note = asdict(result) | {"path": None, "eraser": dict(eraser.info)}
                write_json(temporary / NOTE, note)
    return result


def summary(export: Export) -> str:
    """What became of it, in a sentence."""
    levels = f"{export.picture_difference:.2g} levels of 255"
    text = f"exported {export.path.name}; opened again, its pictures differ by {levels}"
    return "; ".join(part for part in (text, loss(export)) if part)


def loss(export: Export) -> str:
    """What of the edit is not in it, in half a sentence; "" where all is."""
    if export.rank is None:
        return ""
    away = f"at rank {export.rank} its predictions are {export.lost:.1%} of the edit away from the eraser's"
    weights = f"its weights {export.error:.0%}"
    if not export.left_out:
        return f"{away}, {weights}"
    return f"{away}, {weights}, and {len(export.left_out)} biases and norms have no place in it"


def _check(pipe: DiffusionPipeline, eraser: Eraser, path: Path, kind: str, precision: str | None) -> torch.dtype:
    """The number format to write in. Raises AgeError on what cannot be exported so."""
    if kind not in KINDS:
        raise AgeError(f"Unknown kind of export {kind!r}; choose one of {', '.join(KINDS)}.")
    if precision is not None and precision not in PRECISIONS:
        raise AgeError(f"Unknown precision {precision!r} of an export; choose one of {', '.join(PRECISIONS)}.")
    if precision is not None and kind in ("pipeline", "delta"):
        raise AgeError(f"An export as {kind!r} keeps the number format that is there: leave out the precision.")
    if (eraser.directions or eraser.prompts) and kind != "delta":
        raise AgeError("This eraser acts while the model draws, not on its weights: export it as 'delta'.")
    if eraser.strength == 0:
        raise AgeError("At strength 0 an eraser changes nothing and cannot be exported: choose another strength.")
    safe_name(path.name)
    if kind in ("whole", "single-file") and path.suffix != SAFETENSORS:
        raise AgeError(f"The programs that read such a file go by its name: let {path.name!r} end in {SAFETENSORS}.")
    check_unused(path)
    if kind in ("lora", "whole"):
        return PRECISIONS[precision or "float16"]
    if kind == "single-file":
        check_single_file(pipe)
    return PRECISIONS[precision] if precision else dtype_of(pipe)


def _trained_as_factors(eraser: Eraser) -> bool:
    """Whether an eraser's factors are all that it changes."""
    trained = {key.removesuffix(".lora_A.weight") + ".weight" for key in eraser.lora if ".lora_A." in key}
    return bool(trained) and not set(eraser.delta) - trained


def _prompts(pipe: DiffusionPipeline, eraser: Eraser) -> tuple[str, ...]:
    """The erased concepts, where the edit shows, and the empty-handed prompt, where it should not."""
    named = eraser.concepts or ("thing",)
    return (*(fill("a picture of {a_noun}", noun, article_of(pipe)) for noun in named[:3]), "a picture")


def _look_of_written(
    pipe: DiffusionPipeline, eraser: Eraser, path: Path, kind: str, dtype: torch.dtype, prompts: Sequence[str]
) -> Look:
    """Write the export to `path`, open it as its user would, and look."""
    if kind == "delta":
        eraser.save(path)
        with Eraser.load(path).applied_to(pipe):
            return _look(pipe, prompts)
    if kind == "whole":  # no library at hand draws with such a file: its numbers are read and applied
        title = path.name.removesuffix(PARTIAL).removesuffix(SAFETENSORS)
        with save_whole(pipe, eraser, path, title, dtype).applied_to(pipe):
            return _look(pipe, prompts)
    if kind == "lora":
        return _look(_opened_lora(pipe, eraser, path, dtype), prompts)
    with eraser.applied_to(pipe):
        opened = _opened_folder(pipe, path) if kind == "pipeline" else _opened_file(pipe, eraser, path, dtype)
    opened.set_progress_bar_config(disable=True)
    for name, part in opened.components.items():
        if isinstance(part, torch.nn.Module):
            part.to(getattr(pipe, name).device)
    return _look(opened, prompts)


def _opened_folder(pipe: DiffusionPipeline, path: Path) -> DiffusionPipeline:
    save_pipeline(pipe, path)
    return DiffusionPipeline.from_pretrained(path, dtype=dtype_of(pipe), use_safetensors=True)


def _opened_file(pipe: DiffusionPipeline, eraser: Eraser, path: Path, dtype: torch.dtype) -> DiffusionPipeline:
    """The whole model as one file, read by diffusers, which goes by the end of its name and by configurations."""
    tensors = {
        name: value.to(dtype) if value.is_floating_point() else value
        for name, value in single_file_tensors(pipe).items()
    }
    name = path.name.removesuffix(PARTIAL)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".", suffix=PARTIAL) as place:
        file = Path(place) / name
        save_file(tensors, file, metadata=metadata_of(pipe, eraser, file.stem) | {"format": "pt"})
        configurations = Path(place) / "configurations"
        save_configurations(pipe, configurations)
        options = {"config": str(configurations), "local_files_only": True, "torch_dtype": dtype_of(pipe)}
        opened = type(pipe).from_single_file(str(file), **options)
        os.replace(file, path)
    return opened


def _opened_lora(pipe: DiffusionPipeline, eraser: Eraser, path: Path, dtype: torch.dtype) -> DiffusionPipeline:
    factors = {name: value.to(dtype) for name, value in eraser.lora.items()}
    type(pipe).save_lora_weights(path, unet_lora_layers=factors, safe_serialization=True)
    name = path.name.removeprefix(".").removesuffix(PARTIAL)
    save_kohya(pipe, eraser, path / f"{name}-kohya{SAFETENSORS}", dtype)
    denoiser = family_of(pipe).denoiser(pipe)
    # a copy of it: loading LoRA weights rebuilds its modules
    copied = {name: copy.deepcopy(part) for name, part in pipe.components.items() if part is denoiser}
    opened = type(pipe)(**_parts(pipe) | copied)
    opened.set_progress_bar_config(disable=True)
    opened.load_lora_weights(path)
    return opened


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


def _compare(wanted: Look, written: Look, formats: set[torch.dtype], blank: Export) -> Export:
    """Raise AgeError when the reopened export is not the edit: other pictures, or predictions without its trace.

    formats: the file's and the model's; the coarser one says how near they can be.
    """
    levels_apart, grain = (max(limit[dtype] for dtype in formats) for limit in (PICTURE_LIMIT, GRAIN))
    off = _apart(written, wanted) / _size(wanted)
    levels = float(np.abs(written.pictures - wanted.pictures).mean())
    # written so that a NaN fails
    if not (levels <= levels_apart and off <= SHARE_LIMIT * blank.edit_size + grain):
        raise AgeError(
            f"The export {blank.path.name!r}, opened again, differs from the eraser (pictures by {levels:.2f} levels "
            f"of 255, predictions by {off:.2g} where the edit itself is {blank.edit_size:.2g}): it was removed."
        )
    return replace(blank, picture_difference=levels, prediction_difference=off)


def _apart(one: Look, other: Look) -> float:
    """Root mean square of the difference of two looks' predictions."""
    return float((one.predictions - other.predictions).square().mean().sqrt())


def _size(look: Look) -> float:
    return float(look.predictions.square().mean().sqrt())
