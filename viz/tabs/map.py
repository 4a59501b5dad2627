"""The tab of the map: concepts as dots, side effects as arrows, and what is known of the one that is picked."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import gradio as gr

from viz.atlas.concept_map import ConceptGraph, legend
from viz.charts.effects import Direction
from viz.components.blocks import live_block, note, text_block
from viz.components.chart import Chart

DIRECTIONS: dict[str, Direction] = {"Whom it hurts": "hurts", "Who hurts it": "hurt by", "Both": "both"}
LAYOUTS = {"By meaning": "meaning", "By looks": "looks", "By side effects": "effects"}
VIEWS = {"Map": "map", "Heat map": "heat"}


def source_choices(sources: Sequence[tuple[str, str]]) -> list[tuple[str, int]]:
    """What the arrows may be measured with, as the choices of a dropdown."""
    return [(f"{how}, {metric}", row) for row, (how, metric) in enumerate(sources)]


def key_of(groups: Sequence[str]) -> str:
    return f'<div class="age">{legend(groups)}</div>'


def lay_out(ui: SimpleNamespace, start: Mapping[str, Any], catalogue: Mapping[str, Any]) -> None:
    """`start` holds the first view: name, arrows, panel, caption, figure, label_order, layouts."""
    sources = catalogue["sources"]
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            text_block(
                "Pick a concept",
                "Each dot is a concept; dots close together usually have similar meaning, but gaps between distant "
                "clusters mean little. Click a dot or search. A larger dot is hurt by more erasures.",
            )
            with gr.Row():
                ui.search = gr.Dropdown(
                    list(catalogue["names"]),
                    value=start["name"],
                    label="Search",
                    allow_custom_value=True,
                    elem_id="concept-search",
                    scale=2,
                    min_width=200,
                )
                ui.view = gr.Radio(list(VIEWS), value="Map", label="View", elem_id="map-view", scale=1, min_width=160)
            ui.graph = ConceptGraph(
                value=start["name"],
                figure=start["figure"],
                arrows=start["arrows"],
                label_order=start["label_order"],
                layouts=start["layouts"],
                layout="meaning",
                elem_id="concept-map",
            )
            ui.heat = Chart(figure="", label="Heat map of side effects", elem_id="heat-map", visible="hidden")
            ui.legend = live_block("map-legend", key_of(catalogue["groups"]))
            ui.caption = live_block("map-caption", note(start["caption"]))
            with gr.Group(visible=catalogue["unmeasured"], elem_id="build-graph") as ui.build_offer:
                ui.build_status = live_block("build-status", note(catalogue["offer"]))
                ui.build = gr.Button("Measure the side effects", elem_id="build-button")
            with gr.Row(visible=bool(sources)) as ui.arrow_row:
                ui.direction = gr.Radio(
                    list(DIRECTIONS), value="Whom it hurts", label="Arrows", elem_id="map-direction"
                )
                ui.layout = gr.Radio(
                    catalogue["layouts"],
                    value="By meaning",
                    label="Arranged",
                    elem_id="map-layout",
                    visible=len(catalogue["layouts"]) > 1,
                )
            with gr.Accordion("More on the map", open=False, elem_id="map-more"), gr.Row():
                ui.source = gr.Dropdown(
                    source_choices(sources),
                    value=0 if sources else None,
                    label="Measured with",
                    elem_id="map-source",
                )
                ui.count = gr.Slider(3, 20, value=8, step=1, label="Strongest arrows", elem_id="map-count")
                ui.unclear = gr.Checkbox(False, label="Unclear ones, dashed", elem_id="map-unclear")
                ui.everything = gr.Slider(
                    0, 100, value=0, step=1, label="Whole graph: strongest arrows, % (0: none)", elem_id="map-all"
                )
        with gr.Column(scale=4, min_width=320):
            ui.selection = live_block("selection", start["panel"])
            ui.own_pictures = live_block("own-pictures", note("The model's own pictures come in a moment."))
            ui.locality = Chart(figure="", label="Damage by nearness", elem_id="locality")
