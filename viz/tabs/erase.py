"""The tab where a concept is erased while one watches."""

from types import SimpleNamespace
from typing import Any

import gradio as gr
import pandas as pd

from age_core import METHODS, AgeError
from viz.atlas import atlas
from viz.charts import panels
from viz.components.blocks import live_block, note
from viz.tabs import runs
from viz.tabs.events import QUICK, STREAMED, Link, Stream, Tab, Updates, answers, by_region, clear
from viz.tabs.live import CHARTS, LIVE, follow, on_repaint, turn_to_erase
from viz.tabs.map_data import MapData
from viz.tabs.repaint import PAINTED
from viz.tabs.session import Session, ready

PRESETS = [("Fast", "fast"), ("Balanced", "balanced"), ("Thorough", "thorough")]
IDLE = panels.status("Nothing is running.")


def lay_out(ui: SimpleNamespace, data: MapData) -> None:
    lay_out_form(ui, data)
    ui.status = live_block("live-status", IDLE)
    ui.scrub = gr.Slider(1, 2, value=1, step=1, label="Step of the run", visible=False, elem_id="scrub")
    ui.live_targets = live_block("live-targets")
    ui.live_previews = live_block("live-previews")
    ui.live_history = live_block("live-history")
    ui.live_loss = live_block("live-loss")


def lay_out_form(ui: SimpleNamespace, data: MapData) -> None:
    """What to erase and how, and what to do with the run."""
    with gr.Row():
        ui.erased = gr.Dropdown(
            data.names_to_type,
            value=[data.first],
            label="Erase",
            multiselect=True,
            max_choices=5,
            allow_custom_value=True,
            elem_id="erase-names",
            min_width=200,
        )
        ui.method = gr.Dropdown(
            [(method.label, key) for key, method in METHODS.items()],
            value="age",
            label="Method",
            elem_id="method",
            min_width=200,
        )
    ui.about = live_block("method-about", note(METHODS["age"].about))
    ui.word = gr.Textbox(
        label='Target word (blank: the method\'s own; "" is the empty prompt)',
        visible=False,
        elem_id="fixed-target",
        max_lines=1,
    )
    ui.preset = gr.Radio(PRESETS, value="balanced", label="How thorough", elem_id="preset")
    with gr.Row():
        ui.start = gr.Button("Erase", variant="primary", elem_id="erase-button", min_width=90)
        ui.stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop-button", min_width=70)
        ui.resume = gr.Button("Resume", interactive=False, elem_id="resume-button", min_width=80)
    with gr.Accordion("Advanced", open=False, elem_id="advanced"):
        # texts, as an empty number field would come back as 0, which is a value of its own
        with gr.Row():
            ui.steps = gr.Textbox(label="Steps (blank: the preset's)", max_lines=1, elem_id="steps", min_width=150)
            ui.rate = gr.Textbox(label="Learning rate (blank: same)", max_lines=1, elem_id="rate", min_width=150)
        with gr.Row():
            ui.keeping = gr.Textbox(
                label="Weight of preserving (blank: 1)", max_lines=1, elem_id="keeping", min_width=150
            )
            ui.seed = gr.Number(0, label="Seed of the training", precision=0, elem_id="seed", min_width=150)
        ui.keep = gr.Checkbox(False, label="Keep running when I close the page", elem_id="keep-running")
        ui.predict = gr.Button("Predict the damage first", elem_id="predict-button", size="sm")
    ui.predicted = live_block("predicted")


def reset(_data: MapData, ui: SimpleNamespace, _owner: str) -> Updates:
    return {
        **clear(ui, *CHARTS, "predicted"),
        ui.status: IDLE,
        ui.scrub: gr.update(visible=False),
        ui.start: gr.update(interactive=True),
        ui.stop: gr.update(interactive=False),
        ui.resume: gr.update(interactive=False),
    }


@answers()
def on_method(_data: MapData, ui: SimpleNamespace, method: str) -> Updates:
    """Another method: what it is, and whether it takes a target word."""
    return {ui.word: gr.update(visible=METHODS[method].word is not None), ui.about: note(METHODS[method].about)}


@answers()
def on_start(
    data: MapData, ui: SimpleNamespace, session: Session | None, names: list[str], method: str, keep: bool, *form: Any
) -> Stream:
    """Ask for a run and stream what it does. Closing this generator (the tab was closed) only stops watching."""
    session = ready(session)
    queued = data.explorer.ask(session.owner, names, method, keep, *form)
    yield from follow(data, ui, session, queued)


@answers()
def on_resume(
    data: MapData, ui: SimpleNamespace, session: Session | None, keep: bool, name: str | None = None
) -> Stream:
    """Go on with a stopped run: the one named, or the one that was watched last."""
    session, explorer = ready(session), data.explorer
    if name is None:
        if session.queued is None:
            raise AgeError("There is no stopped run to go on with: start one, or choose one under Runs.")
        name = session.queued.run.path.name
    run = explorer.fitting(explorer.library.own_run(session.owner, name))
    queued = explorer.resume(session.owner, run, keep)
    yield from turn_to_erase(ui)
    yield from follow(data, ui, session, queued)


@answers()
def on_stop(data: MapData, ui: SimpleNamespace, session: Session | None) -> Updates:
    """Ask the run to stop after its present step."""
    if session and session.queued:
        data.explorer.queue.stop(session.queued)
    return {ui.stop: gr.update(interactive=False)}


@answers()
def on_scrub(_data: MapData, ui: SimpleNamespace, session: Session | None, step: float) -> Updates:
    """Show a recorded run as it stood after `step` steps."""
    if session is None or session.recording is None:
        return {ui.status: gr.skip()}
    return by_region(ui, session.recording.at(int(step)))


@answers(predicted="")
def on_predict(data: MapData, ui: SimpleNamespace, names: list[str], method: str) -> Stream:
    """Draw the damage to expect on the map, before any training."""
    if len(names) != 1:
        raise AgeError("The damage is predicted for one concept at a time: name one.")
    name = data.concepts.find(names[0]).name
    yield {ui.predicted: note("Trying a closed-form edit …"), ui.messages: ""}
    word, shift = data.explorer.predict(name, method)
    rows = pd.DataFrame({"erased": name, "affected": shift.index, "delta": shift.to_numpy()})
    top = rows.nlargest(10, "delta")
    text = (
        f"Predicted by a closed-form edit to “{word}”, a guess without an interval: erasing {name} will move "
        "these most (noise shift; 1 would be as far as deleting the word). The map shows them as arrows."
    )
    yield {
        ui.predicted: panels.predicted(text, top),
        ui.graph: gr.update(value=name, arrows=atlas.arrows_json(top.head(8))),
        ui.caption: note(text),
    }


def connect(link: Link) -> None:
    ui = link.ui
    link.on(ui.method.input, on_method, ["method"], ("word", "about"), QUICK)
    form = ("session", "erased", "method", "keep", "word", "preset", "steps", "rate", "keeping", "seed")
    started = link.on(ui.start.click, on_start, form, LIVE, STREAMED)
    resumed = link.on(ui.resume.click, on_resume, ("session", "keep"), LIVE, STREAMED)
    link.on(ui.resume_run.click, on_resume, ("session", "keep", "run"), LIVE, STREAMED)
    link.on(ui.stop.click, on_stop, ["session"], ["stop"], QUICK)
    link.on(ui.scrub.input, on_scrub, ("session", "scrub"), LIVE, QUICK)
    link.on(ui.predict.click, on_predict, ("erased", "method"), ("predicted", "graph", "caption"), STREAMED)
    for event in (started, resumed):
        runs.list_after(link, event)
        link.on(event.then, on_repaint, ["session"], PAINTED, STREAMED)


TAB = Tab("Erase", lay_out, connect, reset)
