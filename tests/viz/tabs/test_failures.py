"""Whatever fails in a handler of the page is said in one sentence, logged, and leaves nothing that seems to go on."""

from __future__ import annotations

import errno
import logging
from dataclasses import dataclass
from types import SimpleNamespace

import gradio as gr
import pytest

from age_core import AgeError, Eraser
from age_core.serve import faces
from viz.components.served import SERVED
from viz.tabs import atlas_column, concept, erase, learn, model, page, runs
from viz.tabs.events import Handler, answers
from viz.tabs.map_data import MapData
from viz.tabs.session import EditedModel, Session

BLANK = ("", "balanced", "", "", "", 0)
VALUES = {"erasers": ["mine"], "erase-names": ["dog"], "concept-map": "dog", "run-choice": "mine"}
VALUES |= {"heat-map": '["dog", ""]'}
WAITING = ("…", "in a moment", "Loading", "Preparing")


@dataclass(frozen=True, eq=False)
class Broken(MapData):
    """A map whose model fails in a way that nobody foresaw."""

    @property
    def explorer(self):
        raise RuntimeError("no kernel image in /home/ann/secret")


class Maps:
    """Stands for a MapCache that is whole while the page is made, and fails then."""

    def __init__(self, data):
        self.data, self.models, self.measuring = data, data.models, set()

    def of(self, choice):
        if isinstance(self.data, Exception):
            raise self.data
        return self.data


def broken(data: MapData) -> Broken:
    return Broken(data.models, data.choice, data.concepts, data.layouts, data.effects)


def value_of(component, session):
    if isinstance(component, gr.State):
        return component.value or session
    return VALUES.get(component.elem_id, component.value)


@pytest.fixture
def made(data):
    maps = Maps(data)
    return maps, page.build(maps)


def fired(event, session) -> list[dict]:
    """What an event of the page sends, when the components have the values that they begin with."""
    answer = event.fn(*(value_of(component, session) for component in event.inputs))
    sent = list(answer) if hasattr(answer, "__next__") else [answer]
    assert all(part in event.outputs for updates in sent for part in updates), event.fn  # else Gradio refuses it
    return sent


def last_of(sent: list[dict]) -> dict:
    """What is seen in the end, by the components' names; a dictionary is an update of properties."""
    shown = {}
    for updates in sent:
        shown |= {part.elem_id: value for part, value in updates.items()}
    return {name: value for name, value in shown.items() if isinstance(value, str)}


def events_of(made) -> list:
    """The page's own; programs are answered otherwise (below)."""
    events = [event for event in made.fns.values() if event.fn is not None and event.inputs]
    return [event for event in events if event.api_visibility == "private"]


@pytest.mark.parametrize("fails", ["map", "model"])
def test_no_handler_raises_or_leaves_anything_waiting(made, data, caplog, fails):
    maps, blocks = made
    maps.data = RuntimeError("no kernel image in /home/ann/secret") if fails == "map" else broken(data)
    said = 0
    with caplog.at_level(logging.ERROR):
        for event in (event for event in events_of(blocks) if event.fn.__name__ != "arrive"):
            session = Session("a" * 32, edited={"mine": EditedModel(("dog",), Eraser({}))}, lesson_open=True)
            shown = last_of(fired(event, session))
            assert not any(word in text for text in shown.values() for word in WAITING), event.fn
            if shown.get("messages") and "no pipeline" not in shown["messages"]:  # as the model's drawer says here
                said += 1
                assert "did not work: it ended in a RuntimeError" in shown["messages"] and "ann" not in str(shown)
    assert said > (40 if fails == "map" else 15)
    assert len([line for line in caplog.records if line.exc_info]) >= said


def test_every_handler_of_the_page_is_guarded(made):
    _, blocks = made
    plain = [e.fn.__qualname__ for e in events_of(blocks) if not e.fn.__qualname__.startswith("Link.on.")]
    assert plain == ["connect.<locals>.arrive"] and isinstance(page.on_arrive, Handler)


def test_what_fails_for_a_program_is_said_and_logged_and_names_no_path(made, caplog, monkeypatch):
    maps, blocks = made
    requests = [event for event in blocks.fns.values() if event.api_visibility == "public"]
    assert len(requests) == 9
    failure = RuntimeError("no kernel image in /home/ann/secret")
    monkeypatch.setattr(type(maps.models), "explorer", failing_call(failure))
    for event in requests:
        with pytest.raises(gr.Error, match="did not work: it ended in a RuntimeError") as caught:
            event.fn(*(component.value for component in event.inputs))
        assert "ann" not in str(caught.value)
    assert len([line for line in caplog.records if line.exc_info]) == 9
    monkeypatch.setattr(type(maps.models), "explorer", failing_call(AgeError("There is no model.")))
    with pytest.raises(gr.Error, match=r"There is no model\."):
        requests[0].fn()


def failing_call(error: Exception):
    def fail(*_, **__):
        raise error

    return fail


def test_what_the_page_begins_with_does_not_wait_for_ever(data, ui):
    (updates,) = concept.on_picked(broken(data), ui, Session("a" * 32), "dog", None)
    assert updates["own_pictures"] == "" and "did not work" in updates["messages"]
    assert learn.on_open(broken(data), ui, Session("a" * 32), None)["question"] == ""
    maps = Maps(data)
    maps.data = OSError(errno.EIO, "Input/output error", "/home/x")
    *_, last = model.opener(page.TABS)(maps, ui, Session("a" * 32), "tiny", "mine", None, "", "cpu")
    assert last["model_status"] == "" and "input/output error" in last["messages"]


def failing(count: int, error: Exception, real):
    """As `real`, which fails after so many calls or items."""

    def generator(*arguments, **more):
        for number, item in enumerate(real(*arguments, **more)):
            if number == count:
                raise error
            yield item

    return generator


def test_a_repaint_that_breaks_off_says_so_and_can_be_asked_again(data, ui, session, monkeypatch):
    monkeypatch.setattr(faces, "edited_faces", failing(0, RuntimeError("nvrtc"), faces.edited_faces))
    *_, last = concept.on_now(data, ui, session, "dog")
    assert last["now"]["interactive"] is True and "…" not in last["now_status"] and "did not work" in last["messages"]


def test_a_run_that_can_no_longer_be_shown_goes_on(data, ui, session, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/secret")

    monkeypatch.setattr("viz.tabs.live.show_recording", full)
    *_, last = erase.on_start(data, ui, session, ["dog"], "uce", True, *BLANK)
    assert "no space left on device" in last["messages"] and "/tmp" not in last["messages"]
    assert last["start"]["interactive"] is True and "no longer be watched" in last["status"]
    assert session.queued.run.status == "finished"


def test_a_measurement_that_breaks_off_is_offered_again(maps, ui, session, monkeypatch):
    choice = maps.models.choice
    jobs = [SimpleNamespace(erased="dog")] * 2
    monkeypatch.setattr(type(maps.of(choice).explorer), "side_effects", failing(1, RuntimeError("x"), lambda *_: jobs))
    *_, offered, last = atlas_column.on_measure(maps, ui, session, choice)
    assert offered["build"]["interactive"] is True and "not measured for 6 of the 6" in offered["build_status"]
    assert "did not work" in last["messages"] and not maps.measuring


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOSPC, "No space left on device", "/tmp/x")])
def test_a_full_machine_is_named(data, ui, session, monkeypatch, error, make_run):
    run = make_run()
    monkeypatch.setattr("age_core.serve.exports.export_bundle", lambda *_: (_ for _ in ()).throw(error))
    *_, updates = runs.on_export(data, ui, session, run.path.name, "Run bundle (zip)")
    assert ("memory is full" if isinstance(error, MemoryError) else "no space left") in updates["messages"]
    assert updates["download"]["visible"] is False and "/tmp" not in updates["messages"]


def test_pictures_that_cannot_be_served_are_told(data, ui, session, monkeypatch):
    monkeypatch.setattr(SERVED, "add", lambda *_: (_ for _ in ()).throw(OSError(errno.EROFS, "Read-only file system")))
    *_, last = concept.on_now(data, ui, session, "dog")
    assert "read-only file system" in last["messages"]


def test_a_mistake_of_a_person_is_said_as_it_is_and_not_logged(ui, warnings, caplog):
    @answers(status="")
    def on_anything(_data, _ui):
        raise AgeError("Name <one>.")

    assert "Name &lt;one&gt;." in on_anything(None, ui)["messages"]
    assert warnings == ["Name &lt;one&gt;."] and not caplog.records


def test_a_stream_that_is_closed_ends_without_a_word(ui, warnings):
    closed = []

    @answers(status="")
    def on_anything(_data, _ui):
        try:
            yield {}
        finally:
            closed.append(True)

    stream = on_anything(None, ui)
    next(stream)
    stream.close()
    assert closed and not warnings
