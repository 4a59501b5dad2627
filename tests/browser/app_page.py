"""The running app, started as a person starts it, and what a person does on its page, for the browser tests."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from browser_support import PATIENCE_MS
from playwright.sync_api import Browser, BrowserContext, Page

ROOT = Path(__file__).parents[2]
START_S = 240  # a cold start compiles the map's layout
RUN_MS = 240_000
STEPS = "#steps input, #steps textarea"


@contextmanager
def started(
    app: Path, folder: Path, log: Path, environment: Mapping[str, str], python: str = sys.executable
) -> Iterator[str]:
    """The address that `app` prints, started in `folder` on a free port; `environment` is added to this process's."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {"GRADIO_SERVER_PORT": str(port), "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("w") as output:
        server = subprocess.Popen(
            [python, str(app)],
            cwd=folder,
            env={**os.environ, **own, **environment},
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


def open_page(context: BrowserContext, url: str, settled: bool = True) -> Page:
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    # a page that finds a run going on turns to it, which may hide the map before it is seen
    page.wait_for_selector(
        "#concept-map .cg[data-ready=yes]", timeout=PATIENCE_MS, state="visible" if settled else "attached"
    )
    if settled:
        page.wait_for_selector("#own-pictures img", timeout=PATIENCE_MS)  # what a fresh page is sent last
    return page


@contextmanager
def watched(browser: Browser, address: str) -> Iterator[BrowserContext]:
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


def open_tab(page: Page, name: str) -> None:
    tab = page.get_by_role("tab", name=name)
    if not tab.is_visible():  # on a phone, behind a button
        page.click("#tabs .overflow-menu > button")
        tab = page.locator("#tabs .overflow-menu button", has_text=name)
    tab.click()


def choose(page: Page, name: str) -> None:
    page.fill("#concept-search input", name)
    page.keyboard.press("Enter")


def set_steps(page: Page, steps: int) -> None:
    open_tab(page, "Erase")
    if not page.is_visible(STEPS):
        page.click("#advanced button")
    page.fill(STEPS, str(steps))
    page.keyboard.press("Tab")


def set_method(page: Page, label: str) -> None:
    page.click("#method input")
    page.get_by_role("option", name=label, exact=True).click()


def set_preset(page: Page, label: str) -> None:
    page.locator("#preset").get_by_text(label, exact=True).click()


def picked(page: Page) -> str:
    return page.inner_text("#selection h2")
