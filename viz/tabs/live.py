"""A run in the Erase tab: watched while it goes on, and seen again at each of its steps afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING

import gradio as gr
from PIL import Image

from age_core import AgeError
from viz.charts import panels
from viz.charts.live_view import LiveView, Picture, Recording, duration
from viz.components.blocks import note
from viz.tabs import repaint
from viz.tabs.events import Stream, Updates, answers, by_region, clear, settle, unchanged, warn, where
from viz.tabs.faces import Face
from viz.tabs.map_data import MapData
from viz.tabs.session import Session

if TYPE_CHECKING:
    from age_core import EraseEvent, Run
    from age_core.serve.queue import QueuedRun

# what a run that is watched, or shown again, may change
LIVE = (
    "status",
    "start",
    "stop",
    "resume",
    "scrub",
    "live_targets",
    "live_loss",
    "live_history",
    "live_previews",
    "where",
    "erasers",
    "tabs",
    *repaint.PAINTED,
)
DRAWN_IN_PLACE = (
    "Being erased: {name}. Its picture and those of its nearest concepts are what the model draws at step {step}; all "
    "others are the original's until the end."
)
CANDIDATE = 26  # pixels across of a candidate's picture
CHARTS = ("live_targets", "live_loss", "live_history", "live_previews")


def turn_to_erase(ui: SimpleNamespace) -> Stream:
    """Show the Erase tab before what happens there."""
    yield {ui.tabs: gr.Tabs(selected="erase")}
    settle()


@answers(
    status=panels.status("The run can no longer be watched here. Under Runs it says how it ended."),
    start=gr.update(interactive=True),
)
def follow(data: MapData, ui: SimpleNamespace, session: Session, queued: QueuedRun) -> Stream:
    """Show a run from its first event to its end, unless the session turns to another."""
    name, session.queued, session.recording = ", ".join(queued.run.config.concepts), queued, None
    session.painting = session.view = None
    yield {
        ui.status: panels.status(f"Preparing to erase {name} …"),
        **clear(ui, *CHARTS, "messages"),
        ui.start: gr.update(interactive=False),
        ui.stop: gr.update(interactive=True),
        ui.resume: gr.update(interactive=False),
        ui.scrub: gr.update(visible=False),
        ui.where: where(name, queued.run.path.name),
    }
    view, previews = LiveView(name, candidate_pictures(data)), Previews(data, queued)
    for news in data.explorer.queue.watch(queued):
        if session.queued is not queued:
            return
        updates = by_region(ui, view.update(news.events))
        if news.state == "waiting":
            updates[ui.status] = panels.status(in_line(news.ahead, news.wait_s))
        atlas = previews.update(news.events)
        if ui.live_loss in updates:  # once a second is enough for the candidates that glow
            atlas["lit"] = view.lit(news.events[-1])
        if atlas:
            updates[ui.graph] = gr.update(**atlas)
        if "edited" in atlas:
            updates[ui.counting] = note(DRAWN_IN_PLACE.format(name=name, step=news.events[-1].step))
        if updates:
            yield updates
    yield ending(data, ui, session, queued)


@answers(now_status="")
def on_repaint(data: MapData, ui: SimpleNamespace, session: Session | None) -> Stream:
    """After a run was watched to its end: the whole atlas as the edited model draws it, once."""
    queued = session.queued if session else None
    if session is None or queued is None or queued.state != "finished":
        yield unchanged(ui)
        return
    title, last = queued.run.path.name, queued.events[-1]
    if title not in session.edited or title in [face.by for face in session.faces.values()]:
        yield unchanged(ui)
        return
    face = session.new_face(data, title, session.edited[title].eraser)
    said = f"{', '.join(queued.run.config.concepts)} was erased in {last.steps} steps ({duration(last.elapsed_s)})."
    yield from repaint.paint(data, ui, session, face, said)


class Previews:
    """What a run draws while it trains, in its place on the atlas."""

    def __init__(self, data: MapData, queued: QueuedRun) -> None:
        names = queued.run.config.concepts
        self.names = tuple(name for name in names if name in data.concepts.names)

    def update(self, events: Sequence[EraseEvent]) -> dict[str, str]:
        """The latest pictures, if there are new ones, as the atlas takes them."""
        drawn = [event for event in events if event.previews and event.preview_concepts]
        if not drawn:
            return {}
        last = drawn[-1]
        by = f"a run at step {last.step}"
        face = Face.of_previews(by, self.names, last.preview_concepts, last.previews)
        return {"edited": face.as_json(), "arrows": "[]"}


def candidate_pictures(data: MapData) -> Picture:
    """What the original model draws of a candidate; None where nobody drew it."""
    return lambda name: data.originals.tile(name, name, CANDIDATE)


def in_line(ahead: int, wait_s: float) -> str:
    """How many runs come first, and how long they may take; `wait_s` is nan where that is unknown."""
    before = "one run is" if ahead == 1 else f"{ahead} runs are"
    about = f", about {duration(wait_s)}" if wait_s == wait_s else ""
    return f"Waiting: {before} before yours{about}."


def ending(data: MapData, ui: SimpleNamespace, session: Session, queued: QueuedRun) -> Updates:
    """How a run ended, and what can be done then."""
    finished, events = queued.state == "finished", queued.events
    updates: Updates = {
        ui.start: gr.update(interactive=True),
        ui.stop: gr.update(interactive=False),
        ui.resume: gr.update(interactive=not finished),
        ui.graph: gr.update(lit="{}"),
    }
    if finished:
        last = events[-1]
        title = session.add(queued.run, last.eraser)
        # what was just watched is in memory, unless it went on from a checkpoint: then its beginning is on the disk
        updates |= show_recording(data, ui, session, queued.run, events if events[0].step <= 1 else None)
        name = ", ".join(queued.run.config.concepts)
        text = f"Done: {name} was erased in {last.steps} steps ({duration(last.elapsed_s)})."
        updates[ui.status] = panels.status(text, last.steps, last.steps)
        updates[ui.erasers] = gr.update(choices=list(session.edited), value=[title])
    elif queued.state == "stopped":
        step = events[-1].step if events else 0
        place = f"at step {step} of {events[-1].steps}" if step else "before the first step"
        why = f"{queued.reason} " if queued.reason else ""
        updates[ui.status] = panels.status(f"Stopped {place}. {why}Resume goes on from the last checkpoint.")
    else:
        updates |= {ui.status: panels.status("The run failed."), **warn(ui, AgeError(queued.reason))}
    return updates


def recording_of(run: Run, events: Sequence[EraseEvent] | None = None, picture: Picture = lambda _: None) -> Recording:
    """What a run has recorded, with its pictures. `events`: all of them, where they are in memory."""
    pictures = {}
    for path in run.pictures():
        with Image.open(path) as preview:
            pictures[path.name] = preview.convert("RGB")
    return Recording(", ".join(run.config.concepts), run.events() if events is None else events, pictures, picture)


def show_recording(
    data: MapData, ui: SimpleNamespace, session: Session, run: Run, events: Sequence[EraseEvent] | None = None
) -> Updates:
    """A run in the Erase tab, at its last step; the slider goes through the others."""
    session.recording = recording_of(run, events, candidate_pictures(data))
    steps = session.recording.steps
    slider = gr.update(minimum=1, maximum=max(steps, 2), value=steps, visible=steps > 1)
    return {**by_region(ui, session.recording.at(steps)), ui.scrub: slider}
