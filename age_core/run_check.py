"""What a run must be to come from elsewhere: texts that can be shown, numbers that are numbers, pictures, weights."""

from __future__ import annotations

import json
import math
import re
import string
import unicodedata
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from age_core.errors import AgeError
from age_core.events import EraseEvent
from age_core.options import EraseOptions
from age_core.run_config import RunConfig
from age_core.runs import NOT_PLAIN
from age_core.weights import Eraser

ENDED = ("finished", "stopped", "failed")
TEXT = 500  # characters
DEPTH = 8  # lists and objects inside each other
PIXELS = 1024 * 1024  # previews have the model's own size; SDXL draws as many
HEADER = 2**20  # bytes that name an eraser's weights; a whole UNet of SDXL needs a fifth of it
REQUEST = ("preset", "target", "pool")  # what a request may hold besides options
WEIGHT = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+){0,19}")
# A picture as it is written here: no texts, no animation, nothing behind its end.
PNG, CHUNKS = b"\x89PNG\r\n\x1a\n", {b"PLTE", b"tRNS", b"IDAT"}


def check_documents(run: str, documents: Mapping[str, bytes], files: Collection[str]) -> RunConfig:
    """The configuration in the config.json, status.json and events.jsonl of a run; `files` are all that it has.

    Raises AgeError, naming `run`, unless they are what this program writes and can be shown to people as they are.
    """
    with _blamed(run, "config.json"):
        found = _document(documents["config.json"])
    config = RunConfig.of(found, run)
    with _blamed(run, "config.json"):
        _check_config(found)
    with _blamed(run, "status.json"):
        _check_status(_document(documents["status.json"]), files)
    lines = documents.get("events.jsonl", b"").split(b"\n")
    if lines[-1]:
        raise AgeError(f"The events.jsonl of the run {run!r} cannot be used: its last line is cut short.")
    for number, line in enumerate(lines[:-1], 1):
        with _blamed(run, f"line {number} of the events.jsonl"):
            _check_event(_document(line), files)
    return config


def check_picture(path: Path, run: str) -> None:
    """Raise AgeError unless `path` is a small PNG, whole, with nothing but a picture in it."""
    with _blamed(run, f"picture {path.name}"):
        data = path.read_bytes()
        kinds = list(_chunks(data))
        if [kinds[0], kinds[-1]] != [b"IHDR", b"IEND"] or not set(kinds[1:-1]) <= CHUNKS:
            raise ValueError("it holds more than a picture")
        width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
        if width * height > PIXELS:  # before anything is unpacked: a few bytes may claim to be millions of pixels
            raise ValueError(f"it has {width} x {height} pixels, {PIXELS} are allowed")
        try:
            with Image.open(path, formats=["PNG"]) as picture:
                picture.load()
        except Exception as error:  # each kind of damage raises another
            raise ValueError("it is damaged") from error


def check_eraser(path: Path, run: str) -> None:
    """Raise AgeError unless `path` is an eraser whose weights are finite, plausibly named and shaped."""
    with _blamed(run, "eraser"):
        with path.open("rb") as file:
            if int.from_bytes(file.read(8), "little") > HEADER:
                raise ValueError("it has no header of a sensible size")
        try:
            eraser = Eraser.load(path)
        except AgeError as error:
            raise ValueError("it is damaged, or no eraser of this version") from error
        _check_info(eraser)
        if not eraser.delta and not eraser.directions:
            raise ValueError("it changes nothing")
        for kind in (eraser.delta, eraser.lora, eraser.directions):
            for name, weight in kind.items():
                if len(name) > TEXT or not WEIGHT.fullmatch(name):
                    raise ValueError(f"{name[:40]!r} names no weight")
                plausible = weight.dtype in (torch.float32, torch.float16, torch.bfloat16) and 1 <= weight.ndim <= 4
                if not plausible or not weight.numel() or not torch.isfinite(weight).all():
                    raise ValueError(f"{name!r} holds no finite weights of a sensible shape")
        _check_factors(eraser)


@contextmanager
def _blamed(run: str, part: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise AgeError(f"The {part} of the run {run!r} cannot be used: {str(error).rstrip('.')}.") from error


def _document(data: bytes) -> dict[str, Any]:
    """A JSON object of nothing but sensible values."""

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
    elif isinstance(value, float) and not math.isfinite(value):  # JSON's 1e999
        raise ValueError("a number is not finite")
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("a number is too large")


def _check_text(text: str) -> None:
    if len(text) > TEXT:
        raise ValueError(f"a text is longer than {TEXT} characters: {text[:40]!r}")
    if not text.isprintable():
        # neither line breaks nor what turns or hides the letters around it; emoji and some scripts need joiners
        bad = [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in "\u200c\u200d"]
        if bad:
            raise ValueError(f"a text holds the control character {bad[0]!r}")


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _number(value: Any) -> bool:
    return type(value) in (int, float)


FITS = {  # by a field's annotation; the others are choices among texts
    "int": lambda value: type(value) is int,
    "bool": lambda value: type(value) is bool,
    "float": _number,
    "tuple[str, ...]": _texts,
    "tuple[float, ...]": lambda value: isinstance(value, list) and all(v is None or _number(v) for v in value),
    "Mapping[str, Any]": lambda value: isinstance(value, dict),
    "Mapping[str, str]": lambda value: isinstance(value, dict) and all(isinstance(v, str) for v in value.values()),
}


def _check_fields(found: Mapping[str, Any], kind: type) -> None:
    """What `found` says of the fields of a dataclass is of their types; others, of another version, are let be."""
    for field in fields(kind):
        fits = FITS.get(str(field.type), lambda value: isinstance(value, str))
        if field.name in found and not fits(found[field.name]):
            raise ValueError(f"{field.name!r} cannot be {str(found[field.name])[:40]!r}")


def _check_config(found: Mapping[str, Any]) -> None:
    _check_fields(found, RunConfig)
    if not found["concepts"] or not all(found["concepts"]):
        raise ValueError("it names no concept")
    if not re.fullmatch(r"[a-z0-9-]{1,40}", found["method"]):
        raise ValueError(f"{found['method'][:40]!r} names no method")
    datetime.fromisoformat(found["created"])
    if "steps" not in found["options"]:
        raise ValueError("the option 'steps' is missing")
    _check_options(found["options"])
    request = found["request"]
    unknown = [name for name in request if name not in REQUEST and name not in EraseOptions.__dataclass_fields__]
    if unknown:  # they would become arguments of the call that goes on with the run
        raise ValueError(f"nobody can ask for {unknown[0][:40]!r}")
    if not (
        isinstance(request.get("preset", ""), str)
        and isinstance(request.get("target", ""), (str, type(None)))
        and type(request.get("pool", 1)) is int
    ):
        raise ValueError("its request is none")
    _check_options({name: value for name, value in request.items() if name not in REQUEST})


def _check_options(found: Mapping[str, Any]) -> None:
    _check_fields(found, EraseOptions)
    known = {name: value for name, value in found.items() if name in EraseOptions.__dataclass_fields__}
    EraseOptions(**{name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}).check()
    for template in found.get("templates", ()):
        # they are filled by str.format, which would also read attributes and pad to any width
        for _, name, width, conversion in string.Formatter().parse(template):
            if name not in (None, "noun", "a_noun") or width or conversion:
                raise ValueError(f"the template {template[:40]!r} asks for more than a noun")


def _check_status(found: Mapping[str, Any], files: Collection[str]) -> None:
    if found.get("status") not in ENDED or not all(
        isinstance(found.get(name, ""), str) for name in ("reason", "updated")
    ):
        raise ValueError(f"the status must be one of {', '.join(ENDED)}, with a reason")
    if not all(type(found.get(name, 0)) is int for name in ("step", "steps")):
        raise ValueError("the steps are not counted")
    if found["status"] == "finished" and "eraser.safetensors" not in files:
        raise ValueError("it says finished, but there is no eraser")


def _check_event(found: Mapping[str, Any], files: Collection[str]) -> None:
    if not all(type(found.get(name)) is int and found[name] >= 0 for name in ("step", "steps")):
        raise ValueError("it does not say its step")
    _check_fields({name: value for name, value in found.items() if value is not None}, EraseEvent)  # null: no number
    lengths = {len(found.get(name) or ()) for name in ("logits", "shares", "used")} - {0}
    if lengths - {len(found.get("candidates") or ())}:
        raise ValueError("there are more or fewer shares than candidates")
    pictures = found.get("pictures", [])
    if not _texts(pictures) or not {f"pictures/{name}" for name in pictures} <= set(files):
        raise ValueError(f"it names pictures that are not there: {str(pictures)[:40]}")


def _chunks(data: bytes) -> Iterator[bytes]:
    """The kinds of the parts that a PNG is made of."""
    if data[:8] != PNG:
        raise ValueError("it is no PNG")
    at = 8
    while at < len(data) or at == 8:
        length = int.from_bytes(data[at : at + 4], "big")
        body, check = data[at + 4 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        if len(check) < 4 or zlib.crc32(body) != int.from_bytes(check, "big"):
            raise ValueError("it is damaged")
        yield body[:4]
        at += 12 + length


def _check_info(eraser: Eraser) -> None:
    info = eraser.info
    if not isinstance(info, dict):
        raise ValueError("it does not say where it came from")
    _check_plain(info)
    if not _texts(info.get("concepts", [])) or not isinstance(info.get("concept", ""), str):
        raise ValueError("its concepts are no words")
    numbers = [info[name] for name in ("sharpness", "threshold", "strength") if name in info]
    if not all(map(_number, numbers)) or (eraser.directions and not {"sharpness", "threshold"} <= set(info)):
        raise ValueError("it does not say how strong it is")


def _check_factors(eraser: Eraser) -> None:
    """Low-rank factors come in pairs whose product has the shape of the change."""
    for name in eraser.lora:
        module = name.split(".lora_")[0]
        down, up = (eraser.lora.get(f"{module}.lora_{part}.weight") for part in "AB")
        whole = eraser.delta.get(f"{module}.weight")
        if down is None or up is None or whole is None or down.ndim != 2 or up.ndim != 2:
            raise ValueError(f"{name!r} is no low-rank factor of a change")
        if up.shape[1] != down.shape[0] or (up.shape[0], down.shape[1]) != whole.shape:
            raise ValueError(f"{name!r} does not have the shape of its change")
    for name, directions in eraser.directions.items():
        if directions.ndim != 2:
            raise ValueError(f"{name!r} holds no directions")
