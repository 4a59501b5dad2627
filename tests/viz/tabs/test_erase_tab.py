"""The handlers of the Erase tab: what a form asks for, a run that is watched, and one that is seen again."""

from __future__ import annotations

import gradio as gr
import pytest

from age_core import list_runs
from age_core.serve.queue import QueuedRun
from viz.tabs import erase as tab
from viz.tabs.live import ending, in_line, on_repaint, show_recording

BLANK = ("", "balanced", "", "", "", 0)


@pytest.mark.parametrize(
    ("names", "form", "text"),
    [
        (["dog"], ("", "balanced", "-3", "", "", 0), "-3"),
        (["dog"], ("", "balanced", "5", "fast", "", 0), "must be a number or blank"),
        (["dog"], ("", "balanced", "5", "", "nan", 0), "must be finite"),
        (["dog"], ("", "balanced", "1000000", "", "", 0), "2000 at most"),
        (["grue"], BLANK, "no concept"),
        ([], BLANK, "name one"),
    ],
)
def test_a_form_that_cannot_work_is_answered_by_a_message_and_writes_nothing(data, ui, session, names, form, text):
    (updates,) = tab.on_start(data, ui, session, names, "age", False, *form)
    assert updates.keys() == {"messages"} and text in updates["messages"]
    assert list_runs(data.explorer.library.folder(session.owner)) == [] and session.queued is None


def test_a_page_that_is_still_loading_starts_nothing(data, ui):
    (updates,) = tab.on_start(data, ui, None, ["dog"], "uce", False, *BLANK)
    assert "still loading" in updates["messages"]
    assert tab.on_stop(data, ui, None) == {"stop": gr.update(interactive=False)}


def test_a_run_is_shown_from_its_start_to_its_end_and_can_be_compared_then(data, ui, session):
    updates = list(tab.on_start(data, ui, session, ["hound"], "uce", False, *BLANK))
    assert "Preparing to erase dog" in updates[0]["status"] and updates[0]["start"]["interactive"] is False
    *_, last = (update for update in updates if "Done: dog was erased in 1 steps" in update.get("status", ""))
    assert last["start"]["interactive"] is True
    title = session.queued.run.path.name
    assert last["erasers"]["value"] == [title] and session.edited[title].names == ("dog",)
    assert not session.faces
    *_, last = on_repaint(data, ui, session)  # then the atlas is drawn anew, once
    (face,) = session.faces.values()
    assert face.by == title and len(face.table) == 6 and "All 6 pictures" in last["now_status"]
    nothing = [{"messages": gr.skip()}]  # not nothing at all: that would empty what it could have changed
    assert list(on_repaint(data, ui, session)) == nothing == list(on_repaint(data, ui, None))


def test_what_was_just_watched_is_not_read_back_from_disk(data, ui, session, monkeypatch):
    monkeypatch.setattr("age_core.runs.run.Run.events", lambda _: pytest.fail("the events are read again"))
    monkeypatch.setattr("age_core.runs.run.Run.eraser", lambda _: pytest.fail("the eraser is read again"))
    updates = list(tab.on_start(data, ui, session, ["dog"], "uce", True, *BLANK))
    assert any("Done: dog was erased" in update.get("status", "") for update in updates)
    assert session.recording.steps == 1


def test_a_run_is_watched_no_longer_when_the_session_turns_to_another(data, ui, session):
    stream = tab.on_start(data, ui, session, ["dog"], "uce", True, *BLANK)
    next(stream)
    queued, session.queued = session.queued, None
    assert not any("erasers" in updates for updates in stream)
    *_, last = data.explorer.queue.watch(queued)
    assert last.state == "finished"


def test_how_a_run_ended_is_said(data, ui, session, make_run):
    queued = QueuedRun(make_run(), session.owner, False, None, "failed", "It <diverged>.")
    updates = ending(data, ui, session, queued)
    assert "The run failed" in updates["status"] and "It &lt;diverged&gt;." in updates["messages"]
    assert updates["resume"]["interactive"] is True and "erasers" not in updates
    queued.state = "stopped"
    assert "before the first step" in ending(data, ui, session, queued)["status"]
    assert "2 runs are before yours, about 30 s" in in_line(2, 30.0) and "about" not in in_line(1, float("nan"))


def test_there_must_be_a_stopped_run_to_go_on_with(data, ui, session, make_run):
    (updates,) = tab.on_resume(data, ui, session, False)
    assert "no stopped run" in updates["messages"]
    (updates,) = tab.on_resume(data, ui, session, False, make_run().path.name)
    assert "is finished: start a new one" in updates["messages"]
    (updates,) = tab.on_resume(data, ui, session, False, make_run("shipped", "theirs").path.name)
    assert "came with the explorer" in updates["messages"]


def test_a_recorded_run_is_seen_at_any_step(data, ui, session, make_run):
    assert tab.on_scrub(data, ui, session, 1) == {"status": gr.skip()}
    slider = show_recording(data, ui, session, make_run())["scrub"]
    assert slider["visible"] is False  # it has one step
    assert "Recorded: dog, step 1 of 1" in tab.on_scrub(data, ui, session, 1)["status"]


def test_a_method_says_what_it_is_and_whether_it_takes_a_word(data, ui):
    assert tab.on_method(data, ui, "empty")["word"]["visible"] is True
    updates = tab.on_method(data, ui, "age")
    assert updates["word"]["visible"] is False and len(updates["about"]) > 40


def test_the_damage_of_one_concept_is_predicted(data, ui):
    (updates,) = tab.on_predict(data, ui, ["dog", "cat"], "age")
    assert "one concept at a time" in updates["messages"]
    first, last = tab.on_predict(data, ui, ["hound"], "uce")
    assert "Trying" in first["predicted"] and last["graph"]["value"] == "dog"
    assert '"pizza"' in last["graph"]["arrows"] and "a guess without an interval" in last["caption"]
