"""The app on other people's machines and in other people's pages: proxies, foreign folders, odd paths, no storage."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from app_page import ROOT, started
from browser_support import PATIENCE_MS
from playwright.sync_api import Browser, BrowserContext, Page, expect

pytest_plugins = ["browser_fixtures"]
pytestmark = pytest.mark.browser

BLOCKED_JS = """for (const storage of ['localStorage', 'sessionStorage'])
  Object.defineProperty(window, storage, {get() { throw new DOMException('denied', 'SecurityError'); }});"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app where much is in its way: a proxy that is none, no home, a temporary folder that is a file."""
    house = tmp_path_factory.mktemp("house")
    (house / "taken").write_text("no folder")
    odd = house / "a b #1 100%41 ü'c"
    odd.mkdir()
    (odd / "age").symlink_to(ROOT, target_is_directory=True)
    hostile = {
        "ALL_PROXY": "socks://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
        "SSL_CERT_FILE": "/nowhere/cert.pem",
        "GRADIO_TEMP_DIR": str(house / "taken" / "gradio"),
        "HOME": "/proc/none",
        "AGE_RUNS": str(odd / "runs"),
    }
    log = house / "log.txt"
    with pytest.MonkeyPatch.context() as outside:
        for name in [name for name in os.environ if name.startswith("XDG_")]:
            outside.delenv(name)
        with started(odd / "age" / "app.py", odd, log, hostile) as address:
            yield address
            assert "Traceback" not in log.read_text()


def visit(context: BrowserContext, address: str) -> Page:
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    page.wait_for_selector("#concept-map .cg[data-ready=yes]", timeout=PATIENCE_MS)
    page.wait_for_selector("#own-pictures img", timeout=PATIENCE_MS)
    return page


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One for all tests: a new one would read and compile the page's scripts anew."""
    with browser.new_context() as context:
        yield context


@pytest.fixture(scope="module")
def blocked(browser: Browser) -> Iterator[BrowserContext]:
    """The same where storage is blocked."""
    with browser.new_context() as context:
        context.add_init_script(BLOCKED_JS)
        yield context


def test_where_storage_is_blocked_the_page_comes_up_every_time(blocked: BrowserContext, address: str) -> None:
    errors: list[str] = []
    blocked.on("weberror", lambda error: errors.append(str(error.error)))
    for _ in range(3):
        page = visit(blocked, address)
        page.get_by_role("tab", name="Runs").click()
        expect(page.locator("#run-table")).to_contain_text("shipped")
        page.close()
    assert not errors, errors


@pytest.fixture
def other_site(address: str) -> Iterator[str]:
    """A page of another host that shows the app in a frame."""

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f'<iframe src="{address}/" width=1200 height=800></iframe>'.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


def test_in_a_frame_of_another_site_too(blocked: BrowserContext, other_site: str) -> None:
    page = blocked.new_page()
    page.goto(other_site)
    frame = page.frame_locator("iframe")
    frame.locator("#own-pictures img").first.wait_for(timeout=PATIENCE_MS)
    page.close()


def test_where_there_is_storage_a_person_stays_the_same(context: BrowserContext, address: str) -> None:
    context.add_init_script("localStorage.setItem('age-owner', 'U2FsdGVkX1/of an earlier version')")
    tokens = []
    for _ in range(2):
        page = visit(context, address)
        page.wait_for_function("localStorage.getItem('age-token')")
        tokens.append(page.evaluate("localStorage.getItem('age-token')"))
        page.close()
    assert tokens[0] == tokens[1] and re.fullmatch("[0-9a-f]{32}", tokens[0])


def test_pictures_and_charts_are_served_from_an_odd_path(context: BrowserContext, address: str) -> None:
    failed: list[str] = []
    context.on("response", lambda got: failed.append(got.url) if got.status >= 400 else None)
    page = visit(context, address)
    page.wait_for_function("window.Plotly && document.querySelector('#locality .main-svg')", timeout=PATIENCE_MS)
    page.click("#erase-now")  # pictures that are made while the page runs
    expect(page.locator("#now-status")).to_contain_text("Drawn anew: ", timeout=PATIENCE_MS)
    page.close()
    assert not failed, failed


NO_CONCEPTS = {
    "empty.csv": b"",
    "binary.csv": bytes(range(256)) * 40,
    "picture.csv": b"\x89PNG\r\n\x1a\n" + bytes(2000),
}


def test_a_file_that_holds_no_concepts_is_refused_in_a_sentence(
    context: BrowserContext, address: str, tmp_path: Path
) -> None:
    page = visit(context, address)
    page.click("#model-chip")
    for name, content in NO_CONCEPTS.items():
        (tmp_path / name).write_bytes(content)
        page.set_input_files("#own-concepts input[type=file]", tmp_path / name)
        expect(page.locator("#own-concepts")).to_contain_text(name[:4])
        page.click("#open-model")
        expect(page.locator("#messages")).to_contain_text(name)
        expect(page.locator("#model-status")).to_have_text("")
        assert "/" not in page.locator("#messages").inner_text()  # no folder of the server
        page.click("#own-concepts button[aria-label=Clear]")
    page.close()
