"""Pictures that a page made while it runs, as files that it may serve; the oldest go when there are many."""

import atexit
import shutil
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from gradio.utils import get_upload_folder  # whatever lies in it is served
from PIL import Image

MOST = 1200  # sheets: those of some thirty repainted atlases
COLUMNS = 8


class ServedSheets:
    """A folder of sheets with names that nobody can guess; it goes when the program ends."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._folder: Path | None = None
        self._paths: deque[Path] = deque()
        self._lock = threading.Lock()

    def add(self, tiles: Sequence[Image.Image], side: int = 64) -> tuple[Path, int, int]:
        """Write pictures as one WebP; answers its path, the tiles of a row and the pixels across each.

        Raises OSError on a full disk.
        """
        sheet = Image.new("RGB", (COLUMNS * side, -(-len(tiles) // COLUMNS) * side), "white")
        for place, picture in enumerate(tiles):
            small = picture if picture.size == (side, side) else picture.resize((side, side), Image.Resampling.LANCZOS)
            sheet.paste(small, (place % COLUMNS * side, place // COLUMNS * side))
        with self._lock:
            if self._folder is None:
                Path(get_upload_folder()).mkdir(parents=True, exist_ok=True)
                self._folder = Path(tempfile.mkdtemp(prefix="atlas-", dir=get_upload_folder()))
                atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
            path = self._folder / f"{uuid.uuid4().hex}.webp"
            self._paths.append(path)
            old = self._paths.popleft() if len(self._paths) > self._most else None
        if old is not None:
            old.unlink(missing_ok=True)
        try:
            sheet.save(path, quality=85, method=2)
        except OSError:
            path.unlink(missing_ok=True)  # half a sheet would keep a full disk full
            raise
        return path, COLUMNS, side


SERVED = ServedSheets()


def new_place() -> Path:
    """Where a file to download may be written: a folder that is not there yet, which Gradio clears away by and by."""
    return Path(get_upload_folder()) / "exports" / uuid.uuid4().hex
