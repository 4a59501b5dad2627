"""What a run tells as it goes: events, and the state to go on from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from PIL import Image
from torch import Tensor

from age_core.models.eraser import Eraser

RENAMED = {"shares": "probabilities", "used": "sampled"}  # fields as they were recorded before


@dataclass(frozen=True)
class TrainingState:
    """Everything a run needs to go on after `step`, bit for bit, as one flat dict that safetensors can hold."""

    step: int
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class EraseEvent:
    """What happened in one step. Plain values, except for the pictures, the state and the final eraser."""

    step: int  # 0 while preparing
    steps: int
    note: str = ""
    concept: str = ""  # the one that this step erased; candidates, logits, probabilities and sampled are its own
    loss_erase: float = math.nan
    loss_preserve: float = math.nan
    candidates: tuple[str, ...] = ()
    logits: tuple[float, ...] = ()  # pi
    probabilities: tuple[float, ...] = ()  # softmax(pi), without noise
    sampled: tuple[float, ...] = ()  # share of this step's pictures that used each candidate
    entropy: float = math.nan  # of probabilities, in nats; exp of it is "effectively N words"
    elapsed_s: float = 0.0
    remaining_s: float = math.nan
    preview_prompts: tuple[str, ...] = ()
    previews: tuple[Image.Image, ...] = ()
    state: TrainingState | None = field(default=None, repr=False)
    eraser: Eraser | None = field(default=None, repr=False)

    def top_targets(self, k: int) -> list[tuple[str, float]]:
        """The k candidates with the largest share; none while preparing."""
        pairs = zip(self.candidates, self.probabilities, strict=True) if self.probabilities else ()
        return sorted(pairs, key=lambda pair: -pair[1])[:k]
