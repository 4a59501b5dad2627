"""The atlas at the left: every concept as a picture, what an erasure did to all of them, and the controls of that."""

import json
import random
import time
from types import SimpleNamespace
from typing import Any

import gradio as gr

from age_core import AgeError
from age_core.serve.registry import Choice
from viz.atlas.atlas import Atlas
from viz.charts import panels
from viz.components.blocks import live_block, note
from viz.components.chart import Chart
from viz.tabs import concept, measuring, whole_map
from viz.tabs.events import LATEST, QUICK, STREAMED, Link, Stream, Updates, answers, settle, unchanged, warn, where
from viz.tabs.faces import ServedSheet
from viz.tabs.map_data import LAYOUTS, MapCache, MapData
from viz.tabs.map_view import AS_SHOWN, DIRECTIONS, USUAL, ConceptView, How, concept_view, graph_values
from viz.tabs.repaint import of_view
from viz.tabs.session import Session, ready

HOW = ("by", "source", "direction", "count", "unclear")  # the controls that `How` is made of
TOLD = ("counting", "selection", "caption", "where", "messages")
PICKED = ("graph", "by", "other", "strength", *TOLD)  # what a pick changes at once


def lay_out(ui: SimpleNamespace, data: MapData) -> None:
    view = concept_view(data, Session(), data.first)
    ui.counting = live_block("counting", view.counting)
    with gr.Row(elem_id="erased-by", equal_height=True):
        ui.by = gr.Radio(
            list(view.faces),
            value=view.face.choice if view.face else None,
            label="Erased by",
            visible=bool(view.faces),
            elem_id="by",
            min_width=160,
        )
        ui.other = gr.Button(other_title(view), elem_id="other-method", size="sm", visible=len(view.faces) > 1)
        ui.another = gr.Button("Pick another", elem_id="pick-another", size="sm")
    ui.graph = Atlas(**graph_values(data, view, play=True), elem_id="concept-map")
    ui.heat = Chart(figure="", label="Heat map of side effects", elem_id="heat-map", visible="hidden")
    measuring.lay_out(ui, data)
    with gr.Row(elem_id="map-controls"):
        ui.layout = gr.Radio(data.arrangements, value=data.arrangements[0], label="Places", elem_id="map-layout")
        ui.direction = gr.Radio(list(DIRECTIONS), value=USUAL, label="Arrows", elem_id="map-direction")
    ui.caption = live_block("map-caption", note(view.caption))
    whole_map.lay_out(ui, data)


def other_title(view: ConceptView) -> str:
    """What the button says that turns to the other recorded erasure."""
    titles = [title for title, key in view.faces if view.face is None or key != view.face.choice]
    return f"Now with {titles[0]}" if titles else "Now with another"


def map_updates(data: MapData, ui: SimpleNamespace, session: Session) -> Updates:
    """The atlas and every list of names, for another model or for one of which more is known: of what is picked."""
    names, titles = data.names_to_type, data.arrangements
    if session.picked not in names:
        session.picked = data.first
    view = concept_view(data, session, session.picked)
    return {
        **picked_updates(ui, view),
        ui.graph: gr.update(**graph_values(data, view), overview="[]", lit="{}"),
        ui.heat: gr.update(visible="hidden"),
        ui.view: whole_map.VIEWS[0],
        ui.everything: 0,
        ui.facts: "",
        ui.search: gr.update(choices=names, value=view.name),
        ui.erased: gr.update(choices=names, value=[view.name]),
        ui.legend: whole_map.key_of(data.groups),
        ui.direction: USUAL,
        ui.source: gr.update(choices=whole_map.source_choices(data.sources), value=AS_SHOWN),
        ui.layout: gr.update(choices=titles, value=titles[0]),
        **measuring.offered(data, ui),
    }


def picked_updates(ui: SimpleNamespace, view: ConceptView) -> Updates:
    """What tells of a picked concept."""
    return of_view(ui, view) | {
        ui.other: gr.update(value=other_title(view), visible=len(view.faces) > 1),
        ui.where: where(view.name),
    }


def show_map(data: MapData, ui: SimpleNamespace, session: Session, updates: Updates) -> Stream:
    """`updates`, which show the map of another model or of one of which more is known; then what the model draws."""
    name = session.picked
    settle()
    yield updates
    settle()
    yield from draw_originals(data, ui, name)
    yield from concept.tell(data, ui, session, name, 0)


@answers(model_status="")
def draw_originals(data: MapData, ui: SimpleNamespace, first: str) -> Stream:
    """What the model draws of every concept, where nobody knows yet: the nearest to `first` first."""
    drawn = {name for served in data.originals.sheets for name in served.sheet.places}
    if drawn >= set(data.concepts.names):
        return
    explorer = data.explorer  # which imports Torch, alone; the page is served before
    from age_core.serve.faces import original_faces

    for looks in original_faces(explorer, first):
        began = time.monotonic()
        new = [look for look in looks if look.name not in drawn]
        if new:
            data.originals.sheets.append(ServedSheet.made_of(new))
            drawn |= {look.name for look in new}
            text = f"What the model draws: {len(drawn)} of {len(data.concepts)} pictures."
            status = panels.status(text, len(drawn), len(data.concepts)) if len(drawn) < len(data.concepts) else ""
            yield {ui.graph: gr.update(original=data.originals.as_json()), ui.model_status: status}
            settle(began)


@answers()
def on_pick(data: MapData, ui: SimpleNamespace, session: Session | None, text: str, picked: Any, *how: Any) -> Updates:
    """Show the concept that `text` names; `picked` is the one that the map shows, which stays where there is none."""
    session = session or Session()
    try:
        view = concept_view(data, session, text, How(*how))
    except AgeError as error:
        return warn(ui, error)
    if session.painting and view.face is not session.painting:
        session.painting = None
    session.view = view
    updates = picked_updates(ui, view)
    # what is right already is not written back: by now the next one may be clicked, which would be undone
    value = {} if view.name == picked else {"value": view.name}
    return updates | {ui.graph: updates[ui.graph] | value, ui.messages: ""}


@answers()
def on_click(data: MapData, ui: SimpleNamespace, session: Session | None, *rest: Any) -> Updates:
    """A picture was clicked: a pick, unless it is the guess that a lesson asks for."""
    if session and session.lesson_asks:
        return unchanged(ui)
    return on_pick(data, ui, session, *rest)


@answers()
def on_search(
    data: MapData, ui: SimpleNamespace, session: Session | None, text: str, picked: str, *how: Any
) -> Updates:
    """A name was typed: a pick, written as the concept's own name where it was another, or none."""
    updates = on_pick(data, ui, session, text, picked, *how)
    name = updates.get(ui.graph, {}).get("value", picked)
    return updates if text == name else updates | {ui.search: name}


@answers()
def on_erased(_data: MapData, ui: SimpleNamespace, session: Session | None, picked: str) -> Updates:
    """Name in the Erase tab what was searched for; in the search itself the next may be half typed by now."""
    return unchanged(ui) if session and session.lesson_asks else {ui.erased: [picked]}


@answers()
def on_named(_data: MapData, ui: SimpleNamespace, session: Session | None, text: str, picked: str) -> Updates:
    """Name what the map shows in the lists of all names, after the pick was answered: they are slow to change."""
    if session and session.lesson_asks:
        return unchanged(ui)
    # left as it was typed where it is right (see `on_pick`)
    return {ui.search: gr.skip() if text == picked else picked, ui.erased: [picked]}


@answers()
def on_other(data: MapData, ui: SimpleNamespace, session: Session | None, name: str, by: str, *how: Any) -> Updates:
    """The same concept, erased by the next of those that erased it."""
    view = concept_view(data, session or Session(), name, How(by))
    keys = [key for _, key in view.faces]
    following = keys[(keys.index(by) + 1) % len(keys)] if by in keys else None
    return on_pick(data, ui, session, name, name, following, *how)


@answers()
def on_another(data: MapData, ui: SimpleNamespace, session: Session | None, name: str, *how: Any) -> Updates:
    """Another concept at random: one whose erasure was recorded, where any was, and of another group."""
    recorded = data.world.erased(data.world.methods[0]) if data.world else data.concepts.names
    group = data.concepts[name].group if name in data.concepts.names else ""
    others = [other for other in recorded if data.concepts[other].group != group] or list(data.concepts.names)
    return on_pick(data, ui, session, random.choice(others), name, *how)


@answers()
def on_cell(data: MapData, ui: SimpleNamespace, session: Session | None, cell: str | None, *how: Any) -> Updates:
    """A cell of the heat map was clicked: pick the concept whose erasure it tells of."""
    erased, _ = json.loads(cell or '["", ""]')
    return on_pick(data, ui, session, erased, gr.skip(), *how)


@answers()
def on_layout(_data: MapData, ui: SimpleNamespace, title: str | None) -> Updates:
    """Other places for the pictures."""
    return {ui.graph: gr.update(layout=LAYOUTS[title]) if title else gr.skip()}


@answers()
def on_measure(maps: MapCache, ui: SimpleNamespace, session: Session | None, choice: Choice) -> Stream:
    """Measure the side effects of erasing every concept, and show them: those of what is picked by then."""
    session = ready(session)
    data = yield from measuring.measure(maps, ui, choice)
    yield from show_map(data, ui, session, map_updates(data, ui, session))


def connect(link: Link) -> None:
    ui = link.ui
    asked, again = ("session", "graph", *HOW), ("session", "graph", "graph", *HOW)
    searched = link.on(ui.search.input, on_search, ("session", "search", "graph", *HOW), (*PICKED, "search"), QUICK)
    link.on(searched.then, on_erased, ("session", "graph"), ["erased"], QUICK)
    concept.after_pick(link, searched, LATEST)
    picks = [
        link.on(ui.graph.select, on_click, again, PICKED, QUICK),
        link.on(ui.heat.select, on_cell, ("session", "heat", *HOW), PICKED, QUICK),
        link.on(ui.source.input, on_pick, again, PICKED, QUICK),
        link.on(ui.another.click, on_another, asked, PICKED, QUICK),
        link.on(ui.other.click, on_other, asked, PICKED, QUICK),
        link.on(ui.by.input, on_pick, again, PICKED, QUICK),
    ]
    for event in picks:
        link.on(event.then, on_named, ("session", "search", "graph"), ("search", "erased"), QUICK)
        concept.after_pick(link, event, LATEST)
    for control in (ui.direction, ui.count, ui.unclear):
        link.on(control.input, on_pick, again, PICKED, QUICK)
    link.on(ui.layout.input, on_layout, ["layout"], ["graph"], QUICK)
    whole_map.connect(link)
    link.on(ui.build.click, on_measure, ("session", "choice"), link.everything, STREAMED, lambda _: link.maps)
