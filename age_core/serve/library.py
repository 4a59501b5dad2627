"""A person's runs: where they lie, which there are, and which of them the person may change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from age_core.errors import AgeError
from age_core.files import OWNER
from age_core.runs.run import Run, list_runs


@dataclass(frozen=True)
class Library:
    """The runs of everybody who uses an explorer of one model."""

    root: Path  # a folder in it for each person
    shipped: Path | None = None  # runs that came with the model, for everybody
    model: str = ""  # the model that is open

    def folder(self, owner: str) -> Path:
        """Where a person's runs lie. Raises AgeError on anything but a token that the app gave out."""
        if not OWNER.fullmatch(owner):
            raise AgeError("This page has no token yet: reload it.")
        return self.root / owner

    def runs_of(self, owner: str) -> list[Run]:
        """A person's runs, newest first, then those that everybody sees."""
        return list_runs(self.folder(owner)) + self.shipped_runs

    @property
    def shipped_runs(self) -> list[Run]:
        """Those that everybody sees."""
        return list_runs(self.shipped) if self.shipped else []

    def run(self, owner: str, name: str) -> Run:
        """One of them by its name. Raises AgeError where there is none."""
        for run in self.runs_of(owner):
            if run.path.name == name:
                return run
        raise AgeError(f"There is no run {name!r}." if name else "Choose a run first.")

    def fitting(self, run: Run, identity: str, dtype: str) -> Run:
        """The run itself if it edited the model that is open, wherever its weights lie; else AgeError.

        identity, dtype: of the model that is open, as `RunConfig.edited` compares them.
        """
        if run.config.edited(self.model, identity, dtype):
            return run
        model = repr(run.config.model)
        if run.config.model == self.model:
            model += ", which had other weights then"
        raise AgeError(f"The run {run.path.name!r} edited the model {model}: open that model first.")

    def owns(self, owner: str, run: Run) -> bool:
        """Whether a run is the person's own, not one that everybody sees."""
        return run.path.parent == self.folder(owner)

    def own_run(self, owner: str, name: str) -> Run:
        """The same as `run`, but one that the person may change."""
        run = self.run(owner, name)
        if not self.owns(owner, run):
            raise AgeError(f"The run {name!r} came with the explorer: it can be opened and exported, not changed.")
        return run
