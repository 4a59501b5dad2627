"""What `world.py` has finished, packed small enough to ship (docs/formats.md tells the files): no model is opened.

Packing again after more erasures adds them; what a folder holds of others stays, so that machines can share the work.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, cpu_count, delayed
from PIL import Image
from safetensors.numpy import load_file

from age_core.concepts.concept_set import ConceptSet, vocabulary_hash
from age_core.erasure.options import current_names
from age_core.errors import AgeError
from age_core.files import read_json, replacing, write_json
from age_core.study import world_files as files
from age_core.study.floor import Floor, visible_floor
from age_core.study.world_files import Manifest

TITLES = {"esd": "ESD", "age": "protected AGE", "age-unprotected": "AGE"}  # in the order in which they are shown
EACH = 25  # erasures that a process is worth starting for
QUALITY, ORIGINAL_QUALITY = 85, 95  # of the WebP files
# A column of the shipped numbers, and that of `world.py` it is.
SOURCES = {name: name for name in ("picture", "distance", "top1", "top5", "own")}
SOURCES |= {"label": "label1", "share": "share1"}
DECIMALS = {"distance": 4, "noise_shift": 4, "share": 3, "own": 3}
ABOUT = "about.json"  # in original/: of what model the folder's pictures are, see `world.py`


def sheet(pictures: list[Image.Image]) -> Image.Image:
    """Pictures of one size as one, so many a row as a sheet has columns."""
    width, height = pictures[0].size
    whole = Image.new("RGB", (files.COLUMNS * width, -(-len(pictures) // files.COLUMNS) * height), "white")
    for place, picture in enumerate(pictures):
        whole.paste(picture, (place % files.COLUMNS * width, place // files.COLUMNS * height))
    return whole


def tiles_of(path: Path, places: Iterable[int]) -> list[Image.Image]:
    """The pictures at some places of a sheet."""
    with Image.open(path) as image:
        side = image.width // files.COLUMNS
        corners = [(place % files.COLUMNS * side, place // files.COLUMNS * side) for place in places]
        return [image.crop((left, top, left + side, top + side)) for left, top in corners]


def small(pictures: list[Image.Image], quality: int) -> bytes:
    """A sheet as it is shipped."""
    content = BytesIO()
    sheet(pictures).save(content, "WEBP", quality=quality, method=6)
    return content.getvalue()


class Package:
    """A folder that is being written: files only where they are new or differ, and their digests."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.files: dict[str, str] = {}

    def add(self, name: str, content: bytes) -> None:
        path = self.folder / name
        self.files[name] = files.digest(content)
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                temporary.write_bytes(content)

    def add_table(self, name: str, table: pd.DataFrame) -> None:
        content = BytesIO()
        table.to_parquet(content, index=False, compression="zstd", compression_level=12)
        self.add(name, content.getvalue())


@dataclass
class Erasures:
    """What is packed of one method: numbers by erased concept, and how they were made."""

    title: str
    numbers: dict[str, pd.DataFrame] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def agree(self, facts: dict[str, Any], what: str) -> None:
        """Raises AgeError where `what` was made otherwise than what is here already."""
        if self.facts and self.facts != facts:
            raise AgeError(f"{what} by {self.title} was erased with other options than the others.")
        self.facts = facts

    def table(self, names: tuple[str, ...]) -> pd.DataFrame:
        table = pd.concat([self.numbers[name] for name in names if name in self.numbers], ignore_index=True)
        return table.astype(files.NUMBERS)


def pack(folder: Path, shipped: Path, concepts: ConceptSet) -> None:
    """Write every finished erasure of `folder` into `shipped`. Raises AgeError where either is of another world."""
    about = read_json(folder / "original" / ABOUT)
    if about["vocabulary"] != vocabulary_hash(concepts):
        raise AgeError(f"{folder.name!r} holds erasures of other concepts than {concepts.name!r}.")
    floor = visible_floor(pd.read_parquet(folder / "original" / "seeds.parquet")["distance"])
    verdicts = pd.read_parquet(folder / "original" / "verdicts.parquet")
    recognised = verdicts[verdicts["picture"] == 0].set_index("concept")["top1"]
    package, before = Package(shipped), packed_before(shipped, about)
    originals = tiles_of(folder / "original" / "sheet-0.webp", range(len(concepts)))
    package.add(files.PICTURES, small(originals, ORIGINAL_QUALITY))
    verdicts = verdicts.rename(columns={"label1": "label", "share1": "share"})[list(files.VERDICT_COLUMNS)]
    package.add_table(files.VERDICTS, verdicts.astype({"concept": "category", "label": "category", "picture": "int8"}))
    methods = {}
    for key, title in TITLES.items():
        erasures = Erasures(title)
        paths = sorted((folder / key).glob("*.json"))
        processes = min(cpu_count(), 1 + len(paths) // EACH)
        for done in Parallel(processes)(delayed(packed)(path, floor, recognised) for path in paths):
            package.add(files.tiles_file(key, done.erased), done.tiles)
            erasures.numbers[done.erased] = done.table
            erasures.agree(done.facts, repr(done.erased))
        if before is not None and key in before.methods:
            add_packed(package, erasures, key, before)
        if erasures.numbers:
            package.add_table(files.numbers_file(key), erasures.table(concepts.names))
            erased = [name for name in concepts.names if name in erasures.numbers]
            methods[key] = erasures.facts | {"title": title, "erased": erased}
    manifest = about | {"format": files.FORMAT, "floor": floor.value, "floor_how": floor.how}
    manifest |= {"side": originals[0].width, "columns": files.COLUMNS, "original": concepts.names, "methods": methods}
    write_json(shipped / files.MANIFEST, manifest | {"files": dict(sorted(package.files.items()))})
    files.read_manifest(shipped)  # says at once if what was written cannot be read


def visible(rows: pd.DataFrame, floor: Floor, recognised: pd.Series) -> pd.Series:
    """Whose tile is shipped: of the first pictures those that moved, whose verdict changed, and the erased one's."""
    changed = rows["top1"].to_numpy() != recognised.reindex(rows["affected"]).to_numpy()
    return (rows["picture"] == 0) & ((rows["distance"] > floor.value) | changed | (rows["affected"] == rows["erased"]))


@dataclass(frozen=True)
class Packed:
    """What is shipped of one erasure: its numbers, the content of its sheet, and how it was made."""

    erased: str
    table: pd.DataFrame
    tiles: bytes
    facts: dict[str, Any]


def packed(path: Path, floor: Floor, recognised: pd.Series) -> Packed:
    """The erasure that a JSON file of `world.py` tells of; `recognised`: whose original picture is."""
    erasure, rows = read_json(path), pd.read_parquet(path.with_suffix(".parquet"))
    name = str(erasure["erased"])
    # the erased concept's own first picture is among all, and again among the many of its own
    rows = rows.drop_duplicates(["concept", "picture"], ignore_index=True)
    everyone = rows[rows["part"] == "all"]["concept"].tolist()  # in the order of the sheet
    shift = load_file(path.with_name(f"{path.stem}-features.safetensors"))["noise_shift"]
    table = pd.DataFrame({"erased": name, "affected": rows["concept"]})
    for column, source in SOURCES.items():
        table[column] = rows[source]
    shifts = table["affected"].map(dict(zip(everyone, shift, strict=True)))
    table["noise_shift"] = shifts.where(table["picture"] == 0).astype("float32")
    table = table.round(DECIMALS)
    shown = visible(table, floor, recognised)
    table["tile"] = np.where(shown, shown.cumsum() - 1, -1)
    places = [everyone.index(affected) for affected in table.loc[shown, "affected"]]
    tiles = small(tiles_of(path.with_suffix(".webp"), places), QUALITY)
    facts: dict[str, Any] = {fact: erasure[fact] for fact in ("method", "preset", "target")}
    return Packed(name, table, tiles, facts | {"options": current_names(erasure["options"])})


def packed_before(shipped: Path, about: dict[str, Any]) -> Manifest | None:
    """What the folder holds already, unless that is nothing. Raises AgeError where it is of another world."""
    if not (shipped / files.MANIFEST).exists():
        return None
    manifest = files.read_manifest(shipped)
    if any(getattr(manifest, name) != value for name, value in about.items()):
        raise AgeError(f"{shipped.name!r} holds erasures of another model, probe or concepts: name another folder.")
    return manifest


def add_packed(package: Package, erasures: Erasures, key: str, before: Manifest) -> None:
    """The erasures that were packed before and that are not in the folder that is packed now."""
    name = files.numbers_file(key)
    table = files.parse_table(files.read_file(package.folder, before, name), name, tuple(files.NUMBERS))
    recorded = before.methods[key]
    for erased in recorded.erased:
        if erased not in erasures.numbers:
            facts = {"method": recorded.method, "preset": recorded.preset, "target": recorded.target}
            erasures.agree(facts | {"options": dict(recorded.options)}, repr(erased))
            rows = table[table["erased"] == erased]
            erasures.numbers[erased] = rows.astype({"erased": "str", "affected": "str", "label": "str"})
            tiles = files.tiles_file(key, erased)
            package.files[tiles] = before.files[tiles]
