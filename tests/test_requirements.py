"""What the Space is told, in the first lines of README.md, is what we pin; tests/hosting/test_space.py makes it one."""

from __future__ import annotations

from pathlib import Path

import yaml
from clean import named

ROOT = Path(__file__).parents[1]


def test_the_space_has_the_gradio_and_a_python_that_we_say():
    _, front, _ = (ROOT / "README.md").read_text(encoding="utf-8").split("---", 2)
    matter = yaml.safe_load(front)
    pins = {requirement.name: str(requirement.specifier) for requirement in named()}
    assert matter["sdk"] == "gradio" and pins["gradio"] == f"=={matter['sdk_version']}"
    assert (ROOT / matter["app_file"]).is_file()
    assert matter["python_version"] in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert all(specifier.startswith("==") for specifier in pins.values())
