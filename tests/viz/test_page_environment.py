"""What people set in the environment before the page is served: nonsense is answered by one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from viz import environment

ROOT = Path(__file__).parents[2]
BAD = [
    *(("GRADIO_SERVER_PORT", text) for text in ("abc", "0", "-1", "65536", "78.60", "7860 7861", "٧٨٦٠", "9" * 5000)),
    *((name, "many") for name in environment.NUMBERS),
    ("GRADIO_DEFAULT_CONCURRENCY_LIMIT", "0"),
    *(("GRADIO_SERVER_NAME", text) for text in ("nobody.invalid", "1.2.3.4.5", "a..b", "http://127.0.0.1", "8.8.8.8")),
    *(("GRADIO_ROOT_PATH", text) for text in ("explorer", "/a path", "ftp://x/y", "/x?y", "https://")),
]


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in (*environment.NUMBERS, "GRADIO_SERVER_NAME", "GRADIO_ROOT_PATH"):
        monkeypatch.setenv(name, "")  # so that it is as before afterwards
        monkeypatch.delenv(name)


@pytest.mark.parametrize(("name", "text"), BAD)
def test_nonsense_in_the_environment_is_answered_by_one_sentence(name, text, monkeypatch):
    monkeypatch.setenv(name, text)
    with pytest.raises(SystemExit) as end:
        environment.check()
    said = str(end.value)
    assert said.startswith(f"AGE Explorer cannot run. {name} must be ") and repr(text[:60]) in said
    assert "\n" not in said and len(said) < 250


@pytest.mark.parametrize("root", ["", "/", "/explorer", "/a/b/", "https://example.org", "http://localhost:80/it"])
def test_what_makes_sense_is_left_alone(root, monkeypatch):
    told = {"GRADIO_SERVER_PORT": " 8123 ", "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_ROOT_PATH": root}
    told |= {"GRADIO_DEFAULT_CONCURRENCY_LIMIT": "None", "GRADIO_DEBUG": "1", "HF_HUB_ETAG_TIMEOUT": " "}
    for name, text in told.items():
        monkeypatch.setenv(name, text)
    environment.check()
    assert {name: os.environ.get(name, "") for name in told} == told | {"HF_HUB_ETAG_TIMEOUT": ""}


@pytest.mark.parametrize(("port", "tries"), [("65535", "1"), ("65500", "36"), ("7860", "100")])
def test_no_port_is_tried_that_there_is_not(port, tries, monkeypatch):
    monkeypatch.setenv("GRADIO_SERVER_PORT", port)
    environment.check()
    assert os.environ["GRADIO_NUM_PORTS"] == tries


def test_the_app_says_it_before_anything_is_imported_that_would_fail():
    told = os.environ | {"GRADIO_SERVER_PORT": "abc"}
    done = subprocess.run([sys.executable, "app.py"], cwd=ROOT, env=told, capture_output=True, text=True)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.splitlines() == [
        "AGE Explorer cannot run. GRADIO_SERVER_PORT must be a whole number from 1 to 65535, not 'abc'."
    ]
