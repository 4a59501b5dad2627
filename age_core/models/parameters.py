"""Which parameters train."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from age_core.errors import AgeError

Selections = Mapping[str, Callable[[str], bool]]  # of a parameter's name: does it train?


def sees_text(name: str) -> bool:
    """Whether a parameter multiplies token states: a key or value projection of cross-attention."""
    return name.endswith((".attn2.to_k.weight", ".attn2.to_v.weight"))


# Names are diffusers' own: attn1 is self-attention, attn2 cross-attention (docs/method.md: "Trained parameters").
TRAINED: Selections = {
    "xattn": lambda name: ".attn2." in name,
    "noxattn": lambda name: (
        ".attn2." not in name and not name.startswith(("time_embedding.", "conv_out.", "conv_norm_out."))
    ),
    "selfattn": lambda name: ".attn1." in name,
    "kv": sees_text,
    "xattn-qkv": lambda name: any(f".attn2.to_{part}." in name for part in "qkv"),
    "full": lambda name: True,
    "lora": lambda name: ".attn2.to_" in name and name.endswith(".weight"),  # as low-rank changes (student.py)
}


def trained_parameters(denoiser: nn.Module, train: str, selections: Selections = TRAINED) -> dict[str, nn.Parameter]:
    """The parameters that a selection trains, by name; `selections` are the family's own (families.py).

    Raises AgeError on an unknown or empty selection.
    """
    if train not in selections:
        raise AgeError(f"Unknown trained parameters {train!r}; choose one of {', '.join(selections)}.")
    chosen = {name: parameter for name, parameter in denoiser.named_parameters() if selections[train](name)}
    if not chosen:
        raise AgeError(f"The selection {train!r} is empty for this model: nothing would be trained.")
    return chosen
