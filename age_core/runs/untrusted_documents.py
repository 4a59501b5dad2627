"""What the documents of a run must say to come from elsewhere: nothing that cannot be shown, drawn or gone on with."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic.dataclasses import dataclass

from age_core.erasure.events import EraseEvent
from age_core.erasure.options import NAMES, EraseOptions
from age_core.runs.config import RunConfig, blamed
from age_core.runs.status import ENDED, WORDS, RunStatus
from age_core.runs.untrusted_files import read_object
from age_core.validation import in_one_sentence, strict


@in_one_sentence(dict.fromkeys(("preset", "target", "pool"), "preset, target or pool are of another kind"))
@dataclass(frozen=True, kw_only=True, config=strict("entry"))
class Asked:
    """What a request may hold besides options."""

    preset: str = "balanced"
    target: str | None = None
    pool: int = 1


def check_documents(run: str, documents: Mapping[str, bytes], files: Collection[str]) -> RunConfig:
    """The configuration in the config.json, status.json and events.jsonl of a run; `files` names all that it has.

    Raises AgeError, naming the document and the run, unless they are what this program writes of a run that has ended.
    """
    with blamed("config.json", run):
        document = read_object(documents["config.json"])
    config = RunConfig.of(document, run)
    with blamed("config.json", run):
        _check_config(config)
    with blamed("status.json", run):
        document = read_object(documents["status.json"])
    _check_status(RunStatus.of(document, run), run, files)
    *lines, rest = documents.get("events.jsonl", b"").split(b"\n")
    with blamed("events.jsonl", run):
        for number, line in enumerate(lines, 1):
            try:
                _check_event(EraseEvent.from_record(read_object(line)), files)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
        if rest:
            raise ValueError("its last line is cut short")
    return config


def _check_config(config: RunConfig) -> None:
    if "steps" not in config.options:
        raise ValueError("the option 'steps' is missing")
    _check_options(config.options)  # those of another version are let be
    asked = {name: value for name, value in config.request.items() if name in Asked.__dataclass_fields__}
    options = {name: value for name, value in config.request.items() if name not in asked}
    for name in options:  # they become arguments of the call that goes on with the run
        if name not in NAMES:
            raise ValueError(f"nobody can ask for {name[:40]!r}")
    Asked(**asked)
    _check_options(options)


def _check_options(options: Mapping[str, Any]) -> None:
    EraseOptions(**{name: value for name, value in options.items() if name in NAMES})


def _check_status(status: RunStatus, run: str, files: Collection[str]) -> None:
    with blamed("status.json", run):
        if status.status not in ENDED:
            raise ValueError(WORDS["status"])
        if status.status == "finished" and "eraser.safetensors" not in files:
            raise ValueError("it says finished, but there is no eraser")


def _check_event(event: EraseEvent, files: Collection[str]) -> None:
    if not {f"pictures/{name}" for name in event.pictures} <= set(files):
        raise ValueError(f"it names pictures that are not there: {str(event.pictures)[:60]!r}")
