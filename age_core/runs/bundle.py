"""Runs as one file: to keep, to send, and to take in from people one does not know."""

from __future__ import annotations

import json
import os
import shutil
import stat
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from age_core.errors import AgeError
from age_core.files import PARTIAL, check_unused, disk_errors, locked_folder, new_folder, replacing, safe_name
from age_core.runs.run import PICTURE, Run, unused_name
from age_core.runs.status import RunStatus
from age_core.runs.untrusted import TEXT, check_documents, check_eraser, check_picture

MAX_FILES = 5000  # four pictures at each of a thousand steps, and some
MAX_BYTES = 512 * 2**20  # in all, unpacked; an eraser of the cross-attention of Stable Diffusion 1.4 has a third of it
PICTURE_BYTES = 4 * 2**20
FILE_BYTES = {"config.json": 2**16, "status.json": 2**16, "events.jsonl": 2**25, "eraser.safetensors": MAX_BYTES}
DOCUMENTS = ("config.json", "status.json", "events.jsonl")
CHUNK = 2**20
END, COMMENT = b"PK\5\6", 2**16 - 1  # how the end of a zip's list begins, and how many bytes may follow it
LISTED = 256  # bytes that a zip's directory may spend on a file: its name, and what other programs note beside it


def export_bundle(run: Run, path: str | Path) -> Path:
    """Write a run that has ended as one zip file: what was asked, what happened, pictures and eraser, no checkpoint.

    The same run gives the same bytes. Raises AgeError when `path` exists, the run is being recorded, is too large or
    would not be taken in by `import_bundle`; RunFailed when the disk is full. `path` then does not exist.
    """
    path = Path(path)
    safe_name(path.name)
    check_unused(path)
    with disk_errors(f"The bundle {path.name!r}"), run.alone():
        documents = _documents(run)
        files = [file for file in run.pictures() if PICTURE.fullmatch(file.name)]
        files += [file for file in [run.path / "eraser.safetensors"] if file.exists()]
        names = {file.relative_to(run.path).as_posix(): file for file in files}
        sizes = {name: len(data) for name, data in documents.items()}
        sizes |= {name: file.stat().st_size for name, file in names.items()}
        _check_sizes(f"The run {run.path.name!r}", sizes)
        check_documents(run.path.name, documents, names)
        _check_files(files, run.path.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, ZipFile(temporary, "w") as bundle:
            for name, data in documents.items():
                bundle.writestr(_entry(name), data)
            for name, file in names.items():
                with file.open("rb") as source, bundle.open(_entry(name), "w") as target:
                    shutil.copyfileobj(source, target, CHUNK)
    return path


def import_bundle(path: str | Path, root: str | Path, name: str = "") -> Run:
    """Make what `export_bundle` wrote a run folder of `root`, called `name` or, like a new run, something unused.

    The file may come from anyone: nothing is written outside `root`, nothing in it is run, and nothing is believed
    before it was looked at. Raises AgeError on anything but a whole bundle of a run, on a `name` that is bad or taken
    and when the disk lacks room; RunFailed when the disk fills. `root` is then as before.
    """
    path, root = Path(path), Path(root)
    if name:
        safe_name(name)
    with _open_zip(path) as bundle, disk_errors(f"The run of the bundle {path.name!r}"):
        entries = _entries(bundle, path.name)
        root.mkdir(parents=True, exist_ok=True)
        needed, free = sum(entry.file_size + 4096 for entry in entries.values()), shutil.disk_usage(root).free
        if needed > free:
            raise AgeError(f"This bundle needs {needed / 1e6:.0f} MB in {root.name!r}; {free / 1e6:.0f} MB are free.")
        with _incoming(root) as folder:
            for inside, entry in entries.items():
                _unpack(bundle, entry, folder / inside, path.name)
            documents = {name: (folder / name).read_bytes() for name in DOCUMENTS if (folder / name).exists()}
            config = check_documents(path.stem, documents, entries)
            _check_files([folder / inside for inside in entries], path.stem)
            place = root / safe_name(name or unused_name(root, config))
            with new_folder(place) as temporary:
                temporary.rmdir()  # Windows renames onto nothing that exists
                os.rename(folder, temporary)
    return Run.open(place)


def _documents(run: Run) -> dict[str, bytes]:
    """The texts of a run that nobody records: as they are, but for lines cut short by a kill."""
    status = RunStatus.read(run.path)
    # an error's text may be a page, in colours
    letters = (" " if unicodedata.category(c).startswith("C") else c for c in status.reason)
    reason = " ".join("".join(letters).split())[:TEXT]
    state = "stopped" if status.status == "running" else status.status  # its process was killed
    status = replace(status, status=state, reason=reason)
    documents = {
        "config.json": (run.path / "config.json").read_bytes(),
        "status.json": json.dumps(asdict(status), indent=1, ensure_ascii=False).encode(),
    }
    if (run.path / "events.jsonl").exists():
        whole = (run.path / "events.jsonl").read_bytes()
        documents["events.jsonl"] = whole[: whole.rfind(b"\n") + 1]
    return documents


def _entry(name: str) -> ZipInfo:
    """A place in the zip, without the time of day. Pictures and weights do not get smaller by packing."""
    entry = ZipInfo(name)
    entry.compress_type = ZIP_DEFLATED if name in DOCUMENTS else ZIP_STORED
    return entry


def _limit(name: str) -> int:
    """How many bytes a file of that name may have; 0: a run has no such file."""
    folder, _, picture = name.rpartition("/")
    return PICTURE_BYTES if folder == "pictures" and PICTURE.fullmatch(picture) else FILE_BYTES.get(name, 0)


def _check_sizes(what: str, sizes: Mapping[str, int]) -> None:
    if len(sizes) > MAX_FILES:
        raise AgeError(f"{what} holds {len(sizes)} files; a bundle may hold {MAX_FILES}.")
    for name, size in [*sizes.items(), ("all of it", sum(sizes.values()))]:
        limit = _limit(name) if name in sizes else MAX_BYTES
        if size > limit:
            raise AgeError(f"{what} is too large: {name} has {size / 1e6:.1f} MB, {limit / 1e6:.1f} MB are allowed.")


def _check_files(files: list[Path], run: str) -> None:
    for file in files:
        if file.suffix == ".png":
            check_picture(file, run)
        elif file.suffix == ".safetensors":
            check_eraser(file, run)


@contextmanager
def _open_zip(path: Path) -> Iterator[ZipFile]:
    """The zip file at `path`. Raises AgeError when it is none, or lists more than a bundle may hold.

    The list is measured before it is read: a file of a few MB can list more than memory holds.
    """
    if not path.is_file():
        raise AgeError(f"There is no file {path.name!r}.")
    try:
        file = path.open("rb")
    except OSError as error:
        raise AgeError(f"{path.name!r} cannot be read: {error.strerror}.") from error
    with file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 42 - COMMENT))
        end = file.read().rjust(42, b"\0")
        # the end of the list, which a comment may follow, and before it where a long list would be announced
        at = len(end) - 22 if end[-22:-18] == END and end[-2:] == b"\0\0" else end.rfind(END)
        if not 20 <= at <= len(end) - 22 or len(end) - at - 22 != int.from_bytes(end[at + 20 : at + 22], "little"):
            raise AgeError(f"{path.name!r} is no bundle, or cut short: a zip file does not end like this.")
        list_bytes = int.from_bytes(end[at + 12 : at + 16], "little")
        many = end[at - 20 : at - 16] == b"PK\6\7" or list_bytes > MAX_FILES * LISTED
        if many or size > MAX_BYTES + MAX_FILES * LISTED * 2:
            raise AgeError(f"{path.name!r} is too large: a bundle holds {MAX_FILES} files, {MAX_BYTES / 1e6:.0f} MB.")
        try:
            bundle = ZipFile(file)
        except Exception as error:  # zipfile raises another for each kind of damage
            raise AgeError(f"{path.name!r} is damaged: its list of files cannot be read.") from error
        with bundle:
            yield bundle


def _entries(bundle: ZipFile, name: str) -> dict[str, ZipInfo]:
    """What to unpack, by name: files that a run has, each once, not too large by their own account. Raises AgeError."""
    entries: dict[str, ZipInfo] = {}
    for entry in bundle.infolist():
        inside = entry.orig_filename  # as it stands there: `filename` ends at a null byte, or comes from a second name
        what = f"The bundle {name!r} holds {inside[:60]!r}"
        if inside.startswith("/") or "\\" in inside or ":" in inside or ".." in inside.split("/"):
            raise AgeError(f"{what}, which would lie outside its folder.")
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
            raise AgeError(f"{what}, which is a link or no file at all.")
        if inside in entries:
            raise AgeError(f"{what} twice.")
        if not _limit(inside):
            raise AgeError(f"{what}, which no run has.")
        if entry.flag_bits & 0x2041:
            raise AgeError(f"{what} encrypted: pack it without a password.")
        if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise AgeError(f"{what} packed in an unusual way: pack it anew.")
        entries[inside] = entry
    for document in ("config.json", "status.json"):
        if document not in entries:
            raise AgeError(f"The bundle {name!r} holds no run: {document} is missing.")
    _check_sizes(f"The bundle {name!r}", {inside: entry.file_size for inside, entry in entries.items()})
    return entries


def _unpack(bundle: ZipFile, entry: ZipInfo, path: Path, name: str) -> None:
    remaining = entry.file_size  # which is within the limits
    with path.open("xb") as file:
        for data in _contents(bundle, entry, name):
            remaining -= len(data)
            if remaining < 0:
                break
            file.write(data)
    if remaining:
        raise AgeError(f"The bundle {name!r} is damaged: {path.name} is not as long as it says.")


def _contents(bundle: ZipFile, entry: ZipInfo, name: str) -> Iterator[bytes]:
    try:
        with bundle.open(entry) as source:
            while data := source.read(CHUNK):
                yield data
    except Exception as error:  # zipfile and zlib raise another for each kind of damage
        raise AgeError(f"The bundle {name!r} is damaged: {entry.orig_filename} cannot be unpacked.") from error


@contextmanager
def _incoming(root: Path) -> Iterator[Path]:
    """A hidden folder to unpack to, which no run can have the name of; for one import at a time, and gone afterwards.

    Not the new run's own: its name is known only later, and another run may take it meanwhile.
    """
    folder = root / f".-import{PARTIAL}"
    with locked_folder(root):
        shutil.rmtree(folder, ignore_errors=True)  # left by a process that was killed
        try:
            folder.mkdir()
            (folder / "pictures").mkdir()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
