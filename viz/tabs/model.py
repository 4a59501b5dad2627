"""The picker of the model: what is open, and what else may be."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import gradio as gr

from age_core.serve import stored
from age_core.serve.registry import HUB_MODELS, IMAGENET_PROBE, Choice
from viz.charts import panels
from viz.components.blocks import live_block, note
from viz.tabs.atlas_column import map_updates, show_map
from viz.tabs.events import QUICK, STREAMED, Handler, Link, Stream, Tab, Updates, answers
from viz.tabs.map_data import MapCache, MapData
from viz.tabs.session import Session, ready


def lay_out(ui: SimpleNamespace, data: MapData) -> None:
    with gr.Group(elem_id="model-picker"):
        ui.opened = live_block("model-opened", note(what_is_open(data)))
        with gr.Row():
            ui.model = gr.Dropdown(
                model_choices(),
                value="emoji",
                label="Model: bundled, a Hugging Face id, or a folder",
                allow_custom_value=True,
                elem_id="model-name",
                scale=3,
                min_width=220,
            )
            ui.concept_set = gr.Dropdown(
                stored.concept_sets(),
                value="emoji",
                label="Concepts",
                elem_id="concept-set",
                scale=2,
                min_width=150,
            )
            ui.probe = gr.Dropdown(
                [("none", ""), *((name, name) for name in (*stored.bundled_probes(), IMAGENET_PROBE))],
                value="emoji",
                label="Probe that judges",
                allow_custom_value=True,
                elem_id="probe-name",
                scale=2,
                min_width=150,
            )
            device = data.choice.device  # which others there are only Torch knows, which comes later
            ui.device = gr.Dropdown([device], value=device, label="Device", elem_id="device", min_width=90)
        with gr.Row():
            ui.own_set = gr.File(
                label="or concepts of your own: CSV with name, group, general, synonyms",
                file_types=[".csv"],
                elem_id="own-concepts",
                height=110,
                scale=3,
            )
            ui.open_model = gr.Button("Open", variant="primary", elem_id="open-model", scale=1, min_width=110)
        ui.model_status = live_block("model-status")


def model_choices() -> list[tuple[str, str]]:
    """The models that are offered by name, as the choices of a dropdown."""
    return [(f"{name} (bundled)", name) for name in stored.bundled_models()] + [(name, name) for name in HUB_MODELS]


def chip_title(data: MapData) -> str:
    """The model that is open, as the button that opens the drawer."""
    return f"{Path(data.choice.model).name} · {len(data.concepts)} concepts ▾"


def what_is_open(data: MapData) -> str:
    """What is open, and what it lacks, in words."""
    choice = data.choice
    text = f"Open: {choice.model} with {len(data.concepts)} concepts ({data.concepts.name}) on {choice.device}."
    text += f" Judged by the probe {choice.probe}." if choice.probe else " No probe judges its pictures."
    if choice.model not in stored.bundled_models() and choice.device == "cpu":
        text += " Without a GPU, pictures of a full-size model take minutes and an erasure hours."
    return text


@answers()
def on_model(_data: MapData, ui: SimpleNamespace, model: str) -> Updates:
    """Another model was named: what usually goes with it."""
    if model in stored.bundled_models():
        return {ui.concept_set: "emoji", ui.probe: "emoji"}
    return {ui.concept_set: "sd-imagenette", ui.probe: IMAGENET_PROBE}


def opener(tabs: Sequence[Tab]) -> Handler:
    """What opens another model for a page alone, and shows it in all `tabs`."""

    @answers(model_status="")
    def on_open_model(
        maps: MapCache,
        ui: SimpleNamespace,
        session: Session | None,
        model: str,
        concepts: str,
        own_concepts: str | None,
        probe: str | None,
        device: str,
    ) -> Stream:
        choice = Choice((model or "").strip(), own_concepts or concepts, (probe or "").strip(), device)
        session = ready(session)
        for step in maps.models.opening(choice):
            yield {ui.model_status: panels.status(f"{step} …"), ui.messages: ""}
        yield {ui.model_status: panels.status("Arranging the map …")}
        data = maps.of(choice)
        session.queued = session.painting = session.view = None  # what goes on here is no longer shown
        fresh = Session(session.owner)
        updates: Updates = {
            ui.session: fresh,
            ui.choice: choice,
            ui.opened: note(what_is_open(data)),
            ui.chip: chip_title(data),
            ui.model_status: "",
            ui.messages: "",
        }
        updates |= map_updates(data, ui, fresh)
        for tab in tabs:
            updates |= tab.reset(data, ui, session.owner)
        yield from show_map(data, ui, fresh, updates)

    return on_open_model


def connect(link: Link, tabs: Sequence[Tab]) -> None:
    """`tabs`: those of the page, which all show the model that is open."""
    ui = link.ui
    link.on(ui.model.input, on_model, ["model"], ("concept_set", "probe"), QUICK)
    inputs = ("session", "model", "concept_set", "own_set", "probe", "device")
    link.on(ui.open_model.click, opener(tabs), inputs, link.everything, STREAMED, lambda _: link.maps)
