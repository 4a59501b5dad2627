"""The AGE Explorer in the browser: pick a concept on the map, erase it while you watch, compare the models, keep runs.

This file only connects `age_core` (the method) with `viz` (the pictures). Run it with `python app.py`.
"""

import html
import json
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
import pandas as pd
import plotly.graph_objects as go
from PIL import Image

from age_core import (
    METHODS,
    AgeError,
    ConceptSet,
    Eraser,
    Run,
    embed_concepts,
    graph,
    list_runs,
    load_pipeline,
    load_probe,
)
from age_core.bundles import export_bundle, import_bundle
from age_core.side_effects import load_side_effects
from age_core.studio import Row, Studio
from age_core.workbench import Ticket, Workbench
from viz import concept_map, effects, graph_figures, layout, lessons, page, panels, theme, wiring
from viz.blocks import note
from viz.live import LiveView, Recording, duration
from viz.page_map import DIRECTIONS, LAYOUTS
from viz.page_runs import COLUMNS, EXPORTS

ROOT = Path(__file__).parent
ASSETS, RUNS = ROOT / "assets", Path(os.environ.get("AGE_RUNS", ROOT / "runs" / "app"))
ABLATED = ASSETS / "ablation.csv"  # the summary that benchmarks/ablation.py writes
MOST_ERASERS = 4
LARGEST_UPLOAD = "200mb"
ABLATION = ("empty", "random", "age")
Updates = dict[Any, Any]
Made = Iterator[Updates]


@dataclass(frozen=True)
class World:
    """What every session shares and none changes."""

    studio: Studio
    layouts: dict[str, pd.DataFrame]
    effects: pd.DataFrame | None
    no_effects: str  # why there is no table

    @property
    def concepts(self) -> ConceptSet:
        return self.studio.world


@dataclass(frozen=True, eq=False)
class Erased:
    """An edited model that a session may compare with the original."""

    names: tuple[str, ...]
    eraser: Eraser


@dataclass(eq=False)  # gr.State hashes its value
class Session:
    """One person's page: nobody else sees it."""

    owner: str = ""
    ticket: Ticket | None = None
    recording: Recording | None = None
    erasers: dict[str, Erased] = field(default_factory=dict)  # by title, the latest last
    pairs: dict[str, tuple[Image.Image, Image.Image]] = field(default_factory=dict)

    def add(self, run: Run) -> str:
        """Make a finished run comparable; answers its title."""
        self.erasers.pop(run.path.name, None)
        self.erasers[run.path.name] = Erased(run.config.concepts, run.eraser())
        for old in list(self.erasers)[:-MOST_ERASERS]:
            del self.erasers[old]
        return run.path.name


def load_world(name: str = "emoji", runs: Path = RUNS) -> World:
    """Load the model and everything precomputed; a missing table of side effects only leaves the map without arrows."""
    pipe, concepts = load_pipeline(name), ConceptSet.load(name)
    try:
        table, reason = load_side_effects(name), ""
    except AgeError as error:
        table, reason = None, str(error)
    stored = ASSETS / "graphs" / f"{name}-layout.csv"
    layouts = layout.read_layouts(stored, concepts.names)
    if layout.MEANING not in layouts:
        points = layout.umap_layout(embed_concepts(pipe, list(concepts.names)))
        layouts = {layout.MEANING: layout.write_layout(stored, concepts.names, points)}
    shipped = ASSETS / "runs"
    studio = Studio(
        pipe, load_probe(name), concepts, Workbench(pipe, concepts, name), runs, shipped if shipped.is_dir() else None
    )
    return World(studio, layouts, table, reason)


def warn(ui: SimpleNamespace, error: Exception) -> Updates:
    gr.Warning(html.escape(str(error), quote=False))
    return {ui.messages: panels.message(str(error))}


def known(session: Session | None) -> Session:
    if session is None or not session.owner:
        raise AgeError("The page is still loading: try again in a moment.")
    return session


# --- the map -----------------------------------------------------------------------------------------------------


def pairs_of(world: World, source: int | None) -> pd.DataFrame | None:
    if world.effects is None:
        return None
    return effects.of_source(world.effects, effects.sources(world.effects)[source or 0])


def locality(world: World, pairs: pd.DataFrame, name: str, metric: str) -> str:
    """How the damage of erasing `name` falls with nearness; "" where it was not measured."""
    mine = pairs[pairs["erased"] == name].set_index("affected")["delta"]
    if mine.empty:
        return ""
    order = {other: rank for rank, other in enumerate(world.studio.ranked(name))}
    ranks = pd.Series({other: order[other] for other in mine.index if other in order}, dtype=float)
    curve = graph.by_nearness(mine.reindex(ranks.index).to_frame().T, ranks.to_frame().T.set_axis(["delta"]))
    title = f"Erasing {name}: damage by nearness"
    return graph_figures.locality_figure({name: curve}, title, metric).to_json()


def show_concept(
    world: World, text: str, source: int | None, direction: str, count: float = 8, vague: bool = False
) -> dict[str, str]:
    """The picked concept's name, arrows, panel, caption and locality curve."""
    concept = world.concepts.find(text or "")
    pairs = pairs_of(world, source)
    panel = panels.selection(concept.name, concept.group, concept.synonyms, pairs)
    if pairs is None:
        caption = f"No arrows: {world.no_effects}"
        return {"name": concept.name, "arrows": "[]", "panel": panel, "caption": caption, "locality": ""}
    origin = effects.sources(world.effects)[source or 0]
    shown = effects.strongest(pairs, concept.name, DIRECTIONS[direction], int(count))
    if vague:
        more = effects.strongest(pairs, concept.name, DIRECTIONS[direction], int(count), clear=False)
        shown = pd.concat([shown, more], ignore_index=True)
    meaning = f"An arrow from A to B means: erasing A made B worse. {effects.describe(origin)}"
    arrows, curve = concept_map.arrows_json(shown), locality(world, pairs, concept.name, origin[1])
    return {"name": concept.name, "arrows": arrows, "panel": panel, "caption": meaning, "locality": curve}


def on_pick(world: World, ui: SimpleNamespace, text: str, shown: Any, source: int | None, *how: Any) -> Updates:
    try:
        view = show_concept(world, text, source, *how)
    except AgeError as error:
        return {ui.search: shown, **warn(ui, error)}
    return {
        ui.graph: gr.update(value=view["name"], arrows=view["arrows"]),
        ui.search: view["name"],
        ui.selection: view["panel"],
        ui.caption: note(view["caption"]),
        ui.locality: gr.update(figure=view["locality"]),
        ui.where: page.where(view["name"]),
        ui.erased: [view["name"]],
        ui.messages: "",
    }


def on_pictures(world: World, ui: SimpleNamespace, name: str) -> Updates:
    """What the model draws of the picked concept; drawn after the click was answered, as it takes the model."""
    try:
        return {ui.own_pictures: panels.gallery(world.studio.pictures(name), name)}
    except AgeError:
        return {ui.own_pictures: ""}


def on_view(world: World, ui: SimpleNamespace, view: str, source: int | None) -> Updates:
    pairs = pairs_of(world, source)
    if view == "Map" or pairs is None:
        return {ui.graph: gr.update(visible=True), ui.heat: gr.update(visible="hidden")}
    damage = pairs.pivot(index="erased", columns="affected", values="delta")
    hurt = damage.abs().max().sort_values(ascending=False).index[:60]  # more columns than that cannot be told apart
    groups = {concept.name: concept.group for concept in world.concepts}
    title = f"Every erasure that was measured, on the {len(hurt)} concepts that any of them moves most"
    figure = graph_figures.heat_map(damage[list(hurt)], groups, title, clustered=True)
    # "hidden" keeps the map's zoom; False would take it out of the page
    return {ui.graph: gr.update(visible="hidden"), ui.heat: gr.update(figure=figure.to_json(), visible=True)}


def on_cell(world: World, ui: SimpleNamespace, cell: str | None, *how: Any) -> Updates:
    """A cell of the heat map was clicked: pick the concept whose erasure it tells of."""
    erased, _ = json.loads(cell or '["", ""]')
    return on_pick(world, ui, erased, gr.skip(), *how)


def on_everything(world: World, _ui: SimpleNamespace, share: float, source: int | None) -> Any:
    """The strongest `share` percent of all arrows at once."""
    pairs = pairs_of(world, source)
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
        ticket = world.studio.ask(known(session).owner, names, method, keep, *form)
    except AgeError as error:
        yield warn(ui, error)
        return
    yield from follow(world, ui, session, ticket)


def on_resume(world: World, ui: SimpleNamespace, session: Session, keep: bool, name: str | None = None) -> Made:
    """Go on with a stopped run: the one named, or the one that was watched last."""
    try:
        if name is None:
            if known(session).ticket is None:
                raise AgeError("There is no stopped run to go on with: start one, or choose one under Runs.")
            name = session.ticket.run.path.name  # type: ignore[union-attr]
        run = world.studio.own_run(known(session).owner, name or "")
        ticket = world.studio.bench.resume(run, session.owner, keep)
    except AgeError as error:
        yield warn(ui, error)
        return
    yield from turn_to_erase(ui)
    yield from follow(world, ui, session, ticket)


def turn_to_erase(ui: SimpleNamespace) -> Made:
    yield {ui.tabs: gr.Tabs(selected="erase")}
    time.sleep(0.4)  # the browser drops an update that the next one overtakes


def follow(world: World, ui: SimpleNamespace, session: Session, ticket: Ticket) -> Made:
    """Show a run from its first event to its end, unless the session turns to another."""
    name, session.ticket, session.recording = ", ".join(ticket.run.config.concepts), ticket, None
    blank = dict.fromkeys([ui.live_targets, ui.live_loss, ui.live_history, ui.live_previews, ui.messages], "")
    buttons = {ui.start: gr.update(interactive=False), ui.stop: gr.update(interactive=True)}
    yield {
        ui.status: panels.status(f"Preparing to erase {name} …"), **blank, **buttons,
        ui.resume: gr.update(interactive=False), ui.scrub: gr.update(visible=False),
        ui.where: page.where(name, ticket.run.path.name),
    }  # fmt: skip
    view = LiveView(name)
    for sight in world.studio.bench.watch(ticket):
        if session.ticket is not ticket:
            return
        out: Updates = {getattr(ui, region): value for region, value in view.update(sight.events).items()}
        if sight.state == "waiting":
            out[ui.status] = panels.status(in_line(sight.ahead, sight.wait_s))
        if ui.live_loss in out:  # once a second is enough for the map, which is on another tab
            out[ui.graph] = gr.update(lit=view.lit(sight.events[-1]))
        if out:
            yield out
    yield ending(world, ui, session, ticket)


def in_line(ahead: int, wait_s: float) -> str:
    before = "one run is" if ahead == 1 else f"{ahead} runs are"
    known_time = f", about {duration(wait_s)}" if wait_s == wait_s else ""
    return f"Waiting: {before} before yours{known_time}."


def ending(world: World, ui: SimpleNamespace, session: Session, ticket: Ticket) -> Updates:
    ready = {ui.start: gr.update(interactive=True), ui.stop: gr.update(interactive=False)}
    stopped = ticket.state != "finished"
    out: Updates = {**ready, ui.resume: gr.update(interactive=stopped), ui.graph: gr.update(lit="{}")}
    if ticket.state == "finished":
        title = session.add(ticket.run)
        out |= show_recording(ui, session, ticket.run)
        out |= {ui.status: panels.status(f"Done: {', '.join(ticket.run.config.concepts)} was erased in "
                                         f"{ticket.events[-1].steps} steps ({duration(ticket.events[-1].elapsed_s)}).",
                                         ticket.events[-1].steps, ticket.events[-1].steps),
                ui.erasers: gr.update(choices=list(session.erasers), value=[title])}  # fmt: skip
    elif ticket.state == "stopped":
        step = ticket.events[-1].step if ticket.events else 0
        where = f"at step {step} of {ticket.events[-1].steps}" if step else "before the first step"
        out[ui.status] = panels.status(f"Stopped {where}. Resume goes on from the last checkpoint.")
    else:
        out |= {ui.status: panels.status("The run failed."), **warn(ui, AgeError(ticket.reason))}
    return out


def on_stop(world: World, ui: SimpleNamespace, session: Session | None) -> Updates:
    """Ask the run to stop after its present step."""
    if session and session.ticket:
        world.studio.bench.stop(session.ticket)
    return {ui.stop: gr.update(interactive=False)}


def on_predict(world: World, ui: SimpleNamespace, names: list[str], method: str) -> Made:
    """Draw the damage to expect on the map, before any training."""
    try:
        if len(names) != 1:
            raise AgeError("The damage is predicted for one concept at a time: name one.")
        name = world.concepts.find(names[0]).name
        yield {ui.predicted: note("Trying a closed-form edit …"), ui.messages: ""}
        word, shift = world.studio.predict(name, method)
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
    drawn = {title: world.studio.pairs(rows, one.eraser, int(seed or 0), int(count)) for title, one in found.items()}
    cards = []
    for place, pairs in enumerate(zip(*drawn.values(), strict=True)):
        row, first = rows[place // int(count)], pairs[0]
        edited = tuple(
            panels.Drawn(title, pair.edited, pair.edited_verdict, pair.distance)
            for title, pair in zip(drawn, pairs, strict=True)
        )
        cards.append(
            panels.Card(
                row.kind, row.title, row.note, row.prompt, first.seed, row.expected, first.original,
                first.original_verdict, edited,
            )
        )  # fmt: skip
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
        rows = world.studio.own_rows(own) if (own or "").strip() else []
        if not rows:
            for name in names:
                damage = world.studio.measure(name, next(iter(found.values())).eraser)
                rows += world.studio.rows(name, damage.to_dict())
        session.pairs.clear()
        cards = draw_cards(world, session, found, rows, seed, count)
    except AgeError as error:
        yield {ui.compare_status: "", **warn(ui, error)}
        return
    heading = f"Original and edited models ({', '.join(names)} erased), seeds from {int(seed or 0)}"
    first = next(iter(session.pairs))
    yield {
        ui.grid: panels.compare_grid(cards, heading), ui.compare_status: "",
        ui.pair: gr.update(choices=list(session.pairs), value=first, visible=True),
        ui.slider: gr.update(value=enlarged(session.pairs[first]), visible=True),
    }  # fmt: skip


def enlarged(pair: tuple[Image.Image, Image.Image]) -> tuple[Image.Image, ...]:
    return tuple(one.resize((320, 320), Image.Resampling.NEAREST) if one.width < 320 else one for one in pair)


def on_pair(_world: World, _ui: SimpleNamespace, session: Session | None, title: str) -> Any:
    pair = session.pairs.get(title) if session else None
    return gr.update(value=enlarged(pair)) if pair else gr.skip()


def on_judge(world: World, ui: SimpleNamespace, session: Session, titles: list[str]) -> Made:
    """ESR and PSR of each chosen eraser, and the damage of the first beside what was predicted."""
    try:
        found = chosen_erasers(session, titles)
        tables: list[tuple[str, dict[str, float]]] = []
        for title, one in found.items():
            yield {ui.compare_status: panels.status(f"Measuring {title} …", len(tables), len(found)), ui.messages: ""}
            table = world.studio.scores(one.names, one.eraser).set_index("method")
            tables += [("original model", table.loc["original"].to_dict())] if not tables else []
            tables.append((title, table.loc["edited"].to_dict()))
        title, one = next(iter(found.items()))
        name = one.names[0]
        _, predicted = world.studio.predict(name)
        measured = world.studio.measure(name, one.eraser)
    except AgeError as error:
        yield {ui.compare_status: "", **warn(ui, error)}
        return
    rho = predicted.rank().corr(measured.rank())
    scaled = predicted * measured.sum() / predicted.sum()
    figure = graph_figures.scatter_with_diagonal(
        scaled.tolist(), measured.tolist(), list(measured.index), 6,
        f"{name}: predicted and measured damage, rank correlation {rho:.2f}",
        "predicted before training (scaled to the same total)", "measured (noise shift)",
    )  # fmt: skip
    top = pd.DataFrame({"erased": name, "affected": measured.index, "delta": (measured - scaled).to_numpy()})
    top = top.reindex(top["delta"].abs().nlargest(8).index)
    yield {
        ui.scores: panels.scores(tables), ui.scatter: gr.update(figure=figure.to_json()), ui.compare_status: "",
        ui.graph: gr.update(value=name, arrows=concept_map.arrows_json(top)),
        ui.caption: note(f"Measured less predicted damage of erasing {name} ({title}): where the prediction was off."),
    }  # fmt: skip


def on_ablate(world: World, ui: SimpleNamespace, session: Session, names: list[str], seed: float | None) -> Made:
    """Erase to the empty prompt, to a random neighbour and adaptively, one after the other."""
    titles = []
    for method in ABLATION:
        try:
            ticket = world.studio.ask(known(session).owner, names[:1], method, False, seed=seed)
        except AgeError as error:
            yield warn(ui, error)
            return
        for out in follow(world, ui, session, ticket):
            yield out | {ui.compare_status: out.get(ui.status, gr.skip())}
        if ticket.state != "finished" or session.ticket is not ticket:
            yield {ui.compare_status: panels.status("The comparison ended with the run that was stopped.")}
            return
        titles.append(ticket.run.path.name)
    yield {ui.erasers: gr.update(choices=list(session.erasers), value=titles), ui.compare_status: ""}


# --- runs --------------------------------------------------------------------------------------------------------


def run_rows(world: World, session: Session) -> tuple[list[list[Any]], list[str]]:
    rows: list[list[Any]] = []
    names: list[str] = []
    for run in world.studio.runs_of(session.owner):
        config, names = run.config, [*names, run.path.name]
        shown = run.path.name if run.path.parent == world.studio.folder(session.owner) else f"{run.path.name} (shipped)"
        label = METHODS[config.method].label if config.method in METHODS else config.method
        rows.append(
            [shown, ", ".join(config.concepts), label, run.status, config.options.get("steps"), config.seed,
             config.created[:16].replace("T", " ")]
        )  # fmt: skip
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
        run = world.studio.run(known(session).owner, name or "")
        ticket = world.studio.bench.find(run.path, session.owner)
        if ticket and not ticket.ended:
            raise AgeError(f"The run {name!r} is still {ticket.state}: it is shown in the Erase tab when it has ended.")
        session.ticket = None
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
        renamed = world.studio.own_run(known(session).owner, name or "").rename((new or "").strip())
    except AgeError as error:
        return warn(ui, error)
    said = panels.status(f"{name} is now called {renamed.path.name}.")
    return {**listed(world, ui, session, renamed.path.name), ui.runs_status: said, ui.new_name: "", ui.messages: ""}


def on_delete_asked(world: World, ui: SimpleNamespace, session: Session, name: str) -> Updates:
    try:
        run = world.studio.own_run(known(session).owner, name or "")
    except AgeError as error:
        return warn(ui, error)
    return {ui.sure: gr.update(visible=True), ui.sure_text: note(f"Delete {run.path.name} for good?"), ui.messages: ""}


def on_delete(world: World, ui: SimpleNamespace, session: Session, name: str) -> Updates:
    try:
        world.studio.own_run(known(session).owner, name or "").delete()
    except AgeError as error:
        return {ui.sure: gr.update(visible=False), **warn(ui, error)}
    return {**listed(world, ui, session), ui.runs_status: panels.status(f"{name} was deleted."), ui.messages: ""}


def on_export(world: World, ui: SimpleNamespace, session: Session, name: str, kind: str) -> Updates:
    """Write the file to download into a folder of its own that Gradio clears away by and by."""
    try:
        run = world.studio.run(known(session).owner, name or "")
        folder = Path(gr.utils.get_upload_folder()) / "exports" / uuid.uuid4().hex
        folder.mkdir(parents=True)
        if EXPORTS[kind] == "bundle":
            path = export_bundle(run, folder / f"{run.path.name}.zip")
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
        run = import_bundle(Path(path), world.studio.folder(known(session).owner))
    except AgeError as error:
        return {ui.upload: None, **warn(ui, error)}
    said = panels.status(f"Imported as {run.path.name}.")
    return {**listed(world, ui, session, run.path.name), ui.upload: None, ui.runs_status: said, ui.messages: ""}


# --- the page ----------------------------------------------------------------------------------------------------


def on_arrive(world: World, ui: SimpleNamespace, first: str, owner: str, request: gr.Request) -> Made:
    """A page was opened: give it a token, show what its address names, and find the run that went on without it."""
    try:
        world.studio.folder(owner or "")
    except AgeError:
        owner = uuid.uuid4().hex
    session = Session(owner)
    out: Updates = {ui.session: session, ui.owner: owner, **listed(world, ui, session)}
    asked = dict(request.query_params) if request else {}
    if asked.get("concept"):
        out |= on_pick(world, ui, asked["concept"], gr.skip(), 0, "Whom it hurts")
    shipped = world.studio.shipped and list_runs(world.studio.shipped)
    wanted = asked.get("run") or (shipped[0].path.name if shipped else "")
    if wanted:
        shown = on_open(world, ui, session, wanted, go=False)
        if not asked.get("run"):  # what the page opens with is no choice of the person's
            shown = {region: value for region, value in shown.items() if region not in (ui.where, ui.erased)}
        out |= shown
    if asked.get("tab") in page.TABS:
        out[ui.tabs] = gr.Tabs(selected=asked["tab"])
    running = world.studio.bench.running(owner)
    if running:
        out[ui.tabs] = gr.Tabs(selected="erase")
    yield out
    name = out.get(ui.search)
    yield on_pictures(world, ui, name if isinstance(name, str) else first)
    if running:
        yield from follow(world, ui, session, running)


def lessons_of(world: World, pairs: pd.DataFrame | None) -> tuple[list[lessons.Lesson], str]:
    """Every lesson that what was measured allows, and the stages of the recorded run as pictures."""
    found: list[lessons.Lesson | None] = []
    film, shipped = "", world.studio.shipped and list_runs(world.studio.shipped)
    if shipped:
        recording = recorded(shipped[0])
        heaviest = recording.events[-1].top[0][0]
        found.append(lessons.erasing(recording.name, [event.loss_erase for event in recording.events], heaviest))
        film = recording.film()
    if pairs is not None and world.effects is not None:
        how, metric = effects.sources(world.effects)[0]
        name = "dog" if (pairs["erased"] == "dog").any() else str(pairs["erased"].iloc[0])
        damage = pairs[pairs["erased"] == name].set_index("affected")["delta"]
        curve = go.Figure(json.loads(locality(world, pairs, name, metric)))
        found.append(lessons.locality(name, damage, world.studio.ranked(name), curve))
        measured = graph.pairs(world.effects, metric, how)
        found.append(lessons.one_way(graph.both_ways(measured), graph.asymmetry(graph.damage_of(measured))))
    if ABLATED.exists():
        summary = pd.read_csv(ABLATED).set_index("method")
        found += [
            lessons.synonym_trap(summary),
            lessons.why_targets_matter(summary),
            lessons.what_can_go_wrong(summary),
        ]
    return [lesson for lesson in found if lesson is not None], film


def catalogue(world: World) -> dict[str, Any]:
    return {
        "names": world.concepts.names,
        "groups": [world.concepts[n].general for n in world.layouts[layout.MEANING]["name"]],
        "sources": effects.sources(world.effects) if world.effects is not None else [],
        "layouts": [title for title, name in LAYOUTS.items() if name in world.layouts],
        "methods": {key: method.label for key, method in METHODS.items()},
        "about": {"age": note(METHODS["age"].about)},
    }


def build(world: World | None = None) -> gr.Blocks:
    """The whole page. `world` is loaded here unless given."""
    world = world or load_world()
    gr.set_static_paths([concept_map.PLOTLY_JS])
    offered = catalogue(world)
    meaning = world.layouts[layout.MEANING]
    pairs = pairs_of(world, 0)
    first = effects.hero(pairs, world.concepts.names[0]) if pairs is not None else world.concepts.names[0]
    view: dict[str, Any] = show_concept(world, first, 0, "Whom it hurts")
    sizes = effects.fragility(pairs, list(meaning["name"])) if pairs is not None else None
    view["figure"] = concept_map.map_figure(meaning, offered["groups"], sizes).to_json()
    view["label_order"] = concept_map.label_order_json(meaning, offered["groups"])
    view["layouts"] = concept_map.layouts_json(world.layouts)
    with gr.Blocks(title="AGE Explorer", analytics_enabled=False, delete_cache=(600, 3600)) as demo:
        ui = page.lay_out(view, offered, *lessons_of(world, pairs))
        wiring.connect(ui, handlers(world, ui))
        demo.load(js=page.ARRIVED_JS)
        everything = [component for component in vars(ui).values() if isinstance(component, gr.blocks.Block)]

        def arrive(owner: str, request: gr.Request) -> Made:  # Gradio does not see a partial's request
            yield from on_arrive(world, ui, first, owner, request)

        demo.load(arrive, ui.owner, everything, show_progress="hidden", api_visibility="private")
    return demo


def handlers(world: World, ui: SimpleNamespace) -> SimpleNamespace:
    """What answers the page's events, by the names that `wiring.connect` knows."""
    bound: dict[str, Any] = {
        "pick": on_pick, "pictures": on_pictures, "view": on_view, "cell": on_cell, "everything": on_everything,
        "method": on_method, "start": on_start, "resume": on_resume, "stop": on_stop, "scrub": on_scrub,
        "predict": on_predict, "compare": on_compare, "pair": on_pair, "judge": on_judge, "ablate": on_ablate,
        "runs": on_runs, "open": on_open, "rename": on_rename, "delete_asked": on_delete_asked, "delete": on_delete,
        "export": on_export, "import_": on_import,
    }  # fmt: skip
    return SimpleNamespace(**{name: partial(handler, world, ui) for name, handler in bound.items()})


def main() -> None:
    try:
        demo = build().queue(max_size=64)
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
        max_file_size=LARGEST_UPLOAD,
        _frontend=False,  # skips Gradio's look at its own page, which gives up after 3 s: too soon on a slow machine
    )
    print(f"AGE Explorer is open at {address}", flush=True)
    demo.block_thread()


if __name__ == "__main__":
    main()
