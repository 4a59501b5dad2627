"""Figures of tables whose answer is plain: what is drawn, in which order, and that no text becomes markup."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from viz.charts import plots
from viz.components import theme

NAMES = ["dog", "car", "wolf", "bus", "fox", "<b>van</b>"]
GROUPS = {
    "dog": "mammal",
    "wolf": "mammal",
    "fox": "mammal",
    "car": "vehicle",
    "bus": "vehicle",
    "<b>van</b>": "vehicle",
}


@pytest.fixture
def damage() -> pd.DataFrame:
    """Mammals hurt mammals and vehicles vehicles; the diagonal is unknown."""
    values = [[0.5 if GROUPS[a] == GROUPS[b] else 0.01 for b in NAMES] for a in NAMES]
    table = pd.DataFrame(values, NAMES, NAMES)
    return table.mask(np.eye(len(NAMES), dtype=bool))


@pytest.mark.parametrize("clustered", [False, True])
def test_a_heat_map_puts_together_what_belongs_together_and_leaves_the_unknown_blank(damage, clustered):
    figure = plots.heat_map(damage, GROUPS, "title", clustered)
    cells = figure.data[0]
    across = [b for _, b in cells.customdata[0]]
    assert "&lt;b&gt;van&lt;/b&gt;" in cells.x and "<b>van</b>" in across
    kinds = [GROUPS[name] for name in across]
    assert kinds in (["mammal"] * 3 + ["vehicle"] * 3, ["vehicle"] * 3 + ["mammal"] * 3)
    assert list(cells.y) == list(cells.x)
    for row, a in enumerate(across):
        for column, b in enumerate(across):
            assert tuple(cells.customdata[row][column]) == (a, b)
            assert cells.z[row][column] == pytest.approx(damage.loc[a, b], nan_ok=True)
    assert cells.zmin == -cells.zmax == -0.5  # no damage is white


def test_a_few_erased_concepts_keep_their_rows_in_the_order_of_the_columns(damage):
    figure = plots.heat_map(damage.loc[["bus", "dog"]], GROUPS, "title")
    assert list(figure.data[0].y) == ["dog", "bus"] and len(figure.data[0].x) == 6


def test_the_locality_curve_shows_its_intervals():
    curve = pd.DataFrame(
        {"first": [1, 4], "last": [1, 9], "damage": [0.5, 0.2], "low": [0.4, 0.1], "high": [0.7, 0.25]}
    )
    line = plots.locality_figure({"AGE <i>": curve}, "title", "damage").data[0]
    assert list(line.x) == [1, 6] and list(line.y) == [0.5, 0.2] and line.name == "AGE &lt;i&gt;"
    assert np.allclose(line.error_y.array, [0.2, 0.05]) and np.allclose(line.error_y.arrayminus, [0.1, 0.1])
    assert list(line.customdata) == ["1", "4 to 9"]


def test_the_biggest_misses_are_named_and_text_stays_text():
    figure = plots.scatter_with_diagonal([0, 1, 0.5], [0, 0.2, 0.6], ["a", "<b>", "c"], 1, "<t>", "x", "y")
    assert list(figure.data[1].text) == ["", "&lt;b&gt;", ""]
    assert figure.layout.title.text == "&lt;t&gt;"
    both = pd.DataFrame({"a": ["x"], "b": ["y"], "there": [0.4], "back": [0.1], "one_way": [True]})
    dots = plots.one_way_figure(both, "title", "damage").data[1]
    assert list(dots.marker.color) == [theme.LIGHT["damage"]] and dots.text[0] == "x → y"


def test_names_of_points_that_lie_close_stand_above_and_below():
    intervals = {"x_low": 0, "x_high": 9, "y_low": 0, "y_high": 9}
    places = {"alone": (0, 0), "one": (9.0, 5.0), "two": (8.8, 5.1), "same height": (1, 5), "three": (8.9, 5.0)}
    points = pd.DataFrame([{"name": name, "x": x, "y": y, **intervals} for name, (x, y) in places.items()])
    shown = plots.trade_off_figure(points, "t", "x", "y").data
    assert [trace.textposition for trace in shown] == [
        "top right",
        "top left",
        "bottom left",
        "top right",
        "bottom center",
    ]
    diagonal = plots.scatter_with_diagonal([0, 9, 8.8, 8.7], [0, 5, 5.1, 5], ["a", "b", "c", "d"], 4, "t", "x", "y")
    assert list(diagonal.data[1].text) == ["a", "b", "c", ""]


def test_every_colour_of_a_figure_has_a_twin_for_the_dark(damage):
    points = pd.DataFrame(
        [{"name": n, "x": 1, "x_low": 0, "x_high": 2, "y": 1, "y_low": 0, "y_high": 3} for n in NAMES]
    )
    lines = pd.DataFrame({"name": NAMES * 2, "x": range(12), "y": range(12)})
    for figure in (
        plots.heat_map(damage, GROUPS, "t"),
        plots.trade_off_figure(points, "t", "x", "y"),
        plots.strength_figure(lines, "t", "x", "y"),
    ):
        sampled = {word for word in figure.to_json().split('"') if word.startswith("#")}
        assert sampled and sampled <= set(theme.DARK_OF)
