"""The AGE Explorer in the browser: pick a concept on the map, erase it while you watch, compare both models.

This file only connects `age_core` (the method) with `viz` (the pictures). Run it with `python app.py`.
"""

import html
import os
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
import pandas as pd
from diffusers import StableDiffusionPipeline

from age_core import (
    AgeError,
    Concept,
    ConceptSet,
    EraseEvent,
    Eraser,
    Probe,
    embed_concepts,
    erase_by,
    load_pipeline,
    load_probe,
    same_seed_pairs,
)
from age_core.methods import plan
from age_core.side_effects import load_side_effects
from age_core.words import neighbours, outside
from viz import concept_map, effects, layout, page, panels, theme
from viz.live import LiveView
from viz.page import DIRECTIONS, PRESETS, TARGETS

ASSETS = Path(__file__).parent / "assets"

# All sessions share one pipeline, and one machine trains one model at a time.
MODEL_LOCK = threading.Lock()
Updates = dict[Any, Any]
NOTHING = "(nothing asked)"  # the title of an empty prompt's pictures


@dataclass(frozen=True)
class World:
    """What every session shares and none changes."""

    pipe: StableDiffusionPipeline
    probe: Probe
    concepts: ConceptSet
    layout: pd.DataFrame
    effects: pd.DataFrame | None
    no_effects: str  # why there is no table


@dataclass(frozen=True, eq=False)  # gr.State hashes its value, and weights have no hash
class Erased:
    """The finished run of one session."""

    name: str
    eraser: Eraser


def load_world(name: str = "emoji") -> World:
    """Load the model and everything precomputed; a missing table of side effects only leaves the map without arrows."""
    pipe, concepts = load_pipeline(name), ConceptSet.load(name)
    try:
        table, reason = load_side_effects(name), ""
    except AgeError as error:
        table, reason = None, str(error)
    stored = ASSETS / "graphs" / f"{name}-layout.csv"
    positions = layout.read_layout(stored, concepts.names)
    if positions is None:
        points = layout.umap_layout(embed_concepts(pipe, list(concepts.names)))
        positions = layout.write_layout(stored, concepts.names, points)
    return World(pipe, load_probe(name), concepts, positions, table, reason)


class Stopped(Exception):
    """Someone pressed Stop; the text says where."""


def wait_for_model(region: gr.HTML, stop: threading.Event | None = None) -> Iterator[Updates]:
    """Take the lock while yielding, so that someone who waits can still stop. The caller releases it."""
    while not MODEL_LOCK.acquire(timeout=0.5):
        if stop and stop.is_set():
            raise Stopped("before the first step")
        yield {region: panels.status("Waiting for another run to finish …")}


def warn(ui: SimpleNamespace, error: Exception) -> Updates:
    gr.Warning(html.escape(str(error), quote=False))
    return {ui.messages: panels.message(str(error))}


# --- the map -----------------------------------------------------------------------------------------------------


def show_concept(world: World, text: str, source: int | None, direction: str) -> tuple[str, str, str, str]:
    """The picked concept's name, arrows, panel and caption."""
    concept = world.concepts.find(text or "")
    if world.effects is None:
        panel = panels.selection(concept.name, concept.group, concept.synonyms, None)
        return concept.name, "[]", panel, f"No arrows: {world.no_effects}"
    origin = effects.sources(world.effects)[source or 0]
    pairs = effects.of_source(world.effects, origin)
    mine = effects.strongest(pairs, concept.name, DIRECTIONS[direction])
    panel = panels.selection(concept.name, concept.group, concept.synonyms, pairs)
    meaning = f"An arrow from A to B means: erasing A made B worse. {effects.describe(origin)}"
    return concept.name, concept_map.arrows_json(mine), panel, meaning


def on_pick(world: World, ui: SimpleNamespace, text: str, shown: str, source: int | None, direction: str) -> Updates:
    try:
        name, arrows, panel, caption = show_concept(world, text, source, direction)
    except AgeError as error:
        return {ui.search: shown, **warn(ui, error)}
    return {
        ui.graph: gr.update(value=name, arrows=arrows),
        ui.search: name,
        ui.selection: panel,
        ui.caption: page.note(caption),
        ui.messages: "",
    }


# --- erase -------------------------------------------------------------------------------------------------------


def read_form(
    kind: str, word: str, preset: str, steps: float | None, seed: float | None
) -> tuple[str, str | None, dict[str, Any]]:
    """Method, target word and options. A blank word must not silently become the empty prompt, a choice of its own."""
    word = (word or "").strip()
    if TARGETS[kind] == "word" and not word:
        raise AgeError("Type the word to map to, or choose the empty prompt.")
    method = "age" if TARGETS[kind] == "adaptive" else "empty"
    asked = {"preset": PRESETS[preset], "seed": int(seed or 0), "steps": None if steps is None else int(steps)}
    return method, word if TARGETS[kind] == "word" else None, asked


def refuse_own_name(concept: Concept, word: str | None) -> None:
    """A concept mapped onto itself, or onto a word that means the same, would not be erased."""
    own = {own.lower() for own in (concept.name, *concept.synonyms)}
    if word and word.lower() in own:
        raise AgeError(f"{word!r} is {concept.name!r} itself and cannot be its own target: choose another.")


def on_erase(world: World, ui: SimpleNamespace, name: str, *form: Any) -> Iterator[Updates]:
    """Run one erasure and stream what it does. Closing this generator (the tab was closed) ends the run as well."""
    stop = threading.Event()
    try:
        name = world.concepts.find(name).name
        method, word, asked = read_form(*form)
        plan(method, name, world.concepts, target=word, **asked)
        refuse_own_name(world.concepts[name], word)
        blank = dict.fromkeys([ui.live_targets, ui.live_loss, ui.live_previews, ui.messages], "")
        running = {ui.erase: gr.update(interactive=False), ui.stop: gr.update(interactive=True)}
        yield {ui.status: panels.status(f"Preparing to erase {name} …"), ui.stopper: stop, **blank, **running}
        yield from wait_for_model(ui.status, stop)
        try:
            with closing(erase_by(world.pipe, method, name, world.concepts, target=word, **asked)) as events:
                yield from live_updates(ui, name, events, stop)
        finally:
            MODEL_LOCK.release()
    except Stopped as where:
        yield {ui.status: panels.status(f"Stopped {where}. The unfinished edit was thrown away.")}
    except AgeError as error:
        yield {ui.status: panels.status("No edit was made."), **warn(ui, error)}
    except Exception:  # a defect: Gradio reports it, and the page must not look as if the run went on
        yield {ui.status: panels.status("The run broke off because of an error.")}
        raise


def live_updates(
    ui: SimpleNamespace, name: str, events: Iterator[EraseEvent], stop: threading.Event
) -> Iterator[Updates]:
    view = LiveView(name)
    for event in events:
        out: Updates = {getattr(ui, region): value for region, value in view.update(event).items()}
        if event.eraser is not None:
            out |= {ui.session: Erased(name, event.eraser), ui.fresh: True}
        elif stop.is_set():
            raise Stopped(f"at step {event.step} of {event.steps}" if event.step else "before the first step")
        if out:
            yield out


def on_stop(ui: SimpleNamespace, stop: threading.Event | None) -> Updates:
    """Ask the run to stop after its current step. Gradio's own `cancels` would ignore Erase until that step ended."""
    if stop:
        stop.set()
    return {ui.stop: gr.update(interactive=False)}


def on_end(ui: SimpleNamespace) -> Updates:
    return {ui.erase: gr.update(interactive=True), ui.stop: gr.update(interactive=False)}


# --- compare -----------------------------------------------------------------------------------------------------

Row = tuple[panels.Kind, str, str, str | None]  # kind, title, prompt, the label the probe should see


def draw_pairs(world: World, erased: Erased, rows: list[Row], seed: float | None) -> list[panels.Pair]:
    """Every prompt from both models with the same seed. Must hold the lock: the edit is applied to the shared model."""
    prompts, seeds = [row[2] for row in rows], [int(seed or 0)] * len(rows)
    drawn = same_seed_pairs(world.pipe, erased.eraser, world.probe, prompts, seeds)
    return [
        panels.Pair(*row, pair.original, pair.edited, pair.original_verdict, pair.edited_verdict)
        for row, pair in zip(rows, drawn, strict=True)
    ]


def compared_concepts(world: World, erased: Erased) -> list[Row]:
    """The erased concept, its three nearest and the two farthest: damage should fall with distance."""
    ranked = neighbours(world.pipe, world.concepts[erased.name], world.concepts, len(world.concepts)).names
    chosen: list[tuple[panels.Kind, str, str]] = [("erased", erased.name, "erased")]
    chosen += [("near", n, "near") for n in ranked[:3]] + [("far", n, "far away") for n in ranked[-2:]]
    return [(kind, f"{n} ({note})", world.concepts.prompt(n), n) for kind, n, note in chosen]


def on_compare(world: World, ui: SimpleNamespace, target: Any, own: str | None, erased: Erased | None, seed: float):
    """Fill `target` with pairs: of the person's own prompt, or (own is None) of the concepts around the erased one."""
    try:
        if erased is None:
            raise AgeError("Erase a concept first: there is no edited model to compare with yet.")
        yield {ui.compare_status: panels.status("Waiting for the model …"), ui.messages: "", ui.fresh: False}
        yield from wait_for_model(ui.compare_status)
        try:
            yield {ui.compare_status: panels.status("Drawing with both models …")}
            rows: list[Row] = compared_concepts(world, erased) if own is None else [("own", own or NOTHING, own, None)]
            pairs = draw_pairs(world, erased, rows, seed)
        finally:
            MODEL_LOCK.release()
        heading = f"Original and edited model ({erased.name} erased), both from seed {int(seed or 0)}"
        note = "" if own is None else outside(world.pipe, own, world.concepts)
        yield {target: panels.compare_grid(pairs, heading, note), ui.compare_status: ""}
    except AgeError as error:
        yield {ui.compare_status: "", **warn(ui, error)}


def on_own_prompt(world: World, ui: SimpleNamespace, own: str, erased: Erased | None, seed: float) -> Iterator[Updates]:
    yield from on_compare(world, ui, ui.own_grid, own or "", erased, seed)


def on_concepts(world: World, ui: SimpleNamespace, erased: Erased | None, seed: float) -> Iterator[Updates]:
    yield from on_compare(world, ui, ui.grid, None, erased, seed)


def after_erase(
    world: World, ui: SimpleNamespace, fresh: bool, erased: Erased | None, seed: float
) -> Iterator[Updates]:
    """Draw the pairs when the run finished; a run that was refused leaves the last pictures as they are."""
    if fresh:
        yield from on_compare(world, ui, ui.grid, None, erased, seed)
    else:
        yield {ui.fresh: False}  # a generator without a single yield would empty its outputs


# --- the page ----------------------------------------------------------------------------------------------------


def build(world: World | None = None) -> gr.Blocks:
    """The whole page. `world` is loaded here unless given."""
    world = world or load_world()
    gr.set_static_paths([concept_map.PLOTLY_JS])
    groups = [world.concepts[n].general for n in world.layout["name"]]
    sources = effects.sources(world.effects) if world.effects is not None else []
    first = world.concepts.names[0]
    if sources:
        first = effects.hero(effects.of_source(world.effects, sources[0]), first)
    parts = show_concept(world, first, 0, "Whom it hurts")
    view = dict(zip(("name", "arrows", "panel", "caption"), parts, strict=True))
    view["figure"] = concept_map.map_figure(world.layout, groups).to_json()
    view["label_order"] = concept_map.label_order_json(world.layout, groups)
    with gr.Blocks(title="AGE Explorer", analytics_enabled=False, delete_cache=(600, 3600)) as demo:
        ui = page.lay_out(view, world.concepts.names, groups, sources)
        connect(world, ui)
        demo.load(js=page.ANNOUNCE_JS)
    return demo


def connect(world: World, ui: SimpleNamespace) -> None:
    quick = {"queue": False, "trigger_mode": "always_last", "show_progress": "hidden", "api_visibility": "private"}
    streamed = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 8}

    pick = partial(on_pick, world, ui)
    shown = page.parts(ui, "graph", "search", "selection", "caption", "messages")
    choice = [ui.graph, ui.source, ui.direction]
    ui.graph.select(pick, [ui.graph, *choice], shown, **quick)
    ui.search.input(pick, [ui.search, *choice], shown, **quick)
    for control in (ui.source, ui.direction):
        control.input(pick, [ui.graph, *choice], shown, **quick)
    ui.kind.input(lambda kind: gr.update(visible=TARGETS[kind] == "word"), ui.kind, ui.word, **quick)

    ends = page.parts(ui, "status", "erase", "stop")
    live = page.parts(ui, "live_targets", "live_loss", "live_previews", "stopper", "session", "fresh", "messages")
    form = page.parts(ui, "graph", "kind", "word", "preset", "steps", "seed")
    run = ui.erase.click(partial(on_erase, world, ui), form, [*ends, *live], **streamed)
    run.then(partial(on_end, ui), None, ends, **quick)
    ui.stop.click(partial(on_stop, ui), ui.stopper, ends, **quick)

    drawn = page.parts(ui, "grid", "own_grid", "compare_status", "messages", "fresh")
    edit = [ui.session, ui.picture_seed]
    run.success(partial(after_erase, world, ui), [ui.fresh, *edit], drawn, **streamed)
    ui.redraw.click(partial(on_concepts, world, ui), edit, drawn, **streamed)
    gr.on([ui.compare.click, ui.own.submit], partial(on_own_prompt, world, ui), [ui.own, *edit], drawn, **streamed)


def main() -> None:
    try:
        demo = build().queue(max_size=32)
    except AgeError as error:  # such as missing weights: one sentence says more than a traceback
        raise SystemExit(f"AGE Explorer cannot start. {error}") from None
    _, address, _ = demo.launch(
        theme=theme.theme(),
        css=theme.CSS,
        ssr_mode=False,
        run_history=False,
        footer_links=[],
        quiet=True,
        prevent_thread_lock=True,
        _frontend=False,  # skips Gradio's look at its own page, which gives up after 3 s: too soon on a slow machine
    )
    print(f"AGE Explorer is open at {address}", flush=True)
    demo.block_thread()


if __name__ == "__main__":
    main()
