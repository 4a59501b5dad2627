"""The recorded world: concepts erased one by one, and what became of all others; read without torch or a model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from age_core.concepts.concept_set import ConceptSet, vocabulary_hash
from age_core.errors import AgeError
from age_core.models.same_model import same_model
from age_core.study import world_files as files
from age_core.study.floor import Floor
from age_core.study.tables import COLUMNS, Recorded, Source
from age_core.study.world_effects import METRICS, distances
from age_core.study.world_files import Manifest

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Sheet:
    """Square tiles in one picture, `columns` in a row, each belonging to a concept by its name."""

    path: Path
    side: int  # pixels
    columns: int
    places: Mapping[str, int]

    def tile(self, name: str) -> Image.Image:
        """The picture of a concept. Raises AgeError where the sheet holds none, or its file is damaged."""
        if name not in self.places:
            raise AgeError(f"{self.path.name!r} holds no picture of {name!r}.")
        row, column = divmod(self.places[name], self.columns)
        left, top = column * self.side, row * self.side
        if not (left + self.side <= self._whole.width and 0 <= top <= self._whole.height - self.side):
            raise AgeError(f"{self.path.name!r} is cut short: the picture of {name!r} lies outside of it.")
        return self._whole.crop((left, top, left + self.side, top + self.side))

    @cached_property
    def _whole(self) -> Image.Image:
        try:
            with Image.open(self.path) as image:
                return image.convert("RGB")
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise AgeError(f"The pictures {self.path.name!r} cannot be read: {error}.") from error


@dataclass(frozen=True, eq=False)
class RecordedErasure:
    """One erasure, and what became of every concept."""

    method: str  # its key in the recorded world
    title: str
    name: str  # of the erased concept
    # A row a concept, the erased one among them. distance: mean over its `pictures`; low, high: its 95 % interval, nan
    # of one picture. Of picture 0 alone: recognised (by the probe), before (the original's was), the first guess
    # `label` and its `share`, noise_shift, shown: its distance, and moved: whether that is beyond the world's floor.
    table: pd.DataFrame
    sheet: Sheet | None  # of the concepts that moved or whose verdict changed; None where there are none, or no file

    def lost(self) -> list[str]:
        """The other concepts that the probe recognised before and does not any more, the farthest moved first."""
        rows = self._others
        return list(rows.index[rows["before"] & ~rows["recognised"]])

    def moved(self) -> pd.DataFrame:
        """The rows of the other concepts that moved, the farthest first."""
        rows = self._others
        return rows[rows["moved"]]

    @cached_property
    def _others(self) -> pd.DataFrame:
        return self.table.drop(index=self.name).sort_values("distance", ascending=False, kind="stable")


@dataclass(frozen=True, eq=False)
class RecordedWorld:
    """All recorded erasures of one model and set of concepts; a method's numbers are read when first asked for."""

    folder: Path
    manifest: Manifest
    original: Sheet  # every concept as the original model draws it
    names: tuple[str, ...]  # of the concepts, in the set's order
    _numbers: dict[str, pd.DataFrame] = field(default_factory=dict, init=False, repr=False)
    _distances: dict[str, dict[str, pd.DataFrame]] = field(default_factory=dict, init=False, repr=False)
    _shown: dict[str, dict[str, np.ndarray]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def open(cls, folder: Path, concepts: ConceptSet, identity: str | None = None) -> RecordedWorld:
        """The world that lies in a folder; with `identity`, only if it is of that model.

        Raises AgeError where it is missing, damaged, or of other concepts or another model. A damaged sheet of one
        erasure is no reason: see `erasure`.
        """
        manifest = files.read_manifest(folder)
        if manifest.vocabulary != vocabulary_hash(concepts) or set(manifest.original) != set(concepts.names):
            raise AgeError(f"The recorded world in {folder.name!r} is of other concepts than {concepts.name!r}.")
        if identity is not None and not same_model(manifest.identity, identity):
            raise AgeError(f"The recorded world in {folder.name!r} is of another model.")
        tables = [files.numbers_file(key) for key in manifest.methods]
        for name in (files.PICTURES, files.VERDICTS, *tables):
            files.read_file(folder, manifest, name)
        places = {name: place for place, name in enumerate(manifest.original)}
        original = Sheet(folder / files.PICTURES, manifest.side, manifest.columns, places)
        return cls(folder, manifest, original, concepts.names)

    @property
    def floor(self) -> Floor:
        """The distance from which a picture visibly moved."""
        return Floor(self.manifest.floor, self.manifest.floor_how)

    @property
    def methods(self) -> tuple[str, ...]:
        """The keys of the methods that erased any concept."""
        return tuple(key for key, recorded in self.manifest.methods.items() if recorded.erased)

    def title(self, method: str) -> str:
        """What people call a method."""
        return self.manifest.methods[method].title

    def source(self, method: str) -> Source:
        """The method and metric under which `effects` holds its distances."""
        return self.manifest.methods[method].method, "distance"

    def erased(self, method: str) -> tuple[str, ...]:
        """The concepts of which there is an erasure by the method, in the set's order."""
        erased = set(self.manifest.methods[method].erased) if method in self.manifest.methods else set()
        return tuple(name for name in self.names if name in erased)

    def erasure(self, method: str, name: str) -> RecordedErasure | None:
        """The erasure of a concept by a method; None where none is recorded.

        Without its sheet where that is damaged. Raises AgeError where the method's numbers cannot be used.
        """
        if name not in self.erased(method):
            return None
        row, mean = self.erased(method).index(name), self._distances_of(method)[name]
        first = {column: grid[row] for column, grid in self._shown_of(method).items()}
        columns = {column: mean[column].to_numpy() for column in ("distance", "low", "high", "pictures")}
        columns |= {
            "recognised": first["top1"].astype(bool),
            "label": first["label"],
            "share": first["share"],
            "before": first["before1"].astype(bool),
            "noise_shift": first["noise_shift"],
            "shown": first["distance"],
            "moved": first["distance"] > self.manifest.floor,
        }
        table = pd.DataFrame(columns, index=self._affected)
        places = {other: int(tile) for other, tile in zip(self.names, first["tile"], strict=True) if tile >= 0}
        title = self.manifest.methods[method].title
        return RecordedErasure(method, title, name, table, self._sheet(files.tiles_file(method, name), places))

    def effects(self) -> pd.DataFrame:
        """The side effects of every erasure by every metric, in the columns of `study.tables`.

        Distance is the mean over a pair's pictures; DS compares the same pictures before and after. One picture gives a
        distance and a noise shift without an interval. Raises AgeError where a method's numbers cannot be used.
        """
        tables = [source.read() for source in self.sources.values()]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS))

    @property
    def sources(self) -> dict[Source, Recorded]:
        """The same by source, for `SideEffects`; nothing is read before it is asked for."""
        return {
            (self.manifest.methods[key].method, metric): Recorded(
                self.erased(key), partial(self._effects, key, metric), self.floor if metric == "distance" else None
            )
            for metric in METRICS
            for key in self.methods
        }

    def _effects(self, method: str, metric: str) -> pd.DataFrame:
        recorded = self.manifest.methods[method]
        about = {"model": self.manifest.model, "identity": self.manifest.identity}
        about |= {"method": recorded.method, "target": recorded.target, "metric": metric}
        return METRICS[metric](self._numbers_of(method)).assign(seed=0, **about)[list(COLUMNS)]

    def _sheet(self, name: str, places: Mapping[str, int]) -> Sheet | None:
        if not places:
            return None
        try:
            files.read_file(self.folder, self.manifest, name)
        except AgeError as error:
            log.warning("%s", error)
            return None
        return Sheet(self.folder / name, self.manifest.side, self.manifest.columns, places)

    def _distances_of(self, method: str) -> dict[str, pd.DataFrame]:
        """The mean distances of each erasure, a row a concept in the set's order.

        Worked out for all erasures at once, which takes as long as for a few.
        """
        if method not in self._distances:
            rows = distances(self._numbers_of(method)).sort_values(["erased", "affected"])
            self._distances[method] = {str(name): part for name, part in rows.groupby("erased", observed=True)}
        return self._distances[method]

    def _shown_of(self, method: str) -> dict[str, np.ndarray]:
        """What is told of picture 0, by column: (erased, affected), both in the set's order."""
        if method not in self._shown:
            numbers = self._numbers_of(method)
            rows = numbers[numbers["picture"] == 0]  # one of each pair
            columns = ("top1", "share", "before1", "noise_shift", "distance", "tile")
            values = {column: rows[column].to_numpy() for column in columns}
            values["label"] = rows["label"].astype(str).to_numpy(object)
            self._shown[method] = {column: each.reshape(-1, len(self.names)) for column, each in values.items()}
        return self._shown[method]

    @cached_property
    def _affected(self) -> pd.Index:
        return pd.Index(self.names, name="affected")

    def _numbers_of(self, method: str) -> pd.DataFrame:
        """A method's numbers with what the probe said of the original's pictures: columns before1 and before5.

        Sorted by erased and affected concept, whose codes are places in `names`, and picture; before1 and before5 are
        nan where the original has no such picture.
        """
        if method not in self._numbers:
            name = files.numbers_file(method)
            content = files.read_file(self.folder, self.manifest, name)
            table = files.parse_table(content, name, tuple(files.NUMBERS))
            for column in ("erased", "affected"):
                table[column] = table[column].astype("category").cat.set_categories(list(self.names))
            first = table[table["picture"] == 0]
            whole = first.groupby("erased", observed=True)["affected"].nunique()
            erased = self.erased(method)
            others = set(whole.index) != set(erased) or table["affected"].isna().any()
            if others or (whole != len(self.names)).any() or len(first) != whole.sum():
                raise AgeError(f"{name!r} of the recorded world tells of other concepts than {files.MANIFEST!r}.")
            table = table.sort_values(["erased", "affected", "picture"], ignore_index=True)
            for column, verdicts in self._verdicts.items():
                pictures = table["picture"].to_numpy()
                seen_before = verdicts[table["affected"].cat.codes, np.minimum(pictures, verdicts.shape[1] - 1)]
                table[column] = np.where(pictures < verdicts.shape[1], seen_before, np.nan)
            self._numbers[method] = table
        return self._numbers[method]

    @cached_property
    def _verdicts(self) -> dict[str, np.ndarray]:
        """Whether the original's pictures are recognised, at once and within five guesses: (concepts, pictures)."""
        content = files.read_file(self.folder, self.manifest, files.VERDICTS)
        table = files.parse_table(content, files.VERDICTS, files.VERDICT_COLUMNS)
        grids = [table.pivot(index="concept", columns="picture", values=top) for top in ("top1", "top5")]
        if set(grids[0].index) != set(self.names) or list(grids[0].columns) != list(range(grids[0].shape[1])):
            raise AgeError(f"{files.VERDICTS!r} of the recorded world tells of other concepts than {files.MANIFEST!r}.")
        return {f"before{k}": grid.loc[list(self.names)].to_numpy(float) for k, grid in zip((1, 5), grids, strict=True)}
