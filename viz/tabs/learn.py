"""The tab of lessons: a question, a guess, and then the answer. It needs nothing but what was measured before."""

import html
from collections.abc import Sequence
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import gradio as gr

from age_core.serve import stored
from viz.charts import lessons
from viz.charts.lessons import Lesson
from viz.components.blocks import live_block, note, text_block
from viz.components.chart import Chart
from viz.tabs.events import QUICK, STREAMED, Link, Tab, Updates, clear
from viz.tabs.live import recording_of
from viz.tabs.map_data import FIRST, MapData
from viz.tabs.map_view import locality

LOCAL = ("guitar", "pizza", "car", "rose", "castle")  # whose damage by nearness lesson 2 shows besides


class Book:
    """The lessons by the titles that one chooses among, and what lesson 1 shows below its answer, as HTML."""

    def __init__(self, lessons: Sequence[Lesson], film: str) -> None:
        self.lessons = {f"{number} · {lesson.title}": lesson for number, lesson in enumerate(lessons, 1)}
        self.first, self.film = next(iter(self.lessons)), film


def make_book(data: MapData) -> Book:
    """Every lesson that what was measured allows, and the recorded run's stages as pictures. It takes the model."""
    shipped, summary, film = data.explorer.library.shipped_runs, stored.ablation(), ""
    chapters: list[Lesson | None] = []
    if shipped:
        recording = recording_of(shipped[0])
        heaviest, losses = recording.events[-1].top_targets(1)[0][0], [event.loss_erase for event in recording.events]
        chapters.append(lessons.erasing(recording.name, losses, heaviest, list(recording.stages)))
        film = recording.film()
    if data.effects is not None:
        chapters += [locality_lesson(data), one_way_lesson(data)]
    if summary is not None:
        makers = (lessons.synonym_trap, lessons.why_targets_matter, lessons.what_can_go_wrong)
        chapters += [make(summary) for make in makers]
    return Book([lesson for lesson in chapters if lesson is not None], film)


def locality_lesson(data: MapData) -> Lesson | None:
    """The damage of one erasure by nearness, and of some others."""
    assert data.effects is not None  # side effects were measured
    pairs = data.effects.pairs(data.source(0))
    erased = list(pairs["erased"].unique())
    name = FIRST if FIRST in erased else erased[0]
    damage = pairs[pairs["erased"] == name].set_index("affected")["delta"]
    others = [other for other in LOCAL if other in erased and other != name]
    curves: dict[str, Any] = {other: partial(locality, data, other, 0) for other in others}
    return lessons.locality(name, damage, data.explorer.ranked(name), partial(locality, data, name, 0), curves)


def one_way_lesson(data: MapData) -> Lesson | None:
    """Pairs of which one hurts the other, but not the other way round."""
    assert data.effects is not None  # side effects were measured
    return lessons.one_way(*stored.both_ways(data.effects))


def offered(data: MapData) -> bool:
    """Whether there is anything to ask about."""
    return data.effects is not None or stored.ablation() is not None


def lay_out(ui: SimpleNamespace, data: MapData) -> None:
    ui.book = cache(partial(make_book, data))  # asked when the page was opened and later, not now: it takes the model
    text_block(
        "Learn",
        "Six short lessons. Guess first; the answer is what was measured on the emoji model, not what should be.",
    )
    ui.lesson = gr.Radio([], label="Lesson", elem_id="lesson")
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            ui.question = live_block("question", note("The lessons come in a moment."))
            ui.one = gr.Radio([], label="Your guess", visible=False, elem_id="guess-one")
            ui.many = gr.CheckboxGroup([], label="Your guess", visible=False, elem_id="guess-many")
            ui.reveal = gr.Button("Show the answer", variant="primary", interactive=False, elem_id="reveal")
            ui.answer = live_block("answer")
            ui.act = gr.Radio([], label="Try it", visible=False, elem_id="act")
            ui.slide = gr.Slider(1, 2, value=1, step=1, label="Try it", visible=False, elem_id="slide")
            ui.act_said = live_block("act-said")
        with gr.Column(scale=3, min_width=320):
            ui.lesson_figure = Chart(figure="", label="Figure of the lesson", elem_id="lesson-figure")
            ui.film = live_block("film")


def question_of(ui: SimpleNamespace, lesson: Lesson) -> Updates:
    """A lesson before a guess."""
    several = len(lesson.right) > 1
    choices = [(choice, choice) for choice in lesson.choices]
    text = f'<div class="age"><h3>{html.escape(lesson.title)}</h3><p>{html.escape(lesson.question)}</p></div>'
    return {
        ui.question: gr.update(value=text),
        ui.one: gr.update(choices=choices, value=None, visible=not several),
        ui.many: gr.update(choices=choices, value=[], visible=several),
    }


def on_arrive(ui: SimpleNamespace) -> Updates:
    """The lessons to choose among, and the question of the first."""
    book = ui.book()
    return {ui.lesson: gr.update(choices=list(book.lessons), value=book.first), **on_lesson(ui, book.first)}


def on_lesson(ui: SimpleNamespace, title: str) -> Updates:
    """Another lesson: its question, and nothing of its answer."""
    return {
        **question_of(ui, ui.book().lessons[title]),
        **clear(ui, "answer", "film", "act_said"),
        ui.lesson_figure: gr.update(figure=""),
        ui.act: gr.update(visible=False),
        ui.slide: gr.update(visible=False),
        ui.reveal: gr.update(interactive=False),
    }


def on_guess(ui: SimpleNamespace, title: str, one: str | None, many: Sequence[str]) -> Any:
    """A guess unlocks the answer: as many as are asked for."""
    count = len(ui.book().lessons[title].right)
    return gr.update(interactive=len(many or []) == count if count > 1 else bool(one))


def on_reveal(ui: SimpleNamespace, title: str, one: str | None, many: Sequence[str]) -> Updates:
    """The answer, how good the guess was, and what can be tried then."""
    book: Book = ui.book()
    lesson = book.lessons[title]
    guess = set(many or []) if len(lesson.right) > 1 else {one}
    hits = len(guess & set(lesson.right))
    verdict = f"{hits} of {len(lesson.right)} right." if len(lesson.right) > 1 else "Right." if hits else "Not quite."
    right = ", ".join(lesson.right)
    right = right[:1].upper() + right[1:]
    body = (
        f'<div class="age"><p class="hint"><b>{verdict}</b> {html.escape(right)}.</p>'
        f'<p>{html.escape(lesson.answer)}</p><p class="soft">{html.escape(lesson.caveat)}</p></div>'
    )
    titles, several = [act.title for act in lesson.acts], len(lesson.acts) > 1
    return {
        ui.answer: body,
        ui.lesson_figure: gr.update(figure=lesson.draw().to_json()),
        ui.film: book.film if title == book.first else "",
        ui.act: gr.update(choices=titles, value=None, label=lesson.act, visible=several and not lesson.ordered),
        ui.slide: gr.update(maximum=max(len(titles), 2), value=1, label=lesson.act, visible=several and lesson.ordered),
        ui.act_said: "",
    }


def on_act(ui: SimpleNamespace, title: str, chosen: str | float | None) -> Updates:
    """Turn the figure to one of the lesson's acts: named, or counted from 1."""
    acts = enumerate(ui.book().lessons[title].acts, 1)
    act = next((act for number, act in acts if chosen in (act.title, number)), None)
    if act is None:
        return {ui.act_said: gr.skip()}
    return {ui.lesson_figure: gr.update(figure=act.draw().to_json()), ui.act_said: note(act.said)}


def connect(link: Link) -> None:
    ui, guess = link.ui, link.parts("lesson", "one", "many")
    answer = link.parts("answer", "lesson_figure", "film", "act", "slide", "act_said")
    lesson = [*link.parts("question", "one", "many", "reveal"), *answer]
    link.page.load(partial(on_arrive, ui), None, [ui.lesson, *lesson], **STREAMED)
    ui.lesson.input(partial(on_lesson, ui), ui.lesson, lesson, **QUICK)
    for control in (ui.one, ui.many):
        control.input(partial(on_guess, ui), guess, ui.reveal, **QUICK)
    ui.reveal.click(partial(on_reveal, ui), guess, answer, **QUICK)
    for control in (ui.act, ui.slide):
        control.input(partial(on_act, ui), [ui.lesson, control], link.parts("lesson_figure", "act_said"), **QUICK)


TAB = Tab("Learn", lay_out, connect, offered=offered)
