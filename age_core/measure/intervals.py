"""Intervals of means, by resampling."""

from __future__ import annotations

import numpy as np


def bootstrap(values: np.ndarray, rounds: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean over the first axis, by resampling it."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(rounds, len(values)))].mean(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def hierarchical_bootstrap(values: np.ndarray, rounds: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean of values (concepts, images): resamples concepts, then images within each one drawn.

    Two sources of doubt, which concepts were asked for and which seeds were drawn. Of a single concept, the seeds only.
    """
    rng = np.random.default_rng(seed)
    n, m = values.shape
    means = np.empty(rounds)
    for row in range(rounds):
        drawn = rng.integers(n, size=(n, 1))
        means[row] = values[drawn, rng.integers(m, size=(n, m))].mean()
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))
