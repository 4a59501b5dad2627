"""What a run depends on, and what would make another end elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import field_validator
from pydantic.dataclasses import dataclass

from age_core.erasure.options import NAMES, EraseOptions, current_names
from age_core.errors import AgeError
from age_core.files import plain
from age_core.models.same_model import same_model
from age_core.validation import Texts, fault_of, in_one_sentence, strict

HARMLESS = ("preview_every", "checkpoint_every")  # options that change no bit of the eraser
DEFAULTS = plain(asdict(EraseOptions()))  # what a run does by options that its version did not have yet
OTHER_FIELDS = ("missing", "unexpected_keyword_argument", "tuple_type", "dict_type")


@contextmanager
def blamed(part: str, run: str) -> Iterator[None]:
    """Turn a ValueError that says what is wrong with a part of a run into an AgeError that names both."""
    try:
        yield
    except ValueError as error:
        raise AgeError(f"The {part} of the run {run!r} cannot be used: {str(error).rstrip('.')}.") from error


@in_one_sentence()
@dataclass(frozen=True, kw_only=True, config=strict("entry"))
class RunConfig:
    """What a run depends on, in JSON's own types. `age_core.runs.record` makes one from a request."""

    method: str
    concepts: Texts
    options: Mapping[str, Any]  # every field of EraseOptions
    request: Mapping[str, Any]  # the arguments as they were asked, to ask again
    seed: int
    vocabulary: str  # hash of the concept set
    world: str  # its name
    model: str  # name, folder or Hub id
    model_class: str
    model_identity: str  # hashes of configuration and weights, compared by `same_model`
    trained_parameters: int
    versions: Mapping[str, str]
    machine: Mapping[str, str]  # device, number format, CPU threads: sums in another order end in other last bits
    created: str  # ISO 8601, UTC

    @field_validator("method")
    @classmethod
    def _check_method(cls, method: str) -> str:
        if not re.fullmatch(r"[a-z0-9-]{1,40}", method):
            raise ValueError(f"{method[:40]!r} names no method")
        return method

    @field_validator("concepts")
    @classmethod
    def _check_concepts(cls, concepts: tuple[str, ...]) -> tuple[str, ...]:
        if not concepts or not all(name.strip() for name in concepts):
            raise ValueError("it names no concept")
        return concepts

    @field_validator("created")
    @classmethod
    def _check_created(cls, created: str) -> str:
        datetime.fromisoformat(created)
        return created

    @staticmethod
    def of(document: Mapping[str, Any], run: str) -> RunConfig:
        """Read the config.json of the run named `run`, of this version or an earlier one. Raises AgeError on others."""
        options_and_request = {
            name: current_names(document[name])
            for name in ("options", "request")
            if isinstance(document.get(name), dict)
        }
        try:
            return RunConfig(**{**document, **options_and_request})
        except AgeError as error:
            if fault_of(error) in OTHER_FIELDS:
                message = f"The run {run!r} was written by another version: its config.json has other fields."
                raise AgeError(message) from error
            with blamed("config.json", run):
                raise

    def edited(self, model: str, identity: str, dtype: str) -> bool:
        """Whether the run edited the model of that name, identity and number format.

        The weights decide, wherever they lie. The same in another number format have other bits: there, and in runs of
        earlier versions, which recorded no format, the name has to do.
        """
        same_place = Path(self.model) == Path(model) and self.machine.get("dtype") != dtype
        return same_model(self.model_identity, identity) or same_place

    def planned(self) -> dict[str, Any]:
        """The options that `plan` takes, as the run began with them: a method's own may be others by now."""
        options = DEFAULTS | dict(self.options)
        return {name: options[name] for name in NAMES if name != "target"}  # the method's own; a plan's is a word

    def differences(self, other: RunConfig) -> list[str]:
        """What would make `other` end in another eraser, a phrase each, such as 'lr (0.1, not 0.2)'."""
        phrases = [
            f"{name} ({getattr(self, name)}, not {getattr(other, name)})"
            for name in ("method", "concepts", "vocabulary")
            if getattr(self, name) != getattr(other, name)
        ]
        phrases += [
            f"{name} ({self.request.get(name)!r}, not {other.request.get(name)!r})"
            for name in ("target", "pool")
            if self.request.get(name) != other.request.get(name)
        ]
        if not same_model(self.model_identity, other.model_identity):
            phrases.append(f"model (weights of {self.model} {self.model_identity}, not {other.model_identity})")
        mine, others = DEFAULTS | dict(self.options), DEFAULTS | dict(other.options)
        for name in sorted((mine.keys() | others.keys()) - set(HARMLESS)):
            if mine.get(name) != others.get(name):
                phrases.append(f"option {name} ({mine.get(name)}, not {others.get(name)})")
        return phrases
