"""What the explorer asks of the bundled model: pictures, predictions, rows to compare, and whose runs are whose."""

from __future__ import annotations

import pytest

from age_core import AgeError, ConceptSet, Eraser, erase_by
from age_core.serve.explorer import Studio
from age_core.serve.queue import Workbench

ANN, BEN = "a" * 32, "b" * 32


@pytest.fixture(scope="module")
def shared(emoji_pipe):
    bench = Workbench(emoji_pipe, ConceptSet.load("emoji"))
    yield bench
    bench.line.close()


@pytest.fixture
def studio(shared, emoji_pipe, emoji_probe, tmp_path):
    return Studio(emoji_pipe, emoji_probe, shared.world, shared, tmp_path)


def test_a_concept_has_the_same_pictures_each_time_and_by_any_of_its_names(studio, emoji_probe):
    first = studio.pictures("dog")
    assert studio.pictures("puppy") is first and len(first) == 4
    assert sum(best[0][0] == "dog" for best in emoji_probe.top(first)) >= 3
    with pytest.raises(AgeError, match="no concept 'grue'"):
        studio.pictures("grue")


def test_what_shares_a_word_is_watched_and_what_should_vanish_is_not(studio):
    watched = studio.watched("dog")
    assert len(watched) == len(set(watched)) == 80
    assert {"hot dog", "wolf"} <= set(watched[:40]) and not {"dog", "puppy"} & set(watched)


def test_the_predicted_damage_is_local_and_tells_the_order_of_the_measured(studio, emoji_pipe):
    word, predicted = studio.predict("dog")
    assert word not in ("", "dog", "hot dog") and tuple(predicted.index) == studio.watched("dog")
    assert predicted[:40].mean() > 2 * predicted[40:].mean() and (predicted >= 0).all()
    few = {"steps": 12, "samples": 4, "candidate_samples": 1, "sample_steps": 4, "batch": 4, "lr": 1e-3}
    *_, last = erase_by(emoji_pipe, "empty", "dog", studio.world, preview_every=0, **few)
    measured = studio.measure("dog", last.eraser)
    assert measured.rank().corr(predicted.rank()) > 0.5
    assert (studio.measure("dog", Eraser({})) < 1e-6).all()


def test_a_closed_form_is_predicted_by_itself(studio, emoji_pipe):
    word, predicted = studio.predict("dog", "uce")
    *_, last = erase_by(emoji_pipe, "uce", "dog", studio.world)
    assert word == "" and (studio.measure("dog", last.eraser) - predicted).abs().max() < 1e-5


def test_rows_to_compare_begin_with_what_should_vanish_and_put_the_worst_first(studio):
    rows = studio.rows("dog", damage={"cat": 0.9, "horse": 0.5})
    kinds = [row.kind for row in rows]
    assert kinds == sorted(kinds, key=["erased", "synonym", "near", "far"].index)
    assert rows[0].prompt == "an emoji of a dog" and rows[1].expected == ("dog",)
    near = [row.title for row in rows if row.kind == "near"]
    assert near[:2] == ["cat", "horse"] and len(near) == 4
    own = studio.own_rows("a red dog\n\n quantum ")
    assert [row.prompt for row in own] == ["a red dog", "quantum"] and own[0].note == "" and "Outside" in own[1].note
    assert studio.own_rows("  ")[0].prompt == ""
    with pytest.raises(AgeError, match="at most 8"):
        studio.own_rows("\n".join("abcdefghij"))


def test_an_eraser_is_scored_on_what_it_erased_and_what_it_watched(studio, emoji_pipe):
    *_, last = erase_by(emoji_pipe, "uce", "dog", studio.world)
    table = studio.scores(["dog"], last.eraser).set_index("method")
    assert table.loc["edited", "esr1"] > 80 > 20 > table.loc["original", "esr1"]
    assert table.loc["edited", "psr1_low"] <= table.loc["edited", "psr1"] <= table.loc["edited", "psr1_high"]
    pairs = studio.pairs(studio.rows("dog", near=1, far=1), last.eraser, 0, 2)
    assert [pair.seed for pair in pairs[:4]] == [0, 1, 0, 1]


def test_a_form_that_cannot_work_is_refused_before_anything_is_written(studio):
    for form, match in (
        ({"names": [], "method": "age"}, "name one"),
        ({"names": ["dog"], "method": "empty", "word": "Puppy"}, "its own target"),
        ({"names": ["dog"], "method": "age", "steps": "1000000"}, "2000 at most"),
        ({"names": ["dog"], "method": "age", "rate": "-1"}, "'lr' must be above 0"),
        ({"names": ["dog"], "method": "age", "rate": "fast"}, "must be a number or blank, not 'fast'"),
        ({"names": ["dog"], "method": "age", "steps": "1.5"}, "must be a number or blank"),
        ({"names": ["dog"], "method": "age", "preserve": "nan"}, "must be finite"),
        ({"names": ["dog", "grue"], "method": "age"}, "no concept 'grue'"),
    ):
        with pytest.raises(AgeError, match=match):
            studio.ask(ANN, keep=False, **form)
    assert studio.runs_of(ANN) == []
    for word, target in (("", None), (' "" ', ""), ("cat", "cat")):
        ticket = studio.ask(ANN, ["puppy"], "uce", False, word)
        assert ticket.run.config.request["target"] == target and ticket.run.config.concepts == ("dog",)
        assert [sight.state for sight in studio.bench.line.watch(ticket)][-1] == "finished"


def test_nobody_sees_or_changes_the_runs_of_another(studio):
    ticket = studio.bench.start(studio.folder(ANN), "uce", "dog", owner=ANN)
    for _ in studio.bench.line.watch(ticket):
        pass
    name = ticket.run.path.name
    assert [run.path.name for run in studio.runs_of(ANN)] == [name] and studio.runs_of(BEN) == []
    assert studio.own_run(ANN, name).status == "finished"
    with pytest.raises(AgeError, match="no run"):
        studio.run(BEN, name)
    for bad in ("", "..", "../x", "A" * 32, ANN + "/", "a" * 31):
        with pytest.raises(AgeError, match="reload"):
            studio.folder(bad)
    everybody = Studio(studio.pipe, studio.probe, studio.world, studio.bench, studio.runs, studio.folder(ANN))
    assert everybody.run(BEN, name).path == ticket.run.path
    with pytest.raises(AgeError, match="came with the explorer"):
        everybody.own_run(BEN, name)
