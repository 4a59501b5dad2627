"""The concept graph and what it says: who is hurt, how locally, how one-sidedly, how surely.

Damage is a DataFrame with a row an erased concept and a column an affected one, nan on the diagonal and where nothing
was measured; positive is damage (`side_effects`: delta). Every statistic is one function of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import networkx as nx
import numpy as np
import pandas as pd

from age_core.concepts.concept_set import ConceptSet
from age_core.errors import AgeError
from age_core.measure.intervals import bootstrap

Z95 = 1.96  # half a 95 % interval, in standard errors
RANKS = (1, 2, 4, 7, 13, 25, 49, 97, 193)  # where the ranges of the locality curve begin
Interval = tuple[float, float, float]  # value, low, high


def pairs(table: pd.DataFrame, metric: str, method: str) -> pd.DataFrame:
    """Columns erased, affected, delta, low, high, runs: seeds of a pair together, without the erased concepts.

    One seed keeps its bootstrap interval. Several: the mean, give or take 1.96 sqrt(w + b/n), with w the mean squared
    standard error of a seed (its pictures are the same in every run, so more runs do not lower it), b the variance
    between the n seeds. Raises AgeError where the table holds nothing of the kind.
    """
    rows = table[(table["metric"] == metric) & (table["method"] == method) & (table["erased"] != table["affected"])]
    if rows.empty:
        found = ", ".join(
            f"{m} by {how}" for m, how in dict.fromkeys(zip(table["metric"], table["method"], strict=True))
        )
        raise AgeError(f"The table holds no {metric} by {method}; it holds {found or 'nothing'}.")
    rows = rows.assign(error=((rows["high"] - rows["low"]) / (2 * Z95)) ** 2)
    found = (
        rows.groupby(["erased", "affected"], sort=False)
        .agg(
            delta=("delta", "mean"),
            low=("low", "mean"),
            high=("high", "mean"),
            error=("error", "mean"),
            between=("delta", "var"),
            runs=("delta", "size"),
        )
        .reset_index()
    )
    many = found["runs"] > 1
    half = Z95 * np.sqrt(found["error"] + found["between"].fillna(0) / found["runs"])
    found.loc[many, "low"], found.loc[many, "high"] = found["delta"] - half, found["delta"] + half
    return found.drop(columns=["error", "between"])


def damage_of(found: pd.DataFrame, column: str = "delta") -> pd.DataFrame:
    """`pairs` as a matrix of damage, or of another of its columns."""
    return found.pivot(index="erased", columns="affected", values=column)


def relation(concepts: ConceptSet, erased: str, affected: str) -> str:
    """How two words belong together: "synonym", "general word", "shared word", "same group" or "other"."""
    one, two = concepts.find(erased), concepts.find(affected)
    if affected in one.synonyms or erased in two.synonyms:
        return "synonym"
    if affected in (one.general, one.group) or erased in (two.general, two.group):
        return "general word"
    if set(erased.lower().split()) & set(affected.lower().split()):
        return "shared word"
    return "same group" if one.group == two.group else "other"


def concept_graph(found: pd.DataFrame, concepts: ConceptSet) -> nx.DiGraph:
    """A node a concept (attribute group), an edge a damage (or benefit) whose interval of `pairs` excludes zero.

    Edges carry delta, low, high and relation.
    """
    graph = nx.DiGraph()
    graph.add_nodes_from((concept.name, {"group": concept.group}) for concept in concepts)
    for row in found[(found["low"] > 0) | (found["high"] < 0)].itertuples():
        how = {"delta": row.delta, "low": row.low, "high": row.high}
        graph.add_edge(row.erased, row.affected, **how, relation=relation(concepts, str(row.erased), str(row.affected)))
    return graph


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

    Erased concepts with nobody inside, or nobody outside, do not count.
    """
    known = damage.notna()
    gaps = damage.where(inside & known).mean(axis=1) - damage.where(~inside & known).mean(axis=1)
    return mean_with_interval(gaps.dropna().to_numpy())


def by_nearness(damage: pd.DataFrame, distances: pd.DataFrame, edges: Sequence[int] = RANKS) -> pd.DataFrame:
    """The locality curve: mean damage to the neighbours of ranks first..last, a row a range between `edges`.

    Columns first, last, damage, low, high: averaged over erased concepts, with 95 % interval. Rank 1 is the nearest by
    `distances` (alike shaped). Ranges beyond the last rank are left out, the last one that begins is cut short.
    """
    ranks = distances.reindex_like(damage).where(damage.notna()).rank(axis=1, method="first")
    most = int(np.nanmax(ranks.to_numpy()))
    rows = []
    for first, after in zip(edges, [*edges[1:], most + 1], strict=True):
        last = min(after - 1, most)
        if first > most:
            break
        means = damage.where((ranks >= first) & (ranks <= last)).mean(axis=1).dropna().to_numpy()
        rows.append((first, last, *mean_with_interval(means)))
    return pd.DataFrame(rows, columns=["first", "last", "damage", "low", "high"])


def both_ways(found: pd.DataFrame) -> pd.DataFrame:
    """Pairs erased both ways, each once: columns a, b, there (a's erasure on b), back (b's on a), one_way.

    `found`: of `pairs`. one_way: whether their intervals do not meet, so that the two surely differ.
    """
    one = found.rename(columns={"erased": "a", "affected": "b"})
    two = found.rename(columns={"affected": "a", "erased": "b"})
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
    b = b.reindex_like(a)
    known = a.notna() & b.notna()
    x, y = (
        table.where(known).rank(axis=1).sub(table.where(known).rank(axis=1).mean(axis=1), axis=0) for table in (a, b)
    )
    spread = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return ((x * y).sum(axis=1) / spread).where((spread > 0) & (known.sum(axis=1) > 2))


def asymmetry(damage: pd.DataFrame) -> float:
    """Share of all damage that is one-way: sum |D_ij - D_ji| / sum (D_ij + D_ji), over pairs erased both ways.

    0: as much back as forth; 1: every damage goes one way only. Benefits count as no damage; nan where there is none.
    """
    both = [name for name in damage.index if name in damage.columns]
    square = damage.loc[both, both].clip(lower=0).to_numpy(float)
    upper = np.triu_indices(len(both), 1)
    one, other = square[upper], square.T[upper]
    known = np.isfinite(one) & np.isfinite(other)
    total = (one + other)[known].sum()
    return float(np.abs(one - other)[known].sum() / total) if total > 0 else float("nan")


def abnormal(clear: pd.DataFrame, rounds: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Concepts hurt by more erasures than chance allows: concept, hurt_by, expected, p; the most hurt first.

    `clear` says which damages are sure (bool; erased by affected). Chance: every erasure hurts as many concepts as it
    does, but any of them alike. p is the share of `rounds` such worlds in which the most hurt concept of all was hurt
    by at least as many, so that it holds for all concepts at once.
    """
    values = clear.to_numpy(bool)
    others = np.array([[a != b for b in clear.columns] for a in clear.index])
    hurt = values & others
    rng = np.random.default_rng(seed)
    most = np.empty(rounds)
    for turn in range(rounds):
        drawn = rng.random(values.shape)
        drawn[~others] = np.inf
        order = np.sort(drawn, axis=1)
        counts = hurt.sum(axis=1)
        cut = np.where(counts > 0, order[np.arange(len(order)), np.maximum(counts - 1, 0)], -1.0)
        most[turn] = (drawn <= cut[:, None]).sum(axis=0).max()
    count = hurt.sum(axis=0)
    share = hurt.sum(axis=1) / others.sum(axis=1)
    table = pd.DataFrame(
        {
            "concept": clear.columns,
            "hurt_by": count,
            "expected": (others * share[:, None]).sum(axis=0),
            "p": [(1 + (most >= c).sum()) / (1 + rounds) for c in count],
        }
    )
    return table.sort_values(["hurt_by", "expected"], ascending=[False, True], kind="stable", ignore_index=True)


def stability(damages: Sequence[pd.DataFrame]) -> float:
    """Mean Spearman correlation, over pairs of `damages` (seeds, or methods), of all damages that both measured."""
    found = []
    for one, two in combinations(damages, 2):
        flat = [pd.DataFrame([damage.reindex_like(one).to_numpy().ravel()]) for damage in (one, two)]
        found.append(float(spearman(*flat).iloc[0]))
    return float(np.mean(found)) if found else float("nan")


def shuffled(
    damage: pd.DataFrame, statistic: Callable[[pd.DataFrame], Interval], rounds: int = 200, seed: int = 0
) -> Interval:
    """What a statistic makes of damage that knows nothing of who is who: mean and 95 % range under shuffled labels.

    In each row the damages are dealt out anew among the concepts that were measured.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(rounds):
        values = damage.to_numpy(float, copy=True)
        for row in values:
            known = np.isfinite(row)
            row[known] = rng.permutation(row[known])
        found.append(statistic(pd.DataFrame(values, damage.index, damage.columns))[0])
    return float(np.mean(found)), float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))


def mean_with_interval(values: np.ndarray) -> Interval:
    """Their mean and its 95 % bootstrap interval; nan of none."""
    if not len(values):
        return float("nan"), float("nan"), float("nan")
    return float(values.mean()), *bootstrap(values)
