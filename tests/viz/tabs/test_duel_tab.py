"""The handlers of the duel: a word is chosen, the concept erased, and asked for until no question is left."""

from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd
import pytest
from conftest import OneModel
from made_up_world import MadeUpWorld
from PIL import Image
from support import WORLD

from age_core.measure.pairs import Pair
from age_core.serve import duel
from age_core.serve.registry import Choice
from viz.tabs import duel as tab

ORACLE = pd.DataFrame(
    [("dog", "wolf", 50.0, 90.0, 70.0), ("dog", "cat", 90.0, 90.0, 90.0), ("cat", "wolf", 80.0, 80.0, 80.0)],
    columns=["concept", "candidate", "esr1", "psr1", "balance"],
)
BARKING = "an animal that barks"


@pytest.fixture
def seen(data, explorer, monkeypatch):
    """A model with a recorded world, a table of the oracle, and a judge who sees a dog wherever one barks."""

    def pairs(_pipe, eraser, _probe, prompts, seeds):
        assert eraser.concepts == ("dog",) and any(change.any() for change in eraser.delta.values())
        picture, label = Image.new("RGB", (8, 8)), "dog" if prompts[0] == BARKING else "pizza"
        return [Pair(prompts[0], seeds[0], picture, picture, (label, 0.9), (label, 0.8), 0.1)]

    monkeypatch.setattr(duel, "recorded_oracle", lambda: ORACLE)
    monkeypatch.setattr("age_core.measure.pairs.same_seed_pairs", pairs)
    models = OneModel(Choice("tiny", "mine", ""), replace(explorer, probe=object()))
    return replace(data, models=models, world=MadeUpWorld({("esd", "dog", "dog"): 1.0}))


def play(seen, ui, session, word):
    return list(tab.on_erase(seen, ui, session, "dog", json.dumps([word])))[-1]


def test_a_word_is_chosen_and_the_other_never_sees_which(seen, ui, session):
    assert tab.on_open(seen, ui, "dog")["duel_target"]["body"].count("data-name") == 2
    assert tab.on_concept(seen, ui, session, "dog")["duel_target"]["body"].count("data-name") == 2
    assert not tab.on_target(seen, ui, "[]")["duel_erase"]["interactive"]
    assert tab.on_target(seen, ui, '["wolf"]')["duel_erase"]["interactive"]
    erased = play(seen, ui, session, "wolf")
    assert session.duel.target == "wolf" and session.duel.regret == 20
    assert erased["duel_question"]["visible"] and not erased["duel_target"]["visible"]
    board = erased["duel_board"]
    assert 'data-points="erasing">0<' in board and "10 questions left" in board and "wolf" not in board


def test_each_question_that_both_models_answer_by_the_concept_is_a_point(seen, ui, session):
    play(seen, ui, session, "cat")
    *_, first = tab.on_ask(seen, ui, session, BARKING)
    *_, second = tab.on_ask(seen, ui, session, "something flat")
    assert 'data-points="asking">1<' in first["duel_board"] and 'data-points="asking">1<' in second["duel_board"]
    assert second["duel_board"].index("something flat") < second["duel_board"].index(BARKING), "the latest first"
    assert "8 questions left" in second["duel_board"] and second["duel_question"]["value"] == ""
    for _ in range(8):
        *_, last = tab.on_ask(seen, ui, session, BARKING)
    assert not last["duel_question"]["visible"] and not last["duel_ask"]["visible"]
    assert "The first player wins." in last["duel_board"] and "dog became cat" in last["duel_board"]
    assert "the best of the thirty" in last["duel_board"]  # 10 to 9


def test_what_cannot_be_is_said_in_a_sentence(seen, ui, session, warnings):
    *_, nothing = tab.on_erase(seen, ui, session, "dog", "[]")
    assert "Choose the word" in nothing["messages"] and "First player" in nothing["duel_said"]
    assert "Erase a concept first" in next(tab.on_ask(seen, ui, session, BARKING))["messages"]
    play(seen, ui, session, "wolf")
    *_, refused = tab.on_ask(seen, ui, session, "a dog")
    assert "may not name" in refused["messages"] and refused["duel_said"] == "" and not session.duel.questions
    assert len(warnings) == 3


def test_another_concept_or_model_ends_it_and_without_a_table_there_is_none(seen, data, ui, session):
    play(seen, ui, session, "wolf")
    changed = tab.on_concept(seen, ui, session, "cat")
    assert session.duel is None and changed["duel_board"] == "" and not changed["duel_question"]["visible"]
    assert tab.offered(seen) and not tab.offered(data)
    none = tab.reset(data, ui, "")
    assert none["duel_concept"]["choices"] == [] and "No targets were measured" in none["duel_said"]
    assert tab.reset(seen, ui, "")["duel_concept"]["choices"] == ["cat", "dog"]
    assert set(WORLD.names) >= {"cat", "dog"}
