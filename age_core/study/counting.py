"""One erasure's side effects counted, as a sentence that a person reads."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

MOST_NAMED = 12  # names after which the others are counted
UNJUDGED = "No probe judged these pictures, so that nobody can count what changed."


def counting_sentence(
    table: pd.DataFrame, erased: Sequence[str], method: str, floor: float, nearest: Sequence[str]
) -> str:
    """How many concepts an erasure visibly changed, how many of them are near, and which are no longer recognised.

    table: a row a concept (the index), with `distance` of its picture from the original's, and whether the probe
    recognised it `before` and after (`recognised`; None where nobody judged). A picture changed visibly where its
    distance is beyond `floor`. method: what people call it. nearest: the concepts nearest to the erased ones in words.
    "" for a table of the erased ones alone.
    """
    others = table[~table.index.isin(erased)]
    if others.empty:
        return ""
    if others["distance"].isna().all():
        return UNJUDGED
    moved = others.index[others["distance"] > floor]
    whose = "its" if len(erased) == 1 else "their"
    noun = "other concept" if len(others) == 1 else "other concepts"
    changed = f"Erasing {_listed(erased)} by {method} visibly changed {len(moved) or 'none'} of {len(others)} {noun}"
    if len(moved) and len(nearest):
        near = int(moved.isin(nearest).sum())
        changed += f", {_share(near, len(moved))} among {whose} {len(nearest)} nearest in words"
    return f"{changed}.{_lost(others)}"


def _share(part: int, whole: int) -> str:
    """Such as "15 of them"."""
    if whole == 1:
        return "which is" if part else "which is not"
    return f"{'none' if not part else 'all' if part == whole else part} of them"


def _lost(others: pd.DataFrame) -> str:
    """Who is no longer recognised, the farthest moved first; begins with a space, and is "" where nobody judged."""
    if others["recognised"].isna().all():
        return ""
    lost = others[others["before"].eq(True) & others["recognised"].eq(False)].sort_values("distance", ascending=False)
    if lost.empty:
        return " Every one that was recognised still is."
    names, more = list(lost.index[:MOST_NAMED]), len(lost) - MOST_NAMED
    rest = f" and {more} more" if more > 0 else ""
    return f" {len(lost)} {'is' if len(lost) == 1 else 'are'} no longer recognised: {', '.join(names)}{rest}."


def _listed(names: Sequence[str]) -> str:
    """Such as "dog, cat and owl"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
