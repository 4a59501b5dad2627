"""The table of named methods: what each is called, and the options that make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from age_core.erasure.options import EraseOptions, make_options
from age_core.errors import AgeError

WordKind = Literal[
    "synonym", "in-class", "general", "unrelated", "empty", "nearest", "random-word", "look-ahead", "lacu"
]


@dataclass(frozen=True)
class Method:
    """One named way to erase. `changes` make it what it is; `defaults` are options that a preset may set anew."""

    label: str
    about: str  # one sentence, with its source
    kind: Literal["gradient", "closed"] = "gradient"
    word: WordKind | None = None  # how the fixed target is chosen where the caller names none
    prior: bool = False  # whether a look-ahead sets the first logits
    published_space: bool = False  # candidates as the published code takes them
    changes: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)


# What a concept is met in, so that it is erased as more than a word (Diversified Unlearning, arXiv 2603.18767; there a
# language model writes them for each concept). The last draws the samples, as in the option's default.
CONTEXTS = (
    "{noun}",
    "{a_noun} on a table",
    "{a_noun} in a garden",
    "{a_noun} in front of a house",
    "{a_noun} seen from above",
    "a close view of {a_noun}",
    "a small {noun} beside a large one",
    "a drawing of {a_noun}",
    "a photo of {a_noun}",
    "a picture of {a_noun}",
)
_ESD = {"target": "fixed", "preserve": "none", "negative_guidance": 1.0, "latents": "student", "templates": ("{noun}",)}
# quiet directions (`protection`), for the concept by all of its names
PROTECTED = {"train": "kv", "protect": "near", "synonyms": True}
# a target that changes late leaves too few steps to get there, and where quiet directions are few even all may not do
DONE = {"settle": 0.35, "most_left": 0.2}
_BARE = {"templates": ("{noun}",), "min_candidate_distance": 0.0, "preserve": "target"}


def _fixed(word: WordKind, about: str) -> Method:
    return Method(f"fixed target: {word}", about, word=word, changes={"target": "fixed"})


METHODS: dict[str, Method] = {
    "age": Method(
        "AGE, protected",
        "The default: adaptive target by minimax from where a look-ahead points, in directions of the text that "
        "neighbours hardly use.",
        prior=True,
        changes={"argmax_target": True},
        defaults=PROTECTED | DONE,
    ),
    "age-unprotected": Method(
        "AGE",  # what tables of earlier versions hold under this name
        "The same on all of cross-attention: neighbours are preserved by the loss alone.",
        prior=True,
        changes={"argmax_target": True},
    ),
    "age-even": Method(
        "AGE from even logits", "AGE, unprotected, without its look-ahead, each picture's target drawn."
    ),
    "age-diverse": Method(
        "AGE, diversified",
        "AGE, unprotected, the concept erased in ten contexts, each to its target in the same one (arXiv 2603.18767).",
        prior=True,
        changes={"argmax_target": True, "templates": CONTEXTS},
    ),
    "age-paper": Method(
        "AGE, as published",
        "The published equation: eta 0, both terms differentiated through a soft mixture, the student's own latents.",
        changes=_BARE
        | {"inner_objective": "both", "relaxation": "soft", "pi_temperature": 0.5, "latents": "student", "pi_every": 1},
    ),
    "age-paper-code": Method(
        "AGE, as coded",
        "What the published code computes: eta 1, errors weighed by 1/SNR, an offset between z and its timestep, and a "
        "gradient of pi from the preserving term's student side alone.",
        published_space=True,
        changes=_BARE
        | {"inner_objective": "student", "negative_guidance": 1.0, "weighting": "x0", "latents": "student"}
        | {"legacy_offset": True, "pi_every": 1},
        defaults={"pi_temperature": 0.1},
    ),
    "look-ahead": _fixed("look-ahead", "The one candidate whose closed-form trial erases most for its damage."),
    "lacu": _fixed("lacu", "The candidate that the model's own predictions tell least from it (arXiv 2512.02657)."),
    "random": Method(
        "random neighbour", "A uniform draw each time: what adaptive must beat.", changes={"target": "random"}
    ),
    "synonym": _fixed("synonym", "The concept's first synonym."),
    "in-class": _fixed("in-class", "The nearest concept of the same group."),
    "general": _fixed("general", "The general word for the concept."),
    "unrelated": _fixed("unrelated", "A concept of another group, drawn by the seed from the farther half."),
    "empty": _fixed("empty", "The empty prompt."),
    "nearest": _fixed("nearest", "The nearest candidate."),
    "random-word": _fixed("random-word", "One word of the vocabulary, drawn by the seed."),
    "esd-x": Method(
        "ESD-x",
        "Away from the concept; keeps nothing (arXiv 2303.07345).",
        word="empty",
        changes=_ESD | {"train": "xattn"},
    ),
    "esd-u": Method(
        "ESD-u", "ESD on everything but cross-attention.", word="empty", changes=_ESD | {"train": "noxattn"}
    ),
    "naive": Method(
        "ESD with a target",
        "ESD-x with a chosen target, and 0.1 times the empty prompt preserved at the same latents: how the paper's "
        "graph was made.",
        word="empty",
        changes=_ESD | {"preserve": "empty", "preserve_weight": 0.1},
    ),
    "ca": Method(
        "CA",
        "Concept ablation: the concept's prediction is the anchor's, on the anchor's pictures (arXiv 2303.13516).",
        word="general",
        changes={"target": "fixed", "preserve": "none", "latents_of": "target"},
        defaults={"candidate_samples": 16},
    ),
    "ap": Method(
        "AP",
        "To the empty prompt, preserving an adversarially chosen concept (arXiv 2410.15618).",
        changes={"erase_to": "empty", "inner_objective": "preserve", "preserve": "target"},
    ),
    "receler": Method(
        "Receler",
        "ESD's goal against an adversary that words the concept anew, neighbours preserved (arXiv 2311.17717).",
        word="empty",
        changes={"target": "fixed", "negative_guidance": 1.0},
        defaults={"attack_steps": 4},
    ),
    "uce": Method("UCE", "Closed form on keys and values (arXiv 2308.14761).", "closed", "empty"),
    "rece": Method("RECE", "UCE, then what would revive the concept, in turn (arXiv 2407.12383).", "closed", "empty"),
    "speed": Method("SPEED", "An edit in the null space of what is preserved (arXiv 2503.07392).", "closed", "empty"),
    "oce": Method("OCE", "An orthogonal rotation of the values (arXiv 2605.28902).", "closed", "empty"),
    "adavd": Method("AdaVD", "The concept's share is taken out of each value (arXiv 2412.06143).", "closed", "empty"),
    "dp": Method(
        "Double Projections",
        "To the nearest safe state, in the null space of what is preserved (arXiv 2604.10032).",
        "closed",
        "empty",
    ),
    "cure": Method(
        "CURE", "What only the concept uses is projected out of keys and values (arXiv 2505.12677).", "closed", "empty"
    ),
    "casteer": Method(
        "CASteer",
        "Answers of cross-attention are mirrored where they point to the concept (arXiv 2503.09630).",
        "closed",
        "in-class",
    ),
    "dve": Method(
        "DVE",
        "What leads from the target to the concept is taken out of each prediction (arXiv 2602.01089).",
        "closed",
        "general",
    ),
}


def find_method(name: str) -> Method:
    """The method of that name. Raises AgeError listing the names there are."""
    if name not in METHODS:
        raise AgeError(f"There is no method {name!r}; choose one of {', '.join(METHODS)}.")
    return METHODS[name]


def method_label(name: str, target: str | None = None) -> str:
    """What people call a method; with the caller's own target word, where it was given one."""
    label = find_method(name).label
    if target is None:
        return label
    word = target or "empty"
    return f"fixed target: {word}" if label.startswith("fixed target") else f"{label} to {word}"


def method_options(name: str, preset: str = "balanced", **changes: Any) -> EraseOptions:
    """The options of a method under a preset; `changes` that are not None come last. Raises AgeError on bad ones."""
    method = find_method(name)
    return make_options(preset, method.changes, changes, method.defaults)
