"""Each grip on Gradio's inner parts: that what it takes hold of is still there, and still does what it is held for."""

from __future__ import annotations

import asyncio
import inspect
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio import component_meta, networking, queueing
from gradio.state_holder import SessionState

from viz import gradio_tuning
from viz.components.chart import Chart

ROOT = Path(__file__).parents[2]
JSON = {"content-type": "application/json"}


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
    for name in ("plain", "tuned"):
        (tmp_path / f"{name}.py").write_text("import gradio as gr\n\n\nclass Mine(gr.HTML):\n    pass\n")
    told = """
import inspect, plain
import viz.gradio_tuning, tuned
for module in (plain, tuned):
    module.Mine()
    print(inspect.getfile(module.Mine))
"""
    path = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "GRADIO_ANALYTICS_ENABLED": "False"}
    done = subprocess.run(
        [sys.executable, "-c", told], env=os.environ | path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(tmp_path / "plain.py"), str(tmp_path / "tuned.py")]
    assert [path.name for path in tmp_path.glob("*.pyi")] == ["plain.pyi"]


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


@pytest.fixture(scope="module")
def fields():
    """A page that answers with what its handler was given."""
    with gr.Blocks(analytics_enabled=False) as page:
        parts = [
            gr.HTML("x"),
            gr.Dropdown(["a"], value="a", allow_custom_value=True),
            gr.Dropdown(["a", "b"], value=[], multiselect=True, allow_custom_value=True),
            gr.Dropdown([("one", 1)], value=1),
            gr.Slider(0, 2),
            gr.Number(precision=0),
            gr.Checkbox(),
            gr.File(),
        ]
        gr.Button().click(lambda *values: repr(values), parts, gr.Textbox(), queue=False)
    gradio_tuning.refuse_what_no_field_takes(page)
    return page


def test_what_is_updated_again_and_again_is_kept_once():
    with gr.Blocks() as page:
        shown = gr.HTML("a", elem_id="shown")
        gr.Button().click(lambda value: gr.update(value=value + "b", visible=True), shown, shown)
    session = SessionState(page)
    kept = len(session.blocks_config.blocks)
    value = "a"
    for _ in range(3):
        answer = asyncio.run(page.process_api(page.fns[0], [value], session))
        value = answer["data"][0]["value"]
    assert value == "abbb" and len(session.blocks_config.blocks) == kept
    assert session[shown._id]._id == shown._id and session[shown._id] is not shown


NOT_UPLOADED = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
USUAL = ["x", "own", ["b", "own"], 1, 1.5, 3, True, None]


def ask(page, data):
    """The status and the text of an answer over HTTP, as a browser would ask."""
    gradio_tuning.launch(page, quiet=True, prevent_thread_lock=True, ssr_mode=False)
    try:
        body = json.dumps({"data": data, "fn_index": 0, "session_hash": "s"})
        answer = httpx.post(f"{page.local_url}gradio_api/run/predict", content=body, headers=JSON, timeout=60)
        return answer.status_code, answer.text
    finally:
        page.close()


def test_what_a_field_takes_comes_through(fields, capfd):
    status, text = ask(fields, USUAL)
    assert status == 200 and json.loads(text)["data"] == [repr(tuple(USUAL))]
    emptied = ["x", None, [], 1, 1.5, None, True, None]
    assert ask(fields, emptied)[0] == 200
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *((0, value) for value in (7, ["x"], {"value": "x"}, True, "half \ud800 a character")),
        *((1, value) for value in (["a"], {"a": 1}, 7)),
        *((2, value) for value in ("a", [1], [["a"]], {})),
        *((place, None) for place in (0, 2, 3, 4, 6)),
        (3, "one"),  # not among the choices
        *((4, value) for value in ("1", [1], 99, math.nan, math.inf)),
        *((5, value) for value in ("1", {}, math.nan)),
        *((6, value) for value in ("yes", [])),
        *((7, value) for value in ("/etc/passwd", {"path": "/etc/passwd"}, ["/etc/passwd"])),
    ],
)
def test_what_no_field_takes_is_refused_in_a_sentence(fields, place, value):
    data = [*USUAL[:place], value, *USUAL[place + 1 :]]
    with pytest.raises(gr.Error, match="reload it") as refused:
        asyncio.run(fields.preprocess_data(fields.fns[0], data, None))
    assert not refused.value.print_exception


@pytest.mark.parametrize("data", [USUAL[:3], [*USUAL[:-1], NOT_UPLOADED], [*USUAL[:3], 7, *USUAL[4:]]])
def test_a_refusal_leaves_no_traceback(fields, capfd, data):
    status, text = ask(fields, data)
    assert status == 500 and "reload it" in text and "Traceback" not in "".join(capfd.readouterr())


def test_addresses_that_fail_are_told_in_a_line(page, capfd, caplog):
    gradio_tuning.launch(page, quiet=True, prevent_thread_lock=True, ssr_mode=False)
    try:
        with httpx.Client(base_url=page.local_url, timeout=60) as client:
            gone = client.get("gradio_api/queue/data?session_hash=gone")
            nowhere = client.post("gradio_api/call/v2/nowhere", json={})
            nan = client.post("gradio_api/queue/join", content=b'{"data": NaN, "fn_index": 0}', headers=JSON)
            assert client.get("config").status_code == 200
    finally:
        page.close()
    assert gone.status_code == 200 and nowhere.status_code == nan.status_code == 400  # a stream has begun already
    assert "fits nothing here" in nowhere.text and "Traceback" not in "".join(capfd.readouterr())
    assert len([record for record in caplog.records if "was not answered" in record.getMessage()]) == 3


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


def test_the_page_copies_each_text_by_a_function_that_can_be_replaced(page):
    assets = Path(gr.__file__).parent / "templates" / "frontend" / "assets"
    copies = [file.name for file in assets.glob("index-*.js") if "return structuredClone(" in file.read_text("utf-8")]
    assert copies, "nothing is left to spare the page"
    address = gradio_tuning.launch(page, quiet=True, prevent_thread_lock=True, head="<style>p { margin: 0 }</style>")
    try:
        text = httpx.get(address).text
    finally:
        page.close()
    assert "window.structuredClone = (value, options)" in text and "p { margin: 0 }" in text  # what tags are is escaped
