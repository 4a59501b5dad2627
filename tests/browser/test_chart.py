"""A chart alone in a real Chromium: its colours, its clicks, its zoom, and how it fits a phone."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from viz.components.theme import DARK, LIGHT

pytest_plugins = ["browser_fixtures"]
pytestmark = pytest.mark.browser

COLOURS_JS = """() => { const plot = document.querySelector('#chart .plot'), {data, layout} = plot;
  return [...data[0].colorscale.map(stop => stop[1]), layout.font.color, layout.xaxis.linecolor]; }"""
# Where the cell of row 7 and column 3 is, and its pair.
CELL_JS = """() => {
  const plot = document.querySelector('#chart .plot'), {xaxis, yaxis} = plot._fullLayout, [{x, y}] = plot.data;
  plot.scrollIntoView({block: 'center'});
  const box = plot.getBoundingClientRect();
  return [[box.x + xaxis._offset + xaxis.c2p(3), box.y + yaxis._offset + yaxis.c2p(7)], [y[7], x[3]]];
}"""


@pytest.fixture
def page(opened: Callable[..., Page]) -> Page:
    return opened()


def test_a_chart_takes_the_colours_of_the_theme(opened: Callable[..., Page]) -> None:
    page = opened("?__theme=dark")
    page.click("#heat")
    page.wait_for_selector("#chart .heatmaplayer .hm")
    names = ["gain", "panel", "damage", "ink", "line"]
    assert page.evaluate(COLOURS_JS) == [DARK[name] for name in names]
    page.evaluate("document.body.classList.remove('dark')")
    same = f"colours => JSON.stringify(({COLOURS_JS})()) === JSON.stringify(colours)"
    page.wait_for_function(same, arg=[LIGHT[name] for name in names])
    page.evaluate("document.body.classList.add('dark')")
    page.wait_for_function(same, arg=[DARK[name] for name in names])


def test_a_click_on_a_cell_gives_its_pair_and_zoom_outlives_an_update(page: Page) -> None:
    chart = page.locator("#chart .chart")
    expect(chart).to_be_hidden()
    page.click("#heat")
    page.wait_for_selector("#chart .heatmaplayer .hm")
    expect(chart).to_have_attribute("aria-label", "Damage of each pair")
    expect(page.locator("#chart .gtitle tspan")).not_to_have_count(0)
    spot, pair = page.evaluate(CELL_JS)
    page.mouse.click(*spot)
    expect(page.locator("#pair input, #pair textarea")).to_have_value(json.dumps(pair, separators=(",", ":")))

    view = "() => document.querySelector('#chart .plot').layout.xaxis.range"
    page.mouse.down()  # a frame around four cells
    page.mouse.move(spot[0] + 120, spot[1] + 60, steps=5)
    page.mouse.up()
    page.wait_for_function(f"() => ({view})()[1] < 14")
    zoomed = page.evaluate(view)
    drawn = int(chart.get_attribute("data-drawn"))
    page.click("#heat2")
    page.wait_for_function(f"() => document.querySelector('#chart .chart').dataset.drawn > {drawn}")
    assert page.evaluate(view) == zoomed
    page.click("#curve")
    page.wait_for_selector("#chart .errorbar")
    assert page.evaluate(view) != zoomed
    page.click("#clear")
    expect(chart).to_be_hidden()


def test_on_a_phone_the_title_wraps_and_nothing_is_cut_off(opened: Callable[..., Page]) -> None:
    page = opened(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.click("#heat")
    page.wait_for_selector("#chart .heatmaplayer .hm")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    chart, title = (page.locator(f"#chart {part}").bounding_box() for part in (".chart", ".gtitle"))
    assert title["y"] >= chart["y"] and title["x"] + title["width"] <= chart["x"] + chart["width"]
    assert page.locator("#chart .gtitle tspan").count() > 1
    spot, pair = page.evaluate(CELL_JS)
    page.touchscreen.tap(*spot)
    expect(page.locator("#pair input, #pair textarea")).to_have_value(json.dumps(pair, separators=(",", ":")))
