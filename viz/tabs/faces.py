"""What one erasure makes of every concept's picture: recorded, or drawn while one watches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from age_core.serve.stored import RecordedErasure, RecordedWorld, Sheet
from viz.atlas.sheets import edited_json, looks_of, original_json, sheet_json
from viz.components.html_parts import Markup
from viz.components.served import SERVED
from viz.components.tiles import file_url, tile

if TYPE_CHECKING:
    from PIL import Image

    from age_core import Eraser
    from age_core.serve.faces import Look

BEYOND_ALL = 99.0  # a distance that no picture moves by
# Of one picture or several: the mean distance and its interval. Of the one that the atlas shows: how far it moved,
# whether that is visible, and whether the probe recognised it before and does after.
COLUMNS = ["distance", "low", "high", "shown", "moved", "before", "recognised"]


@dataclass(frozen=True)
class ServedSheet:
    """A sheet of pictures and the address at which the page serves it."""

    sheet: Sheet
    url: str

    @classmethod
    def of(cls, sheet: Sheet) -> ServedSheet:
        return cls(sheet, file_url(sheet.path))

    @classmethod
    def made_of(cls, looks: Sequence[Look]) -> ServedSheet:
        """Pictures that were just drawn."""
        path, columns, side = SERVED.add([look.image for look in looks])
        return cls.of(Sheet(path, side, columns, {look.name: place for place, look in enumerate(looks)}))

    def as_json(self) -> dict[str, Any]:
        """As the atlas reads it."""
        return sheet_json(self.sheet, self.url)


@dataclass(eq=False)
class Pictures:
    """Sheets that come one after the other; of a concept that several hold, the last one's picture counts."""

    sheets: list[ServedSheet] = field(default_factory=list)

    def tile(self, name: str, alt: str, size: int) -> Markup | None:
        """None where nobody drew it."""
        for served in reversed(self.sheets):
            if name in served.sheet.places:
                return tile(served.sheet, served.url, name, alt, size)
        return None

    def as_json(self) -> str:
        """What the atlas takes as its original pictures; nothing where there are none."""
        return original_json(*(sheet.as_json() for sheet in self.sheets))


@dataclass(eq=False)
class Face:
    """The edited pictures of one erasure, and how far each moved. It grows while it is drawn."""

    key: str  # the browser keeps what it has of a face as long as this stays
    by: str  # who erased: "ESD", or the title of a run
    names: tuple[str, ...]  # what was erased
    floor: float  # the distance from which a picture has visibly moved
    table: pd.DataFrame  # COLUMNS by affected concept
    pictures: Pictures = field(default_factory=Pictures)
    eraser: Eraser | None = None  # nothing recorded has one
    strength: float = 1.0
    method: str = ""  # of a recorded one, its key in the recorded world

    @classmethod
    def recorded(cls, world: RecordedWorld, erasure: RecordedErasure) -> Face:
        sheets = [ServedSheet.of(erasure.sheet)] if erasure.sheet else []
        key, table = f"{erasure.method}/{erasure.name}", erasure.table[COLUMNS]
        floor, names, method = world.floor.value, (erasure.name,), erasure.method
        return cls(key, erasure.title, names, floor, table, Pictures(sheets), method=method)

    @classmethod
    def drawn(cls, key: str, by: str, eraser: Eraser, floor: float, strength: float = 1.0) -> Face:
        """One of which nothing is drawn yet."""
        table = pd.DataFrame(columns=COLUMNS, index=pd.Index([], name="affected"), dtype=object)
        return cls(key, by, eraser.concepts, floor, table, Pictures(), eraser, strength)

    @classmethod
    def of_previews(
        cls, by: str, names: tuple[str, ...], concepts: Sequence[str], images: Sequence[Image.Image]
    ) -> Face:
        """What a model draws of some concepts in mid-training: pictures without a distance."""
        path, columns, side = SERVED.add(images)
        sheet = Sheet(path, side, columns, {name: place for place, name in enumerate(concepts)})
        table = pd.DataFrame(columns=COLUMNS)
        return cls(path.stem, by, names, BEYOND_ALL, table, Pictures([ServedSheet.of(sheet)]))

    @property
    def choice(self) -> str:
        """What it is called among all that erased the same concept."""
        return self.method or self.key

    @property
    def title(self) -> str:
        strength = "" if self.strength == 1 else f", strength {self.strength:g}"
        return f"{', '.join(self.names)} erased by {self.by}{strength}"

    def add(self, looks: Sequence[Look]) -> None:
        """Pictures that were drawn meanwhile."""
        self.pictures.sheets.append(ServedSheet.made_of(looks))
        rows = {
            look.name: [
                look.distance,
                math.nan,
                math.nan,
                look.distance,
                look.distance > self.floor,
                look.before,
                look.recognised,
            ]
            for look in looks
        }
        added = pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS)
        self.table = pd.concat([self.table, added]) if len(self.table) else added

    @property
    def damaged(self) -> pd.DataFrame:
        """The rows of other concepts that moved visibly or are no longer recognised, the furthest first."""
        others = self.table.drop(index=[name for name in self.names if name in self.table.index])
        rows = others[others["moved"].astype(bool) | self._lost(others)]
        return rows.assign(lost=self._lost(rows)).sort_values("distance", ascending=False, kind="stable")

    def tile(self, originals: Pictures, name: str, size: int, alt: str = "") -> Markup | None:
        """A concept's picture by the edited model: the original's where it did not change, None where it is missing.

        alt: what it is called, where that must not say who erased.
        """
        alt = alt or f"{name} after {self.title}"
        drawn = self.pictures.tile(name, alt, size)
        if drawn is not None or name not in self.table.index:
            return drawn
        row = self.table.loc[name]
        changed = bool(row["moved"]) or row["before"] != row["recognised"]
        return None if changed else originals.tile(name, f"{alt}, unchanged", size)

    @staticmethod
    def _lost(table: pd.DataFrame) -> pd.Series:
        """Which were recognised by the probe and are no longer; none where no probe judged."""
        return table["before"].eq(True) & table["recognised"].eq(False)

    def as_json(self, play: bool = False) -> str:
        """As the atlas reads it; `play`: the original first, then repainted."""
        sheets = [sheet.as_json() for sheet in self.pictures.sheets]
        return edited_json(self.key, self.title, self.names, self.floor, looks_of(self.table), sheets, play)

    def arrows(self, most: int) -> pd.DataFrame:
        """The furthest moved as rows of side effects (erased, affected, delta, low, high, clear)."""
        rows = self.damaged.head(most)
        return pd.DataFrame(
            {
                "erased": self.names[0],
                "affected": rows.index,
                "delta": rows["distance"].to_numpy(float),
                "low": rows["low"].to_numpy(float),
                "high": rows["high"].to_numpy(float),
                "clear": True,
            }
        )
