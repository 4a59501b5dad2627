"""The statistics of the concept graph, on damages whose answer is plain."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from support import RELATED as WORLD

from age_core.study.abnormal import abnormal
from age_core.study.statistics import (
    asymmetry,
    both_ways,
    by_nearness,
    excess,
    nearest,
    rank_correlation,
    same_group,
    shuffled,
    spearman,
    stability,
)

NAMES = ("dog", "wolf", "hot dog", "car", "taxi", "bus")


def matrix(rows, names=NAMES):
    values = np.array(rows, dtype=float)
    np.fill_diagonal(values, np.nan)
    return pd.DataFrame(values, list(names)[: len(rows)], list(names))


LOCAL = matrix([[0.5 * (WORLD[a].group == WORLD[b].group) for b in NAMES] for a in NAMES])


def test_locality_is_found_where_it_is_and_not_under_shuffled_labels():
    inside = same_group(WORLD, LOCAL)
    value, low, high = excess(LOCAL, inside)
    assert value == low == high == 0.5
    mean, low, high = shuffled(LOCAL, lambda d: excess(d, inside))
    assert abs(mean) < 0.1 and high < 0.5
    away = matrix([[abs(i - j) for j in range(6)] for i in range(6)])
    assert nearest(away, 1).sum(axis=1).tolist() == [1] * 6 and nearest(away, 2).loc["wolf"].tolist() == [
        True,
        False,
        True,
        False,
        False,
        False,
    ]
    assert rank_correlation(-away, away)[0] == pytest.approx(-1)


def test_correlation_leaves_out_what_was_not_measured():
    a = pd.DataFrame([[1, 2, 3, np.nan, 4.0]] * 3)
    b = pd.DataFrame([[10, 20, 30, 0, 40.0], [1, 1, 1, 1, 1], [4, 3, 3, 9, 1]])
    one, constant, ties = spearman(a, b)
    assert one == pytest.approx(1) and np.isnan(constant)
    assert ties == pytest.approx(spearmanr([1, 2, 3, 4], [4, 3, 3, 1]).statistic)


def test_asymmetry_is_the_share_of_damage_that_goes_one_way():
    both = matrix([[0, 0.2, 0], [0.2, 0, 0.1], [0, 0.1, 0]], NAMES[:3])
    assert asymmetry(both) == 0
    one_way = matrix([[0, 0.4, 0], [0, 0, 0], [0.3, 0, 0]], NAMES[:3])
    assert asymmetry(one_way) == 1
    mixed = matrix([[0, 0.3, -0.5], [0.1, 0, 0], [0, 0, 0]], NAMES[:3])
    assert asymmetry(mixed) == pytest.approx(0.5)  # a benefit is no damage
    assert asymmetry(matrix([[0, 1, 2, 3, 4, 5]])) != asymmetry(both)  # only one erased: no pair, nan


def test_a_concept_that_everything_hurts_is_abnormal_and_nobody_is_by_chance():
    rng = np.random.default_rng(1)
    names = [f"c{i}" for i in range(30)]
    clear = pd.DataFrame(rng.random((30, 30)) < 0.1, names, names)
    assert (abnormal(clear, 400)["p"] > 0.05).all()
    clear["c7"] = True
    found = abnormal(clear, 400)
    assert found.loc[0, "concept"] == "c7" and found.loc[0, "hurt_by"] == 29  # its own erasure does not count
    assert found.loc[0, "p"] < 0.01 and (found.loc[1:, "p"] > 0.05).all()


def test_stability_compares_every_two():
    noise = matrix(np.random.default_rng(0).random((6, 6)))
    assert stability([LOCAL, LOCAL, 2 * LOCAL]) == pytest.approx(1)
    assert abs(stability([noise, matrix(np.random.default_rng(5).random((6, 6)))])) < 0.5
    assert np.isnan(stability([LOCAL]))


def test_the_locality_curve_falls_where_damage_is_local_and_lies_flat_where_it_is_not():
    rng = np.random.default_rng(0)
    names = [f"c{i}" for i in range(30)]
    distances = matrix(rng.random((30, 30)), names)
    local = by_nearness(1 - distances, distances, (1, 4, 10))
    assert list(local["first"]) == [1, 4, 10] and list(local["last"]) == [3, 9, 29]
    assert local["damage"].is_monotonic_decreasing and (local["low"] < local["damage"]).all()
    assert local.loc[0, "low"] > local.loc[1, "high"] > local.loc[1, "low"] > local.loc[2, "high"]
    flat = by_nearness(matrix(np.full((30, 30), 0.3), names), distances, (1, 4, 10, 40))
    assert np.allclose(flat[["damage", "low", "high"]], 0.3) and len(flat) == 3
    nearest_of_all = by_nearness(1 - distances, distances, (1, 2))["damage"][0]
    assert nearest_of_all == pytest.approx((1 - distances).max(axis=1).mean())


def test_a_pair_is_told_once_and_is_one_way_where_its_intervals_part():
    rows = [("wolf", "dog", 0.1, 0.05, 0.15), ("dog", "wolf", 0.5, 0.4, 0.6), ("car", "bus", 0.2, 0.1, 0.3)]
    rows += [("bus", "car", 0.25, 0.2, 0.4), ("dog", "car", 0.1, 0.0, 0.2)]  # the last was not erased back
    table = both_ways(pd.DataFrame(rows, columns=["erased", "affected", "delta", "low", "high"]))
    found = table.set_index(["a", "b"]).to_dict("index")
    assert found == {
        ("dog", "wolf"): {"there": 0.5, "back": 0.1, "one_way": True},
        ("bus", "car"): {"there": 0.25, "back": 0.2, "one_way": False},
    }


def test_the_curve_of_one_concept_is_as_sure_as_its_neighbours_agree():
    rng = np.random.default_rng(0)
    names = [f"c{i}" for i in range(30)]
    distances = matrix(rng.random((30, 30)), names).head(1)
    damage = 1 - distances
    curve = by_nearness(damage, distances, (1, 2, 7, 17))
    assert np.isnan(curve.loc[0, ["low", "high"]].to_numpy(float)).all() and np.isfinite(curve.loc[0, "damage"])
    near = damage.iloc[0].nlargest(6).to_numpy()[1:]  # ranks 2 to 6
    half = 2.7764 * near.std(ddof=1) / np.sqrt(5)
    assert curve.loc[1, ["first", "last"]].tolist() == [2, 6]
    assert curve.loc[1, ["damage", "low", "high"]].tolist() == pytest.approx(
        [near.mean(), near.mean() - half, near.mean() + half], abs=1e-4
    )
    assert (curve.loc[1:, "low"] < curve.loc[1:, "damage"]).all()
    assert (curve.loc[1:, "damage"] < curve.loc[1:, "high"]).all()
