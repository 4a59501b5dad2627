"""The tab of the picked concept: what the model draws of it, whom its erasure hurts, and erasing it now."""

import time
from types import SimpleNamespace

import gradio as gr

from viz.charts import panels
from viz.components.blocks import live_block, note
from viz.components.chart import Chart
from viz.tabs import repaint
from viz.tabs.events import LATEST, STREAMED, Link, Stream, Tab, Updates, answers, settle
from viz.tabs.map_data import MapData
from viz.tabs.map_view import concept_view, counting_of, face_of, locality
from viz.tabs.repaint import PAINTED, STRONGEST
from viz.tabs.session import Session, ready


def lay_out(ui: SimpleNamespace, data: MapData) -> None:
    with gr.Row(elem_id="erase-buttons"):
        ui.now = gr.Button("Erase it now", variant="primary", elem_id="erase-now", min_width=130)
        ui.care = gr.Button("Erase with care", elem_id="erase-care", min_width=130)
    ui.now_status = live_block("now-status", note(ABOUT))
    ui.strength = gr.Slider(
        0,
        STRONGEST,
        value=1,
        step=0.05,
        label="Strength of the erasure (the nearest pictures are drawn anew)",
        visible=False,
        elem_id="strength",
    )
    ui.selection = live_block("selection", concept_view(data, Session(), data.first).panel)
    ui.own_pictures = live_block("own-pictures", note("The model's own pictures come in a moment."))
    ui.locality = Chart(figure="", label="Damage by nearness", elem_id="locality")


ABOUT = (
    "Now: UCE, a closed form that takes a second; then every picture on the atlas is drawn anew. With care: AGE, which "
    "chooses the target as it trains, in a minute or less."
)


def reset(_data: MapData, ui: SimpleNamespace, _owner: str) -> Updates:
    return {ui.own_pictures: "", ui.now_status: note(ABOUT), ui.strength: gr.update(visible=False)}


@answers(own_pictures="", locality=gr.update(figure=""))
def on_picked(
    data: MapData, ui: SimpleNamespace, session: Session | None, name: str, source: int | None, by: str | None = None
) -> Stream:
    """What takes the model, after a pick was answered (see `tell`)."""
    session = session or Session()
    if session.lesson_asks:
        yield {ui.own_pictures: gr.skip()}  # see `events.unchanged`
        return
    session.picked = name
    yield from tell(data, ui, session, name, source, by)


def tell(
    data: MapData, ui: SimpleNamespace, session: Session, name: str, source: int | None, by: str | None = None
) -> Stream:
    """The damage by nearness and what the model draws of `name`, as long as that is the one picked last."""
    curve = locality(data, name, source, by)
    if session.picked != name:  # another was picked meanwhile, whose event shows it
        yield {ui.own_pictures: gr.skip()}
        return
    began = time.monotonic()
    face = face_of(data, session, name, by)
    counting = {ui.counting: counting_of(data, face, name)} if face else {}
    yield {ui.locality: gr.update(figure=curve.to_json() if curve else ""), **counting}
    gallery = panels.gallery(data.explorer.pictures(name), name)
    settle(began)
    if session.picked == name:
        yield {ui.own_pictures: gallery}


@answers(now_status=note(ABOUT), now=gr.update(interactive=True))
def on_now(data: MapData, ui: SimpleNamespace, session: Session | None, name: str) -> Stream:
    """Erase the picked concept by a closed form, and draw every picture anew, the nearest first."""
    session = ready(session)
    yield {ui.now_status: panels.status(f"Erasing {name} …"), ui.now: gr.update(interactive=False), ui.messages: ""}
    explorer = data.explorer  # which imports Torch, alone; the page is served before
    from age_core.serve.faces import erase_now

    began = time.monotonic()
    eraser = erase_now(explorer, (name,))
    face = session.new_face(data, "UCE", eraser)
    said = f"{name} was erased by UCE in {time.monotonic() - began:.1f} s."
    yield from repaint.paint(data, ui, session, face, said)
    yield {ui.now: gr.update(interactive=True)}


def erase_again(data: MapData, ui: SimpleNamespace, session: Session, name: str, strength: float) -> Stream:
    """What an address says was seen: a concept erased by the closed form, so strongly."""
    if strength == 1:
        yield from on_now(data, ui, session, name)
        return
    from age_core.serve.faces import erase_now  # as above

    whole = session.new_face(data, "UCE", erase_now(data.explorer, (name,)))
    yield repaint.chosen(data, ui, session, whole, strength)
    settle()
    yield from repaint.paint_strength(data, ui, session, whole.key, strength)


@answers(now_status="")
def on_strength(data: MapData, ui: SimpleNamespace, session: Session | None, by: str | None, strength: float) -> Stream:
    """The same erasure stronger or weaker: its nearest pictures anew."""
    yield from repaint.paint_strength(data, ui, ready(session), by or "", strength)


def after_pick(link: Link, event: gr.events.Dependency, how: dict[str, object]) -> None:
    """After an event that picked a concept: what takes the model."""
    outputs = ("locality", "counting", "own_pictures")
    link.on(event.then, on_picked, ("session", "graph", "source", "by"), outputs, how)


def connect(link: Link) -> None:
    ui, painted = link.ui, (*PAINTED, "now")
    link.on(ui.now.click, on_now, ("session", "graph"), painted, STREAMED)
    ui.care.click(lambda: gr.Tabs(selected="erase"), None, ui.tabs, queue=False, api_visibility="private")
    link.on(ui.strength.input, on_strength, ("session", "by", "strength"), painted, LATEST)


TAB = Tab("Concept", lay_out, connect, reset)
