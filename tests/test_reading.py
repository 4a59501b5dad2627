"""Reading a graph of known shape on the bundled model's own distances, and the floor of its metrics."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from age_core.prediction import text_distance
from age_core.reading import noise_floor, read, stabilities
from age_core.side_effects import COLUMNS, Source, Task


@pytest.fixture(scope="module")
def bench():
    return Source(watched="emoji-netfive").open()


def table_of(world, damage, method, seeds=(0,)):
    """Every concept erased, with the damage that `damage(a, b, rng)` says."""
    rows = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        for a in world.names:
            for b in world.names:
                delta = damage(a, b, rng)
                rows.append(
                    ("emoji", method, "", a, b, seed, "DS-1", 1.0, 1 - delta, delta, delta - 0.05, delta + 0.05)
                )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_a_local_graph_beats_its_nulls_and_a_graph_of_chance_does_not(bench):
    world = bench.watched
    near = text_distance(bench.pipe, world, world.names)
    local = table_of(
        world, lambda a, b, rng: 0 if a == b else 0.5 - near.loc[a, b] / 2 + 0.05 * rng.random(), "local", (0, 1)
    )
    chance = table_of(world, lambda a, b, rng: rng.random(), "chance", (0, 1))
    both = pd.concat([local, chance])
    found, null = (
        read(bench, both, "DS-1", method)["statistics"].set_index("statistic") for method in ("local", "chance")
    )
    for name in ("excess in the same group", "rank correlation with nearness in words"):
        assert found.loc[name, "low"] > found.loc[name, "shuffled_high"]
        assert null.loc[name, "shuffled_low"] <= null.loc[name, "value"] <= null.loc[name, "shuffled_high"]
        assert found.loc[name, "overlap"] > 0.2  # words that are near overlap, too
    assert found.loc["one-way share", "value"] < 0.2 < null.loc["one-way share", "value"]
    own, other = stabilities(both, "DS-1", "local")["correlation"]
    assert own > 0.8 and abs(other) < 0.2
    assert stabilities(both, "DS-1", "chance")["correlation"].abs().max() < 0.2


def test_without_an_edit_nothing_moves_and_other_seeds_do(bench, tmp_path):
    floor = noise_floor(bench, Task.of("uce", images=2), tmp_path)
    same, others = (floor[floor["method"] == method] for method in ("no edit", "no edit, other seeds"))
    assert (same["delta"].abs() < 1e-4).all() and set(same["metric"]) == {"DS-1", "DS-5", "distance", "noise-shift"}
    assert set(others["metric"]) == {"DS-1", "DS-5"} and len(others) == 2 * 25
    assert list(floor.columns) == list(COLUMNS)
