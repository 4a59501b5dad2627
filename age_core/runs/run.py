"""Run folders: what was asked, what happened, and where to go on; readable and resumable whenever the power goes."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from age_core.erasure.events import EraseEvent, TrainingState
from age_core.errors import AgeError, RunFailed
from age_core.files import (
    NAME_BYTES,
    PARTIAL,
    disk_errors,
    locked,
    namesake,
    new_folder,
    read_json,
    remove_folder,
    rename_folder,
    replacing,
    safe_name,
    sync,
    write_json,
)
from age_core.models.eraser import Eraser
from age_core.runs.checkpoint import load_state, save_state
from age_core.runs.config import RunConfig
from age_core.runs.status import RunStatus, State

PICTURE = re.compile(r"[0-9]{6,9}-[0-9]{2,4}\.png")  # step and row


@dataclass(frozen=True)
class Run:
    """One folder: config.json, events.jsonl, status.json, checkpoint.safetensors, pictures/, eraser.safetensors."""

    path: Path
    config: RunConfig

    @staticmethod
    def create(root: str | Path, config: RunConfig, name: str = "") -> Run:
        """Make the folder `root / name`, or a new name from concept and method.

        Raises AgeError on a name that is taken or could leave `root`, and when the disk lacks room for the checkpoints.
        """
        root = Path(root)
        with disk_errors(f"The run folder in {root.name!r}"):
            root.mkdir(parents=True, exist_ok=True)
            copies = 7 if config.options.get("checkpoint_every") else 1  # old and new state of 3 each, and the eraser
            needed, free = 4 * copies * config.trained_parameters, shutil.disk_usage(root).free
            if needed > free:
                raise AgeError(f"This run needs {needed / 1e6:.0f} MB in {root.name!r}; {free / 1e6:.0f} MB are free.")
            path = root / safe_name(name or unused_name(root, config))
            with new_folder(path) as temporary:
                (temporary / "pictures").mkdir()
                write_json(temporary / "config.json", asdict(config))
                RunStatus(status="stopped").write(temporary)
        return Run.open(path)

    @staticmethod
    def open(path: str | Path) -> Run:
        """Open an existing run. Raises AgeError when the folder holds none."""
        path = Path(path)
        if not (path / "config.json").is_file():
            raise AgeError(f"{path.name!r} is no run folder: it holds no config.json.")
        return Run(path, RunConfig.of(read_json(path / "config.json"), path.name))

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"

    @property
    def steps(self) -> int:
        """How many steps the run takes as far as it knows: more than its options say where it went on."""
        return RunStatus.read(self.path).steps or int(self.config.options.get("steps") or 0)

    @property
    def status(self) -> str:
        """ "running", "finished", "stopped" or "failed: why". A process that was killed leaves "stopped".

        A run with an eraser is finished whatever else is written of it: what ends a process after its last file, before
        the word for that is written, must not lose the run, which could neither go on nor be used.
        """
        status = RunStatus.read(self.path)
        if status.status == "running" and self._busy():
            return "running"
        if (self.path / "eraser.safetensors").exists():
            return "finished"
        if status.status == "running":
            return "stopped"
        return f"failed: {status.reason}" if status.status == "failed" else status.status

    def events(self) -> list[EraseEvent]:
        """The recorded events, oldest first; a last line cut short by a kill is left out."""
        return [event for event, _ in self._lines()]

    def _lines(self) -> list[tuple[EraseEvent, bytes]]:
        path = self.path / "events.jsonl"
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        try:
            return [(EraseEvent.from_line(line), line) for line in lines]
        except ValueError as error:
            raise AgeError(f"The events of the run {self.path.name!r} are damaged: {error}.") from error

    def pictures(self) -> list[Path]:
        """The previews, in order of their steps; what other programs left beside them is passed over."""
        return sorted(path for path in (self.path / "pictures").glob("*.png") if PICTURE.fullmatch(path.name))

    def eraser(self) -> Eraser:
        """The finished eraser. Raises AgeError when the run has none yet."""
        if not (self.path / "eraser.safetensors").exists():
            raise AgeError(f"The run {self.path.name!r} has no eraser: it is {self.status}.")
        return Eraser.load(self.path / "eraser.safetensors")

    def alone(self, moving: bool = False) -> AbstractContextManager[None]:
        """Hold the run's lock, as `locked` does. Raises AgeError when another process does, as while it records."""
        return locked(self.path / "lock", f"The run {self.path.name!r} is being recorded by another process.", moving)

    def rename(self, name: str) -> Run:
        """The same run in a folder of another name. Raises AgeError on a bad or taken one and during a recording."""
        with disk_errors(f"The run {self.path.name!r}", "renamed"), self.alone(moving=True):
            return Run(rename_folder(self.path, name), self.config)

    def delete(self) -> None:
        """Remove the folder, but nothing that links in it point to; after a kill halfway no run is left.

        Raises AgeError during a recording and when the folder itself is a link.
        """
        if self.path.is_symlink():
            raise AgeError(f"The run {self.path.name!r} is a link to another folder: delete that one.")
        with disk_errors(f"The run {self.path.name!r}", "deleted"), self.alone(moving=True):
            remove_folder(self.path)

    def resume_state(self, config: RunConfig) -> TrainingState | None:
        """Where to go on; None: from the start. Raises AgeError when `config` would end in another eraser."""
        if (self.path / "eraser.safetensors").exists():
            raise AgeError(f"The run {self.path.name!r} is finished: start a new one.")
        different = self.config.differences(config)
        if different:
            raise AgeError(f"The run {self.path.name!r} cannot go on: it was started with another {different[0]}.")
        return load_state(self.checkpoint)

    def record(
        self, events: Iterable[EraseEvent], resumed: TrainingState | None = None
    ) -> Generator[EraseEvent, None, None]:
        """Pass `events` through, each on disk before it is yielded; `resumed` is the state that they go on from.

        Raises RunFailed when training diverges or the disk fills, naming the checkpoint that is left; its
        `__cause__` says more. Raises AgeError when another process records here. Closing it stops the run.
        """
        with self.alone():
            self._trim(resumed.step if resumed else 0)
            step, finished = 0, False
            try:
                for event in events:
                    step = event.step
                    event = self._write(event)
                    finished = event.eraser is not None
                    yield event
                if not finished:
                    self._set("stopped")
            except Exception as error:
                words = str(error).strip() or type(error).__name__
                if not isinstance(error, AgeError):
                    words = f"{type(error).__name__}: {words}"
                self._end("failed", words, step)
                if isinstance(error, AgeError):
                    raise RunFailed(f"{words} {self._left()}") from error
                raise
            except BaseException:  # Ctrl-C, or the caller closed it
                if not finished:
                    self._end("stopped", "", step)
                raise
            finally:
                if hasattr(events, "close"):
                    events.close()

    def _write(self, event: EraseEvent) -> EraseEvent:
        """Put an event on disk; it then names its pictures."""
        with disk_errors(f"Step {event.step} of the run {self.path.name!r}"):
            names = tuple(f"{event.step:06d}-{row:02d}.png" for row in range(len(event.previews)))
            for name, picture in zip(names, event.previews, strict=True):
                with replacing(self.path / "pictures" / name) as temporary:
                    picture.save(temporary, "PNG")
            event = replace(event, pictures=names)
            with (self.path / "events.jsonl").open("a", encoding="utf-8") as file:
                file.write(event.to_line())
            if event.eraser is not None:
                self._finish(event)
            elif event.state is not None:
                sync(self.path / "events.jsonl")  # so that a checkpoint never outruns the events
                save_state(event.state, self.checkpoint)
                self._set("running", step=event.step, steps=event.steps)
        return event

    def _finish(self, event: EraseEvent) -> None:
        assert event.eraser is not None
        if not all(torch.isfinite(delta).all() for delta in event.eraser.delta.values()):
            raise AgeError(f"The training diverged at its last step, {event.step}: lower the learning rate.")
        event.eraser.save(self.path / "eraser.safetensors")
        self._set("finished", step=event.step, steps=event.steps)
        self.checkpoint.unlink(missing_ok=True)  # several times the eraser's size

    def _trim(self, step: int) -> None:
        """Forget what came after the checkpoint: it is about to happen again."""
        with disk_errors(f"The run {self.path.name!r}"):
            for leftover in itertools.chain(self.path.glob(f"*{PARTIAL}*"), self.path.glob(f"pictures/*{PARTIAL}*")):
                leftover.unlink(missing_ok=True)
            for picture in self.pictures():
                if int(picture.name.split("-")[0]) > step:
                    picture.unlink()
            if not step:
                self.checkpoint.unlink(missing_ok=True)
            lines = [line + b"\n" for event, line in self._lines() if event.step <= step] if step else []
            with replacing(self.path / "events.jsonl") as temporary:
                temporary.write_bytes(b"".join(lines))
            self._set("running", step=step)

    def _set(self, status: State, reason: str = "", step: int = 0, steps: int = 0) -> None:
        RunStatus.now(status, reason, step, steps).write(self.path)

    def _end(self, status: State, reason: str, step: int) -> None:
        with suppress(OSError):  # on a full disk the error that is on its way matters more
            self._set(status, reason, step)

    def _left(self) -> str:
        with suppress(AgeError):
            state = load_state(self.checkpoint)
            if state is not None:
                return f"The last good checkpoint, of step {state.step}, is in {self.path.name!r}."
        return f"There is no checkpoint in {self.path.name!r} yet."

    def _busy(self) -> bool:
        try:
            with self.alone():
                return False
        except AgeError:
            return True
        except OSError:  # where nothing can be written, nobody records
            return False


def unused_name(root: Path, config: RunConfig) -> str:
    """A name from concept and method that nothing in `root` has."""
    stem = re.sub(r"[\W_]+", "-", f"{config.concepts[0][:30]}-{config.method}").strip("-")
    stem = stem.encode()[: NAME_BYTES - 10].decode(errors="ignore")
    return next(name for row in itertools.count(1) if not namesake(root / (name := f"{stem}-{row:03d}")))


def list_runs(root: str | Path) -> list[Run]:
    """The runs in a folder, newest first; what else is in it, hidden or not to be read, is passed over."""
    runs, paths = [], []
    with suppress(OSError):  # nothing can be listed either
        paths = sorted(Path(root).iterdir())
    for path in paths:
        with suppress(AgeError, OSError):
            if not path.name.startswith("."):  # half written, or half removed
                runs.append(Run.open(path))
    return sorted(runs, key=lambda run: run.config.created, reverse=True)


def load_eraser(path: str | Path) -> Eraser:
    """The eraser of a file or of a finished run's folder. Raises AgeError when there is none."""
    path = Path(path)
    return Run.open(path).eraser() if path.is_dir() else Eraser.load(path)
