"""What an erasure depends on besides the model, the concepts and the candidates."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic.dataclasses import dataclass

from age_core.errors import AgeError
from age_core.validation import Texts, fault_of, in_one_sentence, strict

TargetKind = Literal["adaptive", "fixed", "random"]
Relaxation = Literal["straight-through", "top-k", "soft"]
InnerObjective = Literal["both", "preserve", "student"]
Weighting = Literal["none", "x0", "clipped"]
Latents = Literal["cached", "student", "teacher"]
Schedule = Literal["constant", "linear"]
Protect = Literal["none", "all", "near"]
Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
PROTECTS = ("kv", "lora")  # selections that `protect` goes with; of "lora" the keys and values alone
TARGET_KINDS: tuple[TargetKind, ...] = get_args(TargetKind)


@in_one_sentence()
@dataclass(frozen=True, kw_only=True, config=strict("option"))
class EraseOptions:
    """Everything an erasure depends on besides the model, the concepts and the candidates.

    The defaults are AGE's improved profile; `age_core.erasure.methods` names the others. Symbols are the paper's.
    Values that cannot work raise AgeError as soon as they are set.
    """

    # the target c_t, and what each of the two terms compares
    target: TargetKind = "adaptive"
    fixed_target: str = ""  # for target="fixed"; "" is the empty prompt
    erase_to: Literal["target", "empty"] = "target"  # AP erases to "" and only preserves the target
    preserve: Literal["target", "neighbours", "empty", "none"] = "neighbours"  # any candidate, drawn evenly
    preserve_weight: NotNegative = 1.0  # lambda
    negative_guidance: float = 0.0  # eta
    weighting: Weighting = "none"  # of a row's squared error; x0: as an error of the clean latent, 1/SNR for epsilon
    weight_clip: Positive = 5.0  # for weighting="clipped"
    # candidates closer than this share of the empty prompt's distance are left out; 0: none
    min_candidate_distance: NotNegative = 0.02

    # the logits pi
    # what pi climbs: L1 + lambda L2, L2 alone, or (published code) L2's student side alone
    inner_objective: InnerObjective = "preserve"
    normalise_terms: bool = (
        False  # weigh the two terms of what pi climbs by their sizes, so that neither drowns the other
    )
    relaxation: Relaxation = "straight-through"
    top_k: Count = 5  # for relaxation="top-k"
    prior_strength: NotNegative = 6.0  # of the first logits, where a look-ahead sets them; 0: all alike
    pi_lr: Positive = 0.15
    pi_temperature: Positive = 1.0
    argmax_target: bool = False  # the student erases to the likeliest candidate alone; pi goes on exploring all
    settle: Annotated[float, Field(gt=0, le=1)] = 1.0  # pi climbs in this share of the steps; 1: to the last
    pi_every: Count = 3
    pi_batch: Count = 4

    # the latents z
    latents: Latents = "cached"  # noised pictures made once, or partial samplings at each step by student or teacher
    latents_of: Literal["erased", "target"] = "erased"  # whose pictures the erasing term looks at (CA: the target's)
    grid: Count = 50  # DDIM steps of the grid that partial samplings stop on
    legacy_offset: bool = False  # the published code's: the UNet is asked 39 to 58 timesteps above z's own noise
    samples: Count = 16  # cached pictures of the erased concept
    candidate_samples: Count = 2  # and of each candidate
    sample_steps: Count = 6
    sample_guidance: float = 3.0
    templates: Texts = ("{noun}", "a picture of {a_noun}")  # prompts to erase; the last draws samples
    synonyms: bool = False  # whether the concept's synonyms are erased with it, each in every template

    # the adversary (adversary.py), which words the erased concept anew before each of the student's steps
    attack_steps: CountOrNone = 0  # of its own each time; 0: none, the concept is shown as it is
    attack_tokens: Count = 16
    attack_lr: Positive = 0.1

    # the student
    train: str = "xattn"
    lora_rank: Count = 8  # for train="lora"
    # quiet directions (protection.py) for train="kv" and "lora": who hardly notices the change, all words alike or
    # most of all the nearest, and how little counts as hardly
    protect: Protect = "none"
    protect_in: Texts = ()  # the prompts in which those words are asked, besides `templates`; by_method: the set's own
    softness: Positive = 0.1  # lambda
    reach: Positive = 0.6  # how much of the erased concept's states the changes act on: P is scaled to it
    # of the UNet's arithmetic where its weights are float32, as masters are in any case; pi's gradient stays float32
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    steps: Count = 60
    # a run that is not done at its last step goes on, a quarter as many at a time and up to twice as many in all, while
    # more than this share of the concept is left (objective.share_left) in some prompt; 0: it never looks
    most_left: NotNegative = 0.0
    batch: Count = 8  # rows of each of the two terms in a step
    rows_at_once: CountOrNone = 0  # of them in memory at once, for less memory; 0: what a GPU takes, on the CPU all
    lr: Positive = 6e-4
    lr_schedule: Schedule = "linear"  # linear: falls straight to nothing at the end
    preview_every: CountOrNone = 10  # 0: none
    checkpoint_every: CountOrNone = 0  # 0: none
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0  # what torch and JSON both hold

    @staticmethod
    def preset(name: str, **changes: Any) -> EraseOptions:
        """How much computing to spend, one of PRESETS; `changes` that are not None override fields."""
        return make_options(name, changes=changes)

    def lr_at(self, step: int) -> float:
        """The student's learning rate at a step, the first being 1; it falls anew in whatever a run adds."""
        if self.lr_schedule == "constant":
            return self.lr
        if step <= self.steps:
            return self.lr * (1 - (step - 1) / self.steps)
        return self.lr * (1 - (step - self.steps - 1) % self.leg / self.leg)

    @property
    def leg(self) -> int:
        """Steps that a run adds at a time."""
        return -(-self.steps // 4)

    def end_after(self, step: int) -> int:
        """The first step after `step` at which a run may end."""
        return self.steps + self.leg * max(0, 1 + (step - self.steps) // self.leg)

    def check(self) -> None:
        """Raise AgeError on values that cannot work, as setting them does."""
        replace(self)

    @model_validator(mode="after")
    def _check_protection(self) -> EraseOptions:
        if self.protect != "none" and self.train not in PROTECTS:
            raise AgeError(
                f"Words are protected where a weight sees them: with protect={self.protect!r} train one of "
                f"{', '.join(PROTECTS)}, not {self.train!r}."
            )
        return self

    @model_validator(mode="after")
    def _check_looks(self) -> EraseOptions:
        if self.most_left and self.latents != "cached":
            raise AgeError(
                "What is left of a concept is looked for on cached pictures: most_left above 0 goes with "
                f"latents='cached', not {self.latents!r}."
            )
        return self

    @field_validator("templates", "protect_in")
    @classmethod
    def _check_templates(cls, templates: tuple[str, ...], about: ValidationInfo) -> tuple[str, ...]:
        # they are filled in by str.format, which can also read attributes and pad to any width
        rests = [re.sub(r"\{(a_)?noun\}", "", template) for template in templates]
        pairs = zip(rests, templates, strict=True)
        none_is_wrong = not rests and about.field_name == "templates"
        if none_is_wrong or any(rest == whole or re.search("[{}]", rest) for rest, whole in pairs):
            raise AgeError("Every template must hold {noun} or {a_noun} and no other brace: 'a picture of {a_noun}'.")
        return templates


# The paper's hyper-parameters for Stable Diffusion (docs/method.md, section B); pi climbs after every student step.
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
    "fast": {
        "steps": 30,
        "batch": 4,
        "lr": 8e-4,
        "samples": 8,
        "candidate_samples": 1,
        "sample_steps": 4,
        "reach": 0.8,
    },
    "balanced": {},
    "thorough": {"steps": 160, "samples": 24},
    "paper-object": PAPER | {"pi_lr": 1e-2, "pi_temperature": 0.1, "relaxation": "straight-through"},
    "paper-style": PAPER | {"pi_lr": 1e-3, "pi_temperature": 2.0, "relaxation": "top-k", "top_k": 5},
    "paper-attribute": PAPER
    | {"pi_lr": 1e-2, "pi_temperature": 2.0, "relaxation": "straight-through", "train": "noxattn"},
}

NAMES = tuple(EraseOptions.__dataclass_fields__)
NOTHING: Mapping[str, Any] = MappingProxyType({})
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


def parse_option(name: str, text: str) -> Any:
    """What a person typed for an option, as the option's own type. Raises AgeError on other words and unknown names."""
    name = RENAMED.get(name, name)
    _check_names([name])
    default = getattr(EraseOptions(), name)
    value: Any = text
    if not isinstance(default, str):
        with suppress(ValueError):
            value = json.loads(text)
    try:
        return getattr(EraseOptions(**{name: value}), name)
    except AgeError as error:
        if fault_of(error).endswith("_type"):
            raise AgeError(f"The option {name!r} takes a value such as {json.dumps(default)}, not {text!r}.") from None
        raise


def make_options(
    preset: str,
    method: Mapping[str, Any] = NOTHING,
    changes: Mapping[str, Any] = NOTHING,
    defaults: Mapping[str, Any] = NOTHING,
) -> EraseOptions:
    """A method's `defaults`, changed by a preset, then by what makes the method, then by hand (None: not at all).

    A protection that nobody asked for by hand gives way where what trains sees no text, or not text alone, and a look
    at what is left where no pictures are cached or the steps were set by hand. Raises AgeError on an unknown name and
    on values that cannot work.
    """
    if preset not in PRESETS:
        raise AgeError(f"There is no preset {preset!r}; choose one of {', '.join(PRESETS)}.")
    by_hand = {name: value for name, value in current_names(changes).items() if value is not None}
    values = {**defaults, **PRESETS[preset], **method, **by_hand}
    _check_names(values)
    if "protect" not in by_hand and values.get("train") not in PROTECTS:
        values.pop("protect", None)
    if "most_left" not in by_hand and ("steps" in by_hand or values.get("latents", "cached") != "cached"):
        values.pop("most_left", None)
    return EraseOptions(**values)


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if name not in NAMES:
            raise AgeError(f"There is no option {name!r}; the options are {', '.join(NAMES)}.")
