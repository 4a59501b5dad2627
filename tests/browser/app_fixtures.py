"""The app for the browser tests: one that runs, people who visit it, and a page that many tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from app_page import ROOT, open_page, started, watched
from playwright.sync_api import Browser, BrowserContext, Page


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("app")
    settings = {"AGE_RUNS": str(folder / "runs"), "GRADIO_MCP_SERVER": "true"}
    with started(ROOT / "app.py", ROOT, folder / "log.txt", settings) as address:
        yield address


@pytest.fixture(scope="module")
def warm(browser: Browser, address: str) -> Iterator[BrowserContext]:
    """One for the tests that need a person of their own: a new one would read and compile the page's scripts anew."""
    with watched(browser, address) as context:
        yield context


@pytest.fixture
def visitor(warm: BrowserContext) -> Iterator[BrowserContext]:
    """A person whom the app has never seen."""
    yield warm
    for page in warm.pages:
        page.evaluate("() => localStorage.clear()")
        page.close()
    warm.clear_cookies()


@pytest.fixture
def page(visitor: BrowserContext, address: str) -> Page:
    return open_page(visitor, address)


@pytest.fixture(scope="module")
def chooser(browser: Browser, address: str) -> Iterator[Page]:
    """One page for the tests that choose concepts, whatever was chosen before: a start takes seconds."""
    with watched(browser, address) as context:
        page = open_page(context, address)
        page.locator("#concept-map").scroll_into_view_if_needed()
        yield page
