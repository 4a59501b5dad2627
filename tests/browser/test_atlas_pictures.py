"""The atlas in a real Chromium: the right picture at the right place, faces, rings, rows and small screens."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest
from browser_support import LONELY_JS, NODE_JS, PIXEL_JS
from map_page import BARE, ERASED, GROUPS, LOST, MOVED, NAMES, STILL, colour
from playwright.sync_api import Page, expect

from viz.components.theme import GROUP_COLOURS

pytest_plugins = ["browser_fixtures"]
pytestmark = pytest.mark.browser

DOTS = [tuple(int(text[k : k + 2], 16) for k in (1, 3, 5)) for text in GROUP_COLOURS["light"]]
SAMPLE = [name for name in NAMES[1::37] if name not in (BARE, ERASED, *LOST, *MOVED, STILL)]
# All that is drawn, as one number.
SUM_JS = """() => { const canvas = document.querySelector('#concept-map .stage > canvas');
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return data.reduce((sum, value) => (sum * 31 + value) % 1000000007, 7); }"""
WATCH_JS = """() => {
  const root = document.querySelector('#concept-map .cg'), began = performance.now();
  window.turned = 0;
  new MutationObserver(() => { if (root.matches('.turning')) window.turned = performance.now() - began; })
    .observe(root, {attributes: true, attributeOldValue: true});
}"""
MIDDLE_JS = """canvas => [...canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data]"""
MISSING = "Failed to load resource"
# A change is drawn in the next frame: two frames later it is on the canvas.
DRAWN_JS = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def shows(page: Page, name: str, expected: Sequence[int], opacity: int = 255) -> bool:
    *pixel, alpha = page.evaluate(PIXEL_JS, name)
    loss = 2 if opacity == 255 else 6  # a faint pixel is stored with its colour rounded
    return abs(alpha - opacity) < 4 and all(abs(a - b) <= loss for a, b in zip(pixel, expected, strict=True))


def is_dot(page: Page, name: str) -> bool:
    """In the colour of a group; beside arrows, dots are faint."""
    return any(shows(page, name, dot, 97) for dot in DOTS)


@pytest.fixture(scope="module")
def one_page(opened_once: Callable[..., Page]) -> Page:
    return opened_once()


@pytest.fixture(scope="module")
def page_without_files(opened_once: Callable[..., Page]) -> Page:
    """Where a file that is missing is no fault."""
    return opened_once(excused=MISSING)


@pytest.fixture
def page(one_page: Page) -> Page:
    return pictured(one_page)


def pictured(page: Page) -> Page:
    """With the whole sheet and room for it, nothing erased, and no pointer over the pictures that are looked at."""
    page.mouse.move(2, 2)
    page.click("#over")
    face(page, "original", 0)
    page.get_by_label("apart").check()
    page.click("#whole")
    page.wait_for_selector("#concept-map .cg.pictured:not(.moving)")
    page.evaluate(DRAWN_JS)
    return page


def face(page: Page, name: str, changed: int) -> None:
    expect(page.locator("#concept-map .cg")).to_have_attribute("data-face", name)
    expect(page.locator("#concept-map .cg")).to_have_attribute("data-changed", str(changed))
    expect(page.locator(f"#concept-map [data-face={name}][aria-pressed=true]")).to_have_count(1)
    page.evaluate(DRAWN_JS)


def test_each_picture_is_at_its_place_without_its_ground_and_a_dot_where_there_is_none(page: Page) -> None:
    assert all(shows(page, name, colour(name)) for name in SAMPLE)
    assert is_dot(page, BARE)
    lonely = page.evaluate(LONELY_JS, "concept 5")
    corner = page.evaluate(
        PIXEL_JS.replace("Math.round(x * scale)", "Math.round(x * scale) - 12").replace(
            "Math.round(y * scale)", "Math.round(y * scale) - 12"
        ),
        lonely,
    )
    assert corner[3] == 0 and shows(page, lonely, colour(lonely)), "a white corner"
    page.evaluate("document.body.classList.toggle('dark')")
    page.wait_for_timeout(800)
    assert all(shows(page, name, colour(name)) for name in SAMPLE)
    expect(page.locator("#concept-map .label:not(.pick, .end)")).to_have_count(0)
    page.evaluate("document.body.classList.toggle('dark')")


def test_faces_by_button_by_key_and_while_a_button_is_held(page: Page) -> None:
    face(page, "original", 0)
    expect(page.get_by_role("button", name="What changed")).to_be_disabled()
    page.click("#still")
    face(page, "changed", 4)
    text = f"{ERASED} erased by hand"
    expect(page.locator("#concept-map .shows")).to_have_text(text)
    counts = "4 of 24 others changed visibly, 2 are no longer recognised."
    expect(page.locator("#concept-map .said")).to_have_text(f"What changed. {text}. {counts}")
    assert all(shows(page, name, colour(name, edited=True)) for name in (*LOST, *MOVED))
    assert shows(page, STILL, colour(STILL, edited=True), 64), "what hardly moved is faded"
    assert shows(page, SAMPLE[0], colour(SAMPLE[0]), 128), "what was not drawn anew is in between"

    page.get_by_role("button", name="Edited").click()
    face(page, "edited", 4)
    assert shows(page, STILL, colour(STILL, edited=True)) and shows(page, SAMPLE[0], colour(SAMPLE[0]))
    page.keyboard.down("f")
    face(page, "original", 0)
    assert shows(page, LOST[0], colour(LOST[0]))
    page.keyboard.up("f")
    face(page, "edited", 4)
    page.get_by_role("button", name="Original").click()
    flip = page.locator("#concept-map .flip").bounding_box()
    assert flip
    page.mouse.move(flip["x"] + 20, flip["y"] + 10)
    page.mouse.down()
    face(page, "edited", 4)
    page.mouse.up()
    face(page, "original", 0)
    page.evaluate("document.body.appendChild(document.createElement('input')).focus()")
    page.keyboard.down("f")
    page.wait_for_timeout(200)
    face(page, "original", 0)
    page.keyboard.up("f")
    page.evaluate("document.activeElement.remove()")
    page.click("#over")
    expect(page.get_by_role("button", name="Edited")).to_be_disabled()


@pytest.mark.parametrize("kind", ["missing", "broken", "cut"])
def test_a_sheet_that_is_not_whole_gives_dots_and_no_wrong_picture(page_without_files: Page, kind: str) -> None:
    page = pictured(page_without_files)
    page.click(f"#{kind}")
    page.wait_for_timeout(1000)
    page.click("#still")
    face(page, "changed", 4)
    page.get_by_role("button", name="Original").click()
    page.evaluate(DRAWN_JS)
    dots = [is_dot(page, name) for name in SAMPLE]
    right = [kind == "cut" and shows(page, name, colour(name)) for name in SAMPLE]
    assert dots[-1] and all(dot or tile for dot, tile in zip(dots, right, strict=True))
    page.click("#whole")
    page.wait_for_timeout(1000)
    assert all(shows(page, name, colour(name)) for name in SAMPLE)


def test_a_repaint_that_plays_ends_as_what_is_shown_at_once(page: Page) -> None:
    page.evaluate(WATCH_JS)
    page.click("#play")
    face(page, "changed", 4)
    page.wait_for_function("window.turned > 0")  # by now it may have ended
    page.wait_for_selector("#concept-map .cg:not(.turning)")
    page.mouse.move(2, 2)
    played = page.evaluate(SUM_JS)
    page.click("#over")
    face(page, "original", 0)
    assert page.evaluate(SUM_JS) != played
    page.click("#still")
    face(page, "changed", 4)
    page.mouse.move(2, 2)
    page.wait_for_timeout(100)
    assert page.evaluate(SUM_JS) == played


def test_who_wants_no_motion_sees_the_repaint_at_once(opened: Callable[..., Page]) -> None:
    page = pictured(opened(reduced_motion="reduce"))
    page.evaluate(WATCH_JS)
    page.click("#play")
    face(page, "changed", 4)
    assert shows(page, LOST[0], colour(LOST[0], edited=True))
    assert page.evaluate("window.turned") == 0


def test_the_same_key_only_adds_and_loads_no_sheet_again(opened: Callable[..., Page]) -> None:
    page = pictured(opened(anew=True))  # which has loaded none before
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.click("#live")
    face(page, "changed", 2)
    assert not shows(page, LOST[1], colour(LOST[1], edited=True))
    page.get_by_role("button", name="Edited").click()
    page.click("#more")
    face(page, "edited", 4)
    page.wait_for_selector("#concept-map .cg:not(.turning)")
    page.evaluate(DRAWN_JS)
    assert all(shows(page, name, colour(name, edited=True)) for name in (*LOST, *MOVED))
    assert sum("first.png" in url for url in asked) == 1


def canvases(page: Page) -> int:
    """How many the page holds, in its document or out of it, after a collection of garbage."""
    session = page.context.new_cdp_session(page)
    kind = session.send("Runtime.evaluate", {"expression": "HTMLCanvasElement.prototype"})["result"]["objectId"]
    found = session.send("Runtime.queryObjects", {"prototypeObjectId": kind})["objects"]["objectId"]
    length = {"objectId": found, "functionDeclaration": "function() { return this.length; }", "returnByValue": True}
    count = session.send("Runtime.callFunctionOn", length)["result"]["value"]
    session.detach()
    return count


def test_sheets_of_erasures_gone_by_are_let_go(opened: Callable[..., Page]) -> None:
    """A page that is used for long would keep a canvas or two of each sheet that it ever showed."""
    page, held = pictured(opened(anew=True)), []
    for turn in range(4):
        page.click(f"#many{turn}")
        expect(page.locator("#concept-map .shows")).to_have_text(f"{ERASED} erased by hand, many{turn}")
        held.append(canvases(page))
    assert held[0] >= 70 and held[3] <= held[1] + 20, held
    assert all(shows(page, name, colour(name, edited=True)) for name in (*LOST, *MOVED))


def test_the_tip_shows_a_picture_before_and_after(page: Page) -> None:
    page.click("#still")
    face(page, "changed", 4)
    page.locator("#concept-map").evaluate("map => map.scrollIntoView()")
    page.mouse.move(*page.evaluate(NODE_JS, LOST[0]))
    tip = page.locator("#concept-map .tip")
    expect(tip).to_contain_text(re.compile(rf"^{LOST[0]}\s.*moved by 0\.90, no longer recognised$", re.DOTALL))
    middles = [canvas.evaluate(MIDDLE_JS)[:3] for canvas in tip.locator("canvas").all()]
    assert middles == [list(colour(LOST[0])), list(colour(LOST[0], edited=True))]
    page.mouse.move(*page.evaluate(NODE_JS, BARE))
    expect(tip).to_contain_text(BARE)
    expect(tip.locator("canvas:visible")).to_have_count(0)


def test_rows_are_named_at_their_left_ends_and_hold_their_pictures(page: Page) -> None:
    page.get_by_label("rows", exact=True).check()
    titles = page.locator("#concept-map .title")
    expect(titles).to_have_text(list(dict.fromkeys(GROUPS)))
    boxes = [title.bounding_box() for title in titles.all()]
    for box, group in zip(boxes, dict.fromkeys(GROUPS), strict=True):
        x, y = page.evaluate(NODE_JS, NAMES[GROUPS.index(group)])
        assert box and abs(box["y"] + box["height"] / 2 - y) < 2 and box["x"] < x
    page.evaluate(DRAWN_JS)
    assert all(shows(page, name, colour(name)) for name in SAMPLE)
    page.get_by_label("meaning").check()
    expect(titles).to_have_count(0)


def test_on_a_phone_dots_become_pictures_as_one_comes_closer(opened: Callable[..., Page]) -> None:
    page = opened(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.get_by_label("apart").check()
    page.click("#whole")
    expect(page.get_by_role("button", name="Original")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert "pictured" not in (page.locator("#concept-map .cg").get_attribute("class") or "")
    page.get_by_role("button", name="Closer").tap()
    page.wait_for_selector("#concept-map .cg.pictured")
    page.get_by_role("button", name="Further away").tap()
    page.wait_for_selector("#concept-map .cg:not(.pictured)")

    box = page.locator("#concept-map .stage").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    device = page.context.new_cdp_session(page)
    for kind, apart in (("touchStart", 40), ("touchMove", 60), ("touchMove", 100), ("touchEnd", None)):
        fingers = [{"x": x - apart, "y": y}, {"x": x + apart, "y": y}] if apart else []
        device.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    page.wait_for_selector("#concept-map .cg.pictured")
    low, high = page.evaluate("document.querySelector('#concept-map .plot').layout.xaxis.range")
    assert high - low == pytest.approx(2.26 / 2.5, rel=0.02)
