"""How fluid the atlas is: frames a second while 450 pictures are panned and zoomed, in a headless Chromium.

    python -m benchmarks.speed.atlas                       # idle machine; half a minute

Opens the page of the browser tests, whose made-up concepts have a picture each, at the size of a laptop. The mouse
drags, then the wheel turns, each from the whole map on and for as long as SECONDS; the wheel makes everything up to six
times as large, and small again, about once a second. Every frame that the browser shows is counted. Without a GPU the
browser draws in software, on the cores of the machine.
"""

from __future__ import annotations

import os
import re
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.common import chromium

PAGE = Path(__file__).parents[2] / "tests" / "browser" / "map_page.py"
SECONDS = 5
# Moves the pointer or the wheel once a frame, as a person's own hand does, and notes when each frame came.
MEASURE_JS = """([kind, seconds]) => new Promise(done => {
  const stage = document.querySelector('#concept-map .stage'), drag = stage.querySelector('.nsewdrag');
  const box = stage.getBoundingClientRect(), x = box.x + box.width / 2, y = box.y + box.height / 2;
  const fire = (type, target, more) => target.dispatchEvent(
    new (type === 'wheel' ? WheelEvent : MouseEvent)(type, {bubbles: true, cancelable: true, view: window, ...more}));
  const began = performance.now(), frames = [];
  if (kind === 'pan') fire('mousedown', drag, {clientX: x, clientY: y, button: 0, buttons: 1});
  const step = now => {
    frames.push(now);
    const t = (performance.now() - began) / 1000;
    const at = {clientX: x + 150 * Math.sin(2 * t), clientY: y + 90 * Math.sin(3 * t)};
    if (t > seconds) {
      if (kind === 'pan') fire('mouseup', document.querySelector('.dragcover') || drag, {...at, button: 0});
      return done(frames.slice(1).map((time, k) => time - frames[k]));
    }
    if (kind === 'pan') fire('mousemove', document.querySelector('.dragcover') || drag, {...at, buttons: 1});
    if (kind === 'zoom') fire('wheel', drag, {clientX: x, clientY: y, deltaY: -12 * Math.sign(Math.sin(6 * t))});
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""

WHOLE_JS = """() => Plotly.relayout(document.querySelector('#concept-map .plot'),
  {'xaxis.range': [-1.13, 1.13], 'yaxis.range': [-1.13, 1.13]})"""


@contextmanager
def served() -> Iterator[str]:
    """The address of the page."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place = {"GRADIO_SERVER_PORT": str(port), "PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen([sys.executable, str(PAGE)], env=os.environ | place, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        yield next(match[1] for line in server.stdout if (match := re.search(r"open at (http\S+)", line)))
    finally:
        server.terminate()
        server.wait(20)


def told(page: Page, what: str, kind: str) -> None:
    page.evaluate(WHOLE_JS)
    page.wait_for_timeout(500)
    gaps = page.evaluate(MEASURE_JS, [kind, SECONDS])
    slowest = sorted(gaps)[int(0.95 * len(gaps))]
    rate = 1000 * len(gaps) / sum(gaps)
    print(f"{what}: {rate:.0f} frames a second, median {statistics.median(gaps):.0f} ms, 95 % under {slowest:.0f} ms")


def main() -> None:
    with served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 900, "height": 920})
        page.goto(address)
        page.wait_for_selector("#concept-map .cg[data-ready=yes]")
        told(page, "nothing moves", "rest")
        told(page, "dots, panned", "pan")
        page.get_by_label("apart").check()
        page.click("#whole")
        page.wait_for_selector("#concept-map .cg.pictured:not(.moving)")
        for face in ("original", "what changed"):
            told(page, f"pictures, {face}, panned", "pan")
            told(page, f"pictures, {face}, zoomed", "zoom")
            page.click("#still")
            page.wait_for_timeout(1000)
        browser.close()


if __name__ == "__main__":
    main()
