"""The whole graph at once, below the atlas: its strongest arrows, the heat map, what networkx says, and the legend."""

from collections.abc import Sequence
from types import SimpleNamespace

import gradio as gr
import pandas as pd
import plotly.graph_objects as go

from age_core.serve.stored import Source, graph_facts, source_title
from viz.atlas import atlas, layout
from viz.charts import panels, plots
from viz.components.blocks import live_block
from viz.tabs.events import QUICK, STREAMED, Link, Updates, answers
from viz.tabs.map_data import MapData
from viz.tabs.map_view import AS_SHOWN

VIEWS = ("Atlas", "Heat map")
MOST_CELLS = 60  # rows or columns of the heat map: more cannot be told apart


def lay_out(ui: SimpleNamespace, data: MapData) -> None:
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


def heat_map(data: MapData, pairs: pd.DataFrame) -> go.Figure:
    """The strongest side effects as a table of colours, a row an erased concept."""
    damage = pairs.pivot(index="erased", columns="affected", values="delta")
    erased, affected = (list(damage.abs().max(axis=axis).nlargest(MOST_CELLS).index) for axis in (1, 0))
    groups = {concept.name: concept.group for concept in data.concepts}
    which = "Every erasure that was measured" if len(erased) == len(damage) else f"The {MOST_CELLS} strongest erasures"
    title = f"{which}, on the {len(affected)} concepts that any erasure moves most"
    return plots.heat_map(damage.loc[erased, affected], groups, title, clustered=True)


def overview(data: MapData, pairs: pd.DataFrame, share: float) -> str:
    """The strongest `share` percent of all clear arrows, as JSON."""
    clear = pairs[pairs["clear"]]
    above = float(clear["delta"].abs().quantile(1 - share / 100)) if len(clear) else 0.0
    return atlas.overview_json(clear, list(data.layouts[layout.MEANING]["name"]), above)


def graph_panel(data: MapData, source: int | None) -> str:
    """What the whole graph of clear side effects says, by networkx."""
    if data.effects is None:
        return panels.message("Nothing was measured yet, so there is no graph.")
    origin = data.source(max(source or 0, 0))
    facts, strengths = graph_facts(data.effects, origin, data.concepts)
    return panels.graph_facts(facts, strengths, ", ".join(source_title(origin)))


def source_choices(sources: Sequence[Source]) -> list[tuple[str, int]]:
    """What the arrows may be measured with, as the choices of a dropdown."""
    titles = [(", ".join(source_title(source)), row) for row, source in enumerate(sources)]
    return [("the pictures that are shown", AS_SHOWN), *titles]


def key_of(groups: Sequence[str]) -> str:
    """The legend of the map."""
    return f'<div class="age">{atlas.legend(groups)}</div>'


@answers()
def on_view(data: MapData, ui: SimpleNamespace, view: str, source: int | None) -> Updates:
    """Turn between the atlas and the heat map."""
    if view == VIEWS[0] or data.effects is None:
        return {ui.graph: gr.update(visible=True), ui.heat: gr.update(visible="hidden")}
    figure = heat_map(data, data.effects.pairs(data.source(max(source or 0, 0)))).to_json()
    # "hidden" keeps the map's zoom; False would take it out of the page
    return {ui.graph: gr.update(visible="hidden"), ui.heat: gr.update(figure=figure, visible=True)}


@answers()
def on_everything(data: MapData, ui: SimpleNamespace, share: float, source: int | None) -> Updates:
    """The strongest `share` percent of all arrows at once."""
    if data.effects is None or not share:
        return {ui.graph: gr.update(overview="[]")}
    arrows = overview(data, data.effects.pairs(data.source(max(source or 0, 0))), share)
    return {ui.graph: gr.update(overview=arrows)}


@answers()
def on_facts(data: MapData, ui: SimpleNamespace, source: int | None) -> Updates:
    """What the whole graph says."""
    return {ui.facts: graph_panel(data, source)}


def connect(link: Link) -> None:
    ui = link.ui
    link.on(ui.view.input, on_view, ("view", "source"), ("graph", "heat"), QUICK)
    link.on(ui.everything.input, on_everything, ("everything", "source"), ["graph"], QUICK)
    link.on(ui.read_graph.click, on_facts, ["source"], ["facts"], STREAMED)
