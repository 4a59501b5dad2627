"""Are two identities those of one model? Without torch, for who reads tables before a model is open.

An identity (`age_core.models.identity`) is of two parts, of 16 and 8 digits with a dash between. Earlier versions wrote
the first alone: such a one is of every model that shares it, since of the second nothing is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

DASH = "-"
WHOLE = re.compile(rf"([0-9a-f]{{16}}){DASH}[0-9a-f]{{8}}")


def distinct(identities: Iterable[str]) -> list[str]:
    """The different models among identities, in their order, each as exactly as it is known."""
    every = list(dict.fromkeys(identities))
    told_better = {match[1] for one in every if (match := WHOLE.fullmatch(one))}
    return [one for one in every if one not in told_better]


def same_model(one: str, other: str) -> bool:
    """Whether two identities are of one model, as far as both tell."""
    return len(distinct((one, other))) == 1


def first_part(identity: str) -> str:
    """An identity as earlier versions wrote it."""
    match = WHOLE.fullmatch(identity)
    return match[1] if match else identity
