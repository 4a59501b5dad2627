"""The tab that sets original beside edited pictures of the same seeds."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import gradio as gr
import pandas as pd

from age_core import AgeError
from age_core.serve import stored
from viz.atlas import atlas
from viz.charts import panels
from viz.components.blocks import live_block, note, text_block
from viz.components.chart import Chart
from viz.tabs import runs
from viz.tabs.compare_view import (
    by_names,
    draw_cards,
    enlarged,
    prediction_figure,
    recorded,
    rows_of,
    with_strength,
)
from viz.tabs.events import QUICK, STREAMED, Link, Stream, Tab, Updates, answers, clear, concept_in
from viz.tabs.live import LIVE, follow
from viz.tabs.map_data import MapData
from viz.tabs.repaint import STRONGEST
from viz.tabs.session import MOST_ERASERS, EditedModel, Session, ready

ABLATION = ("empty", "random", "age-unprotected")  # the methods that one button compares: the target differs alone
STRENGTHS = tuple(f"strength_{column}" for column in range(1, MOST_ERASERS + 1))
NOTHING_YET = note("Erase a concept, or open a run, to see the pictures here.")


def lay_out(ui: SimpleNamespace, data: MapData) -> None:
    ui.grid = live_block("compare-grid", recorded(data, data.first) or NOTHING_YET)
    text_block(
        "Draw your own",
        "The same prompt and seed by the original and by each edited model. Under each picture: what a separately "
        "trained classifier (the probe) sees, how sure it is, and how far the pair is apart.",
    )
    ui.erasers = gr.CheckboxGroup([], label="Edited models (up to four)", elem_id="erasers")
    with gr.Row():
        for slider in STRENGTHS:  # one a column
            made = gr.Slider(0, STRONGEST, value=1, step=0.05, visible=False, elem_id=slider, min_width=150)
            setattr(ui, slider, made)
    with gr.Row():
        ui.picture_seed = gr.Number(
            0, label="First seed", precision=0, elem_id="picture-seed", scale=1, min_width=110, minimum=0
        )
        ui.picture_count = gr.Slider(
            1, 4, value=1, step=1, label="Pictures of each prompt", elem_id="picture-count", scale=1, min_width=160
        )
    with gr.Row():
        ui.own_prompts = gr.Textbox(
            label="Your own prompts, one a line (blank: the concepts around the erased one)",
            elem_id="own-prompt",
            lines=1,
            max_lines=4,
            scale=3,
            min_width=220,
        )
        ui.compare = gr.Button("Draw", variant="primary", elem_id="compare-button", scale=1, min_width=110)
        ui.ablate = gr.Button(
            "Compare three targets: empty, random neighbour, adaptive", elem_id="ablate-button", scale=2, min_width=220
        )
    ui.compare_status = live_block("compare-status")
    ui.drawn = live_block("compare-drawn")
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
    ui.scatter = Chart(figure="", label="Predicted against measured damage", elem_id="prediction-scatter")


def reset(data: MapData, ui: SimpleNamespace, _owner: str) -> Updates:
    return {
        **clear(ui, "scores", "compare_status", "drawn"),
        ui.erasers: gr.update(choices=[], value=[]),
        ui.grid: recorded(data, data.first) or NOTHING_YET,
        ui.scatter: gr.update(figure=""),
        ui.pair: gr.update(choices=[], value=None, visible=False),
        ui.slider: gr.update(value=None, visible=False),
    }


def chosen_models(session: Session, titles: Sequence[str] | None) -> dict[str, EditedModel]:
    """The edited models of these titles. Raises AgeError where there is none."""
    models = {title: session.edited[title] for title in titles or [] if title in session.edited}
    if not models:
        raise AgeError("Erase a concept first, or open a run, and choose it: there is no edited model to compare with.")
    return models


@answers(compare_status="")
def on_compare(
    data: MapData,
    ui: SimpleNamespace,
    session: Session | None,
    titles: list[str],
    prompts: str | None,
    seed: float | None,
    count: float,
    *strengths: float,
) -> Stream:
    """Pairs of a person's own prompts or, where there is none, of the concepts around the erased one."""
    session = ready(session)
    models, first_seed = chosen_models(session, titles), stored.field_seed(seed)
    yield {ui.compare_status: panels.status("Drawing with all models …"), ui.messages: ""}
    rows = rows_of(data, models, prompts or "")
    columns = dict(zip(models, strengths, strict=False))
    cards = draw_cards(data, models, rows, first_seed, int(count), columns)
    session.pairs = {
        f"{card.title}, seed {card.seed}, {drawn.by}": (card.original, drawn.image)
        for card in cards
        for drawn in card.edited
    }
    names = dict.fromkeys(name for model in models.values() for name in model.names)
    heading = f"Original and edited models ({', '.join(names)} erased), seeds from {first_seed}"
    first = next(iter(session.pairs))
    yield {
        ui.drawn: panels.compare_grid(cards, heading),
        ui.compare_status: "",
        ui.pair: gr.update(choices=list(session.pairs), value=first, visible=True),
        ui.slider: gr.update(value=enlarged(session.pairs[first]), visible=True),
    }


@answers()
def on_erasers(_data: MapData, ui: SimpleNamespace, titles: list[str]) -> Updates:
    """A slider for each chosen model; the strengths of others are as they were made."""
    return {
        getattr(ui, slider): gr.update(visible=True, label=f"Strength of {titles[place]}")
        if place < len(titles or [])
        else gr.update(visible=False, value=1)
        for place, slider in enumerate(STRENGTHS)
    }


@answers(grid=NOTHING_YET)
def on_concept(data: MapData, ui: SimpleNamespace, line: str, picked: str) -> Updates:
    """What was recorded of the concept that everything is about, as the `line` says which the page was just given.

    What the atlas shows, `picked`, may lag behind that by one pick; it stands where a run of several was opened.
    """
    name = concept_in(line)
    return {ui.grid: recorded(data, name if name in data.concepts.names else picked) or NOTHING_YET}


@answers()
def on_pair(_data: MapData, ui: SimpleNamespace, session: Session | None, title: str) -> Updates:
    """Look closer at one pair."""
    pair = session.pairs.get(title) if session else None
    return {ui.slider: gr.update(value=enlarged(pair)) if pair else gr.skip()}


@answers(compare_status="")
def on_judge(
    data: MapData, ui: SimpleNamespace, session: Session | None, titles: list[str], *strengths: float
) -> Stream:
    """ESR and PSR of each chosen model at its strength, and the damage of the first beside what was predicted."""
    models = chosen_models(ready(session), titles)
    columns = dict(zip(models, strengths, strict=False))
    from age_core.serve import comparison

    scores: list[tuple[str, dict[str, float]]] = []
    for names, erasers in by_names(models).items():
        text = f"Measuring {', '.join(erasers)} …"
        yield {ui.compare_status: panels.status(text, len(scores), len(models)), ui.messages: ""}
        table = comparison.scores(data.explorer, names, erasers, columns).set_index("method")
        scores += [("original model", table.loc["original"].to_dict())] if not scores else []
        scores += [(with_strength(title, columns), table.loc[title].to_dict()) for title in erasers]
    title, model = next(iter(models.items()))
    name = model.names[0]
    _, predicted = data.explorer.predict(name)
    measured = data.explorer.measure(name, model.eraser.scaled(columns.get(title, 1.0)))
    scaled = predicted * measured.sum() / predicted.sum()
    shown = with_strength(title, columns)
    worse = pd.DataFrame({"erased": name, "affected": measured.index, "delta": (measured - scaled).to_numpy()})
    worse = worse.reindex(worse["delta"].abs().nlargest(8).index)
    yield {
        ui.scores: panels.scores(scores),
        ui.scatter: gr.update(figure=prediction_figure(name, scaled, measured).to_json()),
        ui.compare_status: "",
        ui.graph: gr.update(value=name, arrows=atlas.arrows_json(worse)),
        ui.caption: note(f"Measured less predicted damage of erasing {name} ({shown}): where the prediction was off."),
    }


@answers(compare_status="")
def on_ablate(
    data: MapData, ui: SimpleNamespace, session: Session | None, names: list[str], seed: float | None
) -> Stream:
    """Erase to the empty prompt, to a random neighbour and adaptively, one after the other."""
    titles = []
    session = ready(session)
    for method in ABLATION:
        queued = data.explorer.ask(session.owner, names[:1], method, False, seed=seed)
        for updates in follow(data, ui, session, queued):
            yield updates | {ui.compare_status: updates.get(ui.status, gr.skip())}
        if queued.state != "finished" or session.queued is not queued:
            yield {ui.compare_status: panels.status("The comparison ended with the run that was stopped.")}
            return
        titles.append(queued.run.path.name)
    yield {ui.erasers: gr.update(choices=list(session.edited), value=titles), ui.compare_status: ""}


def connect(link: Link) -> None:
    ui = link.ui
    drawing = ("session", "erasers", "own_prompts", "picture_seed", "picture_count", *STRENGTHS)
    pictures = ("drawn", "compare_status", "pair", "slider")
    link.on(ui.compare.click, on_compare, drawing, pictures, STREAMED)
    link.on(ui.erasers.change, on_erasers, ["erasers"], STRENGTHS, QUICK)
    link.on(ui.where.change, on_concept, ["where", "graph"], ["grid"], QUICK)  # as soon as another is picked
    link.on(ui.pair.input, on_pair, ("session", "pair"), ["slider"], QUICK)
    measured = ("scores", "scatter", "compare_status", "graph", "caption")
    link.on(ui.judge.click, on_judge, ("session", "erasers", *STRENGTHS), measured, STREAMED)
    inputs = ("session", "erased", "picture_seed")
    ablated = link.on(ui.ablate.click, on_ablate, inputs, (*LIVE, "compare_status"), STREAMED)
    link.on(ablated.success, on_compare, drawing, pictures, STREAMED)
    runs.list_after(link, ablated)


TAB = Tab("Compare", lay_out, connect, reset)
