"""The tab for two: one erases a concept to a word, the other has ten questions to bring it back."""

from __future__ import annotations

from types import SimpleNamespace

import gradio as gr

from age_core import AgeError
from age_core.serve import duel
from viz.charts import panels
from viz.charts.duel import board
from viz.components.blocks import live_block, note, text_block
from viz.components.picks import Picks, pick_buttons
from viz.tabs.compare_view import card_of
from viz.tabs.events import QUICK, STREAMED, Link, Stream, Tab, Updates, answers
from viz.tabs.lesson_book import picture_of
from viz.tabs.map_data import MapData
from viz.tabs.session import Session, ready

FIRST = "dog"
CHOOSE = note("First player: what is it to become?")


def lay_out(ui: SimpleNamespace, data: MapData) -> None:
    text_block(
        "A duel",
        "Two people play. The first erases a concept by a single edit, to one of thirty words: ten points for the best "
        "word, one less for each point that the choice gives away (erasure and neighbours kept, as measured). The "
        "second has ten questions to bring the concept back without its name: a point for each that both models answer "
        "by drawing it.",
    )
    names = duel.concepts_to_duel(data.concepts.names)
    first = FIRST if FIRST in names else next(iter(names), None)
    ui.duel_concept = gr.Dropdown(names, value=first, label="The concept", elem_id="duel-concept")
    ui.duel_said = live_block("duel-said", CHOOSE)
    ui.duel_target = Picks(label="The target", elem_id="duel-target")
    ui.duel_erase = gr.Button("Erase", variant="primary", interactive=False, elem_id="duel-erase")
    with gr.Row():
        ui.duel_question = gr.Textbox(
            label="Second player: what should the model draw?",
            placeholder="an animal that barks",
            visible=False,
            elem_id="duel-question",
            max_lines=1,
            scale=3,
        )
        ui.duel_ask = gr.Button("Ask", variant="primary", visible=False, elem_id="duel-ask", scale=1, min_width=90)
    ui.duel_board = live_block("duel-board")
    ui.duel_again = gr.Button("Another duel", visible=False, elem_id="duel-again")


def buttons(data: MapData, name: str | None) -> str:
    """The words to choose among, as pictures."""
    return pick_buttons((word, word, picture_of(data, word)) for word in (duel.targets_of(name) if name else ()))


def begun(data: MapData, ui: SimpleNamespace, name: str | None) -> Updates:
    """Before a concept is erased: its words to choose among."""
    return {
        ui.duel_said: CHOOSE if name else note("No targets were measured of this model's concepts."),
        ui.duel_target: gr.update(value="[]", body=buttons(data, name), visible=True),
        ui.duel_erase: gr.update(interactive=False, visible=True),
        **dict.fromkeys((ui.duel_question, ui.duel_ask, ui.duel_again), gr.update(visible=False)),
        ui.duel_board: "",
    }


def reset(data: MapData, ui: SimpleNamespace, _owner: str) -> Updates:
    names = duel.concepts_to_duel(data.concepts.names) if offered(data) else []
    first = next(iter(names), None)
    return {ui.duel_concept: gr.update(choices=names, value=first), **begun(data, ui, first)}


def offered(data: MapData) -> bool:
    """Whether the choices were measured, with this model."""
    return data.world is not None and bool(duel.concepts_to_duel(data.concepts.names))


@answers()
def on_open(data: MapData, ui: SimpleNamespace, name: str | None) -> Updates:
    """The tab is turned to: the words of its concept, which a tab that was never shown could not be given."""
    return {ui.duel_target: gr.update(body=buttons(data, name))}


@answers()
def on_concept(data: MapData, ui: SimpleNamespace, session: Session | None, name: str) -> Updates:
    """Another concept, or the same once more: a duel of its own."""
    ready(session).duel = None
    return begun(data, ui, name)


@answers()
def on_target(_data: MapData, ui: SimpleNamespace, value: str) -> Updates:
    """A word was pressed."""
    return {ui.duel_erase: gr.update(interactive=len(Picks.names(value)) == 1)}


@answers(duel_said=CHOOSE)
def on_erase(data: MapData, ui: SimpleNamespace, session: Session | None, name: str, value: str) -> Stream:
    """The edit, and the first of the other's questions."""
    session, words = ready(session), Picks.names(value)
    if len(words) != 1:
        raise AgeError("Choose the word that the concept is to become, first.")
    yield {ui.duel_said: panels.status(f"Erasing {name} …"), ui.messages: ""}
    session.duel = duel.begin(data.explorer, name, words[0])
    yield {
        ui.duel_said: note(f"{name} is erased. Hand over to the second player."),
        **dict.fromkeys((ui.duel_target, ui.duel_erase), gr.update(visible=False)),  # the choice is not to be seen
        ui.duel_question: gr.update(visible=True, value=""),
        **dict.fromkeys((ui.duel_ask, ui.duel_again), gr.update(visible=True)),
        ui.duel_board: board_of(session.duel),
    }


@answers(duel_said="")
def on_ask(data: MapData, ui: SimpleNamespace, session: Session | None, text: str | None) -> Stream:
    """One question, drawn by both models."""
    session = ready(session)
    if session.duel is None:
        raise AgeError("Erase a concept first: there is nothing to bring back yet.")
    yield {ui.duel_said: panels.status("Both models draw …"), ui.messages: ""}
    session.duel = duel.ask(data.explorer, session.duel, text or "")
    going = session.duel.left > 0
    yield {
        ui.duel_said: "",
        ui.duel_question: gr.update(value="", visible=going),
        ui.duel_ask: gr.update(visible=going),
        ui.duel_board: board_of(session.duel),
    }


def board_of(fought: duel.Duel) -> str:
    """The score, the questions, and after the last one what could have been chosen."""
    from age_core.serve.comparison import Row

    labels, pairs = tuple(fought.concept.labels), [question.pair for question in fought.questions]
    cards = [card_of(Row("erased", pair.prompt, pair.prompt, labels), {"edited": pair}) for pair in pairs]
    end = ""
    if not fought.left:
        ahead = fought.for_erasing - fought.for_asking
        end = "The first player wins." if ahead > 0 else "The second player wins." if ahead < 0 else "A draw."
        end += f" {fought.concept.name} became {fought.target}, which gives {fought.regret:.1f} points away"
        end += f" to {fought.best}." if fought.best != fought.target else ": the best of the thirty."
    return board(f"Bring back: {fought.concept.name}", fought.for_erasing, fought.for_asking, fought.left, cards, end)


def connect(link: Link) -> None:
    ui, score = link.ui, ("duel_said", "duel_question", "duel_ask", "duel_board", "duel_again")
    choice = ("duel_target", "duel_erase")
    link.on(ui.tab_duel.select, on_open, ("duel_concept",), ("duel_target",), QUICK)
    for again in (ui.duel_concept.input, ui.duel_again.click):
        link.on(again, on_concept, ("session", "duel_concept"), (*choice, *score), QUICK)
    link.on(ui.duel_target.select, on_target, ("duel_target",), ("duel_erase",), QUICK)
    link.on(ui.duel_erase.click, on_erase, ("session", "duel_concept", "duel_target"), (*choice, *score), STREAMED)
    for event in (ui.duel_ask.click, ui.duel_question.submit):
        link.on(event, on_ask, ("session", "duel_question"), score, STREAMED)


TAB = Tab("Duel", lay_out, connect, reset, offered)
