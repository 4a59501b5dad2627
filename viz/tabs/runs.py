"""The tab of finished and stopped runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gradio as gr

import age_core
from age_core import METHODS, AgeError
from viz.charts import panels
from viz.components.blocks import live_block, note, text_block
from viz.components.served import new_place
from viz.tabs.events import QUICK, STREAMED, Link, Stream, Tab, Updates, answers, where
from viz.tabs.live import LIVE, show_recording
from viz.tabs.map_data import MapData
from viz.tabs.session import Session, ready

if TYPE_CHECKING:
    from age_core import Run

COLUMNS = ["Run", "Concepts", "Method", "Model", "State", "Steps", "Seed", "Begun (UTC)"]
EXPORTS = {
    "Run bundle (zip)": "bundle",
    "Weight change (safetensors)": "delta",
    "LoRA (zip)": "lora",
    "LyCORIS, whole change": "whole",
    "Edited model, diffusers (zip)": "pipeline",
    "Edited model, one file": "single-file",
}
WHERE_TO = {
    "bundle": "All of the run, to keep or to send: import it here, or with python -m age_core import.",
    "delta": "For this program: python -m age_core evaluate FILE, or Eraser.load in Python.",
    "lora": "The folder in it opens with diffusers' load_lora_weights; its file that ends in -kohya belongs into "
    "models/Lora of WebUI or models/loras of ComfyUI.",
    "whole": "A LyCORIS file for models/Lora of WebUI or models/loras of ComfyUI: every changed number, no loss.",
    "pipeline": "Unpacked, a folder that DiffusionPipeline.from_pretrained opens, in earlier versions too.",
    "single-file": "A checkpoint for models/Stable-diffusion of WebUI or models/checkpoints of ComfyUI; only of "
    "Stable Diffusion 1.x, 2.x and SDXL.",
}
ROWS = ("run", "run_table", "sure", "runs_status", "messages")


def lay_out(ui: SimpleNamespace, _data: MapData) -> None:
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
    ui.run_table = live_block("run-table")
    with gr.Row():
        with gr.Column(min_width=260):
            ui.new_name = gr.Textbox(label="New name", elem_id="new-name", max_lines=1)
            ui.rename = gr.Button("Rename", elem_id="rename-run")
        with gr.Column(min_width=260):
            ui.export_kind = gr.Radio(list(EXPORTS), value="Run bundle (zip)", label="Export as", elem_id="export-kind")
            ui.export_note = live_block("export-note", note(WHERE_TO["bundle"]))
            ui.export = gr.Button("Prepare the file", elem_id="export-run")
            ui.download = gr.DownloadButton("Download", visible=False, elem_id="download-run")
        with gr.Column(min_width=260):
            ui.upload = gr.File(label="Import (.zip)", file_types=[".zip"], elem_id="import-run", height=150)
        with gr.Column(min_width=200):
            ui.delete = gr.Button("Delete …", variant="stop", elem_id="delete-run")
            with gr.Group(visible=False, elem_id="delete-sure") as ui.sure:
                ui.sure_text = live_block("delete-text")
                with gr.Row():
                    ui.delete_yes = gr.Button("Delete it", variant="stop", elem_id="delete-yes", min_width=90)
                    ui.delete_no = gr.Button("Keep it", elem_id="delete-no", min_width=90)


def row_of(run: Run, own: bool) -> list[Any]:
    """A line of the table."""
    config, method = run.config, METHODS.get(run.config.method)
    return [
        run.path.name if own else f"{run.path.name} (shipped)",
        ", ".join(config.concepts),
        method.label if method else config.method,
        config.model,
        status_of(run),
        None if method and method.kind == "closed" else steps_of(run),  # a closed form takes none
        config.seed,
        config.created[:16].replace("T", " "),
    ]


def status_of(run: Run) -> str:
    """How far a run came, also where what says so is damaged: the others must be listed all the same."""
    try:
        return run.status
    except AgeError as error:
        return f"damaged: {error}"


def steps_of(run: Run) -> int | None:
    try:
        return run.steps
    except AgeError:  # which `status_of` says
        return None


def list_runs(data: MapData, ui: SimpleNamespace, owner: str, chosen: str | None = None) -> Updates:
    """A person's runs, with the one named `chosen` chosen where there is one."""
    library = data.explorer.library
    runs = library.runs_of(owner)
    names = [run.path.name for run in runs]
    value = chosen if chosen in names else (names[0] if names else None)
    table = panels.runs(COLUMNS, [row_of(run, library.owns(owner, run)) for run in runs])
    return {ui.run: gr.update(choices=names, value=value), ui.run_table: table, ui.sure: gr.update(visible=False)}


def reset(data: MapData, ui: SimpleNamespace, owner: str) -> Updates:
    return {**list_runs(data, ui, owner), ui.runs_status: ""}


@answers()
def on_runs(data: MapData, ui: SimpleNamespace, session: Session | None, chosen: str | None = None) -> Updates:
    """The tab was turned to, or a run has ended: by now somebody may be asked whether they are sure, and stays so."""
    if not session or not session.owner:
        return {ui.runs_status: ""}
    updates = list_runs(data, ui, session.owner, chosen)
    del updates[ui.sure]
    if updates[ui.run]["value"] == chosen:  # not written back: by now another may be chosen, which would be undone
        updates[ui.run] = gr.update(choices=updates[ui.run]["choices"])
    return updates


@answers()
def on_open(
    data: MapData, ui: SimpleNamespace, session: Session | None, name: str | None, turn: bool = True
) -> Updates:
    """Show a run in the Erase tab, and make it comparable if it is finished; `turn` to that tab as well."""
    session, explorer = ready(session), data.explorer
    run = explorer.fitting(explorer.library.run(session.owner, name or ""))
    queued = explorer.queue.find(run.path, session.owner)
    if queued and not queued.ended:
        raise AgeError(f"The run {name!r} is still {queued.state}: it is shown in the Erase tab when it has ended.")
    session.queued = None
    updates = show_recording(data, ui, session, run)
    if run.status == "finished":
        title = session.add(run)
        updates[ui.erasers] = gr.update(choices=list(session.edited), value=[title])
    names = list(run.config.concepts)
    updates |= {ui.where: where(", ".join(names), run.path.name), ui.erased: names, ui.messages: ""}
    updates[ui.runs_status] = panels.status(f"{name} is open: it is in the Erase tab, and can be compared.")
    return updates | ({ui.tabs: gr.Tabs(selected="erase")} if turn else {})


@answers()
def on_rename(
    data: MapData, ui: SimpleNamespace, session: Session | None, name: str | None, new_name: str | None
) -> Updates:
    owner = ready(session).owner
    renamed = data.explorer.library.own_run(owner, name or "").rename((new_name or "").strip()).path.name
    status = panels.status(f"{name} is now called {renamed}.")
    return {**list_runs(data, ui, owner, renamed), ui.runs_status: status, ui.new_name: "", ui.messages: ""}


@answers()
def on_ask_delete(data: MapData, ui: SimpleNamespace, session: Session | None, name: str | None) -> Updates:
    """Ask whether a run may go for good."""
    session = ready(session)
    run = data.explorer.library.own_run(session.owner, name or "")
    session.to_delete = run.path.name
    return {ui.sure: gr.update(visible=True), ui.sure_text: note(f"Delete {run.path.name} for good?"), ui.messages: ""}


@answers(sure=gr.update(visible=False))
def on_delete(data: MapData, ui: SimpleNamespace, session: Session | None) -> Updates:
    """Delete the run that was asked about, whatever is chosen by now."""
    session = ready(session)
    owner, name = session.owner, session.to_delete
    data.explorer.library.own_run(owner, name).delete()
    return {**list_runs(data, ui, owner), ui.runs_status: panels.status(f"{name} was deleted."), ui.messages: ""}


@answers(download=gr.update(visible=False), runs_status="")
def on_export(data: MapData, ui: SimpleNamespace, session: Session | None, name: str | None, label: str) -> Stream:
    """Write the file to download."""
    from age_core.serve.exports import export_file  # with it comes Torch

    run, kind = data.explorer.library.run(ready(session).owner, name or ""), EXPORTS[label]
    waiting = f"{run.path.name} is written, opened again, and its pictures are compared …"
    yield {ui.download: gr.update(visible=False), ui.runs_status: panels.status(waiting), ui.messages: ""}
    path, lost = export_file(data.explorer, run, kind, new_place())
    said = f" {lost[0].upper()}{lost[1:]}." if lost else ""
    status = panels.status(f"{path.name} is ready: {path.stat().st_size / 1e6:.1f} MB.{said}")
    yield {ui.download: gr.update(value=str(path), visible=True), ui.runs_status: status, ui.messages: ""}


@answers()
def on_export_kind(_data: MapData, ui: SimpleNamespace, label: str) -> Updates:
    """Say where a file of the chosen kind belongs."""
    return {ui.export_note: note(WHERE_TO[EXPORTS[label]])}


@answers(upload=None)
def on_import(data: MapData, ui: SimpleNamespace, session: Session | None, path: str | None) -> Updates:
    """Take in a bundle that was uploaded to `path`."""
    if not path:
        return {ui.upload: None}
    owner = ready(session).owner
    folder = data.explorer.library.folder(owner)  # whose model imports Torch, alone, and what this takes then
    run = age_core.import_bundle(Path(path), folder)
    status = panels.status(f"Imported as {run.path.name}.")
    rows = list_runs(data, ui, owner, run.path.name)
    return {**rows, ui.upload: None, ui.runs_status: status, ui.messages: ""}


def list_after(link: Link, event: Any) -> None:
    """After an event that ends with a run: the runs anew."""
    link.on(event.then, on_runs, ["session"], ROWS, QUICK)


def connect(link: Link) -> None:
    ui, chosen = link.ui, ("session", "run")
    link.on(ui.tab_runs.select, on_runs, chosen, ROWS, QUICK)
    link.on(ui.open_run.click, on_open, chosen, (*LIVE, "erased", "runs_status"), QUICK)
    link.on(ui.rename.click, on_rename, (*chosen, "new_name"), (*ROWS, "new_name"), QUICK)
    link.on(ui.delete.click, on_ask_delete, chosen, ("sure", "sure_text"), QUICK)
    link.on(ui.delete_yes.click, on_delete, ["session"], ROWS, QUICK)
    ui.delete_no.click(lambda: gr.update(visible=False), None, ui.sure, **QUICK)
    link.on(ui.export_kind.change, on_export_kind, ["export_kind"], ["export_note"], QUICK)
    link.on(ui.export.click, on_export, (*chosen, "export_kind"), ("download", "runs_status"), STREAMED)
    link.on(ui.upload.upload, on_import, ("session", "upload"), (*ROWS, "upload"), STREAMED)


TAB = Tab("Runs", lay_out, connect, reset)
