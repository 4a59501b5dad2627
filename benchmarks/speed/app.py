"""How quick the explorer is: start, clicks, live updates, and what watching a run costs, in a real Chromium.

    python -m benchmarks.speed.app                         # idle machine; ten minutes
    python -m benchmarks.speed.app --clicks 20             # six

Starts app.py twice, so that the second start has its imports cached, and opens it; picks concepts on the atlas; erases
one by a closed form and waits for its pictures, the first and all, and for those of another strength; starts four
erasures and stops them; makes one by the balanced preset while it counts the updates that the page shows, and one
by the method with the quickest steps. Then the same balanced erasure once more with its updates sent but not drawn,
since here the browser draws on the cores that train; and by the library alone, in a process of its own, before and
after all that.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Page, Route, sync_playwright

from age_core import ConceptSet
from age_core.serve.stored import recorded_world
from benchmarks.common import chromium

ROOT = Path(__file__).parents[2]
ALONE = """
import sys
from age_core import ConceptSet, load_pipeline, start_run
pipe, world = load_pipeline("emoji"), ConceptSet.load("emoji")
_, events = start_run(pipe, sys.argv[1], "age", sys.argv[2], world, "emoji", preset="balanced", seed=0)
*_, last = events
print(last.elapsed_s)
"""
# Where a concept is; and a stopwatch that the press of the mouse starts and the victims' pictures in the panel stop.
PLACE_JS = """name => {
  const plot = document.querySelector('#concept-map .plot'), box = plot.getBoundingClientRect();
  const {xaxis, yaxis} = plot._fullLayout, dots = plot.data[0], i = dots.customdata.indexOf(name);
  const panel = document.querySelector('#selection');
  let from = 0;
  window.addEventListener('pointerdown', () => { from = performance.now(); }, {capture: true, once: true});
  window.answer = new Promise((done, fail) => {
    setTimeout(() => fail(new Error(`a click on ${name} was not answered`)), 20000);
    const watch = new MutationObserver(() => {
      if (panel.querySelector('h2')?.textContent !== name || !panel.querySelector('.victims .tile')) return;
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
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=os.environ | place,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
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


def in_page(page: Page, address: str, picks: list[str], started: float) -> None:
    """Prints how soon the page is usable and answers clicks."""
    sizes: dict[str, int] = {}
    page.on("response", lambda answer: sizes.update({answer.url: int(answer.headers.get("content-length") or 0)}))
    began = time.monotonic()
    page.goto(address)
    page.wait_for_selector("#concept-map .cg[data-ready=yes]")
    print(f"python app.py to its address {started:.1f} s, the map usable {time.monotonic() - began:.1f} s later")
    told("click to answer while the model is opened", clicks(page, picks))
    page.wait_for_selector("#own-pictures img")
    print(f"the model's pictures {time.monotonic() - began:.1f} s after the address")
    ours = sum(size for url, size in sizes.items() if "file=" in url and "plotly" not in url)
    print(f"loaded by then {sum(sizes.values()) / 1e6:.1f} MB, of it our pictures {ours / 1e6:.2f} MB")
    page.wait_for_timeout(1000)
    told("click to answer after that", clicks(page, picks))


def clicks(page: Page, picks: list[str]) -> list[float]:
    """Milliseconds from the press of each to its answer."""
    times = []
    for name in picks:
        page.mouse.click(*page.evaluate(PLACE_JS, name))
        times.append(page.evaluate("window.answer"))
        page.wait_for_timeout(300)
    return times


def told(what: str, times: list[float]) -> None:
    slow = sorted(times)[max(int(0.95 * len(times)) - 1, 0)]
    print(f"{what}: median {statistics.median(times):.0f} ms, 95 % within {slow:.0f} ms, of {len(times)}")


def erased_now(page: Page) -> None:
    """Prints how soon a closed-form erasure shows its first changed pictures, all of them, and another strength."""
    status = "document.querySelector('#now-status')?.textContent"
    began = time.monotonic()
    page.click("#erase-now")
    page.wait_for_function(f"/Drawn anew: \\d+ of/.test({status})")
    first = time.monotonic() - began
    page.wait_for_function(f"/All \\d+ pictures/.test({status})", timeout=300_000)
    print(f"Erase it now: first changed pictures {first:.1f} s, all {time.monotonic() - began:.1f} s")
    began = time.monotonic()
    page.locator("#strength input[type=number]").fill("0.5")
    page.keyboard.press("Enter")
    page.wait_for_function(f"/24 of the 24 nearest/.test({status})")
    print(f"strength slider: the nearest 24 redrawn in {time.monotonic() - began:.1f} s")


def recorded_concepts() -> tuple[str, ...]:
    """Whose erasure was recorded, so that a click on them has victims to show."""
    world = recorded_world("emoji", ConceptSet.load("emoji"))
    return world.erased(world.methods[0]) if world else ()


def stopped(page: Page, at: str) -> float:
    """Milliseconds from the press of Stop, when the page tells of `at`, until it says that the run has stopped."""
    page.click("#erase-button")
    page.wait_for_function("at => document.querySelector('#live-status')?.textContent.includes(at)", arg=at)
    began = time.monotonic()
    page.click("#stop-button")
    page.wait_for_function("document.querySelector('#live-status')?.textContent.includes('Stopped')")
    return 1000 * (time.monotonic() - began)


def watched(page: Page, what: str) -> float:
    """Erase as the form stands and print how often the page shows something new; answers the seconds of the erasure."""
    before = set(recorded())
    page.evaluate(COUNT_JS)
    page.click("#erase-button")
    page.wait_for_function("document.querySelector('#stop-button').disabled === false")
    page.wait_for_function("document.querySelector('#erase-button').disabled === false", timeout=300_000)
    shown = page.evaluate("window.shown")
    seconds = (shown[-1][0] - shown[0][0]) / 1000
    (events,) = set(recorded()) - before
    steps = len(re.findall(r'"step": [1-9]', events.read_text()))
    print(f"{what}: {len(shown)} updates shown, {(len(shown) - 1) / seconds:.1f} a second, of {steps} steps")
    return elapsed(events)


def unwatched(page: Page) -> float:
    """Erase as the form stands, with every update sent and none drawn; answers the seconds of the erasure."""
    before, asked = set(recorded()), []

    def keep(route: Route) -> None:
        asked.append(route.request)
        route.abort()

    page.route("**/queue/join*", keep)
    page.click("#erase-button")
    page.wait_for_timeout(500)
    (request,) = asked
    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    browser, session_data = page.context.browser, request.post_data_json
    assert browser is not None and session_data is not None  # a launched page has one, and a join is a POST
    browser.close()
    with httpx.Client(timeout=None, cookies=cookies) as client:
        client.post(request.url, json=session_data).raise_for_status()
        session = {"session_hash": session_data["session_hash"]}
        with client.stream("GET", request.url.split("/queue/")[0] + "/queue/data", params=session) as stream:
            sent = []
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    sent.append(line)
                if '"process_completed"' in line:  # of the only event; the stream itself may stay open
                    break
    (events,) = set(recorded()) - before
    print(f"sent but not drawn: {len(sent)} messages, {sum(map(len, sent)) / 1e3:.0f} kB")
    return elapsed(events)


def recorded() -> list[Path]:
    """The events of every run so far."""
    return list(Path(os.environ["AGE_RUNS"]).glob("*/*/events.jsonl"))


def elapsed(events: Path) -> float:
    return float(re.findall(r'"elapsed_s": ([0-9.]+)', events.read_text())[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--concept", default="dog")
    parser.add_argument("--clicks", type=int, default=1000, help="on so many concepts at most, 151 as they are chosen")
    args = parser.parse_args()
    before = alone(args.concept)
    with tempfile.TemporaryDirectory() as runs, sync_playwright() as playwright:
        os.environ["AGE_RUNS"] = runs
        with app(runs):
            pass
        began = time.monotonic()
        imports = [sys.executable, "-c", "import app, os; os._exit(0)"]  # leaving in order takes time too
        subprocess.run(imports, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
        print(f"imports alone {time.monotonic() - began:.1f} s")
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.set_default_timeout(60_000)
        with app(runs) as (address, started):
            picks = [*[name for name in recorded_concepts()[1::3] if name != args.concept], args.concept]
            in_page(page, address, picks[-max(args.clicks, 1) :], started)
            erased_now(page)
            page.get_by_role("tab", name="Erase").click()
            page.wait_for_timeout(500)
            moments = ("looking ahead", "original model makes", "step 3 of", "step 10 of")
            told("Stop to stopped", [stopped(page, at) for at in moments])
            drawn = watched(page, "balanced")
            page.click("#method input")
            page.get_by_role("option", name="fixed target: empty").click()
            page.get_by_label("Fast").click()
            watched(page, "quick steps")
            page.click("#method input")
            page.get_by_role("option", name="AGE, protected", exact=True).click()
            page.get_by_label("Balanced").click()
            page.wait_for_timeout(500)
            sent = unwatched(page)
    after = alone(args.concept)
    plain = (before + after) / 2
    print(f"the same run alone {before:.1f} and {after:.1f} s")
    print(f"in the app, sent but not drawn {sent:.1f} s: {sent / plain:.2f} times")
    print(f"in the app, drawn on the same cores {drawn:.1f} s: {drawn / plain:.2f} times")


if __name__ == "__main__":
    main()
