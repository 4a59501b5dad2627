"""Each grip on Gradio's inner parts: that what it takes hold of is still there, and still does what it is held for."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio import component_meta, networking, queueing

from viz import gradio_tuning
from viz.components.chart import Chart

ROOT = Path(__file__).parents[2]


@pytest.fixture
def page():
    with gr.Blocks(analytics_enabled=False) as page:
        text, button = gr.Textbox(), gr.Button()
        button.click(lambda: "", None, [text, button])
    return page


def test_gradio_writes_a_stub_for_each_component_unless_its_file_is_unknown():
    source = inspect.getsource(component_meta)
    assert "create_or_modify_pyi(component_class, name, events)" in source  # by a name that can be replaced
    assert "inspect.getfile(component_class)" in source and "except OSError" in source
    assert component_meta.create_or_modify_pyi.__module__ == "viz.gradio_tuning"


def test_no_stubs_are_written_beside_components(tmp_path):
    (tmp_path / "mine.py").write_text("import gradio as gr\n\n\nclass Mine(gr.HTML):\n    pass\n")
    path = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "GRADIO_ANALYTICS_ENABLED": "False"}
    for tuning, stub in (("viz.gradio_tuning, ", False), ("", True)):
        told = f"import {tuning}inspect, mine; mine.Mine(); print(inspect.getfile(mine.Mine))"
        command = [sys.executable, "-c", told]
        done = subprocess.run(command, env=os.environ | path, capture_output=True, text=True, check=True)
        assert done.stdout.split() == [str(tmp_path / "mine.py")] and (tmp_path / "mine.pyi").exists() == stub


class Watcher(gr.HTML):
    """A component of our own without `plain_config`."""

    def __init__(self, figure: str = "", **kwargs: object) -> None:
        super().__init__(figure=figure, js_on_load="watch('figure', () => {})", **kwargs)


def test_a_component_s_configuration_would_hold_handlers_of_what_its_script_quotes():
    with gr.Blocks(analytics_enabled=False):
        watcher, chart = Watcher(), Chart(figure="{}")
    assert any(callable(value) for value in watcher.get_config().values())
    plain = gradio_tuning.plain_config(watcher.get_config())
    assert not any(callable(value) for value in plain.values()) and "html_template" in plain
    assert not any(callable(value) for value in chart.get_config().values())


def test_progress_is_shown_on_one_component(page):
    before = [event["show_progress_on"] for event in page.get_config_file()["dependencies"]]
    gradio_tuning.show_progress_on(page, next(iter(page.blocks.values())))
    after = [event["show_progress_on"] for event in page.get_config_file()["dependencies"]]
    assert before == [None] and after == [[next(iter(page.blocks))]]


def test_the_queue_sleeps_as_long_as_it_is_told(page, monkeypatch):
    queue = page.queue()._queue
    assert 0 < queue.sleep_when_free < 0.02 and queue.progress_update_sleep_when_free > 0
    gradio_tuning.look_for_work_every(page, 0.02)
    naps = []

    async def sleep(seconds):
        naps.append(seconds)
        queue.stopped = len(naps) > 3

    monkeypatch.setattr(queueing.asyncio, "sleep", sleep)
    for work in (queue.start_processing, queue.start_progress_updates):
        queue.stopped = False
        naps.clear()
        asyncio.run(work())
        assert set(naps) == {0.02}


def test_proxies_and_certificates_are_passed_over_for_a_while(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "foo://x")
    monkeypatch.setenv("no_proxy", "example.com")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    before = dict(os.environ)
    with pytest.raises((ValueError, OSError)):
        httpx.Client()
    with gradio_tuning.without_network():
        httpx.Client().close()
    assert dict(os.environ) == before


@pytest.mark.parametrize("named", [True, False])
def test_a_temporary_folder_that_cannot_be_used_is_replaced(monkeypatch, tmp_path, named):
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    monkeypatch.setattr(gradio_tuning.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(gradio_tuning.tempfile, "tempdir", str(tmp_path))
    (tmp_path / "gradio").write_text("no folder")
    if named:
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    folder = gradio_tuning.temporary_folder()
    assert folder.is_dir() and folder.parent == tmp_path and os.environ["GRADIO_TEMP_DIR"] == str(folder)
    assert gradio_tuning.temporary_folder() == folder  # once


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a folder away")
def test_the_folder_of_somebody_else_is_not_used_unless_it_was_named(monkeypatch, tmp_path):
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    monkeypatch.setattr(gradio_tuning.tempfile, "tempdir", str(tmp_path))
    (tmp_path / "gradio").mkdir()
    assert gradio_tuning.temporary_folder() == tmp_path / "gradio" and "GRADIO_TEMP_DIR" not in os.environ
    os.chown(tmp_path / "gradio", 65534, 65534)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    assert gradio_tuning.temporary_folder() == tmp_path / "gradio"
    monkeypatch.delenv("GRADIO_TEMP_DIR")
    assert gradio_tuning.temporary_folder() != tmp_path / "gradio"


def test_without_any_place_for_files_the_start_ends_in_a_sentence(monkeypatch):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    monkeypatch.setattr(gradio_tuning.tempfile, "gettempdir", none)
    with pytest.raises(SystemExit, match="Set TMPDIR"):
        gradio_tuning.temporary_folder()


def test_a_page_is_launched_without_a_look_at_itself(page, monkeypatch):
    looks = []
    monkeypatch.setattr(networking, "url_ok", lambda url: looks.append(url) or True)
    quiet = {"quiet": True, "prevent_thread_lock": True, "ssr_mode": False}
    try:
        assert gradio_tuning.launch(page, **quiet).startswith("http")
        assert not looks
        page.close()
        page.launch(**quiet)
        assert looks  # without it, it does
    finally:
        page.close()
