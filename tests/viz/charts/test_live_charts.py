"""The charts that are drawn while a run goes on."""

from __future__ import annotations

import math

from viz.charts import live_charts


def test_target_bars_keep_their_order_and_show_the_heaviest():
    names = [f"word {row}" for row in range(40)]
    probabilities = [1 / 64] * 40
    probabilities[3], probabilities[30] = 0.3, 0.09
    html = live_charts.target_bars(names, probabilities, [], "title", [math.log(share) for share in probabilities])
    assert html.count("data-share") == live_charts.LARGEST_COUNT and html.index("word 3<") < html.index("word 30<")
    assert "30.0%" in html and "The other 25 are lighter" in html
    history = live_charts.share_history(["a", "b"], [[0.5, 0.5], [1.0, 0.0]], 4)
    assert history.count("<polyline") == 2 and "Effectively 1.0 words" in history
    assert live_charts.share_history(["only"], [[1.0]], 4) == "" == live_charts.share_history(["a", "b"], [], 4)
