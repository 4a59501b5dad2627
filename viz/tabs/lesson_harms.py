"""What is known of erasures, as the lessons show it: in pictures where they were recorded, else in numbers."""

from __future__ import annotations

from functools import partial

import pandas as pd

from age_core.serve import stored
from age_core.serve.stored import RecordedWorld
from viz.charts.harm import Harm
from viz.components.html_parts import Markup
from viz.components.tiles import TILE, no_tile
from viz.tabs.faces import Face, Pictures, ServedSheet
from viz.tabs.map_data import FIRST, MapData

ESD, AGE = "esd", "age"  # keys of the recorded world


def before(world: RecordedWorld, name: str, size: int = TILE) -> Markup:
    """What the original draws of a concept."""
    return originals(world).tile(name, name, size) or no_tile(size)


def after(world: RecordedWorld, face: Face, name: str, size: int = TILE) -> Markup:
    """What is drawn of a concept after a recorded erasure; an empty place where that is missing."""
    alt = f"{name} afterwards, moved by {face.table.loc[name, 'distance']:.2f}"  # not by whom: that may be asked
    return face.tile(originals(world), name, size, alt) or no_tile(size)


def originals(world: RecordedWorld) -> Pictures:
    """What the original draws of everything."""
    return Pictures([ServedSheet.of(world.original)])


def recorded(world: RecordedWorld, method: str, name: str) -> Harm | None:
    """A recorded erasure; None where there is none."""
    erasure = world.erasure(method, name)
    if erasure is None:
        return None
    rows = erasure.table.drop(index=name).sort_values("distance", ascending=False, kind="stable")
    table = rows[["distance", "low", "high", "moved"]].rename(columns={"distance": "size"})
    table["lost"] = rows["before"] & ~rows["recognised"]
    draw_before, draw_after = partial(before, world), partial(after, world, Face.recorded(world, erasure))
    return Harm(name, erasure.title, "distance of its pictures", table, draw_before, draw_after, method)


def measured(data: MapData, name: str) -> Harm | None:
    """An erasure whose side effects are known in numbers alone; None where they are not."""
    if data.effects is None:
        return None
    source = data.source(0)
    rows = data.effects.pairs(source)
    rows = rows[rows["erased"] == name].set_index("affected").sort_values("delta", ascending=False, kind="stable")
    if rows.empty:
        return None
    table = rows[["low", "high"]].assign(size=rows["delta"], moved=rows["clear"] & (rows["delta"] > 0), lost=False)
    by, metric = stored.source_title(source)
    return Harm(name, by, metric, table)


def candidates(data: MapData, method: str = ESD) -> list[str]:
    """Whose erasure is known, FIRST before all others: those recorded by a method, else those in numbers."""
    names = list(data.world.erased(method)) if data.world is not None else []
    if not names and data.effects is not None:
        names = list(data.effects.pairs(data.source(0))["erased"].unique())
    return sorted(names, key=lambda name: name != FIRST)


def harm_of(data: MapData, name: str, method: str = ESD) -> Harm | None:
    """What erasing a concept did to the others, as far as it is known."""
    of_record = recorded(data.world, method, name) if data.world is not None else None
    return of_record or measured(data, name)


def both_ways(data: MapData) -> pd.DataFrame:
    """Pairs that were erased both ways, a row each direction: erased, affected, delta, hurt; delta_back, hurt_back.

    hurt: whether that is harm beyond the noise floor. Empty where nothing is known.
    """
    columns = ["erased", "affected", "delta", "hurt"]
    if data.effects is None:
        return pd.DataFrame(columns=[*columns, "delta_back", "hurt_back"])
    pairs = data.effects.pairs(data.source(0))
    there = pairs.assign(hurt=pairs["clear"] & (pairs["delta"] > 0))[columns]
    back = there.rename(columns={"erased": "affected", "affected": "erased"})
    return there.merge(back, on=["erased", "affected"], suffixes=("", "_back"))
