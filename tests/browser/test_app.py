"""The real app in a real Chromium: what is picked and seen, another model, odd addresses, a phone."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from app_page import RUN_MS, choose, open_page, open_tab, picked, set_method
from browser_support import LONELY_JS, NODE_JS
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from support import build_tiny_sd

from age_core import ConceptSet
from age_core.serve.stored import RecordedWorld, recorded_world

pytest_plugins = ["browser_fixtures", "app_fixtures"]
pytestmark = pytest.mark.browser

PLACES_JS = "() => document.querySelector('#concept-map .plot').data[0].x.slice(0, 20)"
# How many dots of the atlas's canvases are not empty.
INK_JS = """() => [...document.querySelectorAll('#concept-map canvas')].reduce((sum, canvas) => {
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 3; i < data.length; i += 4) sum += data[i] > 40;
  return sum;
}, 0)"""


def test_a_click_on_a_dot_picks_its_concept_and_the_address_leads_back(
    page: Page, visitor: BrowserContext, address: str
) -> None:
    name = page.evaluate(LONELY_JS, picked(page))
    page.mouse.click(*page.evaluate(NODE_JS, name))
    expect(page.locator("#selection h2")).to_have_text(name)
    expect(page.locator("#concept-search input")).to_have_value(name)
    expect(page.locator("#selection")).to_have_attribute("aria-live", "polite")
    expect(page.locator("#own-pictures img")).to_have_count(4, timeout=RUN_MS)
    page.wait_for_function("name => new URLSearchParams(location.search).get('concept') === name", arg=name)
    again = open_page(visitor, page.url)
    expect(again.locator("#selection h2")).to_have_text(name)


def test_search_finds_a_concept_by_its_synonym(chooser: Page) -> None:
    page = chooser
    for name in ("owl", "apple"):  # not the pineapple
        choose(page, name)
        expect(page.locator("#selection h2")).to_have_text(name)
    choose(page, "Puppy")
    expect(page.locator("#selection h2")).to_have_text("dog")
    expect(page.locator("#concept-map .label.pick")).to_have_text("dog")


def test_picks_that_come_while_the_model_draws_end_with_the_pictures_of_the_last(chooser: Page) -> None:
    """Gradio gives up an event that is asked for again before it has answered, unless it is told not to."""
    page = chooser
    for name in ("cat", "guitar", "castle", "piano"):
        page.mouse.click(*page.evaluate(NODE_JS, name))
        expect(page.locator("#selection h2")).to_have_text(name)
    expect(page.locator("#own-pictures h3")).to_have_text("What the model draws of piano")
    expect(page.locator("#locality")).to_contain_text("Erasing piano")
    page.wait_for_timeout(1500)
    expect(page.locator("#own-pictures h3")).to_have_text("What the model draws of piano")


def test_a_second_choice_before_the_first_is_answered_counts(chooser: Page) -> None:
    page = chooser

    def late(route: Route) -> None:
        time.sleep(0.5)
        route.continue_()

    page.route("**/run/predict*", late)
    choose(page, "cat")
    choose(page, "wolf")
    expect(page.locator("#selection h2")).to_have_text("wolf")
    expect(page.locator("#concept-search input")).to_have_value("wolf")
    choose(page, "fox")
    expect(page.locator("#selection h2")).to_have_text("fox")
    page.fill("#concept-search input", "gui")  # half a name, while what follows the pick is still answered
    page.wait_for_timeout(1500)
    expect(page.locator("#concept-search input")).to_have_value("gui")
    choose(page, "fox")  # before the half is taken for a whole
    for name in ("castle", "pizza"):
        page.mouse.click(*page.evaluate(NODE_JS, name))
    expect(page.locator("#selection h2")).to_have_text("pizza")
    expect(page.locator("#concept-map .label.pick")).to_have_text("pizza")
    page.unroute("**/run/predict*")


# Whether so many were drawn that a sentence counts, and it counts just these.
DRAWN_AND_COUNTED_JS = """() => {
  const told = id => document.querySelector(id)?.textContent ?? '';
  const drawn = told('#now-status').match(/pizza was erased by UCE in .* Drawn anew: (\\d+) of 450/);
  const counted = told('#counting').match(/Erasing pizza by UCE visibly changed \\w+ of (\\d+)/);
  return drawn && counted && drawn[1] >= 50 && counted[1] == drawn[1] - 1;
}"""


@pytest.fixture(scope="module")
def world() -> RecordedWorld:
    world = recorded_world("emoji", ConceptSet.load("emoji"))
    assert world is not None
    return world


def face(page: Page) -> str | None:
    return page.get_attribute("#concept-map .cg", "data-face")


def test_an_address_holds_concept_eraser_face_and_strength(visitor: BrowserContext, address: str) -> None:
    page = open_page(visitor, f"{address}/?concept=guitar&by=age&face=original")
    expect(page.locator("#by input:checked")).to_have_value("age")
    expect(page.locator("#concept-map .cg")).to_have_attribute("data-face", "original")
    page.get_by_role("button", name="Edited").click()
    page.wait_for_url(re.compile(r"concept=guitar&by=age&face=edited"))
    page.get_by_role("button", name="What changed").click()
    page.wait_for_url(lambda url: "face" not in url)
    page.close()
    page = open_page(visitor, f"{address}/?concept=apple&by=uce&strength=0.6")
    status = page.locator("#now-status")
    expect(status).to_contain_text("apple erased by UCE, strength 0.6: 24 of the 24 nearest", timeout=RUN_MS)
    assert "by=uce" in page.url and "strength=0.6" in page.url and face(page) == "changed"


def test_first_sight_is_the_atlas_with_an_erasure_on_it(page: Page, world: RecordedWorld) -> None:
    erasure = world.erasure("esd", "dog")
    assert erasure is not None
    moved = len(erasure.moved())
    expect(page.locator("#concept-map .cg")).to_have_attribute("data-face", "changed")
    expect(page.locator("#concept-map .cg")).to_have_attribute("data-changed", str(moved))
    expect(page.locator("#counting")).to_contain_text(f"Erasing dog by ESD visibly changed {moved} of 449")
    for name in erasure.lost()[:12]:
        expect(page.locator("#counting")).to_contain_text(name)
    assert page.evaluate(INK_JS) > 5000  # pictures, not an empty canvas
    assert page.evaluate("() => { const a = {b: ['c']}, d = structuredClone(a); return d.b !== a.b && d.b[0]; }") == "c"
    page.click("#other-method")
    by_age = world.erasure("age", "dog")
    assert by_age is not None
    expect(page.locator("#counting")).to_contain_text(
        f"Erasing dog by {world.title('age')} visibly changed {len(by_age.moved())} of 449"
    )
    expect(page.locator("#concept-map .cg")).to_have_attribute("data-changed", str(len(by_age.moved())))
    page.click("#pick-another")
    expect(page.locator("#selection h2")).not_to_have_text("dog")
    assert picked(page) in world.erased("esd")


@pytest.mark.parametrize("name", ["cat", "guitar"])  # near to what was picked, and far from it
def test_a_click_shows_whom_the_erasure_hurt_by_their_own_pictures(
    chooser: Page, world: RecordedWorld, name: str
) -> None:
    page = chooser
    choose(page, "wolf")
    expect(page.locator("#selection h2")).to_have_text("wolf")
    erasure = world.erasure("esd", name)
    assert erasure is not None and erasure.sheet is not None
    page.mouse.click(*page.evaluate(NODE_JS, name))
    expect(page.locator("#selection h2")).to_have_text(name)
    rows = page.locator("#selection .victims").first.locator("li:not(.itself)")
    table = erasure.table.drop(index=name)
    worst = table[table["moved"] | (table["before"] & ~table["recognised"])]
    worst = worst.sort_values("distance", ascending=False, kind="stable").index[:8]
    assert rows.evaluate_all("rows => rows.map(row => row.dataset.concept)") == list(worst)
    for place, victim in enumerate(worst):
        style = rows.nth(place).locator(".tile").nth(1).get_attribute("style") or ""
        row, column = divmod(erasure.sheet.places[victim], erasure.sheet.columns)
        assert erasure.sheet.path.name in style and f"-{column * 44}px -{row * 44}px" in style, victim
    expect(page.locator("#concept-map .label.end").filter(has_text=worst[0]).first).to_be_visible()
    expect(page.locator("#locality .plot .scatterlayer path.point").first).to_be_visible()


def test_faces_flip_by_key_and_places_change(chooser: Page) -> None:
    page = chooser
    choose(page, "dog")
    expect(page.locator("#counting")).to_contain_text("Erasing dog by ESD")
    assert face(page) == "changed"
    page.locator("#concept-map .cg").focus()
    page.keyboard.down("f")
    expect(page.locator("#concept-map .cg")).to_have_attribute("data-face", "original")
    page.keyboard.up("f")
    expect(page.locator("#concept-map .cg")).to_have_attribute("data-face", "changed")
    for title in ("By looks", "By side effects", "In rows by group", "By meaning"):
        before = page.evaluate(PLACES_JS)
        page.locator("#map-layout").get_by_text(title, exact=True).click()
        page.wait_for_function(f"before => JSON.stringify(({PLACES_JS})()) !== JSON.stringify(before)", arg=before)
    page.click("#map-more button")
    page.get_by_text("Heat map", exact=True).click()
    expect(page.locator("#heat-map .plot .heatmaplayer image")).to_be_visible()
    expect(page.locator("#concept-map")).to_be_hidden()
    page.get_by_text("Atlas", exact=True).click()
    expect(page.locator("#concept-map")).to_be_visible()


def test_erase_it_now_repaints_the_atlas_and_follows_the_strength(chooser: Page) -> None:
    page = chooser
    choose(page, "pizza")
    expect(page.locator("#selection h2")).to_have_text("pizza")
    page.click("#erase-now")
    status = page.locator("#now-status")
    page.wait_for_function(DRAWN_AND_COUNTED_JS, timeout=RUN_MS)
    expect(page.locator("#by")).to_contain_text("UCE")
    expect(page.locator("#selection .victims .itself")).to_contain_text("erased")
    page.fill("#strength input[type=number]", "0.25")
    page.keyboard.press("Enter")
    expect(status).to_contain_text("strength 0.25: 24 of the 24 nearest pictures", timeout=RUN_MS)
    page.wait_for_timeout(1500)
    expect(status).to_contain_text("strength 0.25: 24 of the 24")  # the first drawing has ended
    expect(page.locator("#erase-now")).to_be_enabled()


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The folder of another model, and a file of concepts."""
    folder, concepts = tmp_path_factory.mktemp("model"), tmp_path_factory.mktemp("concepts") / "mine.csv"
    build_tiny_sd(tmp_path_factory.mktemp("tokenizer"), "v_prediction").save_pretrained(folder)
    rows = [f"{name},thing,thing,{word}" for name, word in (("dog", "puppy"), ("wolf", ""), ("fox", ""), ("pizza", ""))]
    concepts.write_text("\n".join(["name,group,general,synonyms", *rows]))
    return str(folder), str(concepts)


def test_two_people_duel_over_an_erased_concept(chooser: Page) -> None:
    page = chooser
    open_tab(page, "Duel")
    expect(page.locator("#duel-target button")).to_have_count(30)
    expect(page.locator("#duel-erase")).to_be_disabled()
    page.locator("#duel-target button").first.click()
    page.click("#duel-erase:not([disabled])")
    expect(page.locator("#duel-board")).to_contain_text("10 questions left", timeout=RUN_MS)
    expect(page.locator("#duel-target")).to_be_hidden()  # the choice is not to be seen
    page.fill("#duel-question input, #duel-question textarea", "a dog")
    page.click("#duel-ask")
    expect(page.locator("#messages")).to_contain_text("may not name what was erased")
    page.fill("#duel-question input, #duel-question textarea", "an emoji of a puppy")
    page.keyboard.press("Enter")
    expect(page.locator("#duel-board")).to_contain_text("9 questions left", timeout=RUN_MS)
    expect(page.locator("#duel-board .pair img")).to_have_count(3)  # the original, the edited, and the original held
    page.click("#duel-again")
    expect(page.locator("#duel-target button")).to_have_count(30)
    open_tab(page, "Concept")


def open_model(page: Page, model: str, concepts: str | Path = "") -> None:
    if not page.is_visible("#open-model"):
        page.click("#model-chip")
    page.fill("#model-name input", model)
    page.keyboard.press("Enter")
    expect(page.locator("#probe-name input")).to_have_value("microsoft/resnet-50")
    page.click("#probe-name input")
    page.get_by_role("option", name="none", exact=True).click()
    if concepts:
        page.set_input_files("#own-concepts input[type=file]", concepts)
        expect(page.locator("#own-concepts")).to_contain_text("csv")
    page.click("#open-model")


def test_another_model_opens_for_one_page_alone_and_its_map_is_measured_there(
    page: Page, visitor: BrowserContext, address: str, other_model: tuple[str, str], tmp_path: Path
) -> None:
    open_model(page, "CompVis/stable-diffusion-v1-4")
    expect(page.locator("#messages")).to_contain_text("connect to the internet", timeout=RUN_MS)
    assert page.locator("#model-opened").inner_text().startswith("Open: emoji with 450 concepts")
    bad = tmp_path / "bad.csv"
    bad.write_text("name,group,general,synonyms\ndog,thing,thing,\ndog,thing,thing,\n")
    open_model(page, other_model[0], bad)
    expect(page.locator("#messages")).to_contain_text("'dog' is in line 2 already", timeout=RUN_MS)
    page.click("#own-concepts button[aria-label=Clear]")
    open_model(page, *other_model)
    expect(page.locator("#model-opened")).to_contain_text("4 concepts (mine)", timeout=RUN_MS)
    expect(page.locator("#model-opened")).to_contain_text("No probe")
    page.wait_for_function("document.querySelector('#concept-map .plot').data[0].customdata.length === 4")
    page.wait_for_function(f"({INK_JS})() > 500", timeout=RUN_MS)  # its atlas is drawn on opening
    expect(page.locator("#build-status")).to_contain_text("not measured for 4 of the 4 concepts")
    page.click("#build-button")
    expect(page.locator("#build-graph").first).to_be_hidden(timeout=RUN_MS)
    expect(page.locator("#map-caption")).to_contain_text("beyond the noise floor")
    choose(page, "wolf")  # while the page is still told of what it shows after measuring
    expect(page.locator("#own-pictures h3")).to_have_text("What the model draws of wolf", timeout=RUN_MS)
    page.click("#map-more button")
    page.check("#map-unclear input")  # a random model has no clear side effects
    expect(page.locator("#concept-map svg.arrows circle.end")).to_have_count(3)
    clips = page.locator(".plot [clip-path]").evaluate_all("parts => parts.map(part => part.getAttribute('clip-path'))")
    assert clips and not any("://" in clip for clip in clips), "dots vanish when the page's address changes"

    open_tab(page, "Erase")
    set_method(page, "UCE")
    page.click("#erase-button")
    expect(page.locator("#live-status")).to_contain_text("Done: wolf was erased", timeout=RUN_MS)
    open_tab(page, "Compare")
    page.click("#compare-button")
    expect(page.locator("#compare-drawn")).to_contain_text("No probe judged this pair", timeout=RUN_MS)
    page.click("#judge-button")
    expect(page.locator("#messages")).to_contain_text("opened without one", timeout=RUN_MS)

    other = open_page(visitor, address)  # of the same person: the model belongs to the page, the runs to the person
    assert other.evaluate("document.querySelector('#concept-map .plot').data[0].customdata.length") == 450
    open_tab(other, "Runs")
    expect(other.locator("#run-choice input")).to_have_value("wolf-uce-001")
    other.click("#open-run")
    expect(other.locator("#messages")).to_contain_text("open that model first")


def test_addresses_are_untrusted(visitor: BrowserContext, address: str) -> None:
    page = open_page(visitor, f"{address}/?concept=<img src=x onerror=alert(1)>&run=../../etc&tab=nowhere")
    expect(page.locator("#messages")).to_contain_text("no run '../../etc'")
    assert picked(page) and not page.locator("#messages img").count()
    other = open_page(visitor, f"{address}/?concept=<img src=x onerror=alert(1)>")
    expect(other.locator("#messages")).to_contain_text("no concept '<img src=x")
    open_tab(other, "Runs")
    expect(other.locator("#run-choice input")).to_have_value("dog-age")  # the page is complete, and it still says so
    expect(other.locator("#messages")).to_contain_text("no concept '<img src=x")
    assert not other.locator("#messages img").count()


@pytest.fixture(scope="module")
def phone(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as context:
        yield context


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_everything_without_scrolling_sideways(phone: BrowserContext, address: str, theme: str) -> None:
    page = open_page(phone, f"{address}/?__theme={theme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    name = page.evaluate(LONELY_JS, picked(page))
    page.locator("#concept-map").scroll_into_view_if_needed()
    page.touchscreen.tap(*page.evaluate(NODE_JS, name))
    expect(page.locator("#selection h2")).to_have_text(name)
    for tab in ("Erase", "Compare", "Learn", "Duel", "Runs", "Concept"):
        open_tab(page, tab)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
