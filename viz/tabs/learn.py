"""The view of lessons: a question, a guess made by clicking pictures, and then the answer, in pictures on the atlas.

It needs nothing but what was measured before. While a lesson waits for a guess, a click on the atlas is one
(`Session.lesson_asks`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import gradio as gr

from age_core.serve import stored
from viz.charts.lesson import Act, Lesson
from viz.components.blocks import live_block, note
from viz.components.chart import Chart
from viz.components.html_parts import Markup, region, soft
from viz.components.picks import Picks, pick_buttons, toggled
from viz.tabs.atlas_column import HOW, PICKED, on_pick
from viz.tabs.events import QUICK, STREAMED, Link, Stream, Tab, Updates, answers, clear, unchanged
from viz.tabs.lesson_book import book_of, offered
from viz.tabs.lesson_scenes import atlas_of, guesses_on_atlas
from viz.tabs.map_data import MapData
from viz.tabs.session import Session


def lay_out(ui: SimpleNamespace, _data: MapData) -> None:
    if stored.GOLD.exists():
        gr.set_static_paths([stored.GOLD.with_suffix(".png")])
    gr.HTML(note("Guess first, by clicking pictures; the answer is what was measured."), apply_default_css=False)
    ui.lesson = gr.Radio([], label="Lesson", show_label=False, elem_id="lesson")
    ui.question = live_block("question", note("The lessons come in a moment."))
    ui.guess = Picks(label="Your guess", elem_id="guess")
    ui.reveal = gr.Button("Reveal", variant="primary", interactive=False, elem_id="reveal")
    ui.answer = live_block("answer")
    ui.act = gr.Radio([], label="Try it", visible=False, elem_id="act")
    ui.slide = gr.Slider(1, 2, value=1, step=1, label="Try it", visible=False, elem_id="slide")
    ui.act_said = live_block("act-said")
    ui.lesson_figure = Chart(figure="", label="Figure of the lesson", elem_id="lesson-figure")
    ui.film = live_block("film")
    ui.next_lesson = gr.Button("Next lesson", visible=False, elem_id="next-lesson")


def lesson_of(data: MapData, title: str | None) -> Lesson | None:
    """The lesson of that title, else the first; None where there is none."""
    book = book_of(data)
    return book.lessons.get(title or "") or book.lessons.get(book.first)


def buttons(lesson: Lesson, guesses: Sequence[str], told: bool = False) -> str:
    """The pictures to choose among: those that are offered, and whatever else was guessed on the atlas."""
    names = {option.name for option in lesson.options}
    picks = [(option.name, option.text, option.picture) for option in lesson.options]
    picks += [(name, name, lesson.picture_of(name)) for name in guesses if name not in names]
    return pick_buttons(picks, lesson.right, guesses, told)


def question_of(ui: SimpleNamespace, session: Session | None, lesson: Lesson) -> Updates:
    """A lesson before a guess, and nothing of its answer."""
    if session:
        session.lesson_open, session.lesson_told = True, False
    text = region(Markup("<h3>{}</h3><p>{}</p>").format(lesson.title, lesson.question))
    return {
        ui.question: text,
        ui.guess: gr.update(value="[]", body=buttons(lesson, []), most=lesson.count),
        ui.reveal: gr.update(interactive=False, visible=True),
        **clear(ui, "answer", "film", "act_said"),
        ui.lesson_figure: gr.update(figure=""),
        ui.act: gr.update(visible=False),
        ui.slide: gr.update(visible=False),
        ui.next_lesson: gr.update(visible=False),
    }


def reset(data: MapData, ui: SimpleNamespace, _owner: str) -> Updates:
    """Another model: its own lessons, from the first."""
    book, lesson = book_of(data), lesson_of(data, None)
    chosen = {ui.lesson: gr.update(choices=book.choices, value=book.first or None)}
    return chosen | (question_of(ui, None, lesson) if lesson else clear(ui, "question", "answer"))


@answers(question="")
def on_open(data: MapData, ui: SimpleNamespace, session: Session | None, title: str | None) -> Updates:
    """Learn is turned to: the lessons, and the atlas as the chosen one wants it."""
    if session is None:  # the page is still loading
        return {ui.question: gr.skip()}
    session.lesson_open = True
    lesson = lesson_of(data, title)
    if lesson is None:
        return {ui.question: note("Nothing was measured of this model yet, so that there is nothing to ask.")}
    updates = {} if title == lesson.title else reset(data, ui, "") | question_of(ui, session, lesson)
    return updates | {ui.graph: turn_to(data, session, lesson)}


def turn_to(data: MapData, session: Session, lesson: Lesson) -> Any:
    """The atlas as a lesson wants it now, and whether a click there is a guess."""
    session.lesson_asks = session.lesson_open and not session.lesson_told and bool(lesson.on_atlas)
    return atlas_of(data, lesson.tell if session.lesson_told else lesson.ask)


@answers()
def on_leave(data: MapData, ui: SimpleNamespace, session: Session | None, name: str, *how: Any) -> Updates:
    """Another view is turned to: a click on the atlas is what it was, and it shows the picked concept again."""
    if not session or not session.lesson_open:
        return unchanged(ui)
    session.lesson_open = session.lesson_asks = False
    return on_pick(data, ui, session, name, gr.skip(), *how)


@answers()
def on_lesson(data: MapData, ui: SimpleNamespace, session: Session | None, title: str) -> Updates:
    """Another lesson: its question."""
    lesson = lesson_of(data, title)
    if session is None or lesson is None:
        return {ui.question: gr.skip()}
    return question_of(ui, session, lesson) | {ui.graph: turn_to(data, session, lesson)}


@answers()
def on_next(data: MapData, ui: SimpleNamespace, session: Session | None, title: str) -> Updates:
    """The lesson that follows."""
    after = book_of(data).after(title)
    return {ui.lesson: after, **on_lesson(data, ui, session, after)} if after else {ui.lesson: gr.skip()}


@answers()
def on_guess(data: MapData, ui: SimpleNamespace, title: str, value: str) -> Updates:
    """A picture in the panel was pressed."""
    return guessed(ui, lesson_of(data, title), Picks.names(value))


@answers()
def on_atlas(data: MapData, ui: SimpleNamespace, session: Session | None, title: str, value: str, name: str) -> Updates:
    """A picture on the atlas was clicked, which is a guess where the lesson asks for one."""
    asks = session is not None and session.lesson_asks  # first: to make the lessons takes the model
    lesson = lesson_of(data, title) if asks else None
    if lesson is None:
        return {ui.guess: gr.skip()}
    guesses = Picks.names(value)
    if name in lesson.on_atlas:
        guesses = toggled(guesses, name, lesson.count)
    shown = gr.update(value=json.dumps(guesses), body=buttons(lesson, guesses), most=lesson.count)
    return {ui.guess: shown, **guessed(ui, lesson, guesses)}


def guessed(ui: SimpleNamespace, lesson: Lesson | None, guesses: Sequence[str]) -> Updates:
    """As many guesses as are asked for unlock the answer; the atlas outlines them."""
    if lesson is None:
        return {ui.reveal: gr.skip()}
    return {
        ui.reveal: gr.update(interactive=len(guesses) == lesson.count),
        ui.graph: guesses_on_atlas(lesson.ask, guesses),
    }


@answers()
def on_reveal(data: MapData, ui: SimpleNamespace, session: Session | None, title: str, value: str) -> Updates:
    """How good the guess was, the answer, and what can be tried then; the atlas shows it."""
    lesson, guesses = lesson_of(data, title), Picks.names(value)
    if session is None or lesson is None or len(guesses) != lesson.count:
        return {ui.reveal: gr.skip()}
    session.lesson_told = True
    several, titles = len(lesson.acts) > 1, [act.title for act in lesson.acts]
    return {
        ui.guess: gr.update(body=buttons(lesson, guesses, told=True)),
        ui.reveal: gr.update(interactive=False, visible=False),
        ui.answer: region(verdict(lesson, guesses), lesson.reveal(guesses), soft(lesson.caveat)),
        ui.graph: turn_to(data, session, lesson),
        ui.act: gr.update(choices=titles, value=None, label=lesson.act, visible=several and not lesson.ordered),
        ui.slide: gr.update(maximum=max(len(titles), 2), value=1, label=lesson.act, visible=several and lesson.ordered),
        ui.next_lesson: gr.update(visible=bool(book_of(data).after(lesson.title))),
        ui.act_said: "",
    }


def verdict(lesson: Lesson, guesses: Sequence[str]) -> Markup:
    """How the guess fared."""
    hits = [guess for guess in guesses if guess in lesson.right]
    if lesson.count > 1:
        return Markup('<p class="hint"><b>{} of {} right.</b></p>').format(len(hits), lesson.count)
    right = " or ".join(option.text for option in lesson.options if option.name in lesson.right)
    told = "Right." if hits else "Not quite."
    return Markup('<p class="hint"><b>{}</b> It is {}.</p>').format(told, right)


@answers()
def on_told(data: MapData, ui: SimpleNamespace, session: Session | None, title: str) -> Stream:
    """What may take the model, after an answer was shown: its figure and its film."""
    lesson = lesson_of(data, title)
    if session is None or lesson is None or not session.lesson_told:
        return
    figure = lesson.draw() if lesson.draw else None
    yield {
        ui.lesson_figure: gr.update(figure=figure.to_json() if figure else ""),
        ui.film: lesson.film() if lesson.film else "",
    }


@answers()
def on_act(data: MapData, ui: SimpleNamespace, title: str, chosen: str | float | None) -> Updates:
    """Turn the figure or the atlas to one of the lesson's acts: named, or counted from 1."""
    lesson = lesson_of(data, title)
    act = find_act(lesson, chosen) if lesson else None
    if act is None:
        return {ui.act_said: gr.skip()}
    updates: Updates = {ui.act_said: note(act.said)}
    if act.draw:
        updates[ui.lesson_figure] = gr.update(figure=act.draw().to_json())
    if act.scene:
        updates[ui.graph] = atlas_of(data, act.scene)
    return updates


def find_act(lesson: Lesson, chosen: str | float | None) -> Act | None:
    return next((act for number, act in enumerate(lesson.acts, 1) if chosen in (act.title, number)), None)


def connect(link: Link) -> None:
    ui = link.ui
    answer = ("guess", "reveal", "answer", "lesson_figure", "film", "act", "slide", "act_said", "next_lesson")
    lesson, inputs = ("question", *answer, "graph"), ("session", "lesson")
    link.on(ui.tab_learn.select, on_open, inputs, ("lesson", *lesson), STREAMED)
    for name, item in vars(ui).items():
        if name.startswith("tab_") and name != "tab_learn":
            link.on(item.select, on_leave, ("session", "search", *HOW), PICKED, QUICK)
    link.on(ui.lesson.input, on_lesson, inputs, lesson, QUICK)
    link.on(ui.next_lesson.click, on_next, inputs, ("lesson", *lesson), QUICK)
    guesses = ("guess", "reveal", "graph")
    link.on(ui.guess.select, on_guess, ("lesson", "guess"), guesses, QUICK)
    link.on(ui.graph.select, on_atlas, (*inputs, "guess", "graph"), guesses, QUICK)
    revealed = link.on(ui.reveal.click, on_reveal, (*inputs, "guess"), (*answer, "graph"), QUICK)
    link.on(revealed.then, on_told, inputs, ("lesson_figure", "film"), STREAMED)
    for control in ("act", "slide"):
        event = getattr(ui, control).input
        link.on(event, on_act, ("lesson", control), ("lesson_figure", "act_said", "graph"), QUICK)


TAB = Tab("Learn", lay_out, connect, reset, offered=offered)
