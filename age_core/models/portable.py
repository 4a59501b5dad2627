"""Save what opens elsewhere: in plain diffusers, in other versions, with nothing of this machine in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from safetensors.torch import load_file, save_file

PLACES = ("_name_or_path", "name_or_path", "tokenizer_file", "vocab_file", "merges_file", "special_tokens_map_file")
VOCABULARY = ("vocab.json", "merges.txt", "vocab.txt")  # which Transformers 4 wants beside tokenizer.json
PREFIX = "text_model."  # of the weights of CLIP's text encoders until Transformers 5, which reads both


def save_pipeline(pipe: DiffusionPipeline, folder: Path) -> None:
    """Write a diffusers folder that plain diffusers opens and draws with, in earlier versions too."""
    pipe.save_pretrained(folder, safe_serialization=True)
    make_portable(folder, _source(pipe))


def save_configurations(pipe: DiffusionPipeline, folder: Path) -> None:
    """Write a pipeline's folder without its weights: what has to stand beside a file that holds these alone."""
    pipe.save_config(folder)
    for name, part in pipe.components.items():
        if hasattr(part, "save_config"):
            part.save_config(folder / name)
        elif hasattr(part, "save_pretrained"):
            getattr(part, "config", part).save_pretrained(folder / name)


def make_portable(folder: Path, source: Path | None = None) -> None:
    """Mend what `save_pretrained` wrote of this machine and of the newest versions alone.

    folder: a pipeline's or a single model's; source: what a pipeline was loaded from, whose tokenizer files are copied.
    """
    for path in folder.rglob("*.json"):
        _drop_places(path)
    for part in (folder, *(path for path in folder.iterdir() if path.is_dir())):
        if (part / "tokenizer.json").exists():
            _add_vocabulary(part, source / part.name if source else None)
        if (part / "config.json").exists():
            _mend_model(part)


def _source(pipe: DiffusionPipeline) -> Path | None:
    """The folder that a pipeline was loaded from; None where that is not known."""
    name = str(pipe.config.get("_name_or_path") or "")
    if name and Path(name).is_dir():
        return Path(name)
    try:
        cached = try_to_load_from_cache(name, "model_index.json") if name else None
    except HFValidationError:
        return None
    return Path(cached).parent if isinstance(cached, str) else None


def _drop_places(path: Path) -> None:
    """Take out of a configuration where its model once lay."""
    config = _read(path)
    without_places = {key: value for key, value in config.items() if key not in PLACES}
    if without_places != config:
        _write(path, without_places)


def _add_vocabulary(part: Path, source: Path | None) -> None:
    """The files of a tokenizer as versions before the fast ones read them: the source's own, else made of its JSON."""
    model = _read(part / "tokenizer.json").get("model", {})
    vocabulary = model.get("vocab")
    if not isinstance(vocabulary, dict):
        return
    if source and _fits(source, vocabulary):
        for name in VOCABULARY:
            if (source / name).is_file() and not (part / name).exists():
                shutil.copyfile(source / name, part / name)
    in_order = sorted(vocabulary, key=vocabulary.__getitem__)
    if model.get("type") == "WordPiece":
        _add(part / "vocab.txt", "".join(f"{piece}\n" for piece in in_order))
    elif model.get("type") == "BPE":
        merges = (merge if isinstance(merge, str) else " ".join(merge) for merge in model.get("merges", ()))
        _add(part / "vocab.json", json.dumps({piece: vocabulary[piece] for piece in in_order}, ensure_ascii=False))
        _add(part / "merges.txt", "".join(f"{line}\n" for line in ("#version: 0.2", *merges)))


def _fits(source: Path, vocabulary: dict[str, int]) -> bool:
    """Whether a source's files list the same pieces: another tokenizer may have taken the place of its own."""
    if (source / "vocab.json").is_file():
        return _read(source / "vocab.json") == vocabulary
    if (source / "vocab.txt").is_file():
        pieces = (source / "vocab.txt").read_text(encoding="utf-8").split("\n")
        return dict(zip(pieces, range(len(vocabulary)), strict=False)) == vocabulary
    return False


def _add(path: Path, text: str) -> None:
    if not path.exists():
        path.write_text(text, encoding="utf-8")


def _mend_model(part: Path) -> None:
    """A model of Transformers: loaded in the number format of the others, and CLIP under its old names."""
    config = _read(part / "config.json")
    if "model_type" not in config:
        return
    config.pop("torch_dtype", None)
    # Transformers 5 loads what stands here; Diffusers loads the other parts as float32 unless it is told otherwise
    _write(part / "config.json", config | {"dtype": "float32"})
    if config["model_type"] == "clip_text_model":
        for path in part.glob("*.safetensors"):
            tensors = load_file(path)
            if not any(name.startswith(PREFIX) for name in tensors):
                save_file({_old_name(name): value for name, value in tensors.items()}, path, {"format": "pt"})
        for path in part.glob("*.safetensors.index.json"):
            index = _read(path)
            names = index["weight_map"]
            if not any(name.startswith(PREFIX) for name in names):
                _write(path, index | {"weight_map": {_old_name(name): file for name, file in names.items()}})


def _old_name(name: str) -> str:
    return name if name.startswith("text_projection.") else PREFIX + name


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
