"""What an erasure depends on besides the model, the concepts and the candidates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from age_core.errors import AgeError

TargetKind = Literal["adaptive", "fixed", "random"]
Relaxation = Literal["straight-through", "top-k", "soft"]
InnerObjective = Literal["both", "preserve", "student"]
Weighting = Literal["none", "x0", "clipped"]
Latents = Literal["cached", "student", "teacher"]
Schedule = Literal["constant", "linear"]
TARGET_KINDS: tuple[TargetKind, ...] = get_args(TargetKind)


@dataclass(frozen=True, kw_only=True)
class EraseOptions:
    """Everything an erasure depends on besides the model, the concepts and the candidates.

    The defaults are AGE's improved profile; `age_core.erasure.methods` names the others. Symbols are the paper's.
    """

    # the target c_t, and what each of the two terms compares
    target: TargetKind = "adaptive"
    fixed_target: str = ""  # for target="fixed"; "" is the empty prompt
    erase_to: Literal["target", "empty"] = "target"  # AP erases to "" and only preserves the target
    preserve: Literal["target", "neighbours", "empty", "none"] = "neighbours"  # any candidate, drawn evenly
    preserve_weight: float = 1.0  # lambda
    negative_guidance: float = 0.0  # eta
    weighting: Weighting = "none"  # of a row's squared error; x0: as an error of the clean latent, 1/SNR for epsilon
    weight_clip: float = 5.0  # for weighting="clipped"
    min_candidate_distance: float = (
        0.02  # candidates closer than this share of the empty prompt's distance are left out; 0: none
    )

    # the logits pi
    inner_objective: InnerObjective = (
        "preserve"  # what pi climbs: L1 + lambda L2, L2 alone, or (published code) L2's student side alone
    )
    normalise_terms: bool = False  # weigh the two terms of the gain by their sizes, so that neither drowns the other
    relaxation: Relaxation = "straight-through"
    top_k: int = 5  # for relaxation="top-k"
    prior_strength: float = 6.0  # of the first logits, where a look-ahead sets them; 0: all alike
    pi_lr: float = 0.15
    pi_temperature: float = 1.0
    argmax_target: bool = False  # the student erases to the likeliest candidate alone; pi goes on exploring all
    pi_every: int = 3
    pi_batch: int = 4

    # the latents z
    latents: Latents = "cached"  # noised pictures made once, or partial samplings at each step by student or teacher
    latents_of: Literal["erased", "target"] = "erased"  # whose pictures the erasing term looks at (CA: the target's)
    grid: int = 50  # DDIM steps of the grid that partial samplings stop on
    legacy_offset: bool = False  # the published code's: the UNet is asked 39 to 58 timesteps above z's own noise
    samples: int = 16  # cached pictures of the erased concept
    candidate_samples: int = 2  # and of each candidate
    sample_steps: int = 6
    sample_guidance: float = 3.0
    templates: tuple[str, ...] = ("{noun}", "a picture of {a_noun}")  # prompts to erase; the last draws samples

    # the student
    train: str = "xattn"
    lora_rank: int = 8  # for train="lora"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"  # of the UNet's arithmetic; masters stay float32
    steps: int = 60
    batch: int = 8  # rows of each of the two terms in a step
    lr: float = 6e-4
    lr_schedule: Schedule = "linear"  # linear: falls straight to nothing at the end
    preview_every: int = 10  # 0: none
    checkpoint_every: int = 0  # 0: none
    seed: int = 0

    @staticmethod
    def preset(name: str, **changes: object) -> EraseOptions:
        """How much computing to spend, one of PRESETS; `changes` that are not None override fields."""
        return make_options(name, {}, changes)

    def lr_at(self, step: int) -> float:
        """The student's learning rate at a step, the first being 1."""
        return self.lr * (1 - (step - 1) / self.steps) if self.lr_schedule == "linear" else self.lr

    def check(self) -> None:
        """Raise AgeError on values that cannot work."""
        for field, allowed in CHOICES.items():
            if getattr(self, field) not in allowed:
                raise AgeError(
                    f"Unknown {field.replace('_', ' ')} {getattr(self, field)!r}; choose one of {', '.join(allowed)}."
                )
        for field in COUNTS:
            if getattr(self, field) < 1:
                raise AgeError(f"The option {field!r} must be at least 1, not {getattr(self, field)}.")
        for field in ("lr", "pi_lr", "pi_temperature", "weight_clip"):
            if not getattr(self, field) > 0:
                raise AgeError(f"The option {field!r} must be above 0, not {getattr(self, field)}.")
        for field in (
            "preserve_weight",
            "min_candidate_distance",
            "prior_strength",
            "preview_every",
            "checkpoint_every",
        ):
            if not getattr(self, field) >= 0:
                raise AgeError(f"The option {field!r} must be 0 or more, not {getattr(self, field)}.")
        # they are filled in by str.format, which can also read attributes and pad to any width
        named = [re.sub(r"\{(a_)?noun\}", "", template) for template in self.templates]
        pairs = zip(named, self.templates, strict=True)
        if not named or any(rest == whole or re.search("[{}]", rest) for rest, whole in pairs):
            raise AgeError("Every template must hold {noun} or {a_noun} and no other brace: 'a picture of {a_noun}'.")


CHOICES: dict[str, tuple[str, ...]] = {
    "target": TARGET_KINDS,
    "erase_to": ("target", "empty"),
    "preserve": ("target", "neighbours", "empty", "none"),
    "weighting": get_args(Weighting),
    "inner_objective": get_args(InnerObjective),
    "relaxation": get_args(Relaxation),
    "latents": get_args(Latents),
    "latents_of": ("erased", "target"),
    "lr_schedule": get_args(Schedule),
    "precision": ("float32", "bfloat16", "float16"),
}
COUNTS = (
    "steps",
    "batch",
    "pi_every",
    "pi_batch",
    "top_k",
    "samples",
    "candidate_samples",
    "sample_steps",
    "lora_rank",
    "grid",
)

# The paper's hyper-parameters for Stable Diffusion (method.md, section B); pi climbs after every student step.
PAPER = {
    "steps": 1000,
    "batch": 1,
    "lr": 1e-5,
    "lr_schedule": "constant",
    "pi_every": 1,
    "pi_batch": 1,
    "grid": 50,
    "sample_guidance": 3.0,
}
PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"steps": 30, "batch": 4, "lr": 8e-4, "samples": 8, "candidate_samples": 1, "sample_steps": 4},
    "balanced": {},
    "thorough": {"steps": 160, "samples": 24},
    "paper-object": PAPER | {"pi_lr": 1e-2, "pi_temperature": 0.1, "relaxation": "straight-through"},
    "paper-style": PAPER | {"pi_lr": 1e-3, "pi_temperature": 2.0, "relaxation": "top-k", "top_k": 5},
    "paper-attribute": PAPER
    | {"pi_lr": 1e-2, "pi_temperature": 2.0, "relaxation": "straight-through", "train": "noxattn"},
}


RENAMED = {  # what options were called in runs that were recorded before
    "gain": "inner_objective",
    "balance": "normalise_terms",
    "committed": "argmax_target",
    "exclude_alike": "min_candidate_distance",
    "pi_rows": "pi_batch",
}


def current_names(options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` by the names of today; a name that an earlier version used counts as its new one."""
    return {RENAMED.get(name, name): value for name, value in options.items()}


def make_options(preset: str, method: Mapping[str, object], changes: Mapping[str, object]) -> EraseOptions:
    """The defaults, changed by a method, then by a preset, then by hand. Raises AgeError on an unknown name."""
    if preset not in PRESETS:
        raise AgeError(f"There is no preset {preset!r}; choose one of {', '.join(PRESETS)}.")
    wanted = dict(method) | PRESETS[preset] | {k: v for k, v in current_names(changes).items() if v is not None}
    unknown = [field for field in wanted if field not in EraseOptions.__dataclass_fields__]
    if unknown:
        allowed = ", ".join(EraseOptions.__dataclass_fields__)
        raise AgeError(f"There is no option {unknown[0]!r}; the options are {allowed}.")
    return replace(EraseOptions(), **wanted)  # type: ignore[arg-type]
