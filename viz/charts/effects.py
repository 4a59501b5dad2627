"""Which side effects to show: one row for each pair of concepts, split into clear and unclear ones."""

from collections.abc import Sequence
from typing import Literal

import pandas as pd

Direction = Literal["hurts", "hurt by", "both"]
KEYS = ["method", "metric"]
METRICS = {
    "DS-1": "the share of pictures in which the probe no longer recognises the concept (DS-1)",
    "DS-5": "the share of pictures in which the concept is no longer among the probe's five guesses (DS-5)",
    "distance": "how differently the probe sees the pictures of the same seeds before and after; 0 is the same picture "
    "(probe-feature distance)",
    "noise-shift": "how far the edit moved the model's noise prediction for the concept; 1 would be as far as deleting "
    "the word (noise shift)",
}
# The finest first: a few pictures a concept decide little about DS, while noise shift sees every edit.
ORDER = ["noise-shift", "distance", "DS-1", "DS-5"]


def decimals(delta: float) -> int:
    """Decimals needed to show a damage: a noise shift of 0.04 and one of 0.01 are not the same."""
    return 2 if abs(delta) >= 0.1 else 3


def sources(table: pd.DataFrame) -> list[tuple[str, str]]:
    """The (method, metric) combinations measured in the table: the finest metric first, then who erased most."""
    erased = table.groupby(KEYS, sort=False)["erased"].nunique()
    place = {metric: row for row, metric in enumerate(ORDER)}
    return sorted(erased.index, key=lambda key: (place.get(key[1], len(ORDER)), -erased[key]))


def describe(source: tuple[str, str]) -> str:
    """By which method the arrows were computed, in one sentence."""
    method, metric = source
    what = METRICS.get(metric, metric)
    return f"Arrows were measured by really erasing each concept with {method}. Size: {what}."


def of_source(table: pd.DataFrame, source: tuple[str, str]) -> pd.DataFrame:
    """Columns erased, affected, delta, low, high, clear, runs: the mean over seeds, with the widest interval seen.

    A pair is clear when its interval excludes zero. Without an interval we cannot call it unclear, so it stays.
    """
    rows = table[(table[KEYS] == list(source)).all(axis=1) & (table["erased"] != table["affected"])]
    pairs = rows.groupby(["erased", "affected"], as_index=False).agg(
        delta=("delta", "mean"), low=("low", "min"), high=("high", "max"), runs=("delta", "size")
    )
    pairs["clear"] = ~((pairs["low"] <= 0) & (pairs["high"] >= 0)) & (pairs["delta"] != 0)
    return pairs


def strongest(pairs: pd.DataFrame, name: str, direction: Direction, k: int = 8, clear: bool = True) -> pd.DataFrame:
    """The k largest clear effects of erasing `name` (hurts), on `name` of erasing others (hurt by), or of both.

    With clear=False the largest of those that cannot be told from zero.
    """
    mine = pairs[(pairs["clear"] == clear) & _touching(pairs, name, direction)]
    return mine.sort_values("delta", key=abs, ascending=False, kind="stable").head(k)


def unclear(pairs: pd.DataFrame, name: str, direction: Direction) -> int:
    """How many measured effects cannot be told from zero."""
    return int((~pairs["clear"] & _touching(pairs, name, direction)).sum())


def _touching(pairs: pd.DataFrame, name: str, direction: Direction) -> pd.Series:
    by, on = pairs["erased"] == name, pairs["affected"] == name
    return by if direction == "hurts" else on if direction == "hurt by" else by | on


def mean_damage_received(pairs: pd.DataFrame, names: Sequence[str]) -> list[float]:
    """How abnormal each concept is, 0 to 1: its mean damage over all erasures, as a share of the largest; nan: unknown.

    The median concept is 0, so that the size of a dot tells who stands out.
    """
    means = pairs.groupby("affected")["delta"].mean().reindex(names)
    above = (means - means.median()).clip(lower=0)
    return (above / max(float(above.max()), 1e-9)).tolist()


def most_damaging(pairs: pd.DataFrame, fallback: str) -> str:
    """The concept whose erasure did the most damage in total: a first view that has something to show."""
    clear = pairs[pairs["clear"]]
    return fallback if clear.empty else str(clear.groupby("erased")["delta"].sum().idxmax())
