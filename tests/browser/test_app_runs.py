"""Erasing in the real app: a run from its prediction to its comparison, two people, closed pages, and bad input."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from app_page import RUN_MS, choose, open_page, open_tab, picked, set_method, set_preset, set_steps
from playwright.sync_api import Browser, BrowserContext, Page, expect

pytest_plugins = ["browser_fixtures", "app_fixtures"]
pytestmark = pytest.mark.browser


def test_a_run_is_predicted_stopped_resumed_finished_seen_again_and_compared(page: Page) -> None:
    choose(page, "dog")
    expect(page.locator("#selection h2")).to_have_text("dog")
    set_steps(page, 16)
    set_preset(page, "Fast")
    page.click("#predict-button")
    expect(page.locator("#predicted")).to_contain_text("hot dog", timeout=RUN_MS)
    page.click("#erase-button")
    status = page.locator("#live-status")
    expect(status).to_contain_text(re.compile(r"Erasing dog: step \d+ of 16"), timeout=RUN_MS)
    before = page.inner_html("#live-targets")
    page.wait_for_function("html => document.querySelector('#live-targets').innerHTML !== html", arg=before)
    assert page.locator("#live-targets li[data-share]").count() == 15
    assert page.locator("#live-targets li .tile[role=img]").count() == 15  # candidates as pictures
    expect(page.locator("#concept-map .lit circle").first).to_be_visible()  # and glowing on the atlas
    pressed = time.monotonic()
    page.click("#stop-button")
    expect(status).to_contain_text(re.compile(r"Stopped at step \d+ of 16"))
    assert time.monotonic() - pressed < 5  # 2 s on an idle machine
    expect(page.locator("#erase-button")).to_be_enabled()
    page.click("#resume-button")
    expect(status).to_contain_text("Done: dog was erased in 16 steps", timeout=RUN_MS)
    assert page.locator("#live-previews img").count() == 9  # the concept and its eight nearest
    expect(page.locator("#now-status")).to_contain_text("Drawn anew", timeout=RUN_MS)  # the atlas, as the run draws it
    expect(page.locator("#by")).to_contain_text("dog-age-")
    for name in ("cat", "dog"):  # away and back, which ends the drawing
        choose(page, name)
        expect(page.locator("#selection h2")).to_have_text(name)
    expect(page.locator("#live-history polyline")).to_have_count(5)
    page.fill("#scrub input[type=number]", "10")
    page.keyboard.press("Enter")
    expect(status).to_contain_text("Recorded: dog, step 10 of 16")
    expect(page.locator("#live-previews h3")).to_contain_text("step 10")

    open_tab(page, "Compare")
    page.click("#compare-button")
    expect(page.locator("#compare-grid .recorded tr[data-kind=erased]")).to_contain_text("dog")  # there at once
    erased = page.locator("#compare-drawn .pair[data-kind=erased]")
    expect(erased).to_be_visible(timeout=RUN_MS)
    pictures = erased.locator("img")
    assert pictures.nth(0).get_attribute("src") != pictures.nth(1).get_attribute("src"), "drawn exactly as before"
    assert pictures.nth(0).get_attribute("src") == pictures.nth(2).get_attribute("src"), "held: the original"
    expect(erased).to_contain_text("Erased: no longer recognised")
    kinds = page.locator("#compare-drawn .pair").evaluate_all("cards => cards.map(card => card.dataset.kind)")
    assert kinds.count("synonym") == 2 and kinds.count("near") == 4 and kinds.count("far") == 2
    assert all(re.search(r"[✓✗] .+ \d+%", text) for text in page.locator("#compare-drawn figcaption").all_inner_texts())
    page.locator("#pair-slider").scroll_into_view_if_needed()
    expect(page.locator("#pair-slider img").first).to_be_visible()

    page.fill("#own-prompt textarea", "an emoji of a red house\nquantum")
    page.click("#compare-button")
    expect(page.locator("#compare-drawn .pair[data-kind=own]")).to_have_count(2, timeout=RUN_MS)
    expect(page.locator("#compare-drawn .hint")).to_contain_text("quantum: Outside this model's world")
    page.click("#judge-button")
    expect(page.locator("#scores tbody tr")).to_have_count(2, timeout=RUN_MS)
    expect(page.locator("#prediction-scatter .plot .scatterlayer path.point").first).to_be_visible()


def test_a_run_is_renamed_exported_imported_and_deleted(chooser: Page, tmp_path: Path) -> None:
    page = chooser
    choose(page, "guitar")
    set_steps(page, 4)
    set_method(page, "UCE")
    page.click("#erase-button")
    expect(page.locator("#live-status")).to_contain_text("Done: guitar", timeout=RUN_MS)
    open_tab(page, "Runs")
    expect(page.locator("#run-choice input")).to_have_value("guitar-uce-001")
    page.fill("#new-name input, #new-name textarea", "../guitar")
    page.click("#rename-run")
    expect(page.locator("#messages")).to_contain_text("cannot name a folder")
    page.fill("#new-name input, #new-name textarea", "my guitar")
    page.click("#rename-run")
    expect(page.locator("#run-choice input")).to_have_value("my guitar")
    page.click("#export-run")
    expect(page.locator("#download-run")).to_be_visible(timeout=RUN_MS)
    with page.expect_download() as caught:
        page.click("#download-run")
    bundle = tmp_path / "bundle.zip"
    caught.value.save_as(bundle)
    page.click("#delete-run")
    expect(page.locator("#delete-text")).to_contain_text("my guitar")
    page.click("#delete-no")
    expect(page.locator("#delete-sure").first).to_be_hidden()  # Gradio gives a group's name to two elements
    page.click("#delete-run")
    page.click("#delete-yes")
    expect(page.locator("#runs-status")).to_contain_text("was deleted")
    page.set_input_files("#import-run input[type=file]", bundle)
    expect(page.locator("#runs-status")).to_contain_text("Imported as", timeout=RUN_MS)
    page.click("#open-run")
    expect(page.locator("#where")).to_contain_text("guitar")
    open_tab(page, "Runs")
    broken = tmp_path / "broken.zip"
    broken.write_bytes(bundle.read_bytes()[:-200])
    page.set_input_files("#import-run input[type=file]", broken)
    expect(page.locator("#messages .message")).to_be_visible(timeout=RUN_MS)
    choose(page, "cat")  # which ends the drawing of every picture without guitars


def test_two_people_wait_for_each_other_and_see_only_their_own(browser: Browser, page: Page, address: str) -> None:
    ben = browser.new_context()
    first, second = page, open_page(ben, address)
    for page, steps in ((first, 500), (second, 20)):
        set_steps(page, steps)
        set_preset(page, "Fast")
        set_method(page, "fixed target: empty")  # without a look-ahead, as nothing here is about the target
    first.click("#erase-button")
    expect(first.locator("#live-status")).to_contain_text("Erasing", timeout=RUN_MS)
    second.click("#erase-button")
    expect(second.locator("#live-status")).to_contain_text("Waiting: one run is before yours")
    second.click("#stop-button")
    open_tab(second, "Runs")
    assert not second.locator("#run-table").get_by_text("-empty-002").count()
    first.click("#stop-button")
    expect(first.locator("#live-status")).to_contain_text("Stopped")
    expect(second.locator("#live-status")).to_contain_text("Stopped before the first step")
    for page in (first, second):
        choose(page, "cat")
        expect(page.locator("#counting")).to_contain_text("Erasing cat by ESD")
        open_tab(page, "Concept")
    first.click("#erase-now")
    expect(first.locator("#counting")).to_contain_text("Erasing cat by UCE", timeout=RUN_MS)
    expect(first.locator("#by")).to_contain_text("UCE")
    for name in ("wolf", "cat"):  # away and back, so that the page asks for the concept's faces again
        choose(second, name)
        expect(second.locator("#selection h2")).to_have_text(name)
    expect(second.locator("#counting")).to_contain_text("Erasing cat by ESD")
    expect(second.locator("#by")).not_to_contain_text("UCE")
    ben.close()


def test_a_run_that_was_kept_goes_on_without_its_page_and_is_found_again(visitor: BrowserContext, address: str) -> None:
    page = open_page(visitor, address)
    set_steps(page, 10)  # which may end before a page is there again
    set_preset(page, "Fast")
    set_method(page, "fixed target: empty")
    page.check("#keep-running input")
    page.click("#erase-button")
    expect(page.locator("#live-status")).to_contain_text("Erasing", timeout=RUN_MS)
    page.close()
    again = open_page(visitor, address, settled=False)
    open_tab(again, "Erase")
    expect(again.locator("#live-status")).to_contain_text(re.compile("Erasing|Done"), timeout=RUN_MS)
    expect(again.locator("#live-status")).to_contain_text("erased in 10 steps", timeout=RUN_MS)


def test_bad_input_is_answered_in_a_sentence_and_loses_nothing(page: Page) -> None:
    message = page.locator("#messages")
    choose(page, "dog")
    expect(page.locator("#selection h2")).to_have_text("dog")
    choose(page, "<b>grue</b>")
    expect(message).to_contain_text("<b>grue</b>")
    expect(page.locator("#concept-search input")).to_have_value("dog")
    assert picked(page) == "dog"

    open_tab(page, "Compare")
    page.uncheck("#erasers input")
    for button in ("#compare-button", "#judge-button"):
        page.click(button)
        expect(message).to_contain_text("Erase a concept first")
    expect(page.locator(".toast-message-item").first).to_be_visible()
    page.get_by_role("tab", name="Erase").click(timeout=3000)  # what says so, for ten seconds, lies over nothing
    expect(page.locator(".toast-message-item").first).to_be_visible()

    set_steps(page, -3)
    page.click("#erase-button")
    expect(message).to_contain_text("-3")
    expect(page.locator("#erase-button")).to_be_enabled()
    set_steps(page, 5)
    page.fill("#rate input, #rate textarea", "-1")
    page.click("#erase-button")
    expect(message).to_contain_text("'lr' must be above 0")
    page.fill("#rate input, #rate textarea", "")
    page.fill("#keeping input, #keeping textarea", "much")
    page.click("#erase-button")
    expect(message).to_contain_text("weight of preserving must be a number or blank, not 'much'")
    page.fill("#keeping input, #keeping textarea", "")

    set_method(page, "fixed target: empty")
    page.fill("#fixed-target input, #fixed-target textarea", "dog")
    page.click("#erase-button")
    expect(message).to_contain_text("its own target", timeout=RUN_MS)
    page.fill("#fixed-target input, #fixed-target textarea", "cat")
    page.click("#erase-button")
    expect(page.locator("#live-status")).to_contain_text("Done: dog was erased in 5 steps", timeout=RUN_MS)
    expect(message).to_be_empty()
    open_tab(page, "Compare")
    expect(page.locator("#erasers input:checked")).to_have_count(1)
    page.fill("#own-prompt textarea", "a cat\n" * 9)
    page.click("#compare-button")
    expect(message).to_contain_text("9 prompts are too many at once: give at most 8 lines.", timeout=RUN_MS)
    open_tab(page, "Runs")
    page.click("#rename-run")
    expect(message).to_contain_text("cannot name a folder")
