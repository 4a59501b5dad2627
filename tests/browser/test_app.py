"""The real app in a real Chromium: pick, erase, stop, compare, and what happens on bad input."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START_S = 240  # a cold start compiles the map's layout
RUN_MS = 240_000
NODE_JS = """name => {
  const plot = document.querySelector('#concept-map .plot'), box = plot.getBoundingClientRect();
  const {xaxis, yaxis} = plot._fullLayout, dots = plot.data[0], i = dots.customdata.indexOf(name);
  return [box.x + xaxis._offset + xaxis.d2p(dots.x[i]), box.y + yaxis._offset + yaxis.d2p(dots.y[i])];
}"""
# The dot that stands furthest from all others, so that a click cannot hit a neighbour. Not the one already picked.
LONELY_JS = """picked => {
  const {x, y, customdata} = document.querySelector('#concept-map .plot').data[0];
  const gap = i => Math.min(...x.map((_, j) => j === i ? 9 : Math.hypot(x[i] - x[j], y[i] - y[j])));
  const others = [...customdata.keys()].filter(i => customdata[i] !== picked);
  return customdata[others.sort((a, b) => gap(b) - gap(a))[0]];
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start app.py the way a person does, on a free port, and read its address from what it prints."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("app") / "log.txt"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=ROOT,
            env={**os.environ, "GRADIO_SERVER_PORT": str(port), "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until = time.monotonic() + START_S
        while not (found := re.search(r"open at (http\S+)", log.read_text())):
            alive = server.poll() is None and time.monotonic() < until
            assert alive, f"the app did not start:\n{log.read_text()[-3000:]}"
            time.sleep(0.3)
        yield found[1].rstrip("/")
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if name and (found := shutil.which(name))), None)
    assert path, "these tests need Chromium: install it, or set CHROMIUM to its path"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


def open_page(context: BrowserContext, url: str) -> Page:
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.goto(url)
    page.wait_for_selector("#concept-map .cg[data-ready=yes]", timeout=60_000)
    return page


@pytest.fixture
def context(browser: Browser, address: str) -> Iterator[BrowserContext]:
    """A fresh session that must talk to the app alone and raise no script error."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    hosts: set[str] = set()
    errors: list[str] = []
    context.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    context.on("weberror", lambda error: errors.append(str(error.error)))
    yield context
    context.close()
    assert hosts <= {urlsplit(address).netloc, ""}, f"requests went to other hosts: {hosts}"
    assert not errors, errors


@pytest.fixture
def page(context: BrowserContext, address: str) -> Page:
    return open_page(context, address)


def choose(page: Page, name: str) -> None:
    page.fill("#concept-search input", name)
    page.keyboard.press("Enter")


def set_steps(page: Page, steps: int) -> None:
    if not page.is_visible("#steps input"):
        page.click("#advanced button")
    page.fill("#steps input", str(steps))
    page.keyboard.press("Tab")


def picked(page: Page) -> str:
    return page.inner_text("#selection h2")


def test_a_click_on_a_dot_picks_its_concept(page: Page) -> None:
    name = page.evaluate(LONELY_JS, picked(page))
    page.mouse.click(*page.evaluate(NODE_JS, name))
    expect(page.locator("#selection h2")).to_have_text(name)
    expect(page.locator("#concept-search input")).to_have_value(name)
    expect(page.locator("#selection")).to_have_attribute("aria-live", "polite")


def test_search_finds_a_concept_by_its_synonym(page: Page) -> None:
    choose(page, "Puppy")
    expect(page.locator("#selection h2")).to_have_text("dog")
    expect(page.locator("#concept-map .label.pick")).to_have_text("dog")


def test_arrows_show_measured_side_effects_and_say_how_they_were_measured(page: Page) -> None:
    choose(page, "dog")
    expect(page.locator("#selection h2")).to_have_text("dog")
    expect(page.locator("#concept-map svg.arrows circle.end")).to_have_count(8)
    assert page.locator("#concept-map svg.arrows path").count() >= 5  # between dots that touch there is no room for one
    expect(page.locator("#map-caption")).to_contain_text("really erasing each concept with")
    assert any("hot dog" in label for label in page.locator("#concept-map .label.end").all_inner_texts())
    assert page.locator("#selection ol.bars li").count() > 5


def test_an_erasure_is_stopped_and_another_one_finished(page: Page) -> None:
    choose(page, "dog")
    expect(page.locator("#selection h2")).to_have_text("dog")
    set_steps(page, 500)
    page.click("#erase-button")
    status = page.locator("#live-status")
    expect(status).to_contain_text(re.compile(r"step \d+ of 500"), timeout=RUN_MS)
    before = page.inner_html("#live-targets")
    page.wait_for_function("html => document.querySelector('#live-targets').innerHTML !== html", arg=before)
    assert page.locator("#live-targets li[data-share]").count() > 10
    page.click("#stop-button")
    expect(status).to_contain_text(re.compile(r"Stopped at step \d+ of 500"))
    expect(page.locator("#erase-button")).to_be_enabled()
    assert page.locator("#compare-grid .pair").count() == 0, "a stopped run must not be compared"

    set_steps(page, 20)
    page.click("#erase-button")
    expect(status).to_contain_text("Done: dog was erased in 20 steps", timeout=RUN_MS)
    expect(page.locator("#compare-grid .pair").first).to_be_visible(timeout=RUN_MS)
    assert page.locator("#live-previews img").count() > 0
    expect(page.locator("#live-loss polyline").first).to_have_attribute("points", re.compile(r"\d"))
    pair = page.locator("#compare-grid .pair[data-kind=erased] img")
    original, edited = (pair.nth(side).get_attribute("src") for side in (0, 1))
    assert original != edited, "the edited model draws the erased concept exactly as before"
    assert page.locator("#compare-grid .pair").count() == 6
    assert all(re.search(r"[✓✗] .+ \d+%", text) for text in page.locator("#compare-grid figcaption").all_inner_texts())

    page.fill("#own-prompt input, #own-prompt textarea", "an emoji of a red house")
    page.click("#compare-button")
    expect(page.locator("#own-grid img")).to_have_count(2, timeout=RUN_MS)
    expect(page.locator("#own-grid")).not_to_contain_text("Outside")
    page.fill("#own-prompt input, #own-prompt textarea", "quantum")
    page.click("#compare-button")
    expect(page.locator("#own-grid")).to_contain_text("Outside this model's world", timeout=RUN_MS)
    page.fill("#own-prompt input, #own-prompt textarea", "")
    page.click("#compare-button")
    expect(page.locator("#own-grid")).to_contain_text("The prompt is empty", timeout=RUN_MS)
    expect(page.locator("#own-grid img")).to_have_count(2)


def test_a_second_person_waits_and_may_give_up(context: BrowserContext, address: str) -> None:
    first, second = open_page(context, address), open_page(context, address)
    set_steps(first, 500)
    first.click("#erase-button")
    expect(first.locator("#live-status")).to_contain_text("step", timeout=RUN_MS)
    second.click("#erase-button")
    expect(second.locator("#live-status")).to_contain_text("Waiting for another run")
    second.click("#stop-button")
    expect(second.locator("#live-status")).to_contain_text("Stopped before the first step")
    expect(second.locator("#erase-button")).to_be_enabled()
    first.click("#stop-button")
    expect(first.locator("#live-status")).to_contain_text("Stopped")


def test_bad_input_is_answered_in_a_sentence_and_loses_nothing(page: Page) -> None:
    message = page.locator("#messages")
    choose(page, "dog")
    expect(page.locator("#selection h2")).to_have_text("dog")
    choose(page, "<b>grue</b>")
    expect(message).to_contain_text("<b>grue</b>")
    expect(page.locator("#concept-search input")).to_have_value("dog")
    assert picked(page) == "dog"

    page.click("#compare-button")
    expect(message).to_contain_text("Erase a concept first")

    set_steps(page, -3)
    page.click("#erase-button")
    expect(message).to_contain_text("-3")
    expect(page.locator("#erase-button")).to_be_enabled()

    set_steps(page, 5)
    page.get_by_text("A word of your choice").click()
    page.click("#erase-button")
    expect(message).to_contain_text("Type the word to map to")
    page.fill("#fixed-target input, #fixed-target textarea", "dog")
    page.click("#erase-button")
    expect(message).to_contain_text("its own target", timeout=RUN_MS)

    page.fill("#fixed-target input, #fixed-target textarea", "cat")
    page.click("#erase-button")
    expect(page.locator("#live-status")).to_contain_text("Done: dog was erased in 5 steps", timeout=RUN_MS)
    expect(message).to_be_empty()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_everything_without_scrolling_sideways(browser: Browser, address: str, theme: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = open_page(context, f"{address}/?__theme={theme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    name = page.evaluate(LONELY_JS, picked(page))
    page.locator("#concept-map").scroll_into_view_if_needed()
    page.touchscreen.tap(*page.evaluate(NODE_JS, name))
    expect(page.locator("#selection h2")).to_have_text(name)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()
