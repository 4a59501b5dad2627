"""What the original model draws of each concept for the atlas: drawn once, in memory, and on disk for the next start.

On disk are sheets, one a batch that was drawn: a lossless WebP of square tiles, COLUMNS a row, and a JSON file beside
it that says whose they are. The JSON file is written last. A sheet that is damaged, or was drawn by another model, of
other concepts or for another judge, counts as not there.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from PIL import Image
from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass

from age_core.errors import AgeError
from age_core.files import read_json, replacing, write_json
from age_core.models.same_model import same_model
from age_core.validation import Texts, in_one_sentence, strict

FORMAT = "age-atlas-1"
COLUMNS = 5  # tiles in a row: two dozen of SDXL's pictures still fit into a WebP


@dataclass(frozen=True)
class Look:
    """One concept's picture, and what the probe says of it. Without a probe verdicts are None, and distances nan."""

    name: str
    image: Image.Image
    distance: float  # from the original's picture of the same seed (`pair_distance`); of an original 0
    recognised: bool | None  # whether the probe's first guess is one of the concept's labels
    before: bool | None  # the same of the original's picture


@in_one_sentence()
@checked_dataclass(frozen=True, kw_only=True, config=strict("entry"))
class Maker:
    """By what and for whom pictures were drawn: only where all of it is the same are they worth anything."""

    model: str  # its identity
    vocabulary: str  # hash of the concepts
    probe: str  # its version; "" where nobody judged
    steps: int
    guidance: float
    format: str = FORMAT


@in_one_sentence()
@checked_dataclass(frozen=True, kw_only=True, config=strict("entry"))
class SheetRecord(Maker):
    """What stands beside a sheet."""

    sha256: str  # of the WebP file
    names: Texts  # of the tiles, row by row
    recognised: Annotated[tuple[bool | None, ...], Field(strict=False)]

    def by(self, maker: Maker) -> bool:
        """Whether that maker drew it."""
        mine, its = asdict(self), asdict(maker)
        return same_model(mine.pop("model"), its.pop("model")) and mine.items() >= its.items()


class Originals:
    """Pictures by the names of their concepts. Only the device's thread adds any; the others may ask and write.

    450 of the bundled model's take 6 MB of memory, as many of Stable Diffusion's 350 MB. `shipped`: a folder of sheets
    that came with the package, believed as little as one's own.
    """

    def __init__(self, folder: Path, maker: Maker, shipped: Path | None = None):
        self._folder, self._shipped, self.maker = folder, shipped, maker
        self._looks: dict[str, Look] = {}
        self._sheets = {name: path for path, record in self._records() for name in record.names}
        self._unwritten: list[Look] = []
        self._changing = threading.Lock()

    def get(self, name: str) -> Look | None:
        """The picture of a concept; None where it must be drawn."""
        if name not in self._looks and (path := self._sheets.get(name)) is not None:
            looks = self._read(path)
            self._looks.update(looks)
            if name not in looks:
                self._sheets.pop(name, None)
        return self._looks.get(name)

    def add(self, looks: Sequence[Look]) -> None:
        """Keep what was drawn now."""
        with self._changing:
            self._looks.update({look.name: look for look in looks})
            self._unwritten += looks

    def write(self) -> None:
        """Put what is not on disk yet there, as one sheet. Where that fails, it is drawn anew after the next start."""
        with self._changing:
            looks, self._unwritten = self._unwritten, []
        if looks:
            with suppress(OSError):
                self._write(looks)

    def _write(self, looks: Sequence[Look]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        names = tuple(look.name for look in looks)
        # the same batch of the same maker has the same file, so that drawing it anew mends what was damaged
        key = repr((asdict(self.maker), names)).encode()
        path = self._folder / f"{hashlib.blake2b(key, digest_size=8).hexdigest()}.webp"
        file = io.BytesIO()
        _sheet([look.image for look in looks]).save(file, "WEBP", lossless=True)
        with replacing(path) as temporary:
            temporary.write_bytes(file.getvalue())
        record = SheetRecord(
            **asdict(self.maker),
            sha256=hashlib.sha256(file.getvalue()).hexdigest(),
            names=names,
            recognised=tuple(look.recognised for look in looks),
        )
        write_json(path.with_suffix(".json"), asdict(record))

    def _records(self) -> list[tuple[Path, SheetRecord]]:
        """The sheets that this maker drew."""
        records = []
        shipped = sorted(self._shipped.glob("*.json")) if self._shipped else []
        for path in [*shipped, *sorted(self._folder.glob("*.json"))]:
            with suppress(AgeError):
                record = SheetRecord(**read_json(path))
                if record.by(self.maker):
                    records.append((path, record))
        return records

    def _read(self, path: Path) -> dict[str, Look]:
        """The pictures of a sheet; none where it is damaged."""
        with suppress(AgeError, OSError, ValueError):
            record = SheetRecord(**read_json(path))
            data = path.with_suffix(".webp").read_bytes()
            if record.by(self.maker) and record.sha256 == hashlib.sha256(data).hexdigest():
                tiles = _tiles(Image.open(io.BytesIO(data)), len(record.names))
                columns = zip(record.names, tiles, record.recognised, strict=True)
                return {name: Look(name, tile, 0.0, seen, seen) for name, tile, seen in columns}
        return {}


def _sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size as one."""
    side = pictures[0].width
    sheet = Image.new("RGB", (COLUMNS * side, -(-len(pictures) // COLUMNS) * side), "white")
    for place, picture in enumerate(pictures):
        sheet.paste(picture, (place % COLUMNS * side, place // COLUMNS * side))
    return sheet


def _tiles(sheet: Image.Image, count: int) -> list[Image.Image]:
    """The first pictures of a sheet. Raises ValueError where it has another size than so many make."""
    side, rows = sheet.width // COLUMNS, -(-count // COLUMNS)
    if sheet.size != (COLUMNS * side, rows * side):
        raise ValueError(f"a sheet of {sheet.size} does not hold {count} pictures")
    corners = [(place % COLUMNS * side, place // COLUMNS * side) for place in range(count)]
    whole = sheet.convert("RGB")
    return [whole.crop((left, top, left + side, top + side)) for left, top in corners]
