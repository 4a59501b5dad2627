"""The handlers of the Runs tab: whose runs are listed, opened, renamed, deleted, exported and imported."""

from __future__ import annotations

import html
import re
import zipfile
from pathlib import Path

import pytest

from age_core.assets import ASSETS
from age_core.runs.run import list_runs
from age_core.serve.queue import QueuedRun, RunQueue
from viz.charts import panels
from viz.tabs import runs as tab
from viz.tabs.session import Session

BEN = "b" * 32


def cells(table):
    """The lines of the table as a browser reads them, each by its columns' titles."""
    found = re.findall(r"<t([hd])(?: [^>]*)?>(.*?)</t\1>", table)
    titles = [html.unescape(text) for kind, text in found if kind == "h"]
    texts = [html.unescape(text) for kind, text in found if kind == "d"]
    lines = [texts[at : at + len(titles)] for at in range(0, len(texts), len(titles) or 1)]
    return [dict(zip(titles, line, strict=True)) for line in lines]


@pytest.fixture
def run(make_run):
    return make_run()


def test_a_person_s_runs_are_listed_and_those_of_everybody_named_as_such(data, ui, session, run, make_run):
    make_run("shipped", "theirs")
    updates = tab.on_runs(data, ui, session, "theirs")
    assert updates["run"]["choices"] == [run.path.name, "theirs"]
    assert "value" not in updates["run"], "a run that has ended meanwhile stays the chosen one"
    for gone in (None, "gone"):
        assert tab.on_runs(data, ui, session, gone)["run"]["value"] == run.path.name
    lines = cells(updates["run_table"])
    assert [line["Run"] for line in lines] == [run.path.name, "theirs (shipped)"]
    assert [line["Method"] for line in lines] == ["UCE", "UCE"] and lines[0]["Steps"] == ""  # a closed form takes none
    assert tab.on_runs(data, ui, Session(BEN))["run"]["choices"] == ["theirs"]
    assert tab.on_runs(data, ui, None) == {"runs_status": ""}


def delete(data, ui, session, name):
    """Without having been asked."""
    if session:
        session.to_delete = name or ""
    return tab.on_delete(data, ui, session)


@pytest.mark.parametrize("handler", [delete, tab.on_ask_delete, lambda *a: tab.on_rename(*a, "mine")])
def test_nobody_changes_the_run_of_another(data, ui, session, run, make_run, handler):
    shipped = make_run("shipped", "theirs")
    for person, name, text in (
        (Session(BEN), run.path.name, "no run"),
        (session, "theirs", "came with the explorer"),
        (session, "../" + BEN, "no run"),
        (session, None, "Choose a run first"),
        (None, run.path.name, "still loading"),
    ):
        updates = handler(data, ui, person, name)
        assert text in updates["messages"] and "run_table" not in updates
        assert run.path.is_dir() and shipped.path.is_dir()


def test_ones_own_run_is_renamed_and_deleted(data, ui, session, run):
    assert "cannot name a folder" in tab.on_rename(data, ui, session, run.path.name, "../x")["messages"]
    updates = tab.on_rename(data, ui, session, run.path.name, " my dog ")
    assert updates["run"]["value"] == "my dog" and "now called my dog" in updates["runs_status"]
    assert "Delete my dog for good?" in tab.on_ask_delete(data, ui, session, "my dog")["sure_text"]
    assert tab.on_delete(data, ui, session)["run"]["choices"] == []
    assert not (run.path.parent / "my dog").exists()
    assert "no run" in tab.on_delete(data, ui, session)["messages"], "a second click"


def test_what_is_deleted_is_what_was_asked_about(data, ui, session, run, make_run):
    other = make_run(name="other")
    tab.on_ask_delete(data, ui, session, run.path.name)
    listed = tab.on_runs(data, ui, session, "other")  # another is chosen, and the list comes anew
    assert "sure" not in listed, "the question stays"
    assert tab.on_delete(data, ui, session)["run"]["choices"] == ["other"]
    assert other.path.is_dir() and not run.path.exists()


def test_a_run_opens_in_the_erase_tab_and_can_be_compared(data, ui, session, run):
    updates = tab.on_open(data, ui, session, run.path.name)
    assert "Recorded: dog" in updates["status"] and updates["erased"] == ["dog"] and "tabs" in updates
    assert updates["erasers"]["value"] == [run.path.name] == list(session.edited)
    assert f'data-run="{run.path.name}"' in updates["where"]
    assert "tabs" not in tab.on_open(data, ui, session, run.path.name, turn=False)


def test_a_run_of_another_model_is_not_opened(data, ui, session, make_run):
    other = make_run(model="someone/else", identity="0123456789abcdef")
    updates = tab.on_open(data, ui, session, other.path.name)
    assert updates.keys() == {"messages"} and "open that model first" in updates["messages"]
    assert session.recording is None and not session.edited


def test_a_run_that_goes_on_is_not_opened_yet(data, ui, session, run, monkeypatch):
    queued = QueuedRun(run, session.owner, False, None, "running")
    monkeypatch.setattr(RunQueue, "find", lambda *_: queued)
    assert "is still running" in tab.on_open(data, ui, session, run.path.name)["messages"]
    queued.state = "stopped"
    assert "status" in tab.on_open(data, ui, session, run.path.name)


def exported(data, ui, session, name, label):
    """The last of what is shown while a file is made."""
    *_, last = tab.on_export(data, ui, session, name, label)
    return last


def test_a_bundle_is_exported_and_imported(data, ui, session, run):
    updates = exported(data, ui, session, run.path.name, "Run bundle (zip)")
    bundle = Path(updates["download"]["value"])
    assert bundle.suffix == ".zip" and "is ready" in updates["runs_status"]
    updates = tab.on_import(data, ui, Session(BEN), str(bundle))
    assert len(updates["run"]["choices"]) == 1 and updates["upload"] is None
    delta = exported(data, ui, session, run.path.name, "Weight change (safetensors)")
    assert Path(delta["download"]["value"]).suffix == ".safetensors"
    assert "no run" in exported(data, ui, Session(BEN), "x", "Run bundle (zip)")["messages"]


@pytest.mark.parametrize("label", list(tab.EXPORTS))
def test_every_kind_of_file_is_one_to_download_and_told_where_it_belongs(data, ui, session, run, label):
    updates = exported(data, ui, session, run.path.name, label)
    path = Path(updates["download"]["value"])
    assert path.name in updates["runs_status"] and path.stat().st_size > 1000
    assert [other.name for other in path.parent.iterdir()] == [path.name]
    assert ("rank 32" in updates["runs_status"]) == (label == "LoRA (zip)")
    if path.suffix == ".zip" and "bundle" not in label:
        names = zipfile.ZipFile(path).namelist()
        assert all(name.startswith(f"{run.path.name}/") for name in names) and len(names) > 2
    told = tab.on_export_kind(data, ui, label)["export_note"]
    assert tab.WHERE_TO[tab.EXPORTS[label]][:30] in html.unescape(told)


def test_what_a_model_has_no_file_for_is_said(data, ui, session, run, monkeypatch):
    monkeypatch.setattr("age_core.models.original_layout.CHANNELS", 5)
    updates = exported(data, ui, session, run.path.name, "Edited model, one file")
    assert "autoencoder of 5 channels" in updates["messages"] and updates["runs_status"] == ""
    assert updates["download"]["visible"] is False


def test_a_broken_bundle_is_refused_and_leaves_nothing(data, ui, session, run, tmp_path):
    whole = Path(exported(data, ui, session, run.path.name, "Run bundle (zip)")["download"]["value"])
    broken = tmp_path / "broken.zip"
    broken.write_bytes(whole.read_bytes()[:-200])
    updates = tab.on_import(data, ui, Session(BEN), str(broken))
    assert updates["upload"] is None and updates["messages"] and "run" not in updates
    assert data.explorer.library.runs_of(BEN) == []
    assert tab.on_import(data, ui, session, None) == {"upload": None}


def test_a_run_whose_state_is_damaged_hides_no_other(data, ui, session, run, make_run):
    (make_run(name="torn").path / "status.json").write_text('{"status": "fin')
    updates = tab.on_runs(data, ui, session)
    assert sorted(updates["run"]["choices"]) == sorted([run.path.name, "torn"])
    states = {line["Run"]: line["State"] for line in cells(updates["run_table"])}
    assert states["torn"].startswith("damaged: 'status.json'")


def test_a_run_that_went_on_says_how_many_steps_it_took():
    (run,) = list_runs(ASSETS / "runs")
    assert run.config.options["steps"] == 60 and tab.row_of(run, False)[5] == run.events()[-1].step == 75


def test_a_name_is_text_in_the_table_and_nobody_without_runs_gets_an_empty_one(data, ui, make_run):
    assert cells(tab.on_runs(data, ui, Session(BEN))["run_table"]) == []
    assert "No run yet" in tab.on_runs(data, ui, Session(BEN))["run_table"]
    table = panels.runs(["Run", "Steps"], [["<b>mine</b>", None], ["yours", 60]])
    assert "<b>" not in table and cells(table) == [
        {"Run": "<b>mine</b>", "Steps": ""},
        {"Run": "yours", "Steps": "60"},
    ]
