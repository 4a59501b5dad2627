"""The picker of the model: what is open, and what else may be."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import gradio as gr

from viz.components.blocks import live_block, note


def lay_out(ui: SimpleNamespace, catalogue: Mapping[str, Any]) -> None:
    """`catalogue`: models, concept_sets, probes and devices that are offered; opened: what is open, in words."""
    with gr.Accordion("Model and concepts", open=False, elem_id="model-picker"):
        ui.opened = live_block("model-opened", note(catalogue["opened"]))
        with gr.Row():
            ui.model = gr.Dropdown(
                catalogue["models"],
                value="emoji",
                label="Model: bundled, a Hugging Face id, or a folder",
                allow_custom_value=True,
                elem_id="model-name",
                scale=3,
                min_width=220,
            )
            ui.concept_set = gr.Dropdown(
                catalogue["concept_sets"],
                value="emoji",
                label="Concepts",
                elem_id="concept-set",
                scale=2,
                min_width=150,
            )
            ui.probe = gr.Dropdown(
                catalogue["probes"],
                value="emoji",
                label="Probe that judges",
                allow_custom_value=True,
                elem_id="probe-name",
                scale=2,
                min_width=150,
            )
            ui.device = gr.Dropdown(
                catalogue["devices"], value=catalogue["devices"][-1], label="Device", elem_id="device", min_width=90
            )
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
