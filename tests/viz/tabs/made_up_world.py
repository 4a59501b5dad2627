"""A recorded world that was never erased, of the six concepts of the tests."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pandas as pd
from support import WORLD

from age_core.serve.stored import RecordedErasure, Sheet, SideEffects
from age_core.study.floor import Floor
from age_core.study.tables import COLUMNS, Recorded

FLOOR = 0.2
LOST = 0.5  # from here on a made-up picture is no longer recognised
TITLES = {"esd": ("ESD", "naive"), "age": ("AGE", "age")}
Sizes = Mapping[tuple[str, str, str], float]  # by method, erased and affected concept; others are at 0.01


class MadeUpWorld:
    """What the page asks of a `RecordedWorld`; `damaged`: the methods whose files of tiles are gone."""

    def __init__(self, sizes: Sizes, damaged: tuple[str, ...] = ()):
        self.sizes, self.damaged = sizes, damaged
        self.floor = Floor(FLOOR, "made up")
        self.original = sheet("original", WORLD.names)

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(method for method in TITLES if self.erased(method))

    def title(self, method: str) -> str:
        return TITLES[method][0]

    def source(self, method: str) -> tuple[str, str]:
        return TITLES[method][1], "distance"

    def erased(self, method: str) -> tuple[str, ...]:
        return tuple(name for name in WORLD.names if any(key[:2] == (method, name) for key in self.sizes))

    def erasure(self, method: str, name: str) -> RecordedErasure | None:
        if name not in self.erased(method):
            return None
        sizes = [self.sizes.get((method, name, other), 0.01) for other in WORLD.names]
        table = pd.DataFrame({"distance": sizes}, pd.Index(WORLD.names, name="affected"))
        table["low"], table["high"], table["pictures"] = table["distance"] - 0.01, table["distance"] + 0.01, 4
        table["recognised"], table["before"] = table["distance"] < LOST, True
        table["label"], table["share"], table["noise_shift"] = "hat", 0.4, 0.1
        table["shown"], table["moved"] = table["distance"], table["distance"] > FLOOR
        moved = list(table.index[table["moved"]])
        tiles = sheet(f"{method}-{name}", moved) if moved and method not in self.damaged else None
        return RecordedErasure(method, TITLES[method][0], name, table, tiles)

    def effects(self) -> SideEffects:
        """Its distances as side effects."""
        recorded = {
            self.source(method): Recorded(self.erased(method), partial(self._rows, method), self.floor)
            for method in self.methods
        }
        return SideEffects(pd.DataFrame(columns=list(COLUMNS)), recorded)

    def _rows(self, method: str) -> pd.DataFrame:
        rows = [
            {"erased": name, "affected": other, "delta": row["distance"]}
            for name in self.erased(method)
            for other, row in self.erasure(method, name).table.iterrows()
        ]
        key, metric = self.source(method)
        facts = {"model": "tiny", "method": key, "target": "", "seed": 0, "metric": metric, "before": 0.0, "after": 0.0}
        return pd.DataFrame(rows).assign(low=float("nan"), high=float("nan"), **facts)


def sheet(name: str, names) -> Sheet:
    return Sheet(Path(f"/{name}.webp"), 64, 25, {name: place for place, name in enumerate(names)})
