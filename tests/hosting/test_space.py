"""The repository as a Space: a checkout of its own, only what requirements.txt brings, no home, strangers as visitors.

`make space` does the same with an environment that is really made of requirements.txt alone (SPACE_PYTHON).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from app_page import RUN_MS, choose, open_page, open_tab, set_method, set_preset, set_steps, started, watched
from clean import not_brought
from playwright.sync_api import Browser, Page, expect

pytest_plugins = ["browser_fixtures"]
pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
# Read by Python when it starts: what is not named in requirements.txt, and installed beside it here, is not found.
WITHOUT = """
import os, sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, *given):
        missing = name.split(".")[0] in os.environ["MISSING"].split()
        return None if missing else self.finder.find_spec(name, *given)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


def checked_out(folder: Path) -> Path:
    """What a Space has: the working tree without what git ignores."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


def files(folder: Path) -> dict[str, int]:
    """Every file, and when it was written."""
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module", params=["cpu", "zero-gpu"])
def space(request: pytest.FixtureRequest, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A visitor's page of a Space of that hardware; when it is closed, nothing but the runs' folder has changed."""
    house = tmp_path_factory.mktemp("space")
    (house / "app").mkdir()
    app, without = checked_out(house / "app"), house / "without"
    without.mkdir()
    (without / "sitecustomize.py").write_text(WITHOUT)
    path, log, notes = [str(without)], house / "log.txt", house / "lent.txt"
    notes.touch()
    settings = {"SPACE_ID": "somebody/explorer", "HOME": "/proc/none", "GRADIO_SERVER_NAME": "0.0.0.0"}
    if request.param == "zero-gpu":
        path.append(str(ROOT / "tests" / "serve" / "lending"))
        settings |= {"SPACES_ZERO_GPU": "true", "LENT": str(notes)}
    missing = "" if "SPACE_PYTHON" in os.environ else " ".join(not_brought())
    settings |= {"MISSING": missing, "PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1"}
    python = os.environ.get("SPACE_PYTHON", sys.executable)
    before = files(app)
    with started(app / "app.py", app, log, settings, python) as address, watched(browser, address) as visitor:
        page = open_page(visitor, address)
        yield page
    written = {name for name, when in files(app).items() if before.get(name) != when}
    assert written and all(name.startswith("runs/app/") for name in written), written
    assert "Traceback" not in log.read_text()
    assert len(notes.read_text().splitlines()) == (request.param == "zero-gpu")  # the run took a card


def test_a_visitor_picks_erases_at_once_and_has_no_other_model(space: Page) -> None:
    choose(space, "cat")
    expect(space.locator("#selection h2")).to_have_text("cat")
    space.click("#erase-now")
    expect(space.locator("#counting")).to_contain_text("Erasing cat by UCE", timeout=RUN_MS)
    space.click("#model-chip")
    space.fill("#model-name input", "/etc")
    space.keyboard.press("Enter")
    space.click("#open-model")
    expect(space.locator("#messages")).to_contain_text("This shared explorer opens its bundled models", timeout=RUN_MS)
    space.keyboard.press("Escape")


def test_a_visitor_erases_with_care_and_stops(space: Page) -> None:
    set_steps(space, 400)
    set_preset(space, "Fast")
    set_method(space, "fixed target: empty")
    space.click("#erase-button")
    status = space.locator("#live-status")
    expect(status).to_contain_text(re.compile(r"step \d+ of 400"), timeout=RUN_MS)
    space.click("#stop-button")
    expect(status).to_contain_text("Stopped at step")
    open_tab(space, "Runs")
    expect(space.locator("#run-table")).to_contain_text("cat-empty-001")
