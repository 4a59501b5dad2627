"""Which event of which component asks which handler, and what the answer may change."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import gradio as gr

from viz.tabs import learn as page_learn
from viz.tabs.map import LAYOUTS
from viz.tabs.page import parts

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
QUICK: dict[str, Any] = QUIET | {"queue": False, "trigger_mode": "always_last"}  # answers at once
STREAMED: dict[str, Any] = QUIET | {"concurrency_limit": 32}  # takes the model, or lasts
LATEST: dict[str, Any] = STREAMED | {"trigger_mode": "always_last"}  # the same, asked again before it has answered
SHOWN_PICK = ("graph", "search", "selection", "caption", "where", "erased", "messages")
LIVE = (
    "status",
    "start",
    "stop",
    "resume",
    "scrub",
    "live_targets",
    "live_loss",
    "live_history",
    "live_previews",
    "where",
    "messages",
    "graph",
    "erasers",
    "tabs",
)
ROWS = ("run", "run_table", "sure", "runs_status", "messages")


def connect(demo: gr.Blocks, ui: SimpleNamespace, to: SimpleNamespace, everything: Sequence[Any]) -> None:
    """`to`: the handlers by name; each takes what is open (`ui.choice`) and its inputs' values, and answers
    {component: value}, or yields such. `everything`: all components, for what changes the whole page."""
    connect_model(ui, to, everything)
    connect_map(ui, to)
    connect_compare(ui, to, connect_erase(ui, to))
    connect_runs(ui, to)
    if hasattr(ui, "book"):
        page_learn.connect(demo, ui, QUICK, STREAMED)
    arrived = demo.load(to.arrive, ui.owner, everything, **QUIET, queue=False)
    arrived.then(to.ready, [ui.choice, ui.session], everything, **STREAMED)
    arrived.then(to.picked, *of_pick(ui), **STREAMED)
    # No progress is shown; still, at each message the browser would copy every component that it could be shown on.
    for event in demo.fns.values():
        event.show_progress_on = [ui.messages]


def of_pick(ui: SimpleNamespace) -> tuple[list[Any], list[Any]]:
    """Inputs and outputs of what follows a pick."""
    return parts(ui, "choice", "session", "graph", "source"), parts(ui, "locality", "own_pictures")


def connect_model(ui: SimpleNamespace, to: SimpleNamespace, everything: Sequence[Any]) -> None:
    ui.model.input(to.model, ui.model, parts(ui, "concept_set", "probe"), **QUICK)
    asked = parts(ui, "session", "model", "concept_set", "own_set", "probe", "device")
    ui.open_model.click(to.open_model, asked, everything, **STREAMED)
    ui.build.click(to.measure, ui.choice, everything, **STREAMED)


def connect_map(ui: SimpleNamespace, to: SimpleNamespace) -> None:
    how, shown = parts(ui, "source", "direction", "count", "unclear"), parts(ui, *SHOWN_PICK)
    picks = [
        ui.graph.select(to.pick, [ui.choice, ui.graph, ui.graph, *how], shown, **QUICK),
        ui.search.input(to.search, [ui.choice, ui.search, ui.graph, *how], shown, **QUICK),
        ui.heat.select(to.cell, [ui.choice, ui.heat, *how], shown, **QUICK),
    ]
    picks.append(ui.source.input(to.pick, [ui.choice, ui.graph, ui.graph, *how], shown, **QUICK))
    for pick in picks:
        pick.then(to.picked, *of_pick(ui), **LATEST)
    for control in (ui.direction, ui.count, ui.unclear):
        control.input(to.pick, [ui.choice, ui.graph, ui.graph, *how], shown, **QUICK)
    ui.layout.input(lambda title: gr.update(layout=LAYOUTS[title]), ui.layout, ui.graph, **QUICK)
    ui.view.input(to.view, [ui.choice, ui.view, ui.source], [ui.graph, ui.heat], **QUICK)
    ui.everything.input(to.everything, [ui.choice, ui.everything, ui.source], ui.graph, **QUICK)


def connect_erase(ui: SimpleNamespace, to: SimpleNamespace) -> list[Any]:
    """Answers the events that end with a run."""
    live = parts(ui, *LIVE)
    form = parts(ui, "word", "preset", "steps", "rate", "keeping", "seed")
    ui.method.input(to.method, [ui.choice, ui.method], parts(ui, "word", "about"), **QUICK)
    run = ui.start.click(
        to.start, [*parts(ui, "choice", "session", "erased", "method", "keep"), *form], live, **STREAMED
    )
    again = ui.resume.click(to.resume, parts(ui, "choice", "session", "keep"), live, **STREAMED)
    ui.stop.click(to.stop, [ui.choice, ui.session], ui.stop, **QUICK)
    ui.scrub.input(to.scrub, parts(ui, "choice", "session", "scrub"), live, **QUICK)
    told = parts(ui, "predicted", "graph", "caption", "messages")
    ui.predict.click(to.predict, parts(ui, "choice", "erased", "method"), told, **STREAMED)
    return [run, again]


def connect_compare(ui: SimpleNamespace, to: SimpleNamespace, runs: list[Any]) -> None:
    pictured = parts(ui, "grid", "compare_status", "pair", "slider", "messages")
    drawing = parts(ui, "choice", "session", "erasers", "own", "picture_seed", "picture_count")
    ui.compare.click(to.compare, drawing, pictured, **STREAMED)
    ui.pair.input(to.pair, parts(ui, "choice", "session", "pair"), ui.slider, **QUICK)
    measured = parts(ui, "scores", "scatter", "compare_status", "graph", "caption", "messages")
    ui.judge.click(to.judge, parts(ui, "choice", "session", "erasers"), measured, **STREAMED)
    asked = parts(ui, "choice", "session", "erased", "picture_seed")
    three = ui.ablate.click(to.ablate, asked, [*parts(ui, *LIVE), ui.compare_status], **STREAMED)
    three.success(to.compare, drawing, pictured, **STREAMED)
    for done in (*runs, three):
        done.then(to.runs, [ui.choice, ui.session], parts(ui, *ROWS), **QUICK)


def connect_runs(ui: SimpleNamespace, to: SimpleNamespace) -> None:
    rows, chosen = parts(ui, *ROWS), parts(ui, "choice", "session", "run")
    ui.tab_runs.select(to.runs, chosen, rows, **QUICK)
    ui.open_run.click(to.open, chosen, parts(ui, *LIVE, "erased", "runs_status"), **QUICK)
    ui.resume_run.click(to.resume, parts(ui, "choice", "session", "keep", "run"), parts(ui, *LIVE), **STREAMED)
    ui.rename.click(to.rename, [*chosen, ui.new_name], [*rows, ui.new_name], **QUICK)
    ui.delete.click(to.delete_asked, chosen, parts(ui, "sure", "sure_text", "messages"), **QUICK)
    ui.delete_yes.click(to.delete, chosen, rows, **QUICK)
    ui.delete_no.click(lambda: gr.update(visible=False), None, ui.sure, **QUICK)
    told = parts(ui, "download", "runs_status", "messages")
    ui.export.click(to.export, [*chosen, ui.export_kind], told, **STREAMED)
    ui.upload.upload(to.import_, parts(ui, "choice", "session", "upload"), [*rows, ui.upload], **STREAMED)
