"""Room for pictures: places are pushed apart and keep their neighbours, and rows hold a group each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from age_core import ConceptSet
from viz.atlas import layout

ROOT = Path(__file__).parents[3]


def gaps(points: np.ndarray) -> np.ndarray:
    """How far the nearest other is from each, sideways or up, in heights of a map that is 1.2 times as wide."""
    places = points * [layout.ASPECT, 1]
    apart = np.abs(places[:, None] - places[None]).max(axis=-1)
    return (apart + np.eye(len(points)) * 9).min(axis=1)


def nearest(points: np.ndarray, count: int = 10) -> np.ndarray:
    apart = np.linalg.norm((points[:, None] - points[None]) * [layout.ASPECT, 1], axis=-1)
    return (apart + np.eye(len(points)) * 9).argsort(axis=1)[:, :count]


def test_pictures_of_a_crowd_are_pushed_apart_and_keep_their_neighbours():
    rng = np.random.default_rng(0)
    crowd = rng.uniform(-0.8, 0.8, (12, 2))[np.arange(450) % 12] + rng.normal(0, 0.12, (450, 2))
    apart = layout.spread_apart(crowd)
    pixels = 720 / 2.26  # of a map of 860 x 720, for one of these units
    assert gaps(crowd).min() * pixels < 2 and gaps(apart).min() * pixels > 25 and np.abs(apart).max() <= layout.EDGE
    kept = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(nearest(crowd), nearest(apart), strict=True)])
    assert kept > 0.6
    assert np.allclose(layout.spread_apart(apart * 1, gap=0.05), apart, atol=1e-4), "what has room stays"


def test_the_bundled_places_leave_room_for_pictures():
    names = ConceptSet.load("emoji").names
    stored = layout.read_layouts(ROOT / "assets" / "graphs" / "emoji-layout.csv", names)
    assert list(stored) == ["meaning", "looks", "effects"]
    for places in stored.values():
        assert np.quantile(gaps(places[["x", "y"]].to_numpy()), 0.02) * 720 / 2.26 > 26


@pytest.mark.parametrize("points", [np.zeros((0, 2)), np.zeros((1, 2)), np.zeros((5, 2))])
def test_few_pictures_on_one_spot_part_and_stay_on_the_map(points):
    apart = layout.spread_apart(points)
    assert apart.shape == points.shape and np.abs(apart).max(initial=0) <= layout.EDGE
    assert len(points) < 2 or gaps(apart).min() > 0.9 * layout.WIDEST_GAP


def test_rows_hold_one_group_each_in_order_and_nothing_is_covered():
    concepts = ConceptSet.load("emoji")
    names, groups = concepts.names, [concept.general for concept in concepts]
    rows = layout.in_rows(names, groups)
    assert list(rows["name"]) == list(names) and rows[["x", "y"]].abs().max(axis=None) <= layout.EDGE
    assert not rows.duplicated(["x", "y"]).any() and gaps(rows[["x", "y"]].to_numpy()).min() * 720 / 2.26 > 25
    of_row = rows.assign(group=groups).groupby("y", sort=False)["group"]
    assert (of_row.nunique() == 1).all()
    titles = layout.row_titles(rows, groups)
    assert [title for title, _, _ in titles] == list(dict.fromkeys(groups))
    assert [y for _, _, y in titles] == sorted((y for _, _, y in titles), reverse=True)
    assert max(x for _, x, _ in titles) < rows["x"].min() - 0.1
