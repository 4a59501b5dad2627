"""The tab of lessons: a question, a guess, and then the answer. It needs nothing but what was measured before."""

import html
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import gradio as gr

from viz.charts.lessons import Lesson
from viz.components.blocks import live_block, note, text_block
from viz.components.chart import Chart

Updates = dict[Any, Any]


class Book:
    """The lessons by the titles that one chooses among, and what lesson 1 shows below its answer, as HTML."""

    def __init__(self, found: Sequence[Lesson], film: str) -> None:
        self.lessons = {f"{number} · {lesson.title}": lesson for number, lesson in enumerate(found, 1)}
        self.first, self.film = next(iter(self.lessons)), film


def lay_out(ui: SimpleNamespace, book: Callable[[], Book]) -> None:
    """`book` is asked when the page was opened and later, not now."""
    ui.book = book
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


def asked(lesson: Lesson) -> dict[str, dict[str, Any]]:
    """What the components hold before a guess."""
    several = len(lesson.right) > 1
    pairs = [(choice, choice) for choice in lesson.choices]
    text = f'<div class="age"><h3>{html.escape(lesson.title)}</h3><p>{html.escape(lesson.question)}</p></div>'
    return {
        "question": {"value": text},
        "one": {"choices": pairs, "value": None, "visible": not several},
        "many": {"choices": pairs, "value": [], "visible": several},
    }


def on_arrive(ui: SimpleNamespace) -> Updates:
    """The lessons to choose among, and the question of the first."""
    book = ui.book()
    return {ui.lesson: gr.update(choices=list(book.lessons), value=book.first), **on_lesson(ui, book.first)}


def on_lesson(ui: SimpleNamespace, title: str) -> Updates:
    """Another lesson: its question, and nothing of its answer."""
    shown = {getattr(ui, name): gr.update(**value) for name, value in asked(ui.book().lessons[title]).items()}
    blank = {ui.answer: "", ui.film: "", ui.act_said: "", ui.lesson_figure: gr.update(figure="")}
    blank |= {ui.act: gr.update(visible=False), ui.slide: gr.update(visible=False)}
    return {**shown, **blank, ui.reveal: gr.update(interactive=False)}


def on_guess(ui: SimpleNamespace, title: str, one: str | None, many: Sequence[str]) -> Any:
    """A guess unlocks the answer: as many as are asked for."""
    wanted = len(ui.book().lessons[title].right)
    return gr.update(interactive=len(many or []) == wanted if wanted > 1 else bool(one))


def on_reveal(ui: SimpleNamespace, title: str, one: str | None, many: Sequence[str]) -> Updates:
    book: Book = ui.book()
    lesson = book.lessons[title]
    guessed = set(many or []) if len(lesson.right) > 1 else {one}
    hit = len(guessed & set(lesson.right))
    verdict = f"{hit} of {len(lesson.right)} right." if len(lesson.right) > 1 else "Right." if hit else "Not quite."
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
    acts = ui.book().lessons[title].acts
    found = [act for number, act in enumerate(acts, 1) if chosen in (act.title, number)]
    if not found:
        return {ui.act_said: gr.skip()}
    return {ui.lesson_figure: gr.update(figure=found[0].draw().to_json()), ui.act_said: note(found[0].said)}


def connect(demo: gr.Blocks, ui: SimpleNamespace, quick: Mapping[str, Any], streamed: Mapping[str, Any]) -> None:
    """Wire the tab."""
    guess = [ui.lesson, ui.one, ui.many]
    answered = [ui.answer, ui.lesson_figure, ui.film, ui.act, ui.slide, ui.act_said]
    shown = [ui.question, ui.one, ui.many, ui.reveal, *answered]
    demo.load(lambda: on_arrive(ui), None, [ui.lesson, *shown], **streamed)
    ui.lesson.input(lambda title: on_lesson(ui, title), ui.lesson, shown, **quick)
    for control in (ui.one, ui.many):
        control.input(lambda *given: on_guess(ui, *given), guess, ui.reveal, **quick)
    ui.reveal.click(lambda *given: on_reveal(ui, *given), guess, answered, **quick)
    for control in (ui.act, ui.slide):
        turned = [ui.lesson_figure, ui.act_said]
        control.input(lambda *given: on_act(ui, *given), [ui.lesson, control], turned, **quick)
