"""What the files of a run must be to come from elsewhere: nothing that cannot be shown, drawn or gone on with."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from pydantic.dataclasses import dataclass

from age_core.erasure.events import EraseEvent
from age_core.erasure.options import NAMES, EraseOptions
from age_core.errors import AgeError
from age_core.models.differential import are_pairs
from age_core.models.eraser import ANSWERS, Eraser
from age_core.runs.config import RunConfig, blamed
from age_core.runs.status import ENDED, WORDS, RunStatus
from age_core.validation import control_character, in_one_sentence, strict

TEXT = 500  # characters
DEPTH = 8  # lists and objects inside each other
PIXELS = 1024 * 1024  # previews have the model's own size, and SDXL's is this
HEADER = 2**20  # bytes in which an eraser names its weights; for the whole UNet of SDXL a quarter would do
WEIGHT = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
NUMBERS = (torch.float32, torch.float16, torch.bfloat16)
PNG, CHUNKS = b"\x89PNG\r\n\x1a\n", {b"PLTE", b"tRNS", b"IDAT"}


@in_one_sentence(dict.fromkeys(("preset", "target", "pool"), "preset, target or pool are of another kind"))
@dataclass(frozen=True, kw_only=True, config=strict("entry"))
class OtherArguments:
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


def read_object(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`. Raises ValueError unless its texts are short and printable, its numbers finite."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no number")

    try:
        value = json.loads(data.decode("utf-8"), parse_constant=refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    _check_plain(value)
    return value


def check_picture(path: Path, run: str) -> None:
    """Raise AgeError unless the file is a whole PNG, not large, with nothing but one picture in it."""
    with blamed(f"picture {path.name}", run):
        data = path.read_bytes()
        kinds = list(_chunks(data))
        if [kinds[0], kinds[-1]] != [b"IHDR", b"IEND"] or not set(kinds[1:-1]) <= CHUNKS:
            raise ValueError("it holds something besides one picture")
        width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
        if width * height > PIXELS:  # before anything is unpacked: a few bytes can become any number of pixels
            raise ValueError(f"it has {width} x {height} pixels, and at most {PIXELS} are allowed")
        try:
            with Image.open(path, formats=["PNG"]) as picture:
                picture.load()
        except Exception as error:  # each kind of damage raises another
            raise ValueError("it is damaged") from error


def check_eraser(path: Path, run: str) -> None:
    """Raise AgeError unless the file is an eraser of finite weights with plausible names and shapes."""
    with blamed("eraser", run):
        with path.open("rb") as file:
            if int.from_bytes(file.read(8), "little") > HEADER:
                raise ValueError("its header is too long")
        try:
            eraser = Eraser.load(path)
        except AgeError as error:
            raise ValueError("it is damaged, or no eraser of this version") from error
        _check_info(eraser)
        if not (eraser.delta or eraser.directions or eraser.prompts):
            raise ValueError("it changes nothing")
        for kind in (eraser.delta, eraser.lora, eraser.directions, eraser.prompts):
            for name, weight in kind.items():
                if len(name) > TEXT or not WEIGHT.fullmatch(name):
                    raise ValueError(f"{name[:40]!r} names no weight")
                if weight.dtype not in NUMBERS or not 1 <= weight.ndim <= 4 or not weight.numel():
                    raise ValueError(f"{name!r} has a strange shape or number format")
                if not torch.isfinite(weight).all():
                    raise ValueError(f"{name!r} is not finite")
        _check_shapes(eraser)


def _check_config(config: RunConfig) -> None:
    if "steps" not in config.options:
        raise ValueError("the option 'steps' is missing")
    _check_options(config.options)  # those of another version are let be
    fields = OtherArguments.__dataclass_fields__
    others = {name: value for name, value in config.request.items() if name in fields}
    options = {name: value for name, value in config.request.items() if name not in fields}
    for name in options:  # they become arguments of the call that goes on with the run
        if name not in NAMES:
            raise ValueError(f"nobody can ask for {name[:40]!r}")
    OtherArguments(**others)
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


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _check_plain(value: Any, depth: int = DEPTH) -> None:
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, (dict, list)):
        if not depth:
            raise ValueError("it is nested too deeply")
        for name in value if isinstance(value, dict) else ():
            _check_text(name)
        for item in value.values() if isinstance(value, dict) else value:
            _check_plain(item, depth - 1)
    elif isinstance(value, float) and not math.isfinite(value):  # 1e999 is fine JSON
        raise ValueError("a number is not finite")
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("a number is too large")


def _check_text(text: str) -> None:
    if len(text) > TEXT:
        raise ValueError(f"a text is longer than {TEXT} characters, {text[:40]!r}")
    if not text.isprintable() and (bad := control_character(text)):
        raise ValueError(f"a text holds the control character {bad!r}")


def _chunks(data: bytes) -> list[bytes]:
    """The kinds of the parts that a PNG is made of, to its last byte."""
    if data[:8] != PNG:
        raise ValueError("it is no PNG")
    at, kinds = 8, list[bytes]()
    while at < len(data) or not kinds:
        length = int.from_bytes(data[at : at + 4], "big")
        body, check = data[at + 4 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        if len(check) < 4 or zlib.crc32(body) != int.from_bytes(check, "big"):
            raise ValueError("it is damaged")
        kinds.append(body[:4])
        at += 12 + length
    return kinds


def _check_info(eraser: Eraser) -> None:
    info = eraser.info
    if not isinstance(info, dict):
        raise ValueError("it does not say where it came from")
    _check_plain(info)
    if not _are_texts(info.get("concepts", [])) or not isinstance(info.get("concept", ""), str):
        raise ValueError("its concepts are no words")
    numbers = [info[name] for name in ("sharpness", "threshold", "strength") if name in info]
    of_values = any(not name.endswith(ANSWERS) for name in eraser.directions)
    if not all(map(_is_number, numbers)) or (of_values and not {"sharpness", "threshold"} <= set(info)):
        raise ValueError("it does not say how it acts")


def _check_shapes(eraser: Eraser) -> None:
    """Low-rank factors come in pairs whose product has the shape of a change; directions are rows, prompts pairs."""
    for name in eraser.lora:
        module = name.split(".lora_")[0]
        down, up = (eraser.lora.get(f"{module}.lora_{part}.weight") for part in "AB")
        whole = eraser.delta.get(f"{module}.weight")
        if down is None or up is None or whole is None or down.ndim != 2 or up.ndim != 2:
            raise ValueError(f"{name!r} is no low-rank factor of a change")
        if up.shape[1] != down.shape[0] or (up.shape[0], down.shape[1]) != tuple(whole.shape):
            raise ValueError(f"{name!r} does not have the shape of its change")
    for name, rows in eraser.directions.items():
        if rows.ndim != 2:
            raise ValueError(f"{name!r} holds no directions")
    if eraser.prompts and not are_pairs(eraser.prompts):
        raise ValueError("its prompts are no pairs of a concept's and a target's")
