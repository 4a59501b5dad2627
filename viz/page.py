"""The components of the page and where they stand. What they do is wired in `app.py`."""

import html
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import gradio as gr

from viz import panels
from viz.concept_map import ConceptGraph, legend
from viz.effects import Direction

TARGETS = {"Adaptive (AGE)": "adaptive", "A word of your choice": "word", "Empty prompt": "empty"}
PRESETS = {"Fast": "fast", "Balanced": "balanced", "Thorough": "thorough"}
DIRECTIONS: dict[str, Direction] = {"Whom it hurts": "hurts", "Who hurts it": "hurt by"}
# Regions that a screen reader announces when they change.
ANNOUNCED = ["selection", "messages", "live-status", "compare-status"]
ANNOUNCE_JS = f"() => {ANNOUNCED}.forEach(id => document.getElementById(id)?.setAttribute('aria-live', 'polite'))"


def text_block(title: str, text: str, level: int = 2) -> gr.HTML:
    """A heading and a sentence of explanation."""
    return gr.HTML(
        f'<div class="age"><h{level}>{html.escape(title)}</h{level}><p class="soft">{html.escape(text)}</p></div>',
        apply_default_css=False,
    )


def live_block(elem_id: str, value: str = "") -> gr.HTML:
    """A region that is filled later; the style sheet hides it while it is empty."""
    return gr.HTML(value, elem_id=elem_id, elem_classes="live", apply_default_css=False)


def note(text: str) -> str:
    return f'<div class="age"><p class="soft">{html.escape(text)}</p></div>'


def lay_out(
    start: Mapping[str, str], names: Sequence[str], groups: Sequence[str], sources: Sequence[tuple[str, str]]
) -> SimpleNamespace:
    """Every component, inside the caller's `gr.Blocks`.

    `start` holds the first view: name, arrows, panel, caption, figure and label_order; `groups` are those of the dots.
    """
    ui = SimpleNamespace()
    ui.session, ui.fresh, ui.stopper = gr.State(None), gr.State(False), gr.State(None)
    text_block(
        "AGE Explorer",
        "Erase a concept from a text-to-image model and see what else breaks. Damage is local, so it matters what the "
        "erased word is mapped to.",
        level=1,
    )
    ui.messages = live_block("messages")
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            map_section(ui, start, names, groups, sources)
        with gr.Column(scale=4, min_width=320):
            ui.selection = live_block("selection", start["panel"])
            erase_section(ui)
    with gr.Row():
        with gr.Column(min_width=320):
            ui.live_targets = live_block("live-targets")
        with gr.Column(min_width=320):
            ui.live_loss = live_block("live-loss")
            ui.live_previews = live_block("live-previews")
    compare_section(ui)
    return ui


def map_section(
    ui: SimpleNamespace,
    start: Mapping[str, str],
    names: Sequence[str],
    groups: Sequence[str],
    sources: Sequence[tuple[str, str]],
) -> None:
    text_block(
        "1 · Pick a concept",
        "Each dot is a concept; dots close together usually have similar meaning, but gaps between distant clusters "
        "mean little (overlapping dots were moved apart a little). Click a dot or search.",
    )
    ui.search = gr.Dropdown(
        list(names), value=start["name"], label="Search", allow_custom_value=True, elem_id="concept-search"
    )
    ui.graph = ConceptGraph(
        value=start["name"],
        figure=start["figure"],
        arrows=start["arrows"],
        label_order=start["label_order"],
        elem_id="concept-map",
    )
    gr.HTML(f'<div class="age">{legend(groups)}</div>', apply_default_css=False)
    ui.caption = live_block("map-caption", note(start["caption"]))
    with gr.Row(visible=bool(sources)):
        ui.direction = gr.Radio(list(DIRECTIONS), value="Whom it hurts", label="Arrows", elem_id="map-direction")
        ui.source = gr.Dropdown(
            [(f"{how}, {metric}", i) for i, (how, metric) in enumerate(sources)],
            value=0 if sources else None,
            label="Measured with",
            visible=len(sources) > 1,
            elem_id="map-source",
        )


def erase_section(ui: SimpleNamespace) -> None:
    text_block(
        "2 · Erase it",
        "The target is what the model is taught to draw instead of the erased word. AGE weighs candidate words as "
        "it trains, and maps the word onto the heaviest.",
    )
    ui.kind = gr.Radio(list(TARGETS), value="Adaptive (AGE)", label="Target", elem_id="target-kind")
    ui.word = gr.Textbox(label="Word to map to", visible=False, elem_id="fixed-target", max_lines=1)
    ui.preset = gr.Radio(list(PRESETS), value="Balanced", label="How thorough", elem_id="preset")
    with gr.Accordion("Advanced", open=False, elem_id="advanced"):
        ui.steps = gr.Number(None, label="Steps (blank: the preset's)", precision=0, elem_id="steps")
        ui.seed = gr.Number(0, label="Seed of the training", precision=0, elem_id="seed")
    with gr.Row():
        ui.erase = gr.Button("Erase", variant="primary", elem_id="erase-button", min_width=120)
        ui.stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop-button", min_width=120)
    ui.status = live_block("live-status", panels.status("Nothing is running."))


def compare_section(ui: SimpleNamespace) -> None:
    text_block(
        "3 · Compare",
        "The same prompt and seed, drawn by the original and by the edited model. Under each picture: what a "
        "separately trained classifier (the probe) sees, and how sure it is.",
    )
    ui.compare_status = live_block("compare-status")
    ui.grid = live_block("compare-grid", note("Erase a concept to see the pictures here."))
    with gr.Row():
        ui.own = gr.Textbox(label="Your own prompt", elem_id="own-prompt", max_lines=1, scale=3, min_width=220)
        ui.picture_seed = gr.Number(
            0, label="Picture seed", precision=0, elem_id="picture-seed", scale=1, min_width=120
        )
    with gr.Row():
        ui.compare = gr.Button("Draw my prompt with both models", elem_id="compare-button")
        ui.redraw = gr.Button("Draw the concepts again", elem_id="redraw-button")
    ui.own_grid = live_block("own-grid")


def parts(ui: SimpleNamespace, *names: str) -> list[Any]:
    """Several components by name, as the outputs of an event."""
    return [getattr(ui, name) for name in names]
