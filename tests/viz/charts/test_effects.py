"""Side effects in words."""

from __future__ import annotations

from viz.charts import effects


def test_the_sentence_names_the_method_and_what_the_size_means():
    text = effects.describe(("UCE", "noise-shift"))
    assert "with UCE" in text and "noise prediction" in text
    assert "with AGE. Size: beauty." in effects.describe(("AGE", "beauty"))


def test_small_effects_are_told_to_more_decimals():
    assert [effects.decimals(delta) for delta in (0.4, -0.1, 0.04, 0.0)] == [2, 2, 3, 3]
