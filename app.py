"""The AGE Explorer in the browser: pick a concept on the map, erase it while you watch, compare the models, keep runs.

This file only connects `age_core` (the method) with `viz` (the pictures). Run it with `python app.py`.
"""

from __future__ import annotations

import gc
import html
import inspect
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
if __name__ == "__main__":
    gc.disable()  # until the model is open: a quarter of the imports is looking for garbage that they do not make

import viz.gradio_tuning  # noqa: F401, I001  # before anything that imports Gradio

import gradio as gr
import pandas as pd
import plotly.graph_objects as go
from PIL import Image

import age_core
from age_core import METHODS, AgeError, ConceptSet
from age_core.study import statistics
from age_core.assets import ASSETS, MODELS, PROBES
from age_core.files import OWNER
from age_core.serve.registry import HUB_MODELS, IMAGENET_PROBE, Choice, Models, concept_sets, devices
from age_core.study.tables import gather, load_side_effects, read_table
from viz.atlas import concept_map
from viz.charts import effects
from viz.charts import plots
from viz.atlas import layout
from viz.charts import lessons
from viz.tabs import page
from viz.tabs import learn as page_learn
from viz.charts import panels
from viz.components import theme
from viz.tabs import wiring
from viz.components.blocks import note
from viz.components.chart import PLOTLY_JS
from viz.charts.live_view import LiveView, Recording, duration
from viz.tabs.map import DIRECTIONS, LAYOUTS, key_of, source_choices
from viz.tabs.runs import COLUMNS, EXPORTS

# Importing what computes takes seconds, and the page is served before: at first `age_core` is only asked for what a map
# takes.
if TYPE_CHECKING:
    from age_core import Eraser, Run
    from age_core.serve.explorer import Explorer, Row
    from age_core.serve.queue import QueuedRun

ROOT = Path(__file__).parent
RUNS = Path(os.environ.get("AGE_RUNS", ROOT / "runs" / "app"))
ABLATED = ASSETS / "ablation.csv"  # the summary that benchmarks/evidence/ablation.py writes
NETFIVE = ASSETS / "graphs" / "emoji-netfive.parquet"  # and benchmarks/evidence/graphs.py that
TOLD = "dog"  # the concept that the page opens with and lesson 2 asks about
LOCAL = ("guitar", "pizza", "car", "rose", "castle")  # whose damage by nearness lesson 2 shows besides
MOST_ERASERS, MOST_CELLS = 4, 60
QUEUE_LOOK_S = 0.02
HEAD_START_S = 3.0  # of a browser that opens the page at once; importing Torch would keep the server from answering it
LARGEST_UPLOAD = "200mb"
ABLATION = ("empty", "random", "age")
Updates = dict[Any, Any]
Made = Iterator[Updates]


@dataclass(frozen=True, eq=False)
class World:
    """The map of a model and its concepts, which everybody who chose them shares and nobody changes."""

    models: Models
    choice: Choice
    concepts: ConceptSet
    layouts: dict[str, pd.DataFrame]
    effects: pd.DataFrame | None
    _pairs: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict, init=False)

    @property
    def explorer(self) -> Explorer:
        """The model itself, which whoever asks first waits for until it is open. Raises AgeError where it cannot be."""
        return self.models.explorer(self.choice)

    @cached_property
    def sources(self) -> list[tuple[str, str]]:
        return effects.sources(self.effects) if self.effects is not None else []

    @cached_property
    def arrangements(self) -> list[str]:
        """The titles of its layouts."""
        return [title for title, name in LAYOUTS.items() if name in self.layouts]

    @cached_property
    def groups(self) -> list[str]:
        """The kind of each dot."""
        return [self.concepts[name].general for name in self.layouts[layout.MEANING]["name"]]

    @cached_property
    def unmeasured(self) -> int:
        """How many concepts nobody has erased to see whom it hurts."""
        return missing(self.concepts, self.effects)

    def pairs(self, source: int | None) -> pd.DataFrame | None:
        """The side effects of one source, worked out once, so that a click is answered at once."""
        if not self.sources:
            return None
        key = self.sources[source or 0]
        if key not in self._pairs:
            assert self.effects is not None
            self._pairs[key] = effects.of_source(self.effects, key)
        return self._pairs[key]


class Worlds:
    """The world of each choice, made once for every model that is open."""

    def __init__(self, models: Models):
        self.models = models
        self.measuring: set[Choice] = set()
        self._made: dict[Choice, World] = {}

    def of(self, choice: Choice) -> World:
        """Raises AgeError where the model must be opened for its map, and cannot be."""
        if choice not in self._made:
            made = make_world(self.models, choice)
            # of the others, only those of models that are open: anybody can bring any number of concept files
            kept = {old: world for old, world in self._made.items() if old == Choice() or self.models.has(old)}
            self._made = kept | {choice: made}
        return self._made[choice]

    def again(self, choice: Choice) -> World:
        """The world with the side effects that were measured meanwhile."""
        world = self.of(choice)
        found = self._made[choice] = replace(world, effects=read_effects(self.models, choice, world.concepts))
        return found


@dataclass(frozen=True, eq=False)
class Erased:
    """An edited model that a session may compare with the original."""

    names: tuple[str, ...]
    eraser: Eraser


@dataclass(eq=False)  # gr.State hashes its value
class Session:
    """One person's page: nobody else sees it."""

    owner: str = ""
    queued: QueuedRun | None = None
    recording: Recording | None = None
    erasers: dict[str, Erased] = field(default_factory=dict)  # by title, the latest last
    pairs: dict[str, tuple[Image.Image, Image.Image]] = field(default_factory=dict)
    picked: str = ""  # the concept that was picked last
    wanted: str = ""  # the run that the page's address named

    def add(self, run: Run) -> str:
        """Make a finished run comparable; answers its title."""
        self.erasers.pop(run.path.name, None)
        self.erasers[run.path.name] = Erased(run.config.concepts, run.eraser())
        for old in list(self.erasers)[:-MOST_ERASERS]:
            del self.erasers[old]
        return run.path.name


def missing(concepts: ConceptSet, table: pd.DataFrame | None) -> int:
    """How many concepts a table of side effects holds no erasure of."""
    erased = set() if table is None else set(table["erased"].unique())
    return len(set(concepts.names) - erased)


def make_world(models: Models, choice: Choice) -> World:
    """Lay a model's concepts out and read what is known of its side effects; without any the map has no arrows.

    The bundled model is not opened for that where everything came with it, so that its map is seen meanwhile.
    """
    if choice == Choice():
        concepts, stored = ConceptSet.load(choice.concepts), ASSETS / "graphs" / f"{choice.model}-layout.csv"
    else:
        explorer = models.explorer(choice)
        concepts, stored = explorer.concepts, explorer.measured / "layout.csv"
    layouts = layout.read_layouts(stored, concepts.names)
    if layout.MEANING not in layouts:
        points = layout.umap_layout(models.explorer(choice).vectors)
        layouts = {layout.MEANING: layout.write_layout(stored, concepts.names, points)}
    return World(models, choice, concepts, layouts, read_effects(models, choice, concepts))


def read_effects(models: Models, choice: Choice, concepts: ConceptSet) -> pd.DataFrame | None:
    """What came with a bundled model and set of concepts and, if that is not all, what was measured here; or None."""
    tables = []
    if choice.model in MODELS and choice.concepts in concept_sets():
        with suppress(AgeError):
            tables.append(load_side_effects(choice.concepts))
    if missing(concepts, tables[0] if tables else None):
        measured = models.explorer(choice).measured
        with suppress(AgeError):
            tables.append(gather(measured))
    return pd.concat(tables, ignore_index=True) if tables else None


def warn(ui: SimpleNamespace, error: Exception) -> Updates:
    gr.Warning(html.escape(str(error), quote=False))
    return {ui.messages: panels.message(str(error))}


def known(session: Session | None) -> Session:
    if session is None or not session.owner:
        raise AgeError("The page is still loading: try again in a moment.")
    return session


# --- the model ---------------------------------------------------------------------------------------------------


def opened(world: World) -> str:
    """What is open, and what it lacks, in words."""
    choice = world.choice
    said = f"Open: {choice.model} with {len(world.concepts)} concepts ({world.concepts.name}) on {choice.device}."
    said += f" Judged by the probe {choice.probe}." if choice.probe else " No probe judges its pictures."
    if choice.model not in MODELS and choice.device == "cpu":
        said += " Without a GPU, pictures of a full-size model take minutes and an erasure hours."
    return said


def offer(world: World) -> str:
    """What is missing on the map, and what it takes."""
    return (
        f"What erasing does to others was not measured for {world.unmeasured} of the {len(world.concepts)} concepts. "
        "Each would be erased by UCE, a closed form without training, and the noise shift of all others measured. What "
        "is finished stays, if you leave too."
    )


def on_model(_worlds: Worlds, ui: SimpleNamespace, model: str) -> Updates:
    """Another model was named: what usually goes with it."""
    if model in MODELS:
        return {ui.concept_set: "emoji", ui.probe: "emoji"}
    return {ui.concept_set: "sd-imagenette", ui.probe: IMAGENET_PROBE}


def on_open_model(
    worlds: Worlds,
    ui: SimpleNamespace,
    session: Session | None,
    model: str,
    concepts: str,
    own: str | None,
    probe: str | None,
    device: str,
) -> Made:
    """Open another model for this page alone, and show it everywhere."""
    choice = Choice((model or "").strip(), own or concepts, (probe or "").strip(), device)
    try:
        owner = known(session).owner
        for doing in worlds.models.opening(choice):
            yield {ui.model_status: panels.status(f"{doing} …"), ui.messages: ""}
        yield {ui.model_status: panels.status("Arranging the map …")}
        world = worlds.of(choice)
        blank = Session(owner)
        session.queued = None  # type: ignore[union-attr]  # whoever watches a run here watches it no longer
    except AgeError as error:
        yield {ui.model_status: "", **warn(ui, error)}
        return
    more = {**cleared(ui), **listed(world, ui, blank), ui.session: blank, ui.choice: choice}
    yield from show_world(world, ui, more | {ui.opened: note(opened(world)), ui.model_status: ""})


def settle(since: float | None = None) -> None:
    """Wait between two updates of one event, the first sent now or at `since`: the browser drops one that the next
    overtakes."""
    time.sleep(0.4 if since is None else max(since + 0.4 - time.monotonic(), 0))


def show_world(world: World, ui: SimpleNamespace, more: Updates) -> Made:
    """The map of another world, or of one of which more is known, with `more`; then what the model draws."""
    view = first_view(world)
    settle()
    yield shown_world(world, ui, view) | more
    settle()
    yield from on_picked(world, ui, None, view["name"], 0)


def shown_world(world: World, ui: SimpleNamespace, view: dict[str, Any]) -> Updates:
    """The map and every list of names, for another world or for one of which more is known."""
    names, layouts = list(world.concepts.names), world.arrangements
    return {
        ui.graph: gr.update(
            value=view["name"],
            figure=view["figure"],
            arrows=view["arrows"],
            label_order=view["label_order"],
            layouts=view["layouts"],
            layout=layout.MEANING,
            overview="[]",
            lit="{}",
        ),
        ui.heat: gr.update(visible="hidden"),
        ui.view: "Map",
        ui.everything: 0,
        ui.search: gr.update(choices=names, value=view["name"]),
        ui.erased: gr.update(choices=names, value=[view["name"]]),
        ui.legend: key_of(world.groups),
        ui.caption: note(view["caption"]),
        ui.selection: view["panel"],
        ui.where: page.where(view["name"]),
        ui.direction: "Whom it hurts",
        ui.arrow_row: gr.update(visible=bool(world.sources)),
        ui.source: gr.update(choices=source_choices(world.sources), value=0 if world.sources else None),
        ui.layout: gr.update(choices=layouts, value=layouts[0], visible=len(layouts) > 1),
        ui.build_offer: gr.update(visible=bool(world.unmeasured)),
        ui.build_status: note(offer(world)),
    }


def cleared(ui: SimpleNamespace) -> Updates:
    """Everything that told of the model that was open before."""
    blank = (
        "live_targets",
        "live_loss",
        "live_history",
        "live_previews",
        "predicted",
        "scores",
        "own_pictures",
        "compare_status",
        "runs_status",
        "messages",
    )
    return {
        **{getattr(ui, name): "" for name in blank},
        ui.status: panels.status("Nothing is running."),
        ui.scrub: gr.update(visible=False),
        ui.start: gr.update(interactive=True),
        ui.stop: gr.update(interactive=False),
        ui.resume: gr.update(interactive=False),
        ui.erasers: gr.update(choices=[], value=[]),
        ui.grid: note("Erase a concept, or open a run, to see the pictures here."),
        ui.scatter: gr.update(figure=""),
        ui.pair: gr.update(choices=[], value=None, visible=False),
        ui.slider: gr.update(value=None, visible=False),
    }


def on_measure(worlds: Worlds, ui: SimpleNamespace, choice: Choice) -> Made:
    """Measure the side effects of erasing every concept; whoever closes the page loses one concept at most."""
    if choice in worlds.measuring:
        yield warn(ui, AgeError("These side effects are being measured for somebody else: come back in a while."))
        return
    worlds.measuring.add(choice)
    try:
        world = worlds.of(choice)
        total, began, known_before = len(world.concepts), time.monotonic(), len(world.concepts) - world.unmeasured
        yield {ui.build: gr.update(interactive=False), ui.messages: ""}
        yield {ui.build_status: panels.status("Drawing the latents to measure on …")}
        for done, job in enumerate(world.explorer.side_effects(), 1):
            each = (time.monotonic() - began) / max(done - known_before, 1)
            left = duration(each * (total - done))
            said = f"{done} of {total}: {job.erased} was erased and measured; about {left} left."
            yield {ui.build_status: panels.status(said, done, total)}
        yield from show_world(worlds.again(choice), ui, {ui.build: gr.update(interactive=True)})
    except AgeError as error:
        yield {
            ui.build: gr.update(interactive=True),
            ui.build_status: note(offer(worlds.of(choice))),
            **warn(ui, error),
        }
    finally:
        worlds.measuring.discard(choice)


# --- the map -----------------------------------------------------------------------------------------------------


def locality(world: World, name: str, source: int | None) -> go.Figure | None:
    """How the damage of erasing `name` falls with nearness; None where it was not measured. It takes the model."""
    pairs = world.pairs(source)
    if pairs is None:
        return None
    mine = pairs[pairs["erased"] == name].set_index("affected")["delta"]
    if mine.empty:
        return None
    order = {other: rank for rank, other in enumerate(world.explorer.ranked(name))}
    ranks = pd.Series({other: order[other] for other in mine.index if other in order}, dtype=float)
    curve = statistics.by_nearness(mine.reindex(ranks.index).to_frame().T, ranks.to_frame().T.set_axis(["delta"]))
    title = f"Erasing {name}: damage by nearness"
    return plots.locality_figure({name: curve}, title, world.sources[source or 0][1])


def show_concept(
    world: World, text: str, source: int | None, direction: str, count: float = 8, vague: bool = False
) -> dict[str, str]:
    """The picked concept's name, arrows, panel and caption; none of it takes the model."""
    concept = world.concepts.find(text or "")
    pairs = world.pairs(source)
    panel = panels.selection(concept.name, concept.group, concept.synonyms, pairs)
    if pairs is None:
        caption = "No arrows: what erasing a concept of this model does to others was not measured yet."
        return {"name": concept.name, "arrows": "[]", "panel": panel, "caption": caption}
    origin = world.sources[source or 0]
    shown = effects.strongest(pairs, concept.name, DIRECTIONS[direction], int(count))
    if vague:
        more = effects.strongest(pairs, concept.name, DIRECTIONS[direction], int(count), clear=False)
        shown = pd.concat([shown, more], ignore_index=True)
    meaning = f"An arrow from A to B means: erasing A made B worse. {effects.describe(origin)}"
    arrows = concept_map.arrows_json(shown)
    return {"name": concept.name, "arrows": arrows, "panel": panel, "caption": meaning}


def on_pick(world: World, ui: SimpleNamespace, text: str, shown: Any, source: int | None, *how: Any) -> Updates:
    try:
        view = show_concept(world, text, source, *how)
    except AgeError as error:
        return {ui.search: shown, **warn(ui, error)}
    # what is right already is not written back: by now the next one may be clicked, which would be undone
    value = {} if view["name"] == shown else {"value": view["name"]}
    return {
        ui.graph: gr.update(arrows=view["arrows"], **value),
        ui.search: view["name"],
        ui.selection: view["panel"],
        ui.caption: note(view["caption"]),
        ui.where: page.where(view["name"]),
        ui.erased: [view["name"]],
        ui.messages: "",
    }


def on_search(world: World, ui: SimpleNamespace, text: str, *rest: Any) -> Updates:
    """A pick by its name, which is left as it was typed where it is right (see `on_pick`)."""
    out = on_pick(world, ui, text, *rest)
    return out | ({ui.search: gr.skip()} if out[ui.search] == text else {})


def on_picked(world: World, ui: SimpleNamespace, session: Session | None, name: str, source: int | None) -> Made:
    """What takes the model, after a pick was answered: the damage by nearness, and what the model draws."""
    if session:
        session.picked = name
    try:
        curve = locality(world, name, source)
        if session and session.picked != name:  # another was picked meanwhile, whose event shows it
            return
        began = time.monotonic()
        yield {ui.locality: gr.update(figure=curve.to_json() if curve else "")}
        drawn = panels.gallery(world.explorer.pictures(name), name)
        settle(began)
        if not session or session.picked == name:
            yield {ui.own_pictures: drawn}
    except AgeError:
        yield {ui.own_pictures: "", ui.locality: gr.update(figure="")}


def on_view(world: World, ui: SimpleNamespace, view: str, source: int | None) -> Updates:
    pairs = world.pairs(source)
    if view == "Map" or pairs is None:
        return {ui.graph: gr.update(visible=True), ui.heat: gr.update(visible="hidden")}
    damage = pairs.pivot(index="erased", columns="affected", values="delta")
    # more rows or columns than that cannot be told apart
    doing, hurt = (list(damage.abs().max(axis=axis).nlargest(MOST_CELLS).index) for axis in (1, 0))
    groups = {concept.name: concept.group for concept in world.concepts}
    which = "Every erasure that was measured" if len(doing) == len(damage) else f"The {MOST_CELLS} strongest erasures"
    title = f"{which}, on the {len(hurt)} concepts that any erasure moves most"
    figure = plots.heat_map(damage.loc[doing, hurt], groups, title, clustered=True)
    # "hidden" keeps the map's zoom; False would take it out of the page
    return {ui.graph: gr.update(visible="hidden"), ui.heat: gr.update(figure=figure.to_json(), visible=True)}


def on_cell(world: World, ui: SimpleNamespace, cell: str | None, *how: Any) -> Updates:
    """A cell of the heat map was clicked: pick the concept whose erasure it tells of."""
    erased, _ = json.loads(cell or '["", ""]')
    return on_pick(world, ui, erased, gr.skip(), *how)


def on_everything(world: World, _ui: SimpleNamespace, share: float, source: int | None) -> Any:
    """The strongest `share` percent of all arrows at once."""
    pairs = world.pairs(source)
    if pairs is None or not share:
        return gr.update(overview="[]")
    clear = pairs[pairs["clear"]]
    above = float(clear["delta"].abs().quantile(1 - share / 100)) if len(clear) else 0.0
    return gr.update(overview=concept_map.overview_json(clear, list(world.layouts[layout.MEANING]["name"]), above))


# --- erase -------------------------------------------------------------------------------------------------------


def on_method(_world: World, ui: SimpleNamespace, method: str) -> Updates:
    return {ui.word: gr.update(visible=METHODS[method].word is not None), ui.about: note(METHODS[method].about)}


def on_start(
    world: World, ui: SimpleNamespace, session: Session, names: list[str], method: str, keep: bool, *form: Any
) -> Made:
    """Ask for a run and stream what it does. Closing this generator (the tab was closed) only stops watching."""
    try:
        queued = world.explorer.ask(known(session).owner, names, method, keep, *form)
    except AgeError as error:
        yield warn(ui, error)
        return
    yield from follow(world, ui, session, queued)


def on_resume(world: World, ui: SimpleNamespace, session: Session, keep: bool, name: str | None = None) -> Made:
    """Go on with a stopped run: the one named, or the one that was watched last."""
    try:
        if name is None:
            if known(session).queued is None:
                raise AgeError("There is no stopped run to go on with: start one, or choose one under Runs.")
            name = session.queued.run.path.name  # type: ignore[union-attr]
        run = world.explorer.fitting(world.explorer.own_run(known(session).owner, name or ""))
        queued = world.explorer.bench.resume(run, session.owner, keep)
    except AgeError as error:
        yield warn(ui, error)
        return
    yield from turn_to_erase(ui)
    yield from follow(world, ui, session, queued)


def turn_to_erase(ui: SimpleNamespace) -> Made:
    yield {ui.tabs: gr.Tabs(selected="erase")}
    settle()


def follow(world: World, ui: SimpleNamespace, session: Session, queued: QueuedRun) -> Made:
    """Show a run from its first event to its end, unless the session turns to another."""
    name, session.queued, session.recording = ", ".join(queued.run.config.concepts), queued, None
    blank = dict.fromkeys([ui.live_targets, ui.live_loss, ui.live_history, ui.live_previews, ui.messages], "")
    buttons = {ui.start: gr.update(interactive=False), ui.stop: gr.update(interactive=True)}
    yield {
        ui.status: panels.status(f"Preparing to erase {name} …"),
        **blank,
        **buttons,
        ui.resume: gr.update(interactive=False),
        ui.scrub: gr.update(visible=False),
        ui.where: page.where(name, queued.run.path.name),
    }
    view = LiveView(name)
    for sight in world.explorer.bench.run_queue.watch(queued):
        if session.queued is not queued:
            return
        out: Updates = {getattr(ui, region): value for region, value in view.update(sight.events).items()}
        if sight.state == "waiting":
            out[ui.status] = panels.status(in_line(sight.ahead, sight.wait_s))
        if ui.live_loss in out:  # once a second is enough for the map, which is on another tab
            out[ui.graph] = gr.update(lit=view.lit(sight.events[-1]))
        if out:
            yield out
    yield ending(world, ui, session, queued)


def in_line(ahead: int, wait_s: float) -> str:
    before = "one run is" if ahead == 1 else f"{ahead} runs are"
    known_time = f", about {duration(wait_s)}" if wait_s == wait_s else ""
    return f"Waiting: {before} before yours{known_time}."


def ending(world: World, ui: SimpleNamespace, session: Session, queued: QueuedRun) -> Updates:
    ready = {ui.start: gr.update(interactive=True), ui.stop: gr.update(interactive=False)}
    stopped = queued.state != "finished"
    out: Updates = {**ready, ui.resume: gr.update(interactive=stopped), ui.graph: gr.update(lit="{}")}
    if queued.state == "finished":
        title = session.add(queued.run)
        out |= show_recording(ui, session, queued.run)
        out |= {
            ui.status: panels.status(
                f"Done: {', '.join(queued.run.config.concepts)} was erased in "
                f"{queued.events[-1].steps} steps ({duration(queued.events[-1].elapsed_s)}).",
                queued.events[-1].steps,
                queued.events[-1].steps,
            ),
            ui.erasers: gr.update(choices=list(session.erasers), value=[title]),
        }
    elif queued.state == "stopped":
        step = queued.events[-1].step if queued.events else 0
        where = f"at step {step} of {queued.events[-1].steps}" if step else "before the first step"
        out[ui.status] = panels.status(f"Stopped {where}. Resume goes on from the last checkpoint.")
    else:
        out |= {ui.status: panels.status("The run failed."), **warn(ui, AgeError(queued.reason))}
    return out


def on_stop(world: World, ui: SimpleNamespace, session: Session | None) -> Updates:
    """Ask the run to stop after its present step."""
    if session and session.queued:
        world.explorer.bench.run_queue.stop(session.queued)
    return {ui.stop: gr.update(interactive=False)}


def on_predict(world: World, ui: SimpleNamespace, names: list[str], method: str) -> Made:
    """Draw the damage to expect on the map, before any training."""
    try:
        if len(names) != 1:
            raise AgeError("The damage is predicted for one concept at a time: name one.")
        name = world.concepts.find(names[0]).name
        yield {ui.predicted: note("Trying a closed-form edit …"), ui.messages: ""}
        word, shift = world.explorer.predict(name, method)
    except AgeError as error:
        yield {ui.predicted: "", **warn(ui, error)}
        return
    rows = pd.DataFrame({"erased": name, "affected": shift.index, "delta": shift.to_numpy()})
    top = rows.nlargest(10, "delta")
    said = (
        f"Predicted by a closed-form edit to “{word}”, a guess without an interval: erasing {name} will move "
        "these most (noise shift; 1 would be as far as deleting the word). The map shows them as arrows."
    )
    yield {
        ui.predicted: panels.predicted(said, top),
        ui.graph: gr.update(value=name, arrows=concept_map.arrows_json(top.head(8))),
        ui.caption: note(said),
    }


# --- compare -----------------------------------------------------------------------------------------------------


def chosen_erasers(session: Session | None, titles: list[str]) -> dict[str, Erased]:
    found = {title: known(session).erasers[title] for title in titles or [] if title in known(session).erasers}
    if not found:
        raise AgeError("Erase a concept first, or open a run, and choose it: there is no edited model to compare with.")
    return found


def draw_cards(
    world: World, session: Session, found: dict[str, Erased], rows: Sequence[Row], seed: float | None, count: float
) -> list[panels.Card]:
    """Every row and seed by the original and by each eraser."""
    erasers = {title: one.eraser for title, one in found.items()}
    drawn = world.explorer.pairs(rows, erasers, int(seed or 0), int(count))
    cards = []
    for place, pairs in enumerate(zip(*drawn.values(), strict=True)):
        row, first = rows[place // int(count)], pairs[0]
        edited = tuple(
            panels.Drawn(title, pair.edited, pair.edited_verdict, pair.distance)
            for title, pair in zip(drawn, pairs, strict=True)
        )
        cards.append(
            panels.Card(
                row.kind,
                row.title,
                row.note,
                row.prompt,
                first.seed,
                row.expected,
                first.original,
                first.original_verdict,
                edited,
            )
        )
        for one in edited:
            session.pairs[f"{row.title}, seed {first.seed}, {one.by}"] = (first.original, one.image)
    return cards


def on_compare(
    world: World, ui: SimpleNamespace, session: Session, titles: list[str], own: str, seed: float | None, count: float
) -> Made:
    """Pairs of a person's own prompts or, where there is none, of the concepts around the erased one."""
    try:
        found = chosen_erasers(session, titles)
        yield {ui.compare_status: panels.status("Drawing with all models …"), ui.messages: ""}
        names = dict.fromkeys(name for one in found.values() for name in one.names)
        rows = world.explorer.own_rows(own) if (own or "").strip() else []
        if not rows:
            for name in names:
                damage = world.explorer.measure(name, next(iter(found.values())).eraser)
                rows += world.explorer.rows(name, damage.to_dict())
        session.pairs.clear()
        cards = draw_cards(world, session, found, rows, seed, count)
    except AgeError as error:
        yield {ui.compare_status: "", **warn(ui, error)}
        return
    heading = f"Original and edited models ({', '.join(names)} erased), seeds from {int(seed or 0)}"
    first = next(iter(session.pairs))
    yield {
        ui.grid: panels.compare_grid(cards, heading),
        ui.compare_status: "",
        ui.pair: gr.update(choices=list(session.pairs), value=first, visible=True),
        ui.slider: gr.update(value=enlarged(session.pairs[first]), visible=True),
    }


def enlarged(pair: tuple[Image.Image, Image.Image]) -> tuple[Image.Image, ...]:
    return tuple(one.resize((320, 320), Image.Resampling.NEAREST) if one.width < 320 else one for one in pair)


def on_pair(_world: World, _ui: SimpleNamespace, session: Session | None, title: str) -> Any:
    pair = session.pairs.get(title) if session else None
    return gr.update(value=enlarged(pair)) if pair else gr.skip()


def on_judge(world: World, ui: SimpleNamespace, session: Session, titles: list[str]) -> Made:
    """ESR and PSR of each chosen eraser, and the damage of the first beside what was predicted."""
    try:
        found = chosen_erasers(session, titles)
        same: dict[tuple[str, ...], dict[str, Eraser]] = {}  # what erases the same shares the original's pictures
        for title, one in found.items():
            same.setdefault(tuple(one.names), {})[title] = one.eraser
        tables: list[tuple[str, dict[str, float]]] = []
        for names, erasers in same.items():
            said = panels.status(f"Measuring {', '.join(erasers)} …", len(tables), len(found))
            yield {ui.compare_status: said, ui.messages: ""}
            table = world.explorer.scores(names, erasers).set_index("method")
            tables += [("original model", table.loc["original"].to_dict())] if not tables else []
            tables += [(title, table.loc[title].to_dict()) for title in erasers]
        title, one = next(iter(found.items()))
        name = one.names[0]
        _, predicted = world.explorer.predict(name)
        measured = world.explorer.measure(name, one.eraser)
    except AgeError as error:
        yield {ui.compare_status: "", **warn(ui, error)}
        return
    rho = predicted.rank().corr(measured.rank())
    scaled = predicted * measured.sum() / predicted.sum()
    figure = plots.scatter_with_diagonal(
        scaled.tolist(),
        measured.tolist(),
        list(measured.index),
        6,
        f"{name}: predicted and measured damage, rank correlation {rho:.2f}",
        "predicted before training (scaled to the same total)",
        "measured (noise shift)",
    )
    top = pd.DataFrame({"erased": name, "affected": measured.index, "delta": (measured - scaled).to_numpy()})
    top = top.reindex(top["delta"].abs().nlargest(8).index)
    yield {
        ui.scores: panels.scores(tables),
        ui.scatter: gr.update(figure=figure.to_json()),
        ui.compare_status: "",
        ui.graph: gr.update(value=name, arrows=concept_map.arrows_json(top)),
        ui.caption: note(f"Measured less predicted damage of erasing {name} ({title}): where the prediction was off."),
    }


def on_ablate(world: World, ui: SimpleNamespace, session: Session, names: list[str], seed: float | None) -> Made:
    """Erase to the empty prompt, to a random neighbour and adaptively, one after the other."""
    titles = []
    for method in ABLATION:
        try:
            queued = world.explorer.ask(known(session).owner, names[:1], method, False, seed=seed)
        except AgeError as error:
            yield warn(ui, error)
            return
        for out in follow(world, ui, session, queued):
            yield out | {ui.compare_status: out.get(ui.status, gr.skip())}
        if queued.state != "finished" or session.queued is not queued:
            yield {ui.compare_status: panels.status("The comparison ended with the run that was stopped.")}
            return
        titles.append(queued.run.path.name)
    yield {ui.erasers: gr.update(choices=list(session.erasers), value=titles), ui.compare_status: ""}


# --- runs --------------------------------------------------------------------------------------------------------


def run_rows(world: World, session: Session) -> tuple[list[list[Any]], list[str]]:
    rows: list[list[Any]] = []
    names: list[str] = []
    for run in world.explorer.runs_of(session.owner):
        config, names = run.config, [*names, run.path.name]
        shown = (
            run.path.name if run.path.parent == world.explorer.folder(session.owner) else f"{run.path.name} (shipped)"
        )
        method = METHODS.get(config.method)
        steps = None if method and method.kind == "closed" else config.options.get("steps")  # it takes none
        rows.append(
            [
                shown,
                ", ".join(config.concepts),
                method.label if method else config.method,
                config.model,
                run.status,
                steps,
                config.seed,
                config.created[:16].replace("T", " "),
            ]
        )
    return rows, names


def listed(world: World, ui: SimpleNamespace, session: Session, chosen: str | None = None) -> Updates:
    rows, names = run_rows(world, session)
    value = chosen if chosen in names else (names[0] if names else None)
    table = pd.DataFrame(rows, columns=COLUMNS)
    return {ui.run: gr.update(choices=names, value=value), ui.run_table: table, ui.sure: gr.update(visible=False)}


def on_runs(world: World, ui: SimpleNamespace, session: Session | None, chosen: str | None = None) -> Updates:
    return listed(world, ui, session, chosen) if session and session.owner else {ui.runs_status: ""}


def recorded(run: Run) -> Recording:
    pictures = {}
    for path in run.pictures():
        with Image.open(path) as picture:
            pictures[path.name] = picture.convert("RGB")
    return Recording(", ".join(run.config.concepts), run.events(), pictures)


def show_recording(ui: SimpleNamespace, session: Session, run: Run) -> Updates:
    """A run in the Erase tab, at its last step; the slider goes through the others."""
    session.recording = recorded(run)
    steps = session.recording.steps
    slider = gr.update(minimum=1, maximum=max(steps, 2), value=steps, visible=steps > 1)
    shown = {getattr(ui, region): value for region, value in session.recording.at(steps).items()}
    return {**shown, ui.scrub: slider}


def on_scrub(_world: World, ui: SimpleNamespace, session: Session | None, step: float) -> Updates:
    if session is None or session.recording is None:
        return {ui.status: gr.skip()}
    return {getattr(ui, region): value for region, value in session.recording.at(int(step)).items()}


def on_open(world: World, ui: SimpleNamespace, session: Session, name: str, go: bool = True) -> Updates:
    """Show a run in the Erase tab, and make it comparable if it is finished."""
    try:
        run = world.explorer.fitting(world.explorer.run(known(session).owner, name or ""))
        queued = world.explorer.bench.run_queue.find(run.path, session.owner)
        if queued and not queued.ended:
            raise AgeError(f"The run {name!r} is still {queued.state}: it is shown in the Erase tab when it has ended.")
        session.queued = None
        out = show_recording(ui, session, run)
        if run.status == "finished":
            title = session.add(run)
            out[ui.erasers] = gr.update(choices=list(session.erasers), value=[title])
    except AgeError as error:
        return warn(ui, error)
    concepts = list(run.config.concepts)
    out |= {ui.where: page.where(", ".join(concepts), run.path.name), ui.erased: concepts, ui.messages: ""}
    out[ui.runs_status] = panels.status(f"{name} is open: it is in the Erase tab, and can be compared.")
    return out | ({ui.tabs: gr.Tabs(selected="erase")} if go else {})


def on_rename(world: World, ui: SimpleNamespace, session: Session, name: str, new: str) -> Updates:
    try:
        renamed = world.explorer.own_run(known(session).owner, name or "").rename((new or "").strip())
    except AgeError as error:
        return warn(ui, error)
    said = panels.status(f"{name} is now called {renamed.path.name}.")
    return {**listed(world, ui, session, renamed.path.name), ui.runs_status: said, ui.new_name: "", ui.messages: ""}


def on_delete_asked(world: World, ui: SimpleNamespace, session: Session, name: str) -> Updates:
    try:
        run = world.explorer.own_run(known(session).owner, name or "")
    except AgeError as error:
        return warn(ui, error)
    return {ui.sure: gr.update(visible=True), ui.sure_text: note(f"Delete {run.path.name} for good?"), ui.messages: ""}


def on_delete(world: World, ui: SimpleNamespace, session: Session, name: str) -> Updates:
    try:
        world.explorer.own_run(known(session).owner, name or "").delete()
    except AgeError as error:
        return {ui.sure: gr.update(visible=False), **warn(ui, error)}
    return {**listed(world, ui, session), ui.runs_status: panels.status(f"{name} was deleted."), ui.messages: ""}


def on_export(world: World, ui: SimpleNamespace, session: Session, name: str, kind: str) -> Updates:
    """Write the file to download into a folder of its own that Gradio clears away by and by."""
    try:
        run = world.explorer.run(known(session).owner, name or "")
        folder = Path(gr.utils.get_upload_folder()) / "exports" / uuid.uuid4().hex
        folder.mkdir(parents=True)
        if EXPORTS[kind] == "bundle":
            path = age_core.export_bundle(run, folder / f"{run.path.name}.zip")
        else:
            path = run.eraser().save(folder / f"{run.path.name}.safetensors")
    except AgeError as error:
        return {ui.download: gr.update(visible=False), **warn(ui, error)}
    said = panels.status(f"{path.name} is ready: {path.stat().st_size / 1e6:.1f} MB.")
    return {ui.download: gr.update(value=str(path), visible=True), ui.runs_status: said, ui.messages: ""}


def on_import(world: World, ui: SimpleNamespace, session: Session, path: str | None) -> Updates:
    if not path:
        return {ui.upload: None}
    try:
        run = age_core.import_bundle(Path(path), world.explorer.folder(known(session).owner))
    except AgeError as error:
        return {ui.upload: None, **warn(ui, error)}
    said = panels.status(f"Imported as {run.path.name}.")
    return {**listed(world, ui, session, run.path.name), ui.upload: None, ui.runs_status: said, ui.messages: ""}


# --- the page ----------------------------------------------------------------------------------------------------


def on_arrive(world: World, ui: SimpleNamespace, owner: str, request: gr.Request) -> Updates:
    """A page was opened: give it a token, and show the concept and the tab that its address names."""
    if not OWNER.fullmatch(owner or ""):
        owner = uuid.uuid4().hex
    asked = dict(request.query_params) if request else {}
    out: Updates = {ui.session: Session(owner, wanted=asked.get("run", "")), ui.owner: owner}
    if asked.get("concept"):
        out |= on_pick(world, ui, asked["concept"], gr.skip(), 0, "Whom it hurts")
    if asked.get("tab") in page.TABS:
        out[ui.tabs] = gr.Tabs(selected=asked["tab"])
    return out


def on_ready(world: World, ui: SimpleNamespace, session: Session) -> Made:
    """As soon as the model is open: the person's runs, the one that the address named, and one that went on alone."""
    out: Updates = {**listed(world, ui, session), ui.device: gr.update(choices=devices())}
    shipped = world.explorer.shipped_runs
    if session.wanted:
        out |= on_open(world, ui, session, session.wanted, go=False)
    elif shipped:  # what the page opens with is no choice of the person's
        shown = on_open(world, ui, session, shipped[0].path.name, go=False)
        told = (ui.where, ui.erased, ui.messages, ui.runs_status)
        out |= {region: value for region, value in shown.items() if region not in told}
    running = world.explorer.bench.run_queue.running(session.owner)
    if running:
        out[ui.tabs] = gr.Tabs(selected="erase")
    yield out
    if running:
        yield from follow(world, ui, session, running)


def lessons_of(world: World) -> page_learn.Book:
    """Every lesson that what was measured allows, and the recorded run's stages as pictures. It takes the model."""
    found: list[lessons.Lesson | None] = []
    film, shipped, pairs = "", world.explorer.shipped_runs, world.pairs(0)
    if shipped:
        recording = recorded(shipped[0])
        heaviest, losses = recording.events[-1].top_targets(1)[0][0], [event.loss_erase for event in recording.events]
        found.append(lessons.erasing(recording.name, losses, heaviest, list(recording.stages)))
        film = recording.film()
    if pairs is not None:
        erased = list(pairs["erased"].unique())
        name = TOLD if TOLD in erased else erased[0]
        damage = pairs[pairs["erased"] == name].set_index("affected")["delta"]
        curve, *rest = (
            (other, partial(locality, world, other, 0))
            for other in dict.fromkeys([name, *(other for other in LOCAL if other in erased)])
        )
        found.append(lessons.locality(name, damage, world.explorer.ranked(name), curve[1], dict(rest)))
        measured = both_ways_of(world)
        found.append(
            lessons.one_way(statistics.both_ways(measured), statistics.asymmetry(statistics.damage_of(measured)))
        )
    if ABLATED.exists():
        summary = pd.read_csv(ABLATED).set_index("method")
        found += [
            lessons.synonym_trap(summary),
            lessons.why_targets_matter(summary),
            lessons.what_can_go_wrong(summary),
        ]
    return page_learn.Book([lesson for lesson in found if lesson is not None], film)


def both_ways_of(world: World) -> pd.DataFrame:
    """Damages of pairs erased both ways: by trained erasures where the evidence holds them, else by the map's first."""
    how, metric = world.sources[0]
    with suppress(AgeError):
        return statistics.pairs(read_table(NETFIVE), "noise-shift", METHODS["age"].label)
    assert world.effects is not None
    return statistics.pairs(world.effects, metric, how)


def catalogue(world: World) -> dict[str, Any]:
    return {
        "names": world.concepts.names,
        "groups": world.groups,
        "sources": world.sources,
        "layouts": world.arrangements,
        "methods": {key: method.label for key, method in METHODS.items()},
        "about": {"age": note(METHODS["age"].about)},
        "choice": world.choice,
        "opened": opened(world),
        "lessons": world.effects is not None or ABLATED.exists(),
        "models": [("emoji (bundled)", "emoji"), *((name, name) for name in HUB_MODELS)],
        "concept_sets": concept_sets(),
        "devices": [world.choice.device],
        "probes": [("none", ""), *((name, name) for name in (*PROBES, IMAGENET_PROBE))],
        "unmeasured": bool(world.unmeasured),
        "offer": offer(world),
    }


def first_view(world: World) -> dict[str, Any]:
    """What the map shows before anybody picked anything: the concept whose erasure does most, if that is known."""
    pairs, meaning = world.pairs(0), world.layouts[layout.MEANING]
    first = world.concepts.names[0]
    if pairs is not None:
        first = TOLD if TOLD in pairs["erased"].unique() else effects.most_damaging(pairs, first)
    view: dict[str, Any] = show_concept(world, first, 0, "Whom it hurts")
    sizes = effects.mean_damage_received(pairs, list(meaning["name"])) if pairs is not None else None
    return view | {
        "figure": concept_map.map_figure(meaning, world.groups, sizes).to_json(),
        "label_order": concept_map.label_order_json(meaning, world.groups),
        "layouts": concept_map.layouts_json(world.layouts),
    }


def build(worlds: Worlds) -> gr.Blocks:
    """The whole page, opening with the bundled model, which need not be open yet."""
    world = worlds.of(Choice())
    gr.set_static_paths([PLOTLY_JS])
    with gr.Blocks(title="AGE Explorer", analytics_enabled=False, delete_cache=(600, 3600)) as demo:
        ui = page.lay_out(first_view(world), catalogue(world), cache(partial(lessons_of, world)))
        everything = [component for component in vars(ui).values() if isinstance(component, gr.blocks.Block)]
        to = handlers(worlds, ui)

        def arrive(owner: str, request: gr.Request) -> Updates:  # Gradio does not see a partial's request
            return on_arrive(world, ui, owner, request)

        to.arrive = arrive
        demo.load(js=page.ARRIVED_JS)
        wiring.connect(demo, ui, to, everything)
    return demo


def handlers(worlds: Worlds, ui: SimpleNamespace) -> SimpleNamespace:
    """What answers the page's events, by the names that `wiring.connect` knows; each is first told what is open."""
    of_world: dict[str, Any] = {
        "ready": on_ready,
        "pick": on_pick,
        "search": on_search,
        "picked": on_picked,
        "view": on_view,
        "cell": on_cell,
        "everything": on_everything,
        "method": on_method,
        "start": on_start,
        "resume": on_resume,
        "stop": on_stop,
        "scrub": on_scrub,
        "predict": on_predict,
        "compare": on_compare,
        "pair": on_pair,
        "judge": on_judge,
        "ablate": on_ablate,
        "runs": on_runs,
        "open": on_open,
        "rename": on_rename,
        "delete_asked": on_delete_asked,
        "delete": on_delete,
        "export": on_export,
        "import_": on_import,
    }
    bound: dict[str, Any] = {name: in_world(handler, worlds, ui) for name, handler in of_world.items()}
    of_all: dict[str, Any] = {"open_model": on_open_model, "measure": on_measure, "model": on_model}
    bound |= {name: partial(handler, worlds, ui) for name, handler in of_all.items()}
    return SimpleNamespace(**bound)


def in_world(handler: Callable[..., Any], worlds: Worlds, ui: SimpleNamespace) -> Callable[..., Any]:
    """`handler` with the world of what is open in place of the choice."""
    if inspect.isgeneratorfunction(handler):

        def stream(choice: Choice, *given: Any) -> Made:
            yield from handler(worlds.of(choice), ui, *given)

        return stream
    return lambda choice, *given: handler(worlds.of(choice), ui, *given)


def main() -> None:
    """Serve the page, then open the model that it shows, if no visitor has asked for that yet."""
    shipped = ASSETS / "runs"
    worlds = Worlds(Models(RUNS, shipped if shipped.is_dir() else None, others="SPACE_ID" not in os.environ))
    try:
        demo = build(worlds).queue(max_size=64)
        # how often it looks for work: a thousand times a second, otherwise, beside a training on the same cores
        demo._queue.sleep_when_free = demo._queue.progress_update_sleep_when_free = QUEUE_LOOK_S
        _, address, _ = demo.launch(
            theme=theme.theme(),
            css=theme.CSS,
            ssr_mode=False,
            run_history=False,
            footer_links=[],
            quiet=True,
            prevent_thread_lock=True,
            max_file_size=LARGEST_UPLOAD,
            _frontend=False,  # no look at its own page, which gives up after 3 s: too soon on a slow machine
        )
        print(f"AGE Explorer is open at {address}", flush=True)
        time.sleep(HEAD_START_S)
        worlds.models.explorer(Choice())
        gc.freeze()  # never looked over again, which would hold every answer up for a quarter of a second
        gc.enable()
    except AgeError as error:  # such as missing weights: one sentence says more than a traceback
        raise SystemExit(f"AGE Explorer cannot run. {error}") from None
    demo.block_thread()


if __name__ == "__main__":
    main()
