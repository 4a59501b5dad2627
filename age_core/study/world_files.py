"""The files of a recorded world (docs/formats.md): their names, and that each belongs to the others.

`world.json` is written last and holds a digest of every other file, so that one that is missing, cut short, or of
another world is found out before anything of it is believed.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass

from age_core.errors import AgeError
from age_core.files import read_json
from age_core.validation import Texts, in_one_sentence, strict

FORMAT = "age-world-1"
MANIFEST, PICTURES, VERDICTS = "world.json", "original.webp", "original.parquet"
SIDE, COLUMNS = 64, 25  # pixels of a tile, and tiles in a row
MethodKey = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]  # it names files

# The columns of METHOD.parquet, and their types: a row a picture that was drawn after an erasure.
NUMBERS = {
    "erased": "category",
    "affected": "category",
    "picture": "int8",  # 0 is the atlas's own
    "distance": "float32",  # to the original's; nan where there is none to compare with
    "top1": "bool",  # whether the probe's first guess, or one of its first five, is the concept
    "top5": "bool",
    "label": "category",  # its first guess, and that one's share
    "share": "float32",
    "own": "float32",  # the share of the concept's own labels
    "noise_shift": "float32",  # of picture 0
    "tile": "int16",  # place in the erasure's sheet; -1 where the original's tile will do
}
VERDICT_COLUMNS = ("concept", "picture", "top1", "top5", "label", "share", "own")


@in_one_sentence()
@dataclass(frozen=True, kw_only=True, config=strict("entry"))
class RecordedMethod:
    """How a method's erasures were made, and of which concepts there is one."""

    title: str
    method: str  # its key in METHODS
    preset: str
    target: str  # the word, or the selector's name
    options: Mapping[str, Any]
    erased: Texts


@in_one_sentence()
@dataclass(frozen=True, kw_only=True, config=strict("entry"))
class Manifest:
    """What `world.json` says."""

    format: Literal["age-world-1"]
    model: str
    identity: str  # of the model, see `age_core.models.identity`
    probe: str  # its version
    vocabulary: str  # hash of the concept set
    prompt: str
    seeds: str  # how a picture's seed follows from its concept and number
    sampler: Mapping[str, float]
    floor: Annotated[float, Field(ge=0)]  # the distance from which a picture visibly moved, and how it was obtained
    floor_how: str
    side: Annotated[int, Field(ge=1, le=1024)]
    columns: Annotated[int, Field(ge=1, le=1000)]
    original: Texts  # whose tiles `original.webp` holds, in their order
    methods: Mapping[MethodKey, RecordedMethod]
    files: Mapping[str, str]  # digests


def numbers_file(method: str) -> str:
    return f"{method}.parquet"


def tiles_file(method: str, name: str) -> str:
    """The sheet of one erasure: any name is one file's name, also where case or accents do not count."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60]
    return f"{method}/{slug}.webp" if slug == name else f"{method}/{slug}-{zlib.crc32(name.encode()):08x}.webp"


def digest(content: bytes) -> str:
    """Of a file's content; 16 hexadecimal digits."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """What `world.json` of a folder says. Raises AgeError where it is missing, broken or of another version."""
    document = read_json(folder / MANIFEST)
    if document.get("format") != FORMAT:
        raise AgeError(f"{MANIFEST!r} in {folder.name!r} is not in the format {FORMAT}: another version wrote it.")
    try:
        methods = {key: RecordedMethod(**recorded) for key, recorded in document.get("methods", {}).items()}
        return Manifest(**{**document, "methods": methods})
    except (AgeError, TypeError, AttributeError) as error:  # the latter two: what should hold names holds none
        raise AgeError(f"{MANIFEST!r} in {folder.name!r} cannot be used: {error}") from error


def read_file(folder: Path, manifest: Manifest, name: str) -> bytes:
    """A file of the world. Raises AgeError where it is missing, or not the one that was written with the others."""
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise AgeError(f"{name!r} is missing from the recorded world in {folder.name!r}.") from error
    if manifest.files.get(name) != digest(content):
        raise AgeError(f"{name!r} of the recorded world in {folder.name!r} is damaged, or of another world.")
    return content


def parse_table(content: bytes, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """A parquet file's table. Raises AgeError where it is none, or lacks a column."""
    try:
        table = pd.read_parquet(BytesIO(content))
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise AgeError(f"{name!r} of the recorded world cannot be read: {str(error).splitlines()[0]}") from error
    lacking = [column for column in columns if column not in table.columns]
    if lacking:
        raise AgeError(f"{name!r} of the recorded world lacks the columns {', '.join(lacking)}.")
    return table
