"""Check 1: every method, every selection of weights, every format, previews and exports: does it run on the device?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from age_core import METHODS, Eraser, erase_by, export_eraser
from age_core.erasure.outcome import finished
from age_core.models.identity import weights_hash
from age_core.models.parameters import TRAINED
from age_core.runs.export import ExportKind
from benchmarks.gpu.bench import Bench, Figures, attempt
from benchmarks.gpu.models import tiny
from benchmarks.tiny import QUICK, WORLD

FORMATS = ("float32", "bfloat16", "float16")
IN_FLOAT16 = ("age", "age-paper-code", "esd-u", "uce", "adavd")  # of the methods; the others differ in options alone
SMALL = {"float32": ("age", "ca", "uce", "adavd"), "bfloat16": ("age-even",), "float16": ("adavd",)}
EXPORTS: tuple[tuple[ExportKind, str], ...] = (("pipeline", "xattn"), ("delta", "xattn"), ("lora", "lora"))


def check(bench: Bench) -> Iterator[Figures]:
    """A case a line: passed, refused in a sentence, or failed with the frames."""
    for dtype in FORMATS:
        pipe = tiny(bench, "sd", dtype)
        methods = SMALL[dtype] if bench.small else IN_FLOAT16 if dtype == "float16" else tuple(METHODS)
        for method in methods:
            yield attempt({"family": "sd", "format": dtype, "method": method}, erased, pipe, method)
    pipe = tiny(bench, "sd", "bfloat16")
    for train in ("lora",) if bench.small else TRAINED:
        yield attempt({"family": "sd", "format": "bfloat16", "train": train}, erased, pipe, "age", train)
    for dtype in FORMATS[1:2] if bench.small else FORMATS:
        pipe = tiny(bench, "xl", dtype)
        for train in TRAINED if dtype == "bfloat16" and not bench.small else ("xattn",):
            yield attempt({"family": "xl", "format": dtype, "train": train}, erased, pipe, "age", train)
    pipe = tiny(bench, "sd", "float32")
    for kind, train in EXPORTS:
        yield attempt({"export": kind}, exported, pipe, kind, train, bench.folder / f"export-{kind}")


def erase_two_steps(pipe: DiffusionPipeline, method: str, train: str | None) -> Eraser:
    options: dict[str, Any] = {**QUICK, "preview_every": 2, "train": train}
    return finished(erase_by(pipe, method, "dog", WORLD, **options))[1]


def erased(pipe: DiffusionPipeline, method: str = "age", train: str | None = None) -> Figures:
    """Two steps, and previews; the eraser is finite, can be applied, and leaves every weight as it was."""
    before = weights_hash(pipe.unet)
    eraser = erase_two_steps(pipe, method, train)
    with eraser.applied_to(pipe):
        applied = weights_hash(pipe.unet)
    return {
        "finite": all(bool(torch.isfinite(delta).all()) for delta in eraser.delta.values()),
        "changed": applied != before or bool(eraser.directions or eraser.prompts),
        "restored": weights_hash(pipe.unet) == before,
    }


def exported(pipe: DiffusionPipeline, kind: ExportKind, train: str, place: Path) -> Figures:
    done = export_eraser(pipe, erase_two_steps(pipe, "age-even", train), place, kind)
    return {"picture_difference": done.picture_difference, "prediction_difference": done.prediction_difference}
