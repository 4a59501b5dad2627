"""How quick the explorer is: start, clicks, live updates, and what watching a run costs, in a real Chromium.

    python benchmarks/app_speed.py                         # idle machine; two minutes

Starts app.py twice, so that the second start has its imports cached, and opens it; picks concepts on the map; erases
one by the balanced preset while it counts the updates that the page shows; and runs the same erasure by the library
alone, in a process of its own, before and after.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
ALONE = """
import sys
from age_core import ConceptSet, load_pipeline, start_run
pipe, world = load_pipeline("emoji"), ConceptSet.load("emoji")
_, events = start_run(pipe, sys.argv[1], "age", sys.argv[2], world, "emoji", preset="balanced", seed=0)
*_, last = events
print(last.elapsed_s)
"""
# Where a concept's dot is; and a stopwatch that the press of the mouse starts and the answer in the panel stops.
PLACE_JS = """name => {
  const plot = document.querySelector('#concept-map .plot'), box = plot.getBoundingClientRect();
  const {xaxis, yaxis} = plot._fullLayout, dots = plot.data[0], i = dots.customdata.indexOf(name);
  const panel = document.querySelector('#selection');
  let from = 0;
  window.addEventListener('pointerdown', () => { from = performance.now(); }, {capture: true, once: true});
  window.answer = new Promise(done => {
    const watch = new MutationObserver(() => {
      if (panel.querySelector('h2')?.textContent !== name) return;
      watch.disconnect(); requestAnimationFrame(() => done(performance.now() - from));
    });
    watch.observe(panel, {subtree: true, childList: true, characterData: true});
  });
  return [box.x + xaxis._offset + xaxis.d2p(dots.x[i]), box.y + yaxis._offset + yaxis.d2p(dots.y[i])];
}"""
COUNT_JS = """() => {
  window.shown = [];
  new MutationObserver(() => {
    const text = document.querySelector('#live-status')?.textContent || '';
    if (/step \\d+ of/.test(text) && window.shown.at(-1)?.[1] !== text) window.shown.push([performance.now(), text]);
  }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


@contextmanager
def app(runs: str) -> Iterator[tuple[str, float]]:
    """Its address, and seconds until it said so."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place = {"GRADIO_SERVER_PORT": str(port), "AGE_RUNS": runs, "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}
    began = time.monotonic()
    server = subprocess.Popen(
        [sys.executable, "app.py"], cwd=ROOT, env=os.environ | place, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    try:
        assert server.stdout
        for line in server.stdout:
            if found := re.search(r"open at (http\S+)", line):
                yield found[1], time.monotonic() - began
                return
        raise SystemExit("The app did not start.")
    finally:
        server.terminate()
        server.wait(20)


def alone(concept: str) -> float:
    """Seconds of the same erasure without the app."""
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-c", ALONE, place, concept]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def in_page(page: Page, address: str, concept: str, picks: list[str], started: float) -> float:
    """Prints what was seen; answers the seconds of the erasure."""
    began = time.monotonic()
    page.goto(address)
    page.wait_for_selector("#concept-map .cg[data-ready=yes]")
    print(f"python app.py to its address {started:.1f} s, the map usable {time.monotonic() - began:.1f} s later")
    page.wait_for_selector("#own-pictures img")
    page.wait_for_timeout(1000)
    times = []
    for name in picks:
        page.mouse.click(*page.evaluate(PLACE_JS, name))
        times.append(page.evaluate("window.answer"))
        page.wait_for_timeout(300)
    print(f"click to answer: median {statistics.median(times):.0f} ms, slowest {max(times):.0f} ms of {len(times)}")
    page.get_by_role("tab", name="Erase").click()
    page.wait_for_timeout(500)
    page.evaluate(COUNT_JS)
    page.click("#erase-button")
    page.wait_for_function(
        "document.querySelector('#live-status')?.textContent.includes('was erased in')", timeout=300_000
    )
    shown = page.evaluate("window.shown")
    rate = (len(shown) - 1) / ((shown[-1][0] - shown[0][0]) / 1000)
    print(f"live: {len(shown)} updates shown, {rate:.1f} a second")
    (config,) = [path for path in Path(os.environ["AGE_RUNS"]).glob(f"*/{concept}-age-*") if path.is_dir()]
    lines = (config / "events.jsonl").read_text().splitlines()
    return float(re.findall(r'"elapsed_s": ([0-9.]+)', lines[-1])[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--concept", default="dog")
    args = parser.parse_args()
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    chromium = next((found for name in names if name and (found := shutil.which(name))), None)
    before = alone(args.concept)
    with tempfile.TemporaryDirectory() as runs, sync_playwright() as playwright:
        os.environ["AGE_RUNS"] = runs
        with app(runs):
            pass
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.set_default_timeout(60_000)
        with app(runs) as (address, started):
            picks = ["cat", "guitar", "pizza", "castle", "rocket", "violin", "apple", "car", args.concept]
            watched = in_page(page, address, args.concept, picks, started)
        browser.close()
    after = alone(args.concept)
    plain = (before + after) / 2
    print(f"the same run alone {before:.1f} and {after:.1f} s, in the app {watched:.1f} s: {watched / plain:.2f} times")


if __name__ == "__main__":
    main()
