"""The tab where a concept is erased while one watches."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import gradio as gr

from viz.charts import panels
from viz.components.blocks import live_block, text_block

PRESETS = [("Fast", "fast"), ("Balanced", "balanced"), ("Thorough", "thorough")]


def lay_out(ui: SimpleNamespace, name: str, catalogue: Mapping[str, Any]) -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            text_block(
                "Erase it",
                "The target is what the model is taught to draw instead of the erased word. AGE weighs candidate words "
                "as it trains, and maps the word onto the heaviest.",
            )
            ui.erased = gr.Dropdown(
                list(catalogue["names"]),
                value=[name],
                label="Erase",
                multiselect=True,
                max_choices=5,
                allow_custom_value=True,
                elem_id="erase-names",
            )
            ui.method = gr.Dropdown(
                [(label, key) for key, label in catalogue["methods"].items()],
                value="age",
                label="Method",
                elem_id="method",
            )
            ui.about = live_block("method-about", catalogue["about"]["age"])
            ui.word = gr.Textbox(
                label='Target word (blank: the method\'s own; "" is the empty prompt)',
                visible=False,
                elem_id="fixed-target",
                max_lines=1,
            )
            ui.preset = gr.Radio(PRESETS, value="balanced", label="How thorough", elem_id="preset")
            with gr.Accordion("Advanced", open=False, elem_id="advanced"):
                # texts, as an empty number field would come back as 0, which is a value of its own
                ui.steps = gr.Textbox(label="Steps (blank: the preset's)", max_lines=1, elem_id="steps")
                ui.rate = gr.Textbox(label="Learning rate (blank: the preset's)", max_lines=1, elem_id="rate")
                ui.keeping = gr.Textbox(label="Weight of preserving (blank: 1)", max_lines=1, elem_id="keeping")
                ui.seed = gr.Number(0, label="Seed of the training", precision=0, elem_id="seed")
            ui.keep = gr.Checkbox(False, label="Keep running when I close the page", elem_id="keep-running")
            with gr.Row():
                ui.start = gr.Button("Erase", variant="primary", elem_id="erase-button", min_width=100)
                ui.stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop-button", min_width=80)
                ui.resume = gr.Button("Resume", interactive=False, elem_id="resume-button", min_width=80)
            ui.predict = gr.Button("Predict the damage first", elem_id="predict-button")
            ui.predicted = live_block("predicted")
        with gr.Column(scale=3, min_width=320):
            ui.status = live_block("live-status", panels.status("Nothing is running."))
            ui.scrub = gr.Slider(1, 2, value=1, step=1, label="Step of the run", visible=False, elem_id="scrub")
            ui.live_targets = live_block("live-targets")
            ui.live_history = live_block("live-history")
        with gr.Column(scale=3, min_width=320):
            ui.live_loss = live_block("live-loss")
            ui.live_previews = live_block("live-previews")
