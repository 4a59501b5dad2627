"""Intervals cover what they claim to, on synthetic data of known truth, down to four pictures and two concepts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, t

from age_core.measure.intervals import (
    T95,
    bootstrap,
    exact_interval,
    few_intervals,
    hierarchical_bootstrap,
    mean_interval,
    share_change_interval,
    share_change_intervals,
    share_interval,
)

ROUNDS = 400
ENOUGH = 0.9


def covered(interval, draw, truth):
    """How often the interval of what `draw(rng)` gives holds the truth."""
    rng = np.random.default_rng(1)
    bounds = np.array([interval(*draw(rng)) for _ in range(ROUNDS)])
    return float(((bounds[:, 0] <= truth) & (truth <= bounds[:, 1])).mean())


@pytest.mark.parametrize("images", [4, 16])
@pytest.mark.parametrize("chance", [0.99, 0.95, 0.8, 0.5])
def test_one_concepts_share_is_covered(chance, images):
    def draw(rng):
        return ((rng.random((1, images)) < chance).astype(float),)

    assert covered(share_interval, draw, chance) >= ENOUGH
    if chance > 0.9:  # what resampling makes of pictures that were nearly all alike
        assert covered(lambda seen: bootstrap(seen[0], 200), draw, chance) < 0.7


@pytest.mark.parametrize("concepts", [2, 5, 20])
@pytest.mark.parametrize("rates", [(99, 1), (9, 1), (1, 1)])
def test_the_share_of_few_concepts_is_covered_however_they_differ(rates, concepts):
    def draw(rng):
        return ((rng.random((concepts, 16)) < rng.beta(*rates, size=(concepts, 1))).astype(float),)

    assert covered(share_interval, draw, rates[0] / sum(rates)) >= ENOUGH


@pytest.mark.parametrize("count", [2, 4, 5, 12, 24, 40])
@pytest.mark.parametrize("name", ["normal", "uniform", "gamma"])
def test_the_mean_of_few_values_is_covered(name, count):
    draws = {
        "normal": lambda rng: (rng.normal(0.3, 1, count),),
        "uniform": lambda rng: (rng.uniform(0, 0.6, count),),
        "gamma": lambda rng: (rng.gamma(6, 0.05, count),),
    }
    assert covered(mean_interval, draws[name], 0.3) >= ENOUGH
    if count == 5:
        assert covered(lambda values: bootstrap(values, 200), draws[name], 0.3) < ENOUGH


@pytest.mark.parametrize("images", [4, 16])
@pytest.mark.parametrize(("right", "lost", "won"), [(0.99, 0.05, 0), (0.95, 0.1, 0.5), (0.8, 0.5, 0.2), (0.99, 0.9, 0)])
def test_the_share_that_is_lost_is_covered(right, lost, won, images):
    def draw(rng):
        before = rng.random(images) < right
        after = np.where(before, rng.random(images) > lost, rng.random(images) < won)
        return before.astype(float), after.astype(float)

    assert covered(share_change_interval, draw, right * lost - (1 - right) * won) >= ENOUGH


def test_intervals_by_hand():
    assert exact_interval(0.75, 16) == pytest.approx(binomtest(12, 16).proportion_ci(0.95, "exact"))
    assert exact_interval(1.0, 4)[1] == 1.0 and exact_interval(0.0, 4)[0] == 0.0
    values = np.array([1.0, 2.0, 3.0])
    assert mean_interval(values) == pytest.approx((2 - 4.3027 / np.sqrt(3), 2 + 4.3027 / np.sqrt(3)), abs=1e-4)
    assert np.isnan(mean_interval(values[:1])).all() and np.isnan(mean_interval(values[:0])).all()
    many = np.random.default_rng(0).random((30, 4))
    assert share_interval(many) == hierarchical_bootstrap(many)
    low, high = share_change_interval(np.ones(16), np.r_[np.zeros(12), np.ones(4)])
    assert 0.3 < low < 0.75 < high < 1  # 12 of 16 were lost


def test_many_are_computed_at_once_as_one_by_one():
    rng = np.random.default_rng(0)
    values, (before, after) = rng.random((5, 4)), rng.integers(0, 2, (2, 5, 4))
    assert np.allclose(np.transpose(few_intervals(values)), [mean_interval(row) for row in values])
    one_by_one = [share_change_interval(a, b) for a, b in zip(before, after, strict=True)]
    assert np.allclose(np.transpose(share_change_intervals(before, after)), one_by_one)
    assert np.isnan(few_intervals(values[:, :1])).all()
    assert all(value == pytest.approx(t.ppf(0.975, n - 1)) for n, value in T95.items())
