"""The texts and pictures around the map."""

from __future__ import annotations

import pandas as pd
import pytest
from PIL import Image

from viz.charts import panels

RED, BLUE = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")


def test_a_card_tells_success_from_damage():
    def card(kind, expected, seen, *edited):
        drawn = tuple(panels.Drawn(f"m{row}", BLUE, (label, 0.9), 0.5) for row, label in enumerate(edited))
        return panels.Card(kind, "dog", "", "a dog", 0, expected, RED, (seen, 0.8), drawn)

    def verdicts(one):
        return [panels.judge(one, drawn)[0] for drawn in one.edited]

    assert verdicts(card("erased", ("dog",), "dog", "horse", "dog")) == ["erased", ""]
    assert verdicts(card("near", ("wolf",), "wolf", "horse", "wolf")) == ["damaged", ""]
    assert verdicts(card("near", ("wolf",), "cat", "horse")) == [""]
    assert verdicts(card("own", (), "cat", "horse", "cat")) == ["", ""]
    grid = panels.compare_grid([card("near", ("<i>",), "<i>", "<u>", "<i>")], "<h>")
    assert 'class="pair damaged"' in grid and "&lt;u&gt;" in grid and "<u>" not in grid and "<h>" not in grid
    assert grid.count("<img") == 5 and grid.count('class="hold"') == 2  # the original lies under each edited picture


def test_scores_show_their_intervals():
    row = {
        f"{name}{end}": value
        for name in ("esr1", "esr5", "psr1", "psr5")
        for end, value in (("", 90.0), ("_low", 80.4), ("_high", 95.0))
    }
    html = panels.scores([("<m>", row | {"distance": 0.1234})])
    assert html.count("<b>90</b>") == 4 and "(80 to 95)" in html and "0.123" in html and "<m>" not in html
    assert panels.message("") == "" and "&lt;x" in panels.message("<x")


@pytest.mark.parametrize("value", [0.5, -0.5])
def test_a_prediction_has_no_interval(value):
    rows = pd.DataFrame({"affected": ["wolf"], "delta": [value]})
    html = panels.predicted("said", rows)
    assert "whisker" not in html and "hollow" in html and f"{value:+.2f}" in html
