"""Three people use the app for long: does its memory, or that of their pages, grow?

    python -m benchmarks.faults.soak --minutes 60

Each in a browser context of their own, in turn: clicks on the atlas, an erasure by closed form that is watched for a
while, a bundle that is imported, opened and deleted again. Once a minute: resident memory of the server, and of each
page the live part of its JavaScript heap after a collection, the elements of its document and its event listeners.
Rows: faults-soak.csv, whose slopes `--slopes` reads again.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from age_core.runs.bundle import export_bundle
from age_core.runs.run import list_runs
from age_core.serve.stored import shipped_runs
from benchmarks.common import chromium
from benchmarks.faults.common import RESULTS, App, add_row, memory_mb, serve
from benchmarks.faults.slopes import MEASURED, slopes

PEOPLE = 3
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
NAMES_JS = "() => [...document.querySelector('#concept-map .plot').data[0].customdata]"
SHOWN_JS = """() => ['#selection h2', '#now-status', '#runs-status', '#messages', '#delete-text'].map(
  part => document.querySelector(part)?.textContent).concat(document.querySelector('#concept-search input').value)"""
NOW_JS = "() => /Drawn anew|are drawn anew/.test(document.querySelector('#now-status')?.textContent)"


def open_page(browser: Browser, address: str) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(60_000)
    page.goto(address)
    page.wait_for_selector("#concept-map .cg[data-ready=yes]", timeout=120_000)
    page.wait_for_selector("#own-pictures img", timeout=180_000)
    return page


def pick(page: Page, chance: random.Random, of: int | None = None) -> None:
    """Turn to other concepts, as clicks and the search do; to some of the first `of` alone, unless it is None."""
    names = page.evaluate(NAMES_JS)[:of]
    for name in chance.sample(names, 3):
        page.fill("#concept-search input", name)
        page.keyboard.press("Enter")
        page.wait_for_function("name => document.querySelector('#selection h2')?.textContent === name", arg=name)
    page.click("#pick-another")
    page.wait_for_timeout(500)


def erase_now(page: Page, chance: random.Random) -> None:
    """Erase by a closed form, watch its first pictures come, and turn away."""
    page.click("#erase-now:not([disabled])")
    page.wait_for_function(NOW_JS)
    page.wait_for_timeout(chance.randrange(500, 3000))
    page.click("#pick-another")


def take_in(page: Page, bundle: Path) -> None:
    """Import a bundle, open its run and delete it."""
    page.get_by_role("tab", name="Runs").click()
    page.set_input_files("#import-run input[type=file]", bundle)
    page.wait_for_function("() => document.querySelector('#runs-status')?.textContent.includes('Imported')")
    page.click("#open-run")
    page.wait_for_function("() => document.querySelector('#runs-status')?.textContent.includes('is open')")
    page.get_by_role("tab", name="Runs").click()
    page.click("#delete-run")
    page.click("#delete-yes")
    page.wait_for_function("() => document.querySelector('#runs-status')?.textContent.includes('was deleted')")


def sample(app: App, pages: list[Page], minute: float, done: int) -> dict[str, Any]:
    """A row of the curve: the means over the pages, after a collection of garbage in each."""
    totals = dict.fromkeys(MEASURED[1:], 0.0)
    for page in pages:
        session = page.context.new_cdp_session(page)
        for command in ("HeapProfiler.enable", "HeapProfiler.collectGarbage", "Performance.enable"):
            session.send(command)
        metrics = {item["name"]: item["value"] for item in session.send("Performance.getMetrics")["metrics"]}
        session.detach()
        totals["heap_mb"] += metrics["JSHeapUsedSize"] / 1e6 / len(pages)
        totals["elements"] += metrics["Nodes"] / len(pages)
        totals["listeners"] += metrics["JSEventListeners"] / len(pages)
    row = {"minute": round(minute, 2), "done": done, "server_mb": round(memory_mb(app.pid), 1)}
    return row | {name: round(value, 1) for name, value in totals.items()}


def soak(app: App, bundle: Path, minutes: float, out: Path) -> None:
    chance, done, began = random.Random(0), 0, time.monotonic()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        pages = [open_page(browser, app.address) for _ in range(PEOPLE)]
        next_sample = 0.0
        while (minute := (time.monotonic() - began) / 60) < minutes:
            if minute >= next_sample:
                add_row(out, row := sample(app, pages, minute, done))
                print(row, flush=True)
                next_sample = minute + 1
            acts: list[Callable[[Page], None]] = [
                lambda page: pick(page, chance),
                lambda page: pick(page, chance),
                lambda page: erase_now(page, chance),
                lambda page: take_in(page, bundle),
            ]
            for number, page in enumerate(pages):
                try:
                    page.get_by_role("tab", name="Concept").click()
                    acts[done % len(acts)](page)
                except PlaywrightError as error:  # a slow machine; the next act begins anew
                    print(f"page {number}, act {done}:", str(error)[:300], page.evaluate(SHOWN_JS), flush=True)
            done += 1
        add_row(out, sample(app, pages, minutes, done))
        browser.close()
    if "Traceback" in app.log:
        print(app.log[-3000:])


def main() -> None:
    args = make_parser().parse_args()
    if not args.slopes:
        args.out.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory() as place, serve(Path(place) / "app") as app:
            shipped = shipped_runs()
            assert shipped is not None  # a run comes with the bundled model
            soak(app, export_bundle(list_runs(shipped)[0], Path(place) / "bundle.zip"), args.minutes, args.out)
    print(slopes(pd.read_csv(args.out)).round(2).to_string(index=False))


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--slopes", action="store_true", help="only read the slopes of what was measured")
    parser.add_argument("--out", type=Path, default=RESULTS / "faults-soak.csv")
    return parser


if __name__ == "__main__":
    main()
