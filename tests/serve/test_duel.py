"""The duel on the bundled model: what a choice is worth, what may be asked, and what brings a concept back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from age_core import AgeError, ConceptSet
from age_core.serve import duel
from age_core.serve.explorer import Explorer
from age_core.serve.library import Library
from age_core.serve.queue import RunQueue
from age_core.study.regret import recorded_oracle

EMOJI = ConceptSet.load("emoji")


@pytest.fixture(scope="module")
def explorer(emoji_pipe, emoji_probe, tmp_path_factory):
    queue = RunQueue()
    yield Explorer(emoji_pipe, emoji_probe, EMOJI, queue, Library(tmp_path_factory.mktemp("runs")))
    queue.close()


@pytest.fixture(scope="module")
def of_dog():
    """What the oracle measured of dog's targets, by word."""
    table = recorded_oracle()
    return table[table["concept"] == "dog"].set_index("candidate")["balance"]


@pytest.fixture(scope="module")
def begun(explorer, of_dog) -> duel.Duel:
    return duel.begin(explorer, "dog", of_dog.idxmax())


def test_the_best_choice_is_worth_ten_points_and_others_less_by_what_they_give_away(explorer, begun, of_dog):
    assert begun.for_erasing == 10 and begun.regret == 0 and begun.best == begun.target
    worst = duel.begin(explorer, "dog", of_dog.idxmin())
    assert worst.regret == pytest.approx(of_dog.max() - of_dog.min()) and worst.best == begun.target
    assert worst.for_erasing == max(0, 10 - round(worst.regret)) < 10
    assert duel.targets_of("dog") == sorted(of_dog.index), "in an order that tells nothing"
    assert "dog" in duel.concepts_to_duel(EMOJI.names) and duel.concepts_to_duel(["wyvern"]) == []


def test_a_question_counts_where_both_models_draw_the_concept(explorer, begun):
    synonym = EMOJI["dog"].synonyms[0]
    asked = duel.ask(explorer, begun, f"an emoji of a {synonym}")
    asked = duel.ask(explorer, asked, "a   red\nhouse")
    assert [question.pair.prompt for question in asked.questions] == [f"an emoji of a {synonym}", "a red house"]
    assert [question.pair.seed for question in asked.questions] == [0, 1] and asked.left == 8
    for question in asked.questions:
        seen = [question.pair.original_verdict[0], question.pair.edited_verdict[0]]
        assert question.back == (seen == ["dog", "dog"])
    assert not asked.questions[1].back and asked.for_asking == sum(question.back for question in asked.questions)
    assert begun.questions == (), "a duel is a value"


@pytest.mark.parametrize("text", ["an emoji of a dog", "two Dogs, please", 'a "DOG"'])
def test_the_concept_may_not_be_named(explorer, begun, text):
    with pytest.raises(AgeError, match="may not name what was erased: ask for it without 'dog'"):
        duel.ask(explorer, begun, text)


def test_only_a_whole_name_is_one():
    assert duel.named("hot dog", "hot dogs with mustard") and not duel.named("hot dog", "a hot day")
    assert not duel.named("car", "a carpet") and not duel.named("dog", "a hotdog")


@pytest.mark.parametrize(("text", "said"), [(" \n", "is empty"), ("a" * 300, "too long")])
def test_what_is_no_question_is_refused(explorer, begun, text, said):
    with pytest.raises(AgeError, match=said):
        duel.ask(explorer, begun, text)


def test_after_ten_questions_it_is_over_and_what_was_not_measured_cannot_begin(explorer, begun):
    over = replace(begun, questions=(duel.Question(None, True),) * 10)
    assert over.left == 0 and over.for_asking == 10
    with pytest.raises(AgeError, match="All 10 questions were asked"):
        duel.ask(explorer, over, "a puppy")
    with pytest.raises(AgeError, match="did not try 'guitar'"):
        duel.begin(explorer, "dog", "guitar")
    with pytest.raises(AgeError, match="were not measured"):
        duel.begin(explorer, "no such concept", "guitar")
