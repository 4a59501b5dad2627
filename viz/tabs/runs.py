"""The tab of finished and stopped runs."""

from types import SimpleNamespace

import gradio as gr

from viz.components.blocks import live_block, text_block

COLUMNS = ["Run", "Concepts", "Method", "Model", "State", "Steps", "Seed", "Begun (UTC)"]
EXPORTS = {"Run bundle (zip)": "bundle", "Weight change (safetensors)": "delta"}


def lay_out(ui: SimpleNamespace) -> None:
    text_block(
        "Runs",
        "Every erasure is recorded as it happens: settings, target weights, losses, pictures and the edited weights. "
        "Open one to see it again in the Erase tab and to compare it. Only you see the runs that you started.",
    )
    ui.runs_status = live_block("runs-status")
    with gr.Row():
        ui.run = gr.Dropdown([], label="Run", elem_id="run-choice", scale=3, min_width=220)
        ui.open_run = gr.Button("Open", variant="primary", elem_id="open-run", min_width=80)
        ui.resume_run = gr.Button("Resume", elem_id="resume-run", min_width=80)
    ui.run_table = gr.Dataframe(
        headers=COLUMNS, value=[], interactive=False, elem_id="run-table", wrap=True, label="Your runs"
    )
    with gr.Row():
        with gr.Column(min_width=260):
            ui.new_name = gr.Textbox(label="New name", elem_id="new-name", max_lines=1)
            ui.rename = gr.Button("Rename", elem_id="rename-run")
        with gr.Column(min_width=260):
            ui.export_kind = gr.Radio(list(EXPORTS), value="Run bundle (zip)", label="Export as", elem_id="export-kind")
            ui.export = gr.Button("Prepare the file", elem_id="export-run")
            ui.download = gr.DownloadButton("Download", visible=False, elem_id="download-run")
        with gr.Column(min_width=260):
            ui.upload = gr.File(
                label="Import a run bundle (.zip)", file_types=[".zip"], elem_id="import-run", height=150
            )
        with gr.Column(min_width=200):
            ui.delete = gr.Button("Delete …", variant="stop", elem_id="delete-run")
            with gr.Group(visible=False, elem_id="delete-sure") as ui.sure:
                ui.sure_text = live_block("delete-text")
                with gr.Row():
                    ui.delete_yes = gr.Button("Delete it", variant="stop", elem_id="delete-yes", min_width=90)
                    ui.delete_no = gr.Button("Keep it", elem_id="delete-no", min_width=90)
