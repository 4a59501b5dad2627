"""One picture out of a sheet of many, as HTML that names the sheet instead of holding the picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from viz.components.html_parts import Markup

TILE = 56  # pixels across, where nothing else is asked for


class Sheet(Protocol):
    """An image of square tiles, `columns` a row; `places` says which tile is whose."""

    @property
    def columns(self) -> int: ...
    @property
    def places(self) -> Mapping[str, int]: ...


def file_url(path: Path) -> str:
    """The address of a file that the page may serve: below a static folder, or among those it made itself."""
    return f"gradio_api/file={quote(str(path))}"


def tile(sheet: Sheet, url: str, name: str, alt: str, size: int = TILE) -> Markup:
    """The tile of the concept `name`, `size` pixels across; an empty place where the sheet has none."""
    if name not in sheet.places:
        return no_tile(size)
    row, column = divmod(sheet.places[name], sheet.columns)
    return Markup(
        '<span class="tile" role="img" aria-label="{alt}" style="width:{size}px;height:{size}px;'
        "background:url('{url}') -{left}px -{top}px / {width}px auto\"></span>"
    ).format(alt=alt, size=size, url=url, left=column * size, top=row * size, width=sheet.columns * size)


def no_tile(size: int = TILE) -> Markup:
    """An empty place."""
    return Markup('<span class="tile none" style="width:{0}px;height:{0}px"></span>').format(size)
