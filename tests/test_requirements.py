"""A Space, and whoever runs `make run`, has what requirements.txt names and no more: nothing else is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
# All that a visitor sets in motion, as far as it imports anything, where some packages are not installed.
VISIT = """
import os, sys, tempfile
from pathlib import Path

class Without:
    # A finder of modules that finds some no more.

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, *given):
        missing = name.split(".")[0] in os.environ["MISSING"].split()
        return None if missing else self.finder.find_spec(name, *given)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
import app
from age_core.serve.registry import Choice, OpenModels
from viz.tabs import page
from viz.tabs.map_data import MapCache
models = OpenModels(Path(tempfile.mkdtemp()), app.stored.shipped_runs())
page.build(MapCache(models))
explorer = models.explorer(Choice())
from age_core.serve.api import Api
from age_core.serve.faces import edited_faces, erase_now
next(iter(edited_faces(explorer, erase_now(explorer, "dog"), "dog", 1)))
explorer.ask("a" * 32, ["dog"], "uce", True, seed=0)
print("visited")
"""


def named() -> list[Requirement]:
    lines = (line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def needed() -> set[str]:
    """The distributions that pip installs for requirements.txt, on this machine."""
    found: set[str] = set()
    waiting = [(requirement, "") for requirement in named()]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # only on other systems
            continue
        if name not in found:
            found.add(name)
            waiting += [(Requirement(need), one) for need in needs for one in requirement.extras or {""}]
    return found


def test_the_explorer_works_with_what_requirements_bring_and_nothing_else():
    allowed = needed() | {"age-explorer"}
    brings = {
        module: {canonicalize_name(one) for one in by} for module, by in metadata.packages_distributions().items()
    }
    missing = [module for module, by in brings.items() if not by & allowed]
    assert {"pytest", "playwright", "mcp"} <= set(missing)
    assert {"torch", "gradio", "diffusers", "umap", "sklearn"} <= brings.keys() - set(missing)
    settings = {"SPACE_ID": "somebody/explorer", "PYTHONPATH": str(ROOT), "MISSING": " ".join(missing)}
    done = subprocess.run(
        [sys.executable, "-c", VISIT], capture_output=True, text=True, env=os.environ | settings, check=False
    )
    assert done.stdout.endswith("visited\n"), done.stderr[-2000:]


def test_the_space_has_the_gradio_and_a_python_that_we_say():
    _, front, _ = (ROOT / "README.md").read_text(encoding="utf-8").split("---", 2)
    matter = yaml.safe_load(front)
    pins = {requirement.name: str(requirement.specifier) for requirement in named()}
    assert matter["sdk"] == "gradio" and pins["gradio"] == f"=={matter['sdk_version']}"
    assert (ROOT / matter["app_file"]).is_file()
    assert matter["python_version"] in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert all(specifier.startswith("==") for specifier in pins.values())
