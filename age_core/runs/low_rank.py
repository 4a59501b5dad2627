"""Any change of matrices as low-rank factors, by the singular values it has."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from age_core.errors import AgeError
from age_core.models.eraser import Eraser
from age_core.validation import whole_number

LARGEST = 1024  # rank


@dataclass(frozen=True)
class LowRank:
    """An eraser whose delta is the product of its factors, and how far that is from the one it was made of."""

    eraser: Eraser
    error: float  # Frobenius, of all changed numbers together, as a share of the change; what is left out included
    left_out: tuple[str, ...]  # parameters that are no matrix and have no factors


def factored(eraser: Eraser, rank: int) -> LowRank:
    """The nearest eraser of that rank: W = U S V, up = U sqrt(S), down = sqrt(S) V (Eckart and Young, 1936).

    Biases and norms are left out. Raises AgeError where larger convolutions have changed, which few programs read as
    factors, or no matrix has.
    """
    rank = checked_rank(rank)
    lora, delta, left_out, missed = {}, {}, [], 0.0
    for name, change in eraser.delta.items():
        change = change.detach().cpu().float()
        if change.ndim < 2:
            left_out.append(name)
            missed += float(change.square().sum())
            continue
        if change.shape[2:].numel() > 1:
            raise AgeError(
                f"This eraser changes a convolution ({name!r}), which most programs do not read as low-rank factors: "
                "export it as 'whole', 'single-file' or 'pipeline'."
            )
        up, down = _factors(change.flatten(1), rank)
        module = name.removesuffix(".weight")
        ones = change.shape[2:]  # a convolution of one pixel keeps its two dimensions
        lora[f"{module}.lora_A.weight"] = down.reshape(*down.shape, *ones)
        lora[f"{module}.lora_B.weight"] = up.reshape(*up.shape, *ones)
        delta[name] = (up @ down).reshape(change.shape)
        missed += float((delta[name] - change).square().sum())
    if not lora:
        raise AgeError("This eraser changes no matrix, so that it has no low-rank factors: export it as 'delta'.")
    whole = sum(float(change.float().square().sum()) for change in eraser.delta.values())
    error = (missed / whole) ** 0.5 if whole else 0.0
    return LowRank(replace(eraser, delta=delta, lora=lora), error, tuple(left_out))


def checked_rank(rank: object) -> int:
    """Raises AgeError on a rank that is none."""
    number = whole_number(rank, "rank")
    if not 1 <= number <= LARGEST:
        raise AgeError(f"The rank must be a whole number from 1 to {LARGEST}, not {number}.")
    return number


def _factors(change: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """up (out, r) and down (r, in) of a matrix (out, in), where r is at most what it has."""
    left, sizes, right = torch.linalg.svd(change, full_matrices=False)
    roots = sizes[:rank].sqrt()
    return (left[:, :rank] * roots).contiguous(), (roots[:, None] * right[:rank]).contiguous()
