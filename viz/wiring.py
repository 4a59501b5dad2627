"""Which event of which component asks which handler, and what the answer may change."""

from types import SimpleNamespace
from typing import Any

import gradio as gr

from viz import page_learn
from viz.page import parts
from viz.page_map import LAYOUTS

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
QUICK: dict[str, Any] = QUIET | {"queue": False, "trigger_mode": "always_last"}  # answers at once
STREAMED: dict[str, Any] = QUIET | {"concurrency_limit": 32}  # takes the model, or lasts
SHOWN_PICK = ("graph", "search", "selection", "caption", "locality", "where", "erased", "messages")
LIVE = (
    "status", "start", "stop", "resume", "scrub", "live_targets", "live_loss", "live_history", "live_previews",
    "where", "messages", "graph", "erasers", "tabs",
)  # fmt: skip
ROWS = ("run", "run_table", "sure", "runs_status", "messages")


def connect(ui: SimpleNamespace, to: SimpleNamespace) -> None:
    """`to`: the handlers by name; each takes its inputs' values and answers {component: value}, or yields such."""
    connect_map(ui, to)
    connect_compare(ui, to, connect_erase(ui, to))
    connect_runs(ui, to)
    if hasattr(ui, "lessons"):
        page_learn.connect(ui, QUICK)


def connect_map(ui: SimpleNamespace, to: SimpleNamespace) -> None:
    how, shown = parts(ui, "source", "direction", "count", "unclear"), parts(ui, *SHOWN_PICK)
    picks = [
        ui.graph.select(to.pick, [ui.graph, ui.graph, *how], shown, **QUICK),
        ui.search.input(to.pick, [ui.search, ui.graph, *how], shown, **QUICK),
        ui.heat.select(to.cell, [ui.heat, *how], shown, **QUICK),
    ]
    for pick in picks:
        pick.then(to.pictures, ui.graph, ui.own_pictures, **STREAMED)
    for control in (ui.source, ui.direction, ui.count, ui.unclear):
        control.input(to.pick, [ui.graph, ui.graph, *how], shown, **QUICK)
    ui.layout.input(lambda title: gr.update(layout=LAYOUTS[title]), ui.layout, ui.graph, **QUICK)
    ui.view.input(to.view, [ui.view, ui.source], [ui.graph, ui.heat], **QUICK)
    ui.everything.input(to.everything, [ui.everything, ui.source], ui.graph, **QUICK)


def connect_erase(ui: SimpleNamespace, to: SimpleNamespace) -> list[Any]:
    """Answers the events that end with a run."""
    live = parts(ui, *LIVE)
    form = parts(ui, "word", "preset", "steps", "rate", "keeping", "seed")
    ui.method.input(to.method, ui.method, parts(ui, "word", "about"), **QUICK)
    run = ui.start.click(to.start, [*parts(ui, "session", "erased", "method", "keep"), *form], live, **STREAMED)
    again = ui.resume.click(to.resume, parts(ui, "session", "keep"), live, **STREAMED)
    ui.stop.click(to.stop, ui.session, ui.stop, **QUICK)
    ui.scrub.input(to.scrub, parts(ui, "session", "scrub"), live, **QUICK)
    told = parts(ui, "predicted", "graph", "caption", "messages")
    ui.predict.click(to.predict, parts(ui, "erased", "method"), told, **STREAMED)
    return [run, again]


def connect_compare(ui: SimpleNamespace, to: SimpleNamespace, runs: list[Any]) -> None:
    pictured = parts(ui, "grid", "compare_status", "pair", "slider", "messages")
    drawing = parts(ui, "session", "erasers", "own", "picture_seed", "picture_count")
    ui.compare.click(to.compare, drawing, pictured, **STREAMED)
    ui.pair.input(to.pair, parts(ui, "session", "pair"), ui.slider, **QUICK)
    measured = parts(ui, "scores", "scatter", "compare_status", "graph", "caption", "messages")
    ui.judge.click(to.judge, parts(ui, "session", "erasers"), measured, **STREAMED)
    asked = parts(ui, "session", "erased", "picture_seed")
    three = ui.ablate.click(to.ablate, asked, [*parts(ui, *LIVE), ui.compare_status], **STREAMED)
    three.success(to.compare, drawing, pictured, **STREAMED)
    for done in (*runs, three):
        done.then(to.runs, ui.session, parts(ui, *ROWS), **QUICK)


def connect_runs(ui: SimpleNamespace, to: SimpleNamespace) -> None:
    rows, chosen = parts(ui, *ROWS), parts(ui, "session", "run")
    ui.tab_runs.select(to.runs, chosen, rows, **QUICK)
    ui.open_run.click(to.open, chosen, parts(ui, *LIVE, "erased", "runs_status"), **QUICK)
    ui.resume_run.click(to.resume, parts(ui, "session", "keep", "run"), parts(ui, *LIVE), **STREAMED)
    ui.rename.click(to.rename, [*chosen, ui.new_name], [*rows, ui.new_name], **QUICK)
    ui.delete.click(to.delete_asked, chosen, parts(ui, "sure", "sure_text", "messages"), **QUICK)
    ui.delete_yes.click(to.delete, chosen, rows, **QUICK)
    ui.delete_no.click(lambda: gr.update(visible=False), None, ui.sure, **QUICK)
    told = parts(ui, "download", "runs_status", "messages")
    ui.export.click(to.export, [*chosen, ui.export_kind], told, **STREAMED)
    ui.upload.upload(to.import_, parts(ui, "session", "upload"), [*rows, ui.upload], **STREAMED)
