"""What the documents of a run must say to come from elsewhere: nothing that cannot be shown, drawn or gone on with."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from age_core.erasure.events import EraseEvent
from age_core.erasure.options import EraseOptions, current_names
from age_core.runs.config import RunConfig
from age_core.runs.run import NOT_PLAIN, current_event
from age_core.runs.untrusted_files import are_texts, blamed, is_number, read_object

ENDED = ("finished", "stopped", "failed")
REQUEST = ("preset", "target", "pool")  # what a request may hold besides options
# What JSON may hold for a field of that annotation; the fields of other annotations are choices among texts.
FITS: dict[str, Callable[[Any], bool]] = {
    "int": lambda value: type(value) is int,
    "bool": lambda value: type(value) is bool,
    "float": is_number,
    "tuple[str, ...]": are_texts,
    "tuple[float, ...]": lambda value: isinstance(value, list) and all(v is None or is_number(v) for v in value),
    "Mapping[str, Any]": lambda value: isinstance(value, dict),
    "Mapping[str, str]": lambda value: isinstance(value, dict) and all(isinstance(v, str) for v in value.values()),
}


def check_documents(run: str, documents: Mapping[str, bytes], files: Collection[str]) -> RunConfig:
    """The configuration in the config.json, status.json and events.jsonl of a run; `files` names all that it has.

    Raises AgeError, naming the document and the run, unless they are what this program writes of a run that has ended.
    """
    with blamed("config.json", run):
        found = read_object(documents["config.json"])
    config = RunConfig.of(found, run)
    with blamed("config.json", run):
        _check_config(found)
    with blamed("status.json", run):
        _check_status(read_object(documents["status.json"]), files)
    *lines, rest = documents.get("events.jsonl", b"").split(b"\n")
    with blamed("events.jsonl", run):
        for number, line in enumerate(lines, 1):
            try:
                _check_event(current_event(read_object(line)), files)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
        if rest:
            raise ValueError("its last line is cut short")
    return config


def _check_fields(found: Mapping[str, Any], kind: type) -> None:
    """What `found` says of a dataclass's fields is of their types; fields of other versions may lack or come on top."""
    for field in fields(kind):
        fits = FITS.get(str(field.type), lambda value: isinstance(value, str))
        if field.name in found and not fits(found[field.name]):
            raise ValueError(f"{field.name!r} cannot be {str(found[field.name])[:40]!r}")


def _check_config(found: Mapping[str, Any]) -> None:
    _check_fields(found, RunConfig)
    if not found["concepts"] or not all(name.strip() for name in found["concepts"]):
        raise ValueError("it names no concept")
    if not re.fullmatch(r"[a-z0-9-]{1,40}", found["method"]):
        raise ValueError(f"{found['method'][:40]!r} names no method")
    datetime.fromisoformat(found["created"])
    if "steps" not in found["options"]:
        raise ValueError("the option 'steps' is missing")
    _check_options(current_names(found["options"]))
    request = current_names(found["request"])
    for name in request:  # they become arguments of the call that goes on with the run
        if name not in (*REQUEST, *EraseOptions.__dataclass_fields__):
            raise ValueError(f"nobody can ask for {name[:40]!r}")
    texts = isinstance(request.get("preset", ""), str) and isinstance(request.get("target", ""), str | None)
    if not texts or type(request.get("pool", 1)) is not int:
        raise ValueError("preset, target or pool are of another kind")
    _check_options({name: value for name, value in request.items() if name != "target"})


def _check_options(found: Mapping[str, Any]) -> None:
    known = {name: value for name, value in found.items() if name in EraseOptions.__dataclass_fields__}
    _check_fields(known, EraseOptions)
    typed = {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}
    EraseOptions(**typed).check()  # type: ignore[arg-type]


def _check_status(found: Mapping[str, Any], files: Collection[str]) -> None:
    if found.get("status") not in ENDED:
        raise ValueError(f"it must say one of {', '.join(ENDED)}")
    if not all(isinstance(found.get(name, ""), str) for name in ("reason", "updated")):
        raise ValueError("its reason is no text")
    if not all(type(found.get(name, 0)) is int for name in ("step", "steps")):
        raise ValueError("its steps are no numbers")
    if found["status"] == "finished" and "eraser.safetensors" not in files:
        raise ValueError("it says finished, but there is no eraser")


def _check_event(found: Mapping[str, Any], files: Collection[str]) -> None:
    if not all(type(found.get(name)) is int and found[name] >= 0 for name in ("step", "steps")):
        raise ValueError("it does not say which step it is")
    _check_fields({name: value for name, value in found.items() if value is not None}, EraseEvent)  # null: no number
    if set(found) & set(NOT_PLAIN):
        raise ValueError("it holds what has a file of its own")
    lengths = {len(found.get(name) or ()) for name in ("logits", "probabilities", "sampled")} - {0}
    if lengths - {len(found.get("candidates") or ())}:
        raise ValueError("there are more or fewer shares than candidates")
    pictures = found.get("pictures", [])
    if not are_texts(pictures) or not {f"pictures/{name}" for name in pictures} <= set(files):
        raise ValueError(f"it names pictures that are not there: {str(pictures)[:60]!r}")
