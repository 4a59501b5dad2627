"""How far a run came, as its status.json says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic.dataclasses import dataclass

from age_core.files import read_json, write_json
from age_core.runs.config import blamed
from age_core.validation import in_one_sentence, strict

State = Literal["running", "finished", "stopped", "failed"]
ENDED: tuple[State, ...] = ("finished", "stopped", "failed")
WORDS = {"status": f"it must say one of {', '.join(ENDED)}"}
WORDS |= dict.fromkeys(("reason", "updated"), "its reason is no text")
WORDS |= dict.fromkeys(("step", "steps"), "its steps are no numbers")


@in_one_sentence(WORDS)
@dataclass(frozen=True, kw_only=True, config=strict("entry"))
class RunStatus:
    """One document: "running" is also what a process that was killed leaves."""

    status: State
    reason: str = ""  # why it failed
    step: int = 0
    steps: int = 0
    updated: str = ""  # ISO 8601, UTC

    @staticmethod
    def now(status: State, reason: str = "", step: int = 0, steps: int = 0) -> RunStatus:
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        return RunStatus(status=status, reason=reason, step=step, steps=steps, updated=moment)

    @staticmethod
    def of(document: Mapping[str, Any], run: str) -> RunStatus:
        """What the status.json of the run named `run` says. Raises AgeError on other fields and types."""
        with blamed("status.json", run):
            return RunStatus(**document)

    @staticmethod
    def read(folder: Path) -> RunStatus:
        return RunStatus.of(read_json(folder / "status.json"), folder.name)

    def write(self, folder: Path) -> None:
        write_json(folder / "status.json", asdict(self))
