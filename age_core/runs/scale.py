"""A finished run's eraser at another strength."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from age_core.erasure.events import EraseEvent
from age_core.files import disk_errors, replacing
from age_core.measure.strength import Scaling
from age_core.runs.run import Run


def scale_run(run: Run, scaling: Scaling) -> Path:
    """Put a finished run's eraser at the strength that was chosen, and say so in the note of its last event.

    Returns the eraser's file, which at any moment is whole: as it was made, or scaled. Raises RunFailed on a full disk,
    and AgeError where the run has no eraser or another process records it.
    """
    eraser, path = run.eraser().scaled(scaling.chosen.strength), run.path / "eraser.safetensors"
    with disk_errors(f"The eraser of the run {run.path.name!r}"), run.alone():
        if scaling.chosen.strength != 1:
            eraser.save(path)
        *before, line = (run.path / "events.jsonl").read_bytes().splitlines(keepends=True)
        last = replace(EraseEvent.from_line(line), note=str(scaling))
        with replacing(run.path / "events.jsonl") as temporary:
            temporary.write_bytes(b"".join([*before, last.to_line().encode()]))
    return path
