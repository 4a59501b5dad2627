"""A Chromium for the browser tests, and for some of them the page of the map and the chart alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from app_page import ROOT, started
from browser_support import PATIENCE_MS
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from benchmarks.common import chromium

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def parts_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("parts") / "log.txt"
    with started(Path(__file__).with_name("map_page.py"), ROOT, log, {}) as address:
        yield address


@pytest.fixture(scope="module")
def opening(browser: Browser, parts_address: str) -> Iterator[Callable[..., Page]]:
    with watched(browser, parts_address) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def opened_once(opening: Callable[..., Page]) -> Callable[..., Page]:
    """Opens the page for tests that leave it as they found it: a start takes seconds.

    In a window of its own, as behind another page no frames are drawn.
    """
    return partial(opening, anew=True)


@pytest.fixture
def opened(opening: Callable[..., Page]) -> Iterator[Callable[..., Page]]:
    """Opens the page, anew for each test."""
    pages: list[Page] = []

    def open_page(*given, **options) -> Page:
        pages.append(opening(*given, **options))
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()


@contextmanager
def watched(browser: Browser, parts_address: str) -> Iterator[Callable[..., Page]]:
    """Pages that must talk to their own server alone and raise no script error.

    Those of the same options share what the browser keeps, unless one is to be opened `anew`: scripts that were read
    and compiled before take half as long.
    """
    hosts: set[str] = set()
    errors: list[str] = []
    complaints: list[tuple[str, str | None]] = []  # of the console, and how those begin that a test brings about
    contexts: dict[str, BrowserContext] = {}

    def context_of(options: dict[str, Any]) -> BrowserContext:
        context = browser.new_context(**options)
        context.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        context.on("weberror", lambda error: errors.append(str(error.error)))
        return context

    def open_page(query: str = "", excused: str | None = None, anew: bool = False, **options: Any) -> Page:
        options = {"viewport": {"width": 1000, "height": 900}, **options}
        key = f"{options} {len(contexts) if anew else ''}"
        context = contexts.get(key) or contexts.setdefault(key, context_of(options))
        page = context.new_page()
        page.on("console", lambda line: complaints.append((line.text, excused)) if line.type == "error" else None)
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{parts_address}/{query}")
        page.wait_for_selector("#concept-map .cg[data-ready=yes]", timeout=PATIENCE_MS)
        page.wait_for_selector("#concept-map .label")
        return page

    yield open_page
    for context in contexts.values():
        context.close()
    assert hosts <= {urlsplit(parts_address).netloc, ""}, f"requests went to other hosts: {hosts}"
    errors += [text for text, excused in complaints if not (excused and text.startswith(excused))]
    assert not errors, errors
