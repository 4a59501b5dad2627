"""What the atlas is given to draw: sheets of pictures, and what an edited model makes of them, as plain JSON.

A sheet is one image of square tiles, `columns` a row; a tile belongs to a concept by name.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import pandas as pd

Look = tuple[float, bool]  # how far a picture moved (nan: not known), and whether it was recognised and is no longer


class Sheet(Protocol):
    """What is asked of a sheet; `places` says which of its tiles, counted along the rows, is whose."""

    @property
    def side(self) -> int: ...
    @property
    def columns(self) -> int: ...
    @property
    def places(self) -> Mapping[str, int]: ...


def sheet_json(sheet: Sheet, url: str) -> dict[str, Any]:
    """A sheet whose image the browser finds at `url`."""
    return {"url": url, "side": sheet.side, "columns": sheet.columns, "places": dict(sheet.places)}


def original_json(*sheets: Mapping[str, Any]) -> str:
    """What the original model draws (see `sheet_json`): later sheets add to earlier ones; of none, nothing."""
    return json.dumps({"sheets": sheets}) if sheets else ""


def looks_of(table: pd.DataFrame) -> dict[str, Look]:
    """The rows (index: concept; columns shown, recognised, before) as looks."""
    lost = table["before"].astype(bool) & ~table["recognised"].astype(bool)
    return dict(zip(table.index, zip(table["shown"].astype(float), lost, strict=True), strict=True))


def edited_json(
    key: str,
    title: str,
    erased: Sequence[str],
    floor: float,
    looks: Mapping[str, Look],
    sheets: Iterable[Mapping[str, Any]] = (),
    play: bool = False,
) -> str:
    """What an edited model draws: `looks` by concept, and `sheets` with the pictures that changed.

    title: what it is, in words ("dog erased by ESD"). floor: the distance from which a picture moved visibly. The same
    `key` adds to what is shown; another one starts anew, from the original pictures and nearest to the `erased` first
    where it is to `play`.
    """
    plain = {name: [None if math.isnan(d) else round(float(d), 4), int(lost)] for name, (d, lost) in looks.items()}
    sent = {"key": key, "title": title, "erased": list(erased), "floor": floor, "play": play}
    return json.dumps({**sent, "sheets": list(sheets), "looks": plain})
