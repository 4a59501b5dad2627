"""Erasures that never happened, for the tests of lessons."""

from __future__ import annotations

import pandas as pd

from viz.charts.harm import Harm
from viz.components.html_parts import Markup

COLUMNS = ["size", "low", "high", "moved", "lost"]


def made_up(erased: str, method: str = "esd", **sizes: float) -> Harm:
    """An erasure by sizes: from 0.2 on a picture moved, from 0.5 on it is no longer recognised. A picture is a word."""
    rows = {name: [size, size - 0.05, size + 0.05, size >= 0.2, size >= 0.5] for name, size in sizes.items()}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS)

    def picture(when: str):
        return lambda name, size=0: Markup('<img alt="{} {}">').format(name, when)

    ordered = table.sort_values("size", ascending=False)
    if not method:
        return Harm(erased, "UCE", "noise shift", ordered.assign(lost=False))
    return Harm(erased, method.upper(), "distance", ordered, picture("before"), picture("after"), method)
