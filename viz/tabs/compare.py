"""The tab that sets original beside edited pictures of the same seeds."""

from types import SimpleNamespace

import gradio as gr

from viz.components.blocks import live_block, note, text_block
from viz.components.chart import Chart


def lay_out(ui: SimpleNamespace) -> None:
    text_block(
        "Compare",
        "The same prompt and seed, drawn by the original and by each edited model. Under each picture: what a "
        "separately trained classifier (the probe) sees, how sure it is, and how far the pair is apart.",
    )
    with gr.Row():
        ui.erasers = gr.CheckboxGroup([], label="Edited models (up to four)", elem_id="erasers", scale=3)
        ui.picture_seed = gr.Number(
            0, label="First seed", precision=0, elem_id="picture-seed", scale=1, min_width=110, minimum=0
        )
        ui.picture_count = gr.Slider(
            1, 4, value=1, step=1, label="Pictures of each prompt", elem_id="picture-count", scale=1, min_width=160
        )
    with gr.Row():
        ui.own = gr.Textbox(
            label="Your own prompts, one a line (blank: the concepts around the erased one)",
            elem_id="own-prompt",
            lines=1,
            max_lines=4,
            scale=3,
            min_width=220,
        )
        ui.compare = gr.Button("Draw", variant="primary", elem_id="compare-button", scale=1, min_width=110)
        ui.ablate = gr.Button(
            "Erase it to “”, a random neighbour and adaptively", elem_id="ablate-button", scale=2, min_width=220
        )
    ui.compare_status = live_block("compare-status")
    ui.grid = live_block("compare-grid", note("Erase a concept, or open a run, to see the pictures here."))
    with gr.Row():
        with gr.Column(min_width=320):
            ui.pair = gr.Dropdown([], label="Look closer at one pair", visible=False, elem_id="pair-choice")
            ui.slider = gr.ImageSlider(
                label="Original on the left, edited on the right: drag the line",
                visible=False,
                elem_id="pair-slider",
                interactive=False,
                type="pil",
                height=360,
            )
            ui.judge = gr.Button("Measure ESR, PSR and the damage", elem_id="judge-button")
            ui.scores = live_block("scores")
        with gr.Column(min_width=320):
            ui.scatter = Chart(figure="", label="Predicted against measured damage", elem_id="prediction-scatter")
