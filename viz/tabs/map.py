"""The tab of the map: concepts as dots, side effects as arrows, and what is known of the one that is picked."""

import json
import time
from types import SimpleNamespace
from typing import Any

import gradio as gr

from age_core import AgeError
from age_core.serve.registry import Choice
from viz.atlas.atlas import Atlas
from viz.charts import panels
from viz.charts.live_view import duration
from viz.components.blocks import live_block, note, text_block
from viz.components.chart import Chart
from viz.tabs.events import LATEST, QUICK, STREAMED, Link, Stream, Tab, Updates, settle, warn, where
from viz.tabs.map_data import LAYOUTS, MapCache, MapData
from viz.tabs.map_view import (
    DIRECTIONS,
    USUAL,
    concept_view,
    graph_panel,
    graph_values,
    heat_map,
    key_of,
    locality,
    overview,
    source_choices,
)
from viz.tabs.session import Session

VIEWS = ("Map", "Heat map")


def lay_out(ui: SimpleNamespace, data: MapData) -> None:
    view = concept_view(data, data.first)
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            text_block(
                "Pick a concept",
                "Each dot is a concept; dots close together usually have similar meaning, but gaps between distant "
                "clusters mean little. Click a dot or search. A larger dot is hurt by more erasures.",
            )
            with gr.Row():
                ui.search = gr.Dropdown(
                    list(data.concepts.names),
                    value=view.name,
                    label="Search",
                    allow_custom_value=True,
                    elem_id="concept-search",
                    scale=2,
                    min_width=200,
                )
                ui.view = gr.Radio(list(VIEWS), value="Map", label="View", elem_id="map-view", scale=1, min_width=160)
            ui.graph = Atlas(**graph_values(data, view), elem_id="concept-map")
            ui.heat = Chart(figure="", label="Heat map of side effects", elem_id="heat-map", visible="hidden")
            ui.legend = live_block("map-legend", key_of(data.groups))
            ui.caption = live_block("map-caption", note(view.caption))
            with gr.Group(visible=bool(data.unmeasured), elem_id="build-graph") as ui.build_offer:
                ui.build_status = live_block("build-status", note(offer(data)))
                ui.build = gr.Button("Measure the side effects", elem_id="build-button")
            lay_out_controls(ui, data)
        with gr.Column(scale=4, min_width=320):
            ui.selection = live_block("selection", view.panel)
            ui.own_pictures = live_block("own-pictures", note("The model's own pictures come in a moment."))
            ui.locality = Chart(figure="", label="Damage by nearness", elem_id="locality")


def lay_out_controls(ui: SimpleNamespace, data: MapData) -> None:
    """Below the map: which arrows it shows, and how the dots are arranged."""
    with gr.Row(visible=bool(data.sources)) as ui.arrow_row:
        ui.direction = gr.Radio(list(DIRECTIONS), value=USUAL, label="Arrows", elem_id="map-direction")
        ui.layout = gr.Radio(
            data.arrangements,
            value="By meaning",
            label="Arranged",
            elem_id="map-layout",
            visible=len(data.arrangements) > 1,
        )
    with gr.Accordion("More on the map", open=False, elem_id="map-more"), gr.Row():
        ui.source = gr.Dropdown(
            source_choices(data.sources),
            value=0 if data.sources else None,
            label="Measured with",
            elem_id="map-source",
        )
        ui.count = gr.Slider(3, 20, value=8, step=1, label="Strongest arrows", elem_id="map-count")
        ui.unclear = gr.Checkbox(False, label="Unclear ones, dashed", elem_id="map-unclear")
        ui.everything = gr.Slider(
            0, 100, value=0, step=1, label="Whole graph: strongest arrows, % (0: none)", elem_id="map-all"
        )
    lay_out_facts(ui)


def lay_out_facts(ui: SimpleNamespace) -> None:
    """On demand, because reading a graph of tens of thousands of arrows takes seconds."""
    ui.read_graph = gr.Button("What the whole graph says", elem_id="facts-button", size="sm")
    ui.facts = live_block("graph-facts")


def offer(data: MapData) -> str:
    """What is missing on the map, and what it takes."""
    return (
        f"What erasing does to others was not measured for {data.unmeasured} of the {len(data.concepts)} concepts. "
        "Each would be erased by UCE, a closed form without training, and the noise shift of all others measured. What "
        "is finished stays, if you leave too."
    )


def map_updates(data: MapData, ui: SimpleNamespace) -> Updates:
    """The map and every list of names, for another model or for one of which more is known."""
    view, names, titles = concept_view(data, data.first), list(data.concepts.names), data.arrangements
    return {
        ui.graph: gr.update(**graph_values(data, view), overview="[]", lit="{}"),
        ui.heat: gr.update(visible="hidden"),
        ui.view: "Map",
        ui.everything: 0,
        ui.facts: "",
        ui.search: gr.update(choices=names, value=view.name),
        ui.erased: gr.update(choices=names, value=[view.name]),
        ui.legend: key_of(data.groups),
        ui.caption: note(view.caption),
        ui.selection: view.panel,
        ui.where: where(view.name),
        ui.direction: USUAL,
        ui.arrow_row: gr.update(visible=bool(data.sources)),
        ui.source: gr.update(choices=source_choices(data.sources), value=0 if data.sources else None),
        ui.layout: gr.update(choices=titles, value=titles[0], visible=len(titles) > 1),
        ui.build_offer: gr.update(visible=bool(data.unmeasured)),
        ui.build_status: note(offer(data)),
    }


def reset(data: MapData, ui: SimpleNamespace, _owner: str) -> Updates:
    return map_updates(data, ui) | {ui.own_pictures: ""}


def show_map(data: MapData, ui: SimpleNamespace, updates: Updates) -> Stream:
    """`updates`, which show the map of another model or of one of which more is known; then what the model draws."""
    settle()
    yield updates
    settle()
    yield from on_picked(data, ui, None, data.first, 0)


def on_pick(data: MapData, ui: SimpleNamespace, text: str, picked: Any, source: int | None, *how: Any) -> Updates:
    """Show the concept that `text` names; `picked` is the one that the map shows, which stays where there is none."""
    try:
        view = concept_view(data, text, source, *how)
    except AgeError as error:
        return {ui.search: picked, **warn(ui, error)}
    # what is right already is not written back: by now the next one may be clicked, which would be undone
    value = {} if view.name == picked else {"value": view.name}
    return {
        ui.graph: gr.update(arrows=view.arrows, **value),
        ui.search: view.name,
        ui.selection: view.panel,
        ui.caption: note(view.caption),
        ui.where: where(view.name),
        ui.erased: [view.name],
        ui.messages: "",
    }


def on_click(data: MapData, ui: SimpleNamespace, session: Session | None, *rest: Any) -> Updates:
    """A dot was clicked: a pick, unless it is the guess that a lesson asks for."""
    return {ui.search: gr.skip()} if session and session.lesson_asks else on_pick(data, ui, *rest)


def on_search(data: MapData, ui: SimpleNamespace, text: str, *rest: Any) -> Updates:
    """A pick by its name, which is left as it was typed where it is right (see `on_pick`)."""
    updates = on_pick(data, ui, text, *rest)
    return updates | ({ui.search: gr.skip()} if updates[ui.search] == text else {})


def on_picked(data: MapData, ui: SimpleNamespace, session: Session | None, name: str, source: int | None) -> Stream:
    """What takes the model, after a pick was answered: the damage by nearness, and what the model draws."""
    if session and session.lesson_asks:
        return
    if session:
        session.picked = name
    try:
        curve = locality(data, name, source)
        if session and session.picked != name:  # another was picked meanwhile, whose event shows it
            return
        began = time.monotonic()
        yield {ui.locality: gr.update(figure=curve.to_json() if curve else "")}
        gallery = panels.gallery(data.explorer.pictures(name), name)
        settle(began)
        if not session or session.picked == name:
            yield {ui.own_pictures: gallery}
    except AgeError:
        yield {ui.own_pictures: "", ui.locality: gr.update(figure="")}


def on_view(data: MapData, ui: SimpleNamespace, view: str, source: int | None) -> Updates:
    """Turn between the map and the heat map."""
    if view == "Map" or data.effects is None:
        return {ui.graph: gr.update(visible=True), ui.heat: gr.update(visible="hidden")}
    figure = heat_map(data, data.effects.pairs(data.source(source))).to_json()
    # "hidden" keeps the map's zoom; False would take it out of the page
    return {ui.graph: gr.update(visible="hidden"), ui.heat: gr.update(figure=figure, visible=True)}


def on_cell(data: MapData, ui: SimpleNamespace, cell: str | None, *how: Any) -> Updates:
    """A cell of the heat map was clicked: pick the concept whose erasure it tells of."""
    erased, _ = json.loads(cell or '["", ""]')
    return on_pick(data, ui, erased, gr.skip(), *how)


def on_everything(data: MapData, _ui: SimpleNamespace, share: float, source: int | None) -> Any:
    """The strongest `share` percent of all arrows at once."""
    if data.effects is None or not share:
        return gr.update(overview="[]")
    return gr.update(overview=overview(data, data.effects.pairs(data.source(source)), share))


def on_facts(data: MapData, ui: SimpleNamespace, source: int | None) -> Updates:
    """What the whole graph says."""
    return {ui.facts: graph_panel(data, source)}


def on_measure(maps: MapCache, ui: SimpleNamespace, choice: Choice) -> Stream:
    """Measure the side effects of erasing every concept; whoever closes the page loses one concept at most."""
    if choice in maps.measuring:
        yield warn(ui, AgeError("These side effects are being measured for somebody else: come back in a while."))
        return
    maps.measuring.add(choice)
    try:
        data = maps.of(choice)
        total, began, measured_before = len(data.concepts), time.monotonic(), len(data.concepts) - data.unmeasured
        yield {ui.build: gr.update(interactive=False), ui.messages: ""}
        yield {ui.build_status: panels.status("Drawing the latents to measure on …")}
        for done, job in enumerate(data.explorer.side_effects(), 1):
            each = (time.monotonic() - began) / max(done - measured_before, 1)
            remaining = duration(each * (total - done))
            text = f"{done} of {total}: {job.erased} was erased and measured; about {remaining} left."
            yield {ui.build_status: panels.status(text, done, total)}
        data = maps.reread(choice)
        yield from show_map(data, ui, map_updates(data, ui) | {ui.build: gr.update(interactive=True)})
    except AgeError as error:
        again = {ui.build: gr.update(interactive=True), ui.build_status: note(offer(maps.of(choice)))}
        yield again | warn(ui, error)
    finally:
        maps.measuring.discard(choice)


def after_pick(link: Link, event: Any, how: dict[str, Any]) -> None:
    """After an event that picked a concept: what takes the model."""
    inputs = link.parts("choice", "session", "graph", "source")
    event.then(link.of_map(on_picked), inputs, link.parts("locality", "own_pictures"), **how)


def connect(link: Link) -> None:
    ui, how = link.ui, link.parts("source", "direction", "count", "unclear")
    outputs = link.parts("graph", "search", "selection", "caption", "where", "erased", "messages")
    pick, again = link.of_map(on_pick), [ui.choice, ui.graph, ui.graph, *how]
    picks = [
        ui.graph.select(link.of_map(on_click), [ui.choice, ui.session, *again[1:]], outputs, **QUICK),
        ui.search.input(link.of_map(on_search), [ui.choice, ui.search, ui.graph, *how], outputs, **QUICK),
        ui.heat.select(link.of_map(on_cell), [ui.choice, ui.heat, *how], outputs, **QUICK),
        ui.source.input(pick, again, outputs, **QUICK),
    ]
    for event in picks:
        after_pick(link, event, LATEST)
    for control in (ui.direction, ui.count, ui.unclear):
        control.input(pick, again, outputs, **QUICK)
    ui.layout.input(lambda title: gr.update(layout=LAYOUTS[title]), ui.layout, ui.graph, **QUICK)
    ui.view.input(link.of_map(on_view), [ui.choice, ui.view, ui.source], [ui.graph, ui.heat], **QUICK)
    ui.everything.input(link.of_map(on_everything), [ui.choice, ui.everything, ui.source], ui.graph, **QUICK)
    ui.read_graph.click(link.of_map(on_facts), [ui.choice, ui.source], [ui.facts], **STREAMED)
    ui.build.click(link.of_all(on_measure), ui.choice, link.everything, **STREAMED)


TAB = Tab("Map", lay_out, connect, reset)
