"""Which side effects are shown, on a table whose answer is plain."""

from __future__ import annotations

import math

import pandas as pd

from viz.charts import effects

PAIRS = pd.DataFrame(
    [("dog", "wolf", 0.5, True), ("dog", "cat", 0.3, True), ("dog", "car", 0.1, False), ("car", "dog", -0.4, True)],
    columns=["erased", "affected", "delta", "clear"],
)


def test_the_strongest_effects_are_those_of_the_direction_that_is_asked_for():
    assert list(effects.strongest(PAIRS, "dog", "hurts")["affected"]) == ["wolf", "cat"]
    assert list(effects.strongest(PAIRS, "dog", "hurt by")["erased"]) == ["car"]
    assert list(effects.strongest(PAIRS, "dog", "both")["delta"]) == [0.5, -0.4, 0.3]
    assert list(effects.strongest(PAIRS, "dog", "hurts", clear=False)["affected"]) == ["car"]
    assert effects.unclear(PAIRS, "dog", "hurts") == 1 == effects.unclear(PAIRS, "dog", "both")
    sizes = effects.mean_damage_received(PAIRS, ["wolf", "cat", "car", "dog", "moon"])
    assert sizes[0] == 1 and sizes[3] == 0 and 0 < sizes[1] < 1 and math.isnan(sizes[4])
