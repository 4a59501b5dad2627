"""Files that are whole or absent, whatever happens while they are written; and names that people may type."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import secrets
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import lock_descriptor
from safetensors import SafetensorError

from age_core.errors import AgeError, RunFailed

PARTIAL = ".partial"
REMOVED = f".removed{PARTIAL}"
NAME = re.compile(r"\w[\w .+-]*")
NAME_BYTES = 100  # file systems allow 255; ours get suffixes
# what Windows takes for a device rather than a file, with whatever ending
DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE | re.DOTALL)
WINDOWS = os.name == "nt"
NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # Windows has none, nor links that anybody may make
OWNER = re.compile(r"[0-9a-f]{32}")  # the token of a person, which names the folder of their runs


def safe_name(name: str) -> str:
    """`name`, fit for one file or folder. Raises AgeError when it could leave its folder, hide, or is too long."""
    if not NAME.fullmatch(name) or name[-1] in " ." or name.endswith(PARTIAL) or len(name.encode()) > NAME_BYTES:
        raise AgeError(
            f"{name[:40]!r} cannot name a folder: use letters, digits, spaces, dots and dashes, beginning with a "
            f"letter or digit, {NAME_BYTES} bytes at most."
        )
    if DEVICE.fullmatch(name):
        raise AgeError(f"{name!r} cannot name a file or folder: Windows takes it for a device. Choose another name.")
    return name


def namesake(path: Path) -> str:
    """The name of what stands at a path or beside it under a name that macOS or Windows takes for the same; or "".

    There, neither case nor the way in which an accent is written tells names apart, and anybody's folder may move
    there.
    """
    if path.exists() or path.is_symlink():
        return path.name
    with suppress(OSError):  # no folder yet
        return next((name for name in os.listdir(path.parent) if _folded(name) == _folded(path.name)), "")
    return ""


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def check_unused(path: Path) -> None:
    """Raise AgeError where something stands at a path, or beside it under the same name."""
    if other := namesake(path):
        raise AgeError(f"{other!r} exists already: remove it first, or choose another name.")


@contextmanager
def disk_errors(what: str, done: str = "written") -> Iterator[None]:
    """Turn a failed write into one sentence: RunFailed naming `what` could not be written, or otherwise `done`."""
    try:
        yield
    except (OSError, SafetensorError) as error:  # safetensors has its own error for a failed write
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
        reason = "the disk is full" if full else getattr(error, "strerror", None) or str(error)
        raise RunFailed(f"{what} could not be {done}: {reason}.") from error


def why_not_writable(folder: Path) -> str:
    """Why no file can be written to a folder, which is made if need be; "" where one can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or str(error)


@contextmanager
def locked(path: Path, busy: str, moving: bool = False) -> Iterator[None]:
    """Hold a lock file, which the system takes back when this process dies, however it dies.

    moving: its folder is about to be moved, which Windows refuses while a file in it is open; there it is only looked
    whether another holds it. Raises AgeError saying `busy` when another does, OSError when it cannot be opened or is a
    link.
    """
    with ExitStack() as stack:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | NO_LINK, 0o666)
        stack.callback(os.close, descriptor)
        if not lock_descriptor(descriptor, blocking=False):
            raise AgeError(busy)
        if moving and WINDOWS:
            stack.close()
        yield


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Hold a folder, once the others that hold it like this are done; also taken back from a process that dies."""
    # Windows opens no folder: there a hidden file in it stands for it
    descriptor = os.open(path / ".-lock", os.O_RDWR | os.O_CREAT) if WINDOWS else os.open(path, os.O_RDONLY)
    try:
        lock_descriptor(descriptor)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write a file to; on leaving, it is flushed to disk and takes its place.

    Killed or failed at any point, `path` still holds what it held before. Whatever writes the file, who may read it is
    what the umask says.
    """
    temporary = path.with_name(f"{path.name}{PARTIAL}")
    try:
        temporary.unlink(missing_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # safetensors writes a file of its own, for its owner alone
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """The same for a folder that must not exist yet: a hidden temporary sibling, renamed when all is written."""
    check_unused(path)
    temporary = path.with_name(f".{path.name}{PARTIAL}")
    shutil.rmtree(temporary, ignore_errors=True)  # left by a process that was killed
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for inside in temporary.rglob("*"):
            if inside.is_file() and not inside.is_symlink():
                inside.chmod(temporary.stat().st_mode & 0o666)  # as above
            sync(inside)
        os.rename(temporary, path)
        sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def rename_folder(path: Path, name: str) -> Path:
    """Give a folder another name beside it. Raises AgeError on a bad or taken one, OSError when it cannot be moved."""
    renamed = path.parent / safe_name(name)
    other = namesake(renamed)
    if other and (other == name or other != path.name):  # its own name in other letters is no other's
        raise AgeError(f"{other!r} exists already: choose another name.")
    os.rename(path, renamed)
    sync(path.parent)
    return renamed


def remove_folder(path: Path) -> None:
    """Remove a folder and what lies in it; of a link in it only the link goes. Raises OSError when that fails.

    It first gets a hidden name, which no run has, so that a kill leaves no half of it at `path`; what a kill leaves
    under the hidden name goes with the next folder that is removed beside it.
    """
    hidden = path.parent / f".-{secrets.token_hex(8)}{REMOVED}"
    os.rename(path, hidden)
    sync(path.parent)
    for leftover in path.parent.glob(f".-*{REMOVED}"):
        shutil.rmtree(leftover, ignore_errors=True)  # another process may be removing the same: both then get it done
    if hidden.exists():
        shutil.rmtree(hidden)  # says what is in the way


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk (a folder's not on Windows, which opens none)."""
    if WINDOWS and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if WINDOWS else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises AgeError when the file is missing, broken or something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AgeError(f"{path.name!r} in {path.parent.name!r} cannot be read: {error}.") from error
    if not isinstance(value, dict):
        raise AgeError(f"{path.name!r} in {path.parent.name!r} is no JSON object.")
    return value


def plain(value: Any) -> Any:
    """`value` in JSON's own types: tuples become lists; NaN and infinity, which JSON lacks, become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (str, int, bool)):
        return value
    return plain(value.item()) if hasattr(value, "item") else str(value)
