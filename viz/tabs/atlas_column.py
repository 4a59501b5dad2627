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
from viz.charts.live_view import duration
from viz.components.blocks import live_block, note
from viz.components.chart import Chart
from viz.tabs import concept
from viz.tabs.events import LATEST, QUICK, STREAMED, Link, Stream, Updates, settle, warn, where
from viz.tabs.faces import ServedSheet
from viz.tabs.map_data import LAYOUTS, MapCache, MapData
from viz.tabs.map_view import (
    AS_SHOWN,
    DIRECTIONS,
    USUAL,
    ConceptView,
    How,
    concept_view,
    graph_panel,
    graph_values,
    heat_map,
    key_of,
    overview,
    source_choices,
)
from viz.tabs.session import Session

VIEWS = ("Atlas", "Heat map")
HOW = ("by", "source", "direction", "count", "unclear")  # the controls that `How` is made of
TOLD = ("counting", "selection", "caption", "where", "messages")
PICKED = ("graph", "search", "by", "other", "strength", "erased", *TOLD)  # what a pick changes


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
    with gr.Group(visible=needs_measuring(data), elem_id="build-graph") as ui.build_offer:
        ui.build_status = live_block("build-status", note(offer(data)))
        ui.build = gr.Button("Measure the side effects", elem_id="build-button")
    with gr.Row(elem_id="map-controls"):
        ui.layout = gr.Radio(data.arrangements, value=data.arrangements[0], label="Places", elem_id="map-layout")
        ui.direction = gr.Radio(list(DIRECTIONS), value=USUAL, label="Arrows", elem_id="map-direction")
    ui.caption = live_block("map-caption", note(view.caption))
    lay_out_more(ui, data)


def lay_out_more(ui: SimpleNamespace, data: MapData) -> None:
    """What only some people ask for: other measures, more arrows, the heat map, the whole graph."""
    with gr.Accordion("More on the map", open=False, elem_id="map-more"):
        with gr.Row():
            ui.source = gr.Dropdown(
                source_choices(data.sources), value=AS_SHOWN, label="Arrows measured with", elem_id="map-source"
            )
            ui.count = gr.Slider(3, 20, value=8, step=1, label="Strongest arrows", elem_id="map-count")
            ui.unclear = gr.Checkbox(False, label="Unclear ones, dashed", elem_id="map-unclear")
            ui.everything = gr.Slider(
                0, 100, value=0, step=1, label="Whole graph: strongest arrows, % (0: none)", elem_id="map-all"
            )
            ui.view = gr.Radio(list(VIEWS), value=VIEWS[0], label="View", elem_id="map-view", min_width=160)
        # on demand, because reading a graph of tens of thousands of arrows takes seconds
        ui.read_graph = gr.Button("What the whole graph says", elem_id="facts-button", size="sm")
        ui.facts = live_block("graph-facts")
        ui.legend = live_block("map-legend", key_of(data.groups))


def other_title(view: ConceptView) -> str:
    """What the button says that turns to the other recorded erasure."""
    titles = [title for title, key in view.faces if view.face is None or key != view.face.choice]
    return f"Now with {titles[0]}" if titles else "Now with another"


def needs_measuring(data: MapData) -> bool:
    """Whether the page offers to measure what erasing each concept does to others."""
    return bool(data.unmeasured) and data.world is None


def offer(data: MapData) -> str:
    """What is missing on the map, and what it takes."""
    return (
        f"What erasing does to others was not measured for {data.unmeasured} of the {len(data.concepts)} concepts. "
        "Each would be erased by UCE, a closed form without training, and the noise shift of all others measured. What "
        "is finished stays, if you leave too."
    )


def map_updates(data: MapData, ui: SimpleNamespace) -> Updates:
    """The atlas and every list of names, for another model or for one of which more is known."""
    view, names, titles = concept_view(data, Session(), data.first), list(data.concepts.names), data.arrangements
    return {
        **picked_updates(ui, view),
        ui.graph: gr.update(**graph_values(data, view), overview="[]", lit="{}"),
        ui.heat: gr.update(visible="hidden"),
        ui.view: VIEWS[0],
        ui.everything: 0,
        ui.facts: "",
        ui.search: gr.update(choices=names, value=view.name),
        ui.erased: gr.update(choices=names, value=[view.name]),
        ui.legend: key_of(data.groups),
        ui.direction: USUAL,
        ui.source: gr.update(choices=source_choices(data.sources), value=AS_SHOWN),
        ui.layout: gr.update(choices=titles, value=titles[0]),
        ui.build_offer: gr.update(visible=needs_measuring(data)),
        ui.build_status: note(offer(data)),
    }


def picked_updates(ui: SimpleNamespace, view: ConceptView) -> Updates:
    """What tells of a picked concept, but the atlas itself."""
    key = view.face.choice if view.face else None
    return {
        ui.by: gr.update(choices=list(view.faces), value=key, visible=bool(view.faces)),
        ui.other: gr.update(value=other_title(view), visible=len(view.faces) > 1),
        ui.counting: view.counting,
        ui.selection: view.panel,
        ui.caption: note(view.caption),
        ui.where: where(view.name),
        ui.strength: gr.update(value=1, visible=bool(view.face and view.face.eraser)),
    }


def reset(data: MapData, ui: SimpleNamespace, _owner: str) -> Updates:
    return map_updates(data, ui)


def show_map(data: MapData, ui: SimpleNamespace, updates: Updates) -> Stream:
    """`updates`, which show the map of another model or of one of which more is known; then what the model draws."""
    settle()
    yield updates
    settle()
    yield from draw_originals(data, ui, data.first)
    yield from concept.on_picked(data, ui, None, data.first, 0)


def draw_originals(data: MapData, ui: SimpleNamespace, first: str) -> Stream:
    """What the model draws of every concept, where nobody knows yet: the nearest to `first` first."""
    drawn = {name for served in data.originals.sheets for name in served.sheet.places}
    if drawn >= set(data.concepts.names):
        return
    try:
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
    except AgeError as error:
        yield warn(ui, error)


def on_pick(data: MapData, ui: SimpleNamespace, session: Session | None, text: str, picked: Any, *how: Any) -> Updates:
    """Show the concept that `text` names; `picked` is the one that the map shows, which stays where there is none."""
    session = session or Session()
    try:
        view = concept_view(data, session, text, How(*how))
    except AgeError as error:
        return {ui.search: picked, **warn(ui, error)}
    if session.painting and view.face is not session.painting:
        session.painting = None
    # what is right already is not written back: by now the next one may be clicked, which would be undone
    value = {} if view.name == picked else {"value": view.name}
    edited = view.face.as_json() if view.face else ""
    return {
        **picked_updates(ui, view),
        ui.graph: gr.update(arrows=view.arrows, edited=edited, **value),
        ui.search: view.name,
        ui.erased: [view.name],
        ui.messages: "",
    }


def on_click(data: MapData, ui: SimpleNamespace, session: Session | None, *rest: Any) -> Updates:
    """A picture was clicked: a pick, unless it is the guess that a lesson asks for."""
    if session and session.lesson_asks:
        return {ui.search: gr.skip()}
    return on_pick(data, ui, session, *rest)


def on_search(data: MapData, ui: SimpleNamespace, session: Session | None, text: str, *rest: Any) -> Updates:
    """A pick by its name, which is left as it was typed where it is right (see `on_pick`)."""
    updates = on_pick(data, ui, session, text, *rest)
    return updates | ({ui.search: gr.skip()} if updates[ui.search] == text else {})


def on_other(data: MapData, ui: SimpleNamespace, session: Session | None, name: str, by: str, *how: Any) -> Updates:
    """The same concept, erased by the next of those that erased it."""
    view = concept_view(data, session or Session(), name, How(by))
    keys = [key for _, key in view.faces]
    following = keys[(keys.index(by) + 1) % len(keys)] if by in keys else None
    return on_pick(data, ui, session, name, name, following, *how)


def on_another(data: MapData, ui: SimpleNamespace, session: Session | None, name: str, *how: Any) -> Updates:
    """Another concept at random: one whose erasure was recorded, where any was, and of another group."""
    recorded = data.world.erased(data.world.methods[0]) if data.world else data.concepts.names
    group = data.concepts[name].group if name in data.concepts.names else ""
    others = [other for other in recorded if data.concepts[other].group != group] or list(data.concepts.names)
    return on_pick(data, ui, session, random.choice(others), name, *how)


def on_view(data: MapData, ui: SimpleNamespace, view: str, source: int | None) -> Updates:
    """Turn between the atlas and the heat map."""
    if view == VIEWS[0] or data.effects is None:
        return {ui.graph: gr.update(visible=True), ui.heat: gr.update(visible="hidden")}
    figure = heat_map(data, data.effects.pairs(data.source(max(source or 0, 0)))).to_json()
    # "hidden" keeps the map's zoom; False would take it out of the page
    return {ui.graph: gr.update(visible="hidden"), ui.heat: gr.update(figure=figure, visible=True)}


def on_cell(data: MapData, ui: SimpleNamespace, session: Session | None, cell: str | None, *how: Any) -> Updates:
    """A cell of the heat map was clicked: pick the concept whose erasure it tells of."""
    erased, _ = json.loads(cell or '["", ""]')
    return on_pick(data, ui, session, erased, gr.skip(), *how)


def on_everything(data: MapData, _ui: SimpleNamespace, share: float, source: int | None) -> Any:
    """The strongest `share` percent of all arrows at once."""
    if data.effects is None or not share:
        return gr.update(overview="[]")
    return gr.update(overview=overview(data, data.effects.pairs(data.source(max(source or 0, 0))), share))


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


def connect(link: Link) -> None:
    ui, how = link.ui, link.parts(*HOW)
    outputs = link.parts(*PICKED)
    asked = [ui.choice, ui.session]
    pick, again = link.of_map(on_pick), [*asked, ui.graph, ui.graph, *how]
    picks = [
        ui.graph.select(link.of_map(on_click), again, outputs, **QUICK),
        ui.search.input(link.of_map(on_search), [*asked, ui.search, ui.graph, *how], outputs, **QUICK),
        ui.heat.select(link.of_map(on_cell), [*asked, ui.heat, *how], outputs, **QUICK),
        ui.source.input(pick, again, outputs, **QUICK),
        ui.another.click(link.of_map(on_another), [*asked, ui.graph, *how], outputs, **QUICK),
        ui.other.click(link.of_map(on_other), [*asked, ui.graph, *how], outputs, **QUICK),
        ui.by.input(pick, again, outputs, **QUICK),
    ]
    for event in picks:
        concept.after_pick(link, event, LATEST)
    for control in (ui.direction, ui.count, ui.unclear):
        control.input(pick, again, outputs, **QUICK)
    ui.layout.input(lambda title: gr.update(layout=LAYOUTS[title]), ui.layout, ui.graph, **QUICK)
    ui.view.input(link.of_map(on_view), [ui.choice, ui.view, ui.source], [ui.graph, ui.heat], **QUICK)
    ui.everything.input(link.of_map(on_everything), [ui.choice, ui.everything, ui.source], ui.graph, **QUICK)
    ui.read_graph.click(link.of_map(on_facts), [ui.choice, ui.source], [ui.facts], **STREAMED)
    ui.build.click(link.of_all(on_measure), ui.choice, link.everything, **STREAMED)
