"""What is this? Models, erasers, runs and exports in plain words and numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline

from age_core.assets import MODELS
from age_core.erasure.options import EraseOptions
from age_core.errors import AgeError
from age_core.files import read_json
from age_core.models.eraser import Eraser
from age_core.models.families import device_of, dtype_of, encode_text, family_of
from age_core.models.identity import model_identity
from age_core.models.pipelines import load_pipeline
from age_core.runs.export import NOTE
from age_core.runs.run import Run


def describe(source: str | Path, device: str = "cpu", dtype: str = "float32") -> dict[str, Any]:
    """Facts about a model (by name, folder or Hub id), an eraser's file, a run or an export, in JSON's own types.

    Always holds "kind": "model", "eraser", "run" or "export". Raises AgeError on anything else.
    """
    if str(source) in MODELS:
        return describe_model(load_pipeline(source, device, dtype))
    path = Path(source)
    if path.is_file():
        return describe_eraser(Eraser.load(path)) | {"bytes": path.stat().st_size}
    if (path / "config.json").is_file() and (path / "status.json").is_file():
        return describe_run(Run.open(path))
    if not (path / NOTE).is_file():
        return describe_model(load_pipeline(source, device, dtype))
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    facts = {"kind": "export", "export": read_json(path / NOTE), "bytes": size}
    if (path / "model_index.json").is_file():
        facts["model"] = describe_model(load_pipeline(source, device, dtype))
    return facts


def describe_model(pipe: DiffusionPipeline) -> dict[str, Any]:
    """Class, prediction type, sizes, and how many parameters each selection would train."""
    parts = {name: part for name, part in pipe.components.items() if hasattr(part, "parameters")}
    family = family_of(pipe)
    return {
        "kind": "model",
        "class": type(pipe).__name__,
        "prediction_type": family.prediction_type(pipe),
        "scheduler": type(pipe.scheduler).__name__,
        "latent_shape": list(family.latent_shape(pipe)),
        "text_width": encode_text(pipe, [""]).shape[-1],
        "text_length": pipe.tokenizer.model_max_length,
        "device": str(device_of(pipe)),
        "dtype": str(dtype_of(pipe)).removeprefix("torch."),
        "parameters": {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()},
        "trained_parameters": {train: trained_count(pipe, train) for train in family.selections},
        "identity": model_identity(pipe),
    }


def trained_count(pipe: DiffusionPipeline, train: str) -> int:
    """How many numbers a selection trains; of "lora", its factors at the default rank."""
    try:
        parameters = family_of(pipe).trained(pipe, train).values()
    except AgeError:  # an empty selection
        return 0
    if train == "lora":
        rank = EraseOptions().lora_rank
        return sum(rank * (weight.shape[0] + weight.shape[1]) for weight in parameters)
    return sum(weight.numel() for weight in parameters)


def describe_eraser(eraser: Eraser) -> dict[str, Any]:
    """What an eraser changes, how strongly, and where it came from."""
    count = sum(delta.numel() for delta in eraser.delta.values())
    square = sum(float(delta.float().square().sum()) for delta in eraser.delta.values())
    return {
        "kind": "eraser",
        "info": dict(eraser.info),
        "changed_tensors": len(eraser.delta),
        "changed_parameters": count,
        "mean_square_change": square / count if count else 0.0,
        "low_rank_factors": len(eraser.lora) // 2,
        "value_directions": len(eraser.directions),
        "prompt_pairs": len(eraser.prompts.get("concept", ())),
    }


def describe_run(run: Run) -> dict[str, Any]:
    """What a run was asked, how far it came, and what it left."""
    config, events = run.config, run.events()
    facts = {
        "kind": "run",
        "status": run.status,
        "method": config.method,
        "concepts": list(config.concepts),
        "step": events[-1].step if events else 0,
        "steps": config.options.get("steps"),
        "options": dict(config.options),
        "model": {"source": config.model, "class": config.model_class, "identity": config.model_identity},
        "world": {"name": config.world, "vocabulary": config.vocabulary},
        "trained_parameters": config.trained_parameters,
        "versions": dict(config.versions),
        "machine": dict(config.machine),
        "created": config.created,
        "pictures": len(run.pictures()),
        "resumable": run.status != "running" and not (run.path / "eraser.safetensors").exists(),
    }
    if (run.path / "eraser.safetensors").exists():
        facts["eraser"] = describe_eraser(run.eraser())
    return facts
