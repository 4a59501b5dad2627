"""What the explorer asks of the bundled model: pictures, predictions, rows to compare, and whose runs are whose."""

from __future__ import annotations

import pytest

from age_core import AgeError, ConceptSet, Eraser, erase_by
from age_core.serve.explorer import Explorer
from age_core.serve.queue import Workbench

ANN, BEN = "a" * 32, "b" * 32


@pytest.fixture(scope="module")
def shared(emoji_pipe):
    bench = Workbench(emoji_pipe, ConceptSet.load("emoji"))
    yield bench
    bench.run_queue.close()


@pytest.fixture
def explorer(shared, emoji_pipe, emoji_probe, tmp_path):
    return Explorer(emoji_pipe, emoji_probe, shared.concepts, shared, tmp_path)


def test_a_concept_has_the_same_pictures_each_time_and_by_any_of_its_names(explorer, emoji_probe):
    first = explorer.pictures("dog")
    assert explorer.pictures("puppy") is first and len(first) == 4
    assert sum(best[0][0] == "dog" for best in emoji_probe.top(first)) >= 3
    with pytest.raises(AgeError, match="no concept 'grue'"):
        explorer.pictures("grue")


def test_what_shares_a_word_is_watched_and_what_should_vanish_is_not(explorer):
    watched = explorer.watched("dog")
    assert len(watched) == len(set(watched)) == 80
    assert {"hot dog", "wolf"} <= set(watched[:40]) and not {"dog", "puppy"} & set(watched)


def test_the_predicted_damage_is_local_and_tells_the_order_of_the_measured(explorer, emoji_pipe):
    word, predicted = explorer.predict("dog")
    assert word not in ("", "dog", "hot dog") and tuple(predicted.index) == explorer.watched("dog")
    assert predicted[:40].mean() > 2 * predicted[40:].mean() and (predicted >= 0).all()
    few = {"steps": 12, "samples": 4, "candidate_samples": 1, "sample_steps": 4, "batch": 4, "lr": 1e-3}
    *_, last = erase_by(emoji_pipe, "empty", "dog", explorer.concepts, preview_every=0, **few)
    measured = explorer.measure("dog", last.eraser)
    assert measured.rank().corr(predicted.rank()) > 0.5
    assert (explorer.measure("dog", Eraser({})) < 1e-6).all()


def test_a_closed_form_is_predicted_by_itself(explorer, emoji_pipe):
    word, predicted = explorer.predict("dog", "uce")
    *_, last = erase_by(emoji_pipe, "uce", "dog", explorer.concepts)
    assert word == "" and (explorer.measure("dog", last.eraser) - predicted).abs().max() < 1e-5


def test_rows_to_compare_begin_with_what_should_vanish_and_put_the_worst_first(explorer):
    rows = explorer.rows("dog", damage={"cat": 0.9, "horse": 0.5})
    kinds = [row.kind for row in rows]
    assert kinds == sorted(kinds, key=["erased", "synonym", "near", "far"].index)
    assert rows[0].prompt == "an emoji of a dog" and rows[1].expected == ("dog",)
    near = [row.title for row in rows if row.kind == "near"]
    assert near[:2] == ["cat", "horse"] and len(near) == 4
    own = explorer.own_rows("a red dog\n\n quantum ")
    assert [row.prompt for row in own] == ["a red dog", "quantum"] and own[0].note == "" and "Outside" in own[1].note
    assert explorer.own_rows("  ")[0].prompt == ""
    with pytest.raises(AgeError, match="at most 8"):
        explorer.own_rows("\n".join("abcdefghij"))


def test_an_eraser_is_scored_on_what_it_erased_and_what_it_watched(explorer, emoji_pipe):
    *_, last = erase_by(emoji_pipe, "uce", "dog", explorer.concepts)
    table = explorer.scores(["dog"], last.eraser).set_index("method")
    assert table.loc["edited", "esr1"] > 80 > 20 > table.loc["original", "esr1"]
    assert table.loc["edited", "psr1_low"] <= table.loc["edited", "psr1"] <= table.loc["edited", "psr1_high"]
    pairs = explorer.pairs(explorer.rows("dog", near=1, far=1), last.eraser, 0, 2)
    assert [pair.seed for pair in pairs[:4]] == [0, 1, 0, 1]


def test_a_form_that_cannot_work_is_refused_before_anything_is_written(explorer):
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
            explorer.ask(ANN, keep=False, **form)
    assert explorer.runs_of(ANN) == []
    for word, target in (("", None), (' "" ', ""), ("cat", "cat")):
        queued = explorer.ask(ANN, ["puppy"], "uce", False, word)
        assert queued.run.config.request["target"] == target and queued.run.config.concepts == ("dog",)
        assert [sight.state for sight in explorer.bench.run_queue.watch(queued)][-1] == "finished"


def test_nobody_sees_or_changes_the_runs_of_another(explorer):
    queued = explorer.bench.start(explorer.folder(ANN), "uce", "dog", owner=ANN)
    for _ in explorer.bench.run_queue.watch(queued):
        pass
    name = queued.run.path.name
    assert [run.path.name for run in explorer.runs_of(ANN)] == [name] and explorer.runs_of(BEN) == []
    assert explorer.own_run(ANN, name).status == "finished"
    with pytest.raises(AgeError, match="no run"):
        explorer.run(BEN, name)
    for bad in ("", "..", "../x", "A" * 32, ANN + "/", "a" * 31):
        with pytest.raises(AgeError, match="reload"):
            explorer.folder(bad)
    everybody = Explorer(
        explorer.pipe, explorer.probe, explorer.concepts, explorer.bench, explorer.runs, explorer.folder(ANN)
    )
    assert everybody.run(BEN, name).path == queued.run.path
    with pytest.raises(AgeError, match="came with the explorer"):
        everybody.own_run(BEN, name)
