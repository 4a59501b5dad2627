"""The map alone, of made-up concepts, in a real Chromium: what a person clicks, sees and types."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from browser_support import LONELY_JS, NODE_JS, PIXEL_JS
from map_page import NAMES, places
from playwright.sync_api import Page, expect

pytest_plugins = ["browser_fixtures"]
pytestmark = pytest.mark.browser

STATE_JS = """() => { const plot = document.querySelector('#concept-map .plot'), {x, y} = plot.data[0];
  return {x, y, view: [plot.layout.xaxis.range, plot.layout.yaxis.range]}; }"""
VIEW_JS = """view => Plotly.relayout(document.querySelector('#concept-map .plot'),
  {'xaxis.range': view[0], 'yaxis.range': view[1]})"""
RING_JS = """() => { const b = document.querySelector('#concept-map circle.pick').getBoundingClientRect();
  return [b.x + b.width / 2, b.y + b.height / 2]; }"""
# A press and release within one task, where a moving dot is at that moment: two frames after it has set off. Waited for
# in the page, as from outside the move might be over before the click.
CLICK_MOVING_JS = """name => {
  const root = document.querySelector('#concept-map .cg'), ring = root.querySelector(`circle[data-name="${name}"]`);
  const click = () => {
    const box = ring.getBoundingClientRect(), clientX = box.x + box.width / 2, clientY = box.y + box.height / 2;
    window.clickedMoving = root.classList.contains('moving');
    for (const type of ['pointerdown', 'pointerup'])
      root.querySelector('.plot').dispatchEvent(
        new PointerEvent(type, {bubbles: true, isPrimary: true, clientX, clientY}));
  };
  new MutationObserver((_, observer) => {
    if (!root.classList.contains('moving')) return;
    observer.disconnect();
    requestAnimationFrame(() => requestAnimationFrame(click));
  }).observe(root, {attributeFilter: ['class']});
}"""
# The middle of the longest arrow: no dot of its own lies there.
ARROW_JS = """() => {
  const size = g => { const b = g.getBBox(); return b.width + b.height; };
  const arrows = [...document.querySelectorAll('#concept-map .arrows [role=img]')].filter(g => !g.style.display);
  const longest = arrows.sort((a, b) => size(b) - size(a))[0];
  const b = longest.querySelector('polygon').getBoundingClientRect();
  return {x: b.x + b.width / 2, y: b.y + b.height / 2, says: longest.getAttribute('aria-label')};
}"""
# How long the page's own redraw of everything above and beneath the dots takes, its pixels included.
REDRAW_JS = """async () => {
  const plot = document.querySelector('#concept-map .plot'), canvas = document.querySelector('#concept-map canvas');
  const times = [], frame = () => new Promise(requestAnimationFrame);
  for (let k = 0; k < 15; k++) {
    let began;
    requestAnimationFrame(() => { began = performance.now(); });
    await Plotly.relayout(plot, {'xaxis.range': [-1 + k / 100, 1 + k / 100]});
    await frame();
    canvas.getContext('2d').getImageData(0, 0, 1, 1);
    times.push(performance.now() - began);
    await frame();
  }
  return times.sort((a, b) => a - b);
}"""
# How many pixels of the canvas are drawn on.
INK_JS = """() => { const canvas = document.querySelector('#concept-map canvas');
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return data.filter((value, k) => k % 4 === 3 && value > 0).length; }"""


@pytest.fixture
def page(opened: Callable[..., Page]) -> Page:
    return opened()


@pytest.fixture(scope="module")
def one_page(opened_once: Callable[..., Page]) -> Page:
    return opened_once()


def expect_picked(page: Page, name: str) -> None:
    expect(page.locator("#picked input, #picked textarea")).to_have_value(name)
    expect(page.locator("#concept-map .label.pick")).to_have_text(name)


def ringed(page: Page, name: str) -> bool:
    """The ring of the pick lies around the place of this concept, and something is drawn there."""
    together = page.evaluate(RING_JS) == pytest.approx(page.evaluate(NODE_JS, name), abs=1)
    return together and page.evaluate(PIXEL_JS, name)[3] > 0


def settled(page: Page) -> dict:
    page.wait_for_selector("#concept-map .cg:not(.moving)")
    return page.evaluate(STATE_JS)


def test_a_click_on_a_dot_picks_it_and_its_name_stays_text(page: Page) -> None:
    name = page.evaluate(LONELY_JS, "concept 5")
    page.mouse.click(*page.evaluate(NODE_JS, name))
    expect_picked(page, name)
    page.evaluate(VIEW_JS, [[-3, 3], [-3, 3]])
    spot = page.evaluate(NODE_JS, NAMES[0])
    page.mouse.move(*spot)
    expect(page.locator("#concept-map .tip")).to_have_text(f"{NAMES[0]} group 0 abnormality: 1.00 (0 least, 1 most)")
    page.mouse.click(*spot)
    expect_picked(page, NAMES[0])
    expect(page.locator("#concept-map .arrows [role=img]").first).to_have_attribute(
        "aria-label",
        re.compile(r"^Erasing <b>grue</b> made concept \d+ worse: \+0\.30 \(95 % interval 0\.24 to 0\.36\)\.$"),
    )


def test_a_pointer_that_rests_is_told_of_what_comes_beneath_it(page: Page) -> None:
    tip, here = page.locator("#concept-map .tip"), page.evaluate(NODE_JS, "concept 5")
    page.mouse.move(*here)
    expect(tip).to_contain_text("concept 5")
    other = page.evaluate(LONELY_JS, "concept 5")
    (x, y), (u, v) = (places(0).set_index("name").loc[name, ["x", "y"]] for name in ("concept 5", other))
    (left, right), (low, high) = page.evaluate(STATE_JS)["view"]
    page.evaluate(VIEW_JS, [[left + u - x, right + u - x], [low + v - y, high + v - y]])
    expect(tip).to_contain_text(f"{other} group")


def test_another_layout_moves_the_dots_keeps_the_view_and_a_click_hits_the_right_one(page: Page) -> None:
    page.click("#light")
    expect(page.locator('#concept-map circle[data-name="concept 45"]')).to_be_visible()
    page.evaluate(VIEW_JS, [[-1.2, 1], [-1, 1.2]])
    before = page.evaluate(STATE_JS)
    page.evaluate(CLICK_MOVING_JS, "concept 45")
    page.get_by_label("effects").check()
    page.wait_for_function("window.clickedMoving !== undefined")
    assert page.evaluate("window.clickedMoving"), "the move was over before the click"
    expect_picked(page, "concept 45")
    after = settled(page)
    assert after["view"] == before["view"] == [[-1.2, 1], [-1, 1.2]]
    assert after["x"] == pytest.approx(places(1)["x"].tolist(), abs=1e-3) and after["x"] != before["x"]
    assert after["y"] == pytest.approx(places(1)["y"].tolist(), abs=1e-3)
    assert ringed(page, "concept 45"), "no dot where a click hits it"
    name = page.evaluate(LONELY_JS, "concept 45")
    page.mouse.click(*page.evaluate(NODE_JS, name))
    expect_picked(page, name)


def test_who_wants_no_motion_sees_the_new_layout_at_once(opened: Callable[..., Page]) -> None:
    page = opened(reduced_motion="reduce")
    page.evaluate("""() => {
      const root = document.querySelector('#concept-map .cg');
      window.moved = 0;
      new MutationObserver(() => { window.moved += root.matches('.moving'); }).observe(root, {attributes: true});
    }""")
    start = page.evaluate(STATE_JS)
    page.get_by_label("effects").check()
    page.wait_for_function("x => document.querySelector('#concept-map .plot').data[0].x[0] !== x", arg=start["x"][0])
    assert ringed(page, "concept 5")
    assert page.evaluate("window.moved") <= 1, "frames in between were shown"


def test_pointing_at_an_arrow_says_it_in_a_sentence_and_panning_still_works(page: Page) -> None:
    tip, arrow = page.locator("#concept-map .tip"), page.evaluate(ARROW_JS)
    expect(tip).to_be_hidden()
    page.mouse.move(arrow["x"], arrow["y"] + 5)
    expect(tip).to_have_text(arrow["says"])
    assert re.match(
        r"Erasing concept 5 made .* worse: \+0\.0\d\d \(95 % interval .*\)\. It cannot be told", arrow["says"]
    )
    expect(page.locator("#concept-map .arrows .unclear.hot path")).to_have_count(1)
    box, map_box = tip.bounding_box(), page.locator("#concept-map .cg").bounding_box()
    assert box["x"] >= map_box["x"] and box["x"] + box["width"] <= map_box["x"] + map_box["width"]

    before = page.evaluate(STATE_JS)["view"]
    page.mouse.down()
    page.mouse.move(arrow["x"] - 90, arrow["y"] - 40, steps=5)
    page.wait_for_timeout(100)
    assert ringed(page, "concept 5"), "rings follow during a pan"
    page.mouse.up()
    expect(tip).to_be_hidden()
    assert page.evaluate(STATE_JS)["view"] != before
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(400)
    assert ringed(page, "concept 5"), "rings follow a zoom"
    expect(page.locator("#concept-map .label.pick")).to_have_text("concept 5")

    page.locator("#concept-map .arrows [tabindex='0']").focus()
    expect(tip).to_have_text(page.locator("#concept-map .arrows g:focus").get_attribute("aria-label"))
    first = tip.inner_text()
    page.keyboard.press("ArrowRight")
    expect(tip).not_to_have_text(first)


def test_candidates_light_up_and_go_out_without_a_redraw_of_the_figure(one_page: Page) -> None:
    page = one_page
    page.evaluate("""() => { window.draws = 0;
      document.querySelector('#concept-map .plot').on('plotly_afterplot', () => { window.draws += 1; }); }""")
    rings = page.locator("#concept-map .lit circle")
    page.click("#light")
    expect(rings).not_to_have_count(0)
    page.wait_for_function("document.querySelectorAll('#concept-map .label.lit').length >= 3")
    page.wait_for_timeout(1500)
    widths = rings.evaluate_all(
        "rings => rings.map(ring => [parseFloat(ring.style.strokeWidth), +ring.style.strokeOpacity])"
    )
    assert max(widths)[0] > 2 * min(widths)[0] and max(widths)[1] > min(widths)[1]
    page.click("#dim")
    expect(rings).to_have_count(0)
    expect(page.locator("#concept-map .label.lit")).to_have_count(0)
    assert page.evaluate("window.draws") == 0


def test_the_whole_graph_is_drawn_beneath_and_redrawn_fast(one_page: Page) -> None:
    page = one_page
    dots = page.evaluate(INK_JS)
    assert dots > 0
    expect(page.locator("#concept-map .plot .point")).to_have_count(0)  # Plotly draws none of its own
    page.click("#every")
    page.wait_for_function(f"dots => ({INK_JS})() > 3 * dots", arg=dots)
    medians = [times[len(times) // 2] for times in (page.evaluate(REDRAW_JS) for _ in range(3))]
    print("a redraw of 5,000 edges:", [round(ms) for ms in medians], "ms")
    assert min(medians) < 50  # what else the machine does can slow one round down
    page.click("#none")
    page.wait_for_function(f"dots => ({INK_JS})() < 1.5 * dots", arg=dots)


def test_from_the_keyboard_a_cursor_goes_from_dot_to_dot_and_enter_picks(page: Page) -> None:
    graph = page.locator("#concept-map .cg")
    expect(graph).to_have_attribute("aria-label", re.compile("Arrow keys"))
    graph.focus()
    start = page.evaluate(NODE_JS, "concept 5")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#concept-map circle.cursor")
    name = page.inner_text("#concept-map .said")
    assert name.startswith("concept ") and page.evaluate(NODE_JS, name.split(".")[0])[0] < start[0]
    expect(page.locator("#picked input, #picked textarea")).to_have_value("")
    for _ in range(60):  # to the edge of the map and no further
        page.keyboard.press("ArrowUp")
    name = page.inner_text("#concept-map .said").split(".")[0]
    page.keyboard.press("Enter")
    expect_picked(page, name)
    expect(page.locator("#concept-map circle.cursor")).to_have_count(0)


def test_a_pick_from_outside_moves_the_view_only_if_it_is_out_of_sight(page: Page) -> None:
    before = page.evaluate(STATE_JS)["view"]
    page.click("#far")
    expect(page.locator("#concept-map .label.pick")).to_have_text("concept 200")
    assert page.evaluate(STATE_JS)["view"] == before
    page.locator("#concept-map").evaluate("map => map.scrollIntoView()")
    page.mouse.click(*page.evaluate(NODE_JS, page.evaluate(LONELY_JS, "concept 200")))
    expect(page.locator("#concept-map .label.pick")).not_to_have_text("concept 200")
    home = places(0).set_index("name").loc["concept 200"]
    side = -1 if home["x"] > 0 else 1
    page.evaluate(VIEW_JS, [[side * 0.7 - 0.2, side * 0.7 + 0.2], [-0.2, 0.2]])
    page.click("#far")
    expect(page.locator("#concept-map .label.pick")).to_have_text("concept 200")
    view = page.evaluate(STATE_JS)["view"]
    assert view[0] == pytest.approx([home["x"] - 0.2, home["x"] + 0.2], abs=1e-3)
    assert view[1] == pytest.approx([home["y"] - 0.2, home["y"] + 0.2], abs=1e-3)
    page.evaluate("document.body.classList.toggle('dark')")
    page.wait_for_timeout(500)
    assert page.evaluate(STATE_JS)["view"] == view, "a redraw in other colours lost the view"


def test_on_a_phone_a_tap_on_an_arrow_says_it_and_nothing_is_cut_off(opened: Callable[..., Page]) -> None:
    page = opened(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    arrow = page.evaluate(ARROW_JS)
    page.touchscreen.tap(arrow["x"], arrow["y"])
    tip = page.locator("#concept-map .tip")
    expect(tip).to_have_text(arrow["says"])
    page.wait_for_timeout(300)
    box = tip.bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390
    expect(page.locator("#picked input, #picked textarea")).to_have_value("")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
