"""What an erasure depends on besides the model, the concept and the candidates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from age_core.errors import AgeError

TargetKind = Literal["adaptive", "fixed", "random"]
TARGET_KINDS: tuple[TargetKind, ...] = ("adaptive", "fixed", "random")


@dataclass(frozen=True, kw_only=True)
class EraseOptions:
    """Everything an erasure depends on besides the model, the concept and the candidates."""

    target: TargetKind = "adaptive"
    fixed_target: str = ""  # for target="fixed"; "" is the empty prompt
    train: str = "xattn"
    steps: int = 100
    batch: int = 8  # pictures of each of the two terms in a step
    lr: float = 6e-4
    preserve_weight: float = 1.0  # lambda
    negative_guidance: float = 0.0  # eta
    pi_lr: float = 0.15
    pi_temperature: float = 1.0
    pi_every: int = 2
    pi_rows: int = 4
    samples: int = 16  # cached pictures of the erased concept
    candidate_samples: int = 2  # and of each candidate
    sample_steps: int = 6
    sample_guidance: float = 3.0
    templates: tuple[str, ...] = ("{noun}", "a picture of {a_noun}")  # prompts to erase; the last draws samples
    preview_every: int = 10  # 0: none
    seed: int = 0

    @staticmethod
    def preset(name: str, **changes: object) -> EraseOptions:
        """How much computing to spend: "fast", "balanced" or "thorough"; `changes` override fields."""
        if name not in PRESETS:
            raise AgeError(f"There is no preset {name!r}; choose one of {', '.join(PRESETS)}.")
        return replace(PRESETS[name], **{k: v for k, v in changes.items() if v is not None})  # type: ignore[arg-type]

    def check(self) -> None:
        """Raise AgeError on values that cannot work."""
        if self.target not in TARGET_KINDS:
            raise AgeError(f"Unknown target {self.target!r}; choose one of {', '.join(TARGET_KINDS)}.")
        for field in ("steps", "batch", "pi_every", "pi_rows", "samples", "candidate_samples", "sample_steps"):
            if getattr(self, field) < 1:
                raise AgeError(f"The option {field!r} must be at least 1, not {getattr(self, field)}.")
        for field in ("lr", "pi_lr", "pi_temperature"):
            if not getattr(self, field) > 0:
                raise AgeError(f"The option {field!r} must be above 0, not {getattr(self, field)}.")


PRESETS = {
    "fast": EraseOptions(steps=50, lr=1e-3),
    "balanced": EraseOptions(),
    "thorough": EraseOptions(steps=200, samples=24),
}
