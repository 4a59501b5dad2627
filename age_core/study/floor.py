"""The noise floor: how large a side effect may read where nothing was done to the concept.

DS-k can be measured without an edit: as the change of the share between two sets of seeds of the original model.
Distance and noise shift cannot: a rerun on the same seeds reads exactly 0, and other seeds are another picture, not a
damaged one. But every erasure moves every picture a little, also of what has nothing to do with it, and that is their
floor. What other seeds do to a picture says something else: from where on people see that it moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

NOT_NEGATIVE = ("distance", "noise-shift")  # an interval of these cannot cross zero
UNEDITED = "no edit, other seeds"  # the method of rows that were measured on two sets of seeds of the original model
VISIBLE = 0.75  # of the distances between seeds, how many a visible change exceeds
SPREADS = 3  # median absolute deviations; of a normal, 2 in 100 lie higher


@dataclass(frozen=True)
class Floor:
    """What chance alone may read, and how that was obtained, as one sentence."""

    value: float
    how: str


def measured_floor(deltas: pd.Series) -> Floor:
    """Of the changes between two sets of seeds of the original model, a concept each: 95 of 100 are no larger."""
    value = float(deltas.abs().quantile(0.95, interpolation="higher"))
    return Floor(
        value, f"measured: between two sets of seeds of the unedited model 95 % of {len(deltas)} shares change less"
    )


def estimated_floor(deltas: pd.Series, metric: str) -> Floor:
    """The floor from side effects themselves, where none was measured.

    A share: an erasure can hardly help another concept, so benefits are chance, which reaches as far the other way; one
    in forty of all effects is a larger benefit. What cannot be negative: most pairs of concepts have nothing to do with
    one another, so that the bulk of all effects shows what an erasure does to anybody: the median and SPREADS median
    absolute deviations of the logarithms, which up to half the pairs cannot shift far. A method that damages everything
    has a high floor: what is clear is then who is hit beyond that, and the mean damage says how much all are.
    """
    if metric not in NOT_NEGATIVE:
        value = max(0.0, -float(deltas.quantile(0.025, interpolation="lower"))) if len(deltas) else 0.0
        return Floor(value, f"from the table: one in forty of its {len(deltas)} effects is a larger benefit, by chance")
    positive = deltas[deltas > 0]
    if positive.empty:
        return Floor(0.0, "from the table: nothing moved")
    level = float(positive.median())
    spread = float(np.log(positive / level).abs().median())
    how = f"from the table: {SPREADS} spreads (MAD, of logarithms) above the median of its {len(positive)} effects"
    return Floor(level * float(np.exp(SPREADS * spread)), how)


def visible_floor(distances: pd.Series) -> Floor:
    """From where on a picture visibly moved, whatever the method: beyond what another seed does to it 3 times in 4.

    `distances`: between pictures of one concept by the original model that differ by their seed. Such pictures are
    visibly not the same, if alike, so that half of them is a low bar; nearly all of them (95 in 100, as for shares) one
    that a changed picture seldom takes. At this one, pairs laid side by side differ in shape or colour at 64 pixels.
    `estimated_floor` would not do: it has half of all pairs below it, by a method that moves hardly anything as well.
    """
    value = round(float(distances.quantile(VISIBLE)), 3)
    pairs = f"{len(distances):,} pairs of pictures of one concept that the unedited model drew on other seeds"
    return Floor(value, f"measured: three in four of {pairs} lie closer together")


def is_clear(pairs: pd.DataFrame, floor: float, metric: str) -> pd.Series:
    """Which effects lie beyond the floor, and are told from zero by their interval where one could cross it.

    An effect without an interval is judged by its size.
    """
    crosses = (pairs["low"] <= 0) & (pairs["high"] >= 0) if metric not in NOT_NEGATIVE else False
    return (pairs["delta"].abs() > floor) & ~crosses
