"""What damage says: how local it is, how one-sided, how stable, and what chance would make of it.

Damage is a DataFrame with a row an erased concept and a column an affected one, nan on the diagonal and where nothing
was measured; positive is damage (`SideEffects.damage`). Every statistic is one function of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from age_core.concepts.concept_set import ConceptSet
from age_core.measure.intervals import mean_interval

RANKS = (1, 2, 4, 7, 13, 25, 49, 97, 193)  # where the ranges of the locality curve begin
Interval = tuple[float, float, float]  # value, low, high


def nearest(distances: pd.DataFrame, k: int) -> pd.DataFrame:
    """Which k concepts are nearest to each erased one; bool, of the shape of `distances` (nan on the diagonal)."""
    return distances.rank(axis=1, method="first") <= k


def same_group(concepts: ConceptSet, damage: pd.DataFrame) -> pd.DataFrame:
    """Which concepts share the erased one's group; bool, of the shape of `damage`."""
    group = {concept.name: concept.group for concept in concepts}
    return pd.DataFrame(
        [[a != b and group[a] == group[b] for b in damage.columns] for a in damage.index], damage.index, damage.columns
    )


def excess(damage: pd.DataFrame, inside: pd.DataFrame) -> Interval:
    """Locality: mean damage inside less mean damage outside, averaged over erased concepts, with 95 % interval.

    `inside`: bool, of the same rows and columns. Erased concepts with nobody inside, or nobody outside, do not count.
    """
    values, inside_values = damage.to_numpy(float), inside.to_numpy(bool)
    known = ~np.isnan(values)
    gaps = _row_means(values, inside_values & known) - _row_means(values, ~inside_values & known)
    return mean_with_interval(gaps[~np.isnan(gaps)])


def _row_means(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The mean of each row's `chosen` values; nan where there are none. In numpy: chance is asked hundreds of times."""
    with np.errstate(invalid="ignore"):
        return np.where(chosen, values, 0.0).sum(axis=1) / chosen.sum(axis=1)


def by_nearness(damage: pd.DataFrame, distances: pd.DataFrame, edges: Sequence[int] = RANKS) -> pd.DataFrame:
    """The locality curve: mean damage to the neighbours of ranks first..last, a row a range between `edges`.

    Columns first, last, damage, low, high: averaged over erased concepts, with 95 % interval over them; of one erased
    concept over the neighbours in the range, nan where there is one only. Rank 1 is the nearest by `distances` (alike
    shaped). Ranges beyond the last rank are left out, the last one that begins is cut short.
    """
    ranks = distances.reindex_like(damage).where(damage.notna()).rank(axis=1, method="first")
    most = int(np.nanmax(ranks.to_numpy()))
    rows = []
    for first, after in zip(edges, [*edges[1:], most + 1], strict=True):
        last = min(after - 1, most)
        if first > most:
            break
        inside = damage.where((ranks >= first) & (ranks <= last))
        units = inside.mean(axis=1) if len(damage) > 1 else inside.iloc[0]
        rows.append((first, last, *mean_with_interval(units.dropna().to_numpy())))
    return pd.DataFrame(rows, columns=["first", "last", "damage", "low", "high"])


def both_ways(pairs: pd.DataFrame) -> pd.DataFrame:
    """Pairs erased both ways, each once: columns a, b, there (a's erasure on b), back (b's on a), one_way.

    `pairs`: as `SideEffects.pairs`. one_way: whether their intervals do not meet, so that the two surely differ.
    """
    one = pairs.rename(columns={"erased": "a", "affected": "b"})
    two = pairs.rename(columns={"affected": "a", "erased": "b"})
    both = one.merge(two, on=["a", "b"], suffixes=("_there", "_back"))
    both = both[both["a"] < both["b"]]
    apart = (both["low_there"] > both["high_back"]) | (both["low_back"] > both["high_there"])
    columns = {"a": both["a"], "b": both["b"], "there": both["delta_there"], "back": both["delta_back"]}
    return pd.DataFrame(columns | {"one_way": apart}).reset_index(drop=True)


def rank_correlation(damage: pd.DataFrame, other: pd.DataFrame) -> Interval:
    """Mean over erased concepts of Spearman's correlation of damage with `other` (alike shaped), with 95 % interval."""
    return mean_with_interval(spearman(damage, other).dropna().to_numpy())


def spearman(a: pd.DataFrame, b: pd.DataFrame) -> pd.Series:
    """Spearman's rank correlation of each row of `a` with that of `b`, where both are known; nan where one is even."""
    known = (a.notna() & b.reindex_like(a).notna()).to_numpy()
    x, y = (pd.DataFrame(np.where(known, table, np.nan)).rank(axis=1).to_numpy() for table in (a, b.reindex_like(a)))
    x, y = (np.where(known, ranks - _row_means(ranks, known)[:, None], 0.0) for ranks in (x, y))
    spread = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    defined = (spread > 0) & (known.sum(axis=1) > 2)
    return pd.Series(np.divide((x * y).sum(axis=1), spread, out=np.full(len(a), np.nan), where=defined), a.index)


def asymmetry(damage: pd.DataFrame) -> float:
    """Share of all damage that is one-way: sum |D_ij - D_ji| / sum (D_ij + D_ji), over pairs erased both ways.

    0: as much back as forth; 1: every damage goes one way only. Benefits count as no damage; nan where there is none.
    """
    both = [name for name in damage.index if name in damage.columns]
    rows, columns = damage.index.get_indexer(both), damage.columns.get_indexer(both)
    square = damage.to_numpy(float)[np.ix_(rows, columns)].clip(min=0)
    upper = np.triu_indices(len(both), 1)
    one, other = square[upper], square.T[upper]
    known = np.isfinite(one) & np.isfinite(other)
    total = (one + other)[known].sum()
    return float(np.abs(one - other)[known].sum() / total) if total > 0 else float("nan")


def stability(damages: Sequence[pd.DataFrame]) -> float:
    """Mean Spearman correlation, over pairs of `damages` (seeds, or methods), of all damages that both measured."""
    correlations = []
    for one, two in combinations(damages, 2):
        flat = [pd.DataFrame([damage.reindex_like(one).to_numpy().ravel()]) for damage in (one, two)]
        correlations.append(float(spearman(*flat).iloc[0]))
    return float(np.mean(correlations)) if correlations else float("nan")


def shuffled(
    damage: pd.DataFrame, statistic: Callable[[pd.DataFrame], Interval], rounds: int = 200, seed: int = 0
) -> Interval:
    """What a statistic makes of damage that knows nothing of who is who: mean and 95 % range under shuffled labels.

    In each row the damages are dealt out anew among the concepts that were measured.
    """
    rng = np.random.default_rng(seed)
    values_of_chance = []
    for _ in range(rounds):
        values = damage.to_numpy(float, copy=True)
        for row in values:
            known = np.isfinite(row)
            row[known] = rng.permutation(row[known])
        values_of_chance.append(statistic(pd.DataFrame(values, damage.index, damage.columns))[0])
    low, high = np.quantile(values_of_chance, [0.025, 0.975])
    return float(np.mean(values_of_chance)), float(low), float(high)


def mean_with_interval(values: np.ndarray) -> Interval:
    """Their mean and its 95 % interval (`mean_interval`); nan of none."""
    return (float(values.mean()) if len(values) else float("nan")), *mean_interval(values)
