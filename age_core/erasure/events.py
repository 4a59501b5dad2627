"""What a run tells as it goes, live and as it was recorded; and the state to go on from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import field, fields
from typing import Annotated, Any, Self

from PIL.Image import Image
from pydantic import BeforeValidator, Field, InstanceOf, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor

from age_core.files import plain
from age_core.models.eraser import Eraser
from age_core.validation import Texts, in_one_sentence, strict

RENAMED: dict[str, str] = {"shares": "probabilities", "used": "sampled"}  # fields as they were recorded before
FILES = ("previews", "state", "eraser")  # what is recorded in files of its own
NUMBERS = ("loss_erase", "loss_preserve", "entropy", "remaining_s")  # null where JSON has no such number
WORDS = dict.fromkeys(("step", "steps"), "it does not say which step it is")
WORDS |= {"pictures": "it names pictures that are not there"}
Share = Annotated[float, BeforeValidator(lambda value: -math.inf if value is None else value)]
Shares = Annotated[tuple[Share, ...], Field(strict=False)]
Step = Annotated[int, Field(ge=0)]


@plain_dataclass(frozen=True)
class TrainingState:
    """Everything a run needs to go on after `step`, bit for bit, as one flat dict that safetensors can hold."""

    step: int
    tensors: Mapping[str, Tensor]


@in_one_sentence(WORDS)
@dataclass(frozen=True, config=strict("entry", finite=False))
class EraseEvent:
    """What happened in one step: while it happens, and read back from the line that a run folder keeps of it.

    Plain values, except for the pictures, the state and the final eraser, which only a live event has.
    """

    step: Step  # 0 while preparing
    steps: Step
    note: str = ""
    concept: str = ""  # the one that this step erased; candidates, logits, probabilities and sampled are its own
    loss_erase: float = math.nan
    loss_preserve: float = math.nan
    candidates: Texts = ()
    logits: Shares = ()  # pi
    probabilities: Shares = ()  # softmax(pi), without noise
    sampled: Shares = ()  # share of this step's pictures that used each candidate
    entropy: float = math.nan  # of probabilities, in nats; exp of it is "effectively N words"
    elapsed_s: float = 0.0
    remaining_s: float = math.nan
    preview_concepts: Texts = ()  # what the previews are of; runs of earlier versions do not say it
    preview_prompts: Texts = ()
    pictures: Texts = ()  # the previews' names in the run's folder, where the run is recorded
    previews: tuple[InstanceOf[Image], ...] = ()
    state: InstanceOf[TrainingState] | None = field(default=None, repr=False)
    eraser: InstanceOf[Eraser] | None = field(default=None, repr=False)

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        lengths = {len(self.logits), len(self.probabilities), len(self.sampled)} - {0}
        if lengths - {len(self.candidates)}:
            raise ValueError("there are more or fewer shares than candidates")
        if self.preview_concepts and len(self.preview_concepts) != len(self.preview_prompts):
            raise ValueError("there are more or fewer prompts than concepts of its previews")
        return self

    def top_targets(self, k: int) -> list[tuple[str, float]]:
        """The k candidates with the largest share; none while preparing."""
        pairs = zip(self.candidates, self.probabilities, strict=True) if self.probabilities else ()
        return sorted(pairs, key=lambda pair: -pair[1])[:k]

    def to_line(self) -> str:
        """The event as one line of JSON, without what has files of its own."""
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in FILES}
        return json.dumps(plain(values), ensure_ascii=False, allow_nan=False) + "\n"

    @staticmethod
    def from_line(line: str | bytes) -> EraseEvent:
        """The event of a line that `to_line` wrote, in this version or an earlier one. Raises ValueError on others."""
        return EraseEvent.from_record(json.loads(line))

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> EraseEvent:
        """The same of a line that was parsed."""
        if not isinstance(record, Mapping):
            raise ValueError("it is no JSON object")
        values = {RENAMED.get(name, name): value for name, value in record.items()}
        if set(values) & set(FILES):
            raise ValueError("it holds what has a file of its own")
        return EraseEvent(**{name: value for name, value in values.items() if value is not None or name not in NUMBERS})
