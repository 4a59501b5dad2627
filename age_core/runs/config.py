"""What a run depends on, and what would make another end elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from age_core.erasure.options import current_names
from age_core.errors import AgeError

HARMLESS = ("preview_every", "checkpoint_every")  # options that change no bit of the eraser


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What a run depends on, in JSON's own types. `age_core.runs.record` makes one from what was asked."""

    method: str
    concepts: tuple[str, ...]
    options: Mapping[str, Any]  # every field of EraseOptions
    request: Mapping[str, Any]  # the arguments as they were asked, to ask again
    seed: int
    vocabulary: str  # hash of the concept set
    world: str  # its name
    model: str  # name, folder or Hub id
    model_class: str
    model_identity: str  # hash of configuration and weights
    trained_parameters: int
    versions: Mapping[str, str]
    machine: Mapping[str, str]  # device and number of CPU threads: sums in another order end in other last bits
    created: str  # ISO 8601, UTC

    @staticmethod
    def of(found: Mapping[str, Any], run: str) -> RunConfig:
        """Read what the config.json of the run named `run` holds. Raises AgeError when that are other fields."""
        inner = ("options", "request", "versions", "machine")
        if (
            set(found) != {field.name for field in fields(RunConfig)}
            or not isinstance(found["concepts"], list)
            or not all(isinstance(found[name], dict) for name in inner)
        ):
            raise AgeError(f"The run {run!r} was written by another version: its config.json has other fields.")
        named = {name: current_names(found[name]) for name in ("options", "request")}
        return RunConfig(**dict(found) | named | {"concepts": tuple(found["concepts"])})

    def differences(self, other: RunConfig) -> list[str]:
        """What would make `other` end in another eraser, a phrase each, such as 'lr (0.1, not 0.2)'."""
        found = [
            f"{what} ({getattr(self, name)}, not {getattr(other, name)})"
            for name, what in (("method", "method"), ("concepts", "concepts"), ("vocabulary", "vocabulary"))
            if getattr(self, name) != getattr(other, name)
        ]
        found += [
            f"{name} ({self.request.get(name)!r}, not {other.request.get(name)!r})"
            for name in ("target", "pool")
            if self.request.get(name) != other.request.get(name)
        ]
        if self.model_identity != other.model_identity:
            found.append(f"model (weights of {self.model} {self.model_identity}, not {other.model_identity})")
        mine, others = dict(self.options), dict(other.options)
        for name in sorted((mine.keys() | others.keys()) - set(HARMLESS)):
            if mine.get(name) != others.get(name):
                found.append(f"option {name} ({mine.get(name)}, not {others.get(name)})")
        return found
