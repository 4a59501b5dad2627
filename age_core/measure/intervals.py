"""95 % intervals: of means by resampling where there are many units, of few units and of shares by formula.

Resampling a handful of values knows only those, and of equal ones says that there is no doubt at all: over five values
it covers the mean 74 to 84 times in 100. So fewer than FEW units get Student's t, and shares an exact interval, which
leaves doubt also where every picture was alike. (Wilson's covers a share of 0.99 over 16 pictures 85 times in 100.)
"""

from __future__ import annotations

import numpy as np

FEW = 25  # units below which resampling covers too little
Z95 = 1.96  # half a 95 % interval, in standard errors
# The same by Student's t for a few values, n of them: the page needs these before it can wait for scipy.
T95 = {2: 12.706204736, 3: 4.302652730, 4: 3.182446305, 5: 2.776445105, 6: 2.570581836}
Bounds = tuple[float, float]


def bootstrap(values: np.ndarray, rounds: int = 2000, seed: int = 0) -> Bounds:
    """95 % interval of the mean over the first axis, by resampling it."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(rounds, len(values)))].mean(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def _t95(n: int) -> float:
    """Half a 95 % interval of the mean of n values, in standard errors, by Student's t."""
    if n in T95:
        return T95[n]
    from scipy.special import stdtrit  # see `exact_interval`

    return float(stdtrit(n - 1, 0.975))


def mean_interval(values: np.ndarray) -> Bounds:
    """95 % interval of the mean of `values` (n,): by resampling from FEW on, else by Student's t; nan below two."""
    n = len(values)
    if n >= FEW:
        return bootstrap(values)
    if n < 2:
        return float("nan"), float("nan")
    low, high = few_intervals(values)
    return float(low), float(high)


def few_intervals(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of the means of `values` (..., n) over the last axis, by Student's t; nan below two."""
    n, mean = values.shape[-1], values.mean(axis=-1)
    half = _t95(n) * values.std(axis=-1, ddof=1) / np.sqrt(n) if n > 1 else np.full_like(mean, np.nan)
    return mean - half, mean + half


def exact_interval(share: float, units: float) -> Bounds:
    """95 % interval of a share of `units` independent ones, between 0 and 1: exact, by the Beta distribution."""
    from scipy.special import betaincinv  # 0.7 s of every start, and only few units need it

    hits, misses = share * units, (1 - share) * units
    low = betaincinv(hits, misses + 1, 0.025) if hits > 0 else 0.0
    high = betaincinv(hits + 1, misses, 0.975) if misses > 0 else 1.0
    return float(low), float(high)


def share_interval(seen: np.ndarray) -> Bounds:
    """95 % interval of the share of `seen` (concepts, images), 0 or 1 each.

    One concept: the exact one, over its pictures. FEW concepts or more: `hierarchical_bootstrap`. Between: the exact
    one of as many units as the pictures are worth (Korn and Graubard, 1998), from one a concept, where all its pictures
    tell the same, to one a picture, where concepts are alike; fewer by as much as t is wider than the normal.
    """
    n, m = seen.shape
    if n >= FEW:
        return hierarchical_bootstrap(seen)
    share = float(seen.mean())
    if n == 1:
        return exact_interval(share, m)
    if share in (0.0, 1.0):  # all alike so far, which says nothing of the concepts that were not asked for
        return exact_interval(share, n)
    spread = float(seen.mean(axis=1).var(ddof=1)) / n
    worth = float(np.clip(share * (1 - share) / spread, n, n * m)) if spread else n * m
    return exact_interval(share, worth * (Z95 / _t95(n)) ** 2)


def share_change_interval(before: np.ndarray, after: np.ndarray) -> Bounds:
    """95 % interval of the share lost between two looks at the same pictures, (n,) 0 or 1 each."""
    low, high = share_change_intervals(before, after)
    return float(low), float(high)


def share_change_intervals(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same of many, over the last axis of (..., n).

    Agresti and Min's (2005): half a picture more in each of the four cells (kept, lost, won, neither), so that pictures
    that all stayed as they were leave doubt; with t for the normal, since there may be four of them.
    """
    n = before.shape[-1] + 2
    lost, won = (((a == 1) & (b == 0)).sum(axis=-1) + 0.5 for a, b in ((before, after), (after, before)))
    change = (lost - won) / n
    half = _t95(n) * np.sqrt(lost + won - (lost - won) ** 2 / n) / n
    return np.maximum(change - half, -1.0), np.minimum(change + half, 1.0)


def hierarchical_bootstrap(values: np.ndarray, rounds: int = 2000, seed: int = 0) -> Bounds:
    """95 % interval of the mean of values (concepts, images): resamples concepts, then images within each one drawn.

    Two sources of doubt, which concepts were asked for and which seeds were drawn. Of a single concept, the seeds only.
    """
    rng = np.random.default_rng(seed)
    n, m = values.shape
    means = np.empty(rounds)
    for row in range(rounds):
        chosen_rows = rng.integers(n, size=(n, 1))
        means[row] = values[chosen_rows, rng.integers(m, size=(n, m))].mean()
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))
