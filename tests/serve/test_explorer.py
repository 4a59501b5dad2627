"""What the explorer asks of the bundled model: pictures, predictions, rows to compare, and runs by a form."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from age_core import AgeError, ConceptSet, Eraser, erase_by
from age_core.models.identity import model_identity
from age_core.serve.comparison import draw_pairs, own_rows, rows_for, scores
from age_core.serve.explorer import Explorer
from age_core.serve.library import Library
from age_core.serve.queue import RunQueue

ANN = "a" * 32


@pytest.fixture(scope="module")
def queue():
    queue = RunQueue()
    yield queue
    queue.close()


@pytest.fixture(scope="module")
def explorer(queue, emoji_pipe, emoji_probe, tmp_path_factory):
    """One for all tests, so that it reads its concepts and what the original predicts for them once."""
    library = Library(tmp_path_factory.mktemp("runs"))
    return Explorer(emoji_pipe, emoji_probe, ConceptSet.load("emoji"), queue, library)


@pytest.fixture(scope="module")
def dog_erased(emoji_pipe, explorer) -> Eraser:
    *_, last = erase_by(emoji_pipe, "uce", "dog", explorer.concepts)
    return last.eraser


def test_a_concept_has_the_same_pictures_each_time_and_by_any_of_its_names(explorer, emoji_probe):
    first = explorer.pictures("dog")
    assert explorer.pictures("puppy") == first and len(first) == 4
    more = explorer.pictures("dog", 6)  # those that were drawn are not drawn again
    assert len(more) == 6 and all(one is other for one, other in zip(first, more[:4], strict=True))
    assert len({picture.tobytes() for picture in more}) == 6
    assert explorer.pictures("dog", 2) == first[:2] and explorer.pictures("dog") == first
    assert sum(best[0][0] == "dog" for best in emoji_probe.top(first)) >= 3
    with pytest.raises(AgeError, match="no concept 'grue'"):
        explorer.pictures("grue")


def test_what_shares_a_word_is_watched_and_what_should_vanish_is_not(explorer):
    watched = explorer.watched("dog")
    assert len(watched) == len(set(watched)) == 40
    assert {"hot dog", "wolf"} <= set(watched[:20]) and not {"dog", "puppy"} & set(watched)


def test_the_predicted_damage_is_local_and_tells_the_order_of_the_measured(explorer, emoji_pipe):
    word, predicted = explorer.predict("dog")
    assert word not in ("", "dog", "hot dog") and tuple(predicted.index) == explorer.watched("dog")
    assert predicted[:20].mean() > 2 * predicted[20:].mean() and (predicted >= 0).all()
    few = {"steps": 6, "samples": 4, "candidate_samples": 1, "sample_steps": 4, "batch": 4, "lr": 2e-3}
    *_, last = erase_by(emoji_pipe, "empty", "dog", explorer.concepts, preview_every=0, **few)
    measured = explorer.measure("dog", last.eraser)
    assert measured.rank().corr(predicted.rank()) > 0.5
    assert (explorer.measure("dog", Eraser({})) < 1e-6).all()


def test_a_closed_form_is_predicted_by_itself(explorer, dog_erased):
    word, predicted = explorer.predict("dog", "uce")
    assert word == "" and (explorer.measure("dog", dog_erased) - predicted).abs().max() < 1e-5


def test_rows_to_compare_begin_with_what_should_vanish_and_put_the_worst_first(explorer):
    rows = rows_for(explorer, "dog", damage={"cat": 0.9, "horse": 0.5})
    kinds = [row.kind for row in rows]
    assert kinds == sorted(kinds, key=["erased", "synonym", "near", "far"].index)
    assert rows[0].prompt == "an emoji of a dog" and rows[1].expected == ("dog",)
    near = [row.title for row in rows if row.kind == "near"]
    assert near[:2] == ["cat", "horse"] and len(near) == 4
    own = own_rows(explorer, "a red dog\n\n quantum ")
    assert [row.prompt for row in own] == ["a red dog", "quantum"] and own[0].note == "" and "Outside" in own[1].note
    assert own_rows(explorer, "  ")[0].prompt == ""
    with pytest.raises(AgeError, match="at most 8"):
        own_rows(explorer, "\n".join("abcdefghij"))


def of_few(explorer: Explorer) -> Explorer:
    """The same of a handful of concepts: reading or drawing all takes seconds."""
    names = ("dog", "cat", *explorer.concepts.names[::150])
    few = tuple(explorer.concepts[name] for name in dict.fromkeys(names))
    return replace(explorer, concepts=replace(explorer.concepts, concepts=few))


def test_an_eraser_is_scored_on_what_it_erased_and_what_it_watched(explorer, dog_erased):
    table = scores(of_few(explorer), ["dog"], {"edited": dog_erased}).set_index("method")
    assert table.loc["edited", "esr1"] > 80 > 20 > table.loc["original", "esr1"]
    assert table.loc["edited", "psr1_low"] <= table.loc["edited", "psr1"] <= table.loc["edited", "psr1_high"]
    rows, erasers = rows_for(explorer, "dog", near=1, far=1)[:2], {"UCE": dog_erased, "nothing": Eraser({})}
    pairs = draw_pairs(explorer, rows, erasers, 0, 2)
    assert [pair.seed for pair in pairs["UCE"][:4]] == [0, 1, 0, 1]
    assert all(one.original is other.original for one, other in zip(*pairs.values(), strict=True))
    assert all(pair.original == pair.edited for pair in pairs["nothing"])


def test_each_column_has_a_strength_of_its_own(explorer, dog_erased):
    """One eraser three times: the original draws once, strength 0 changes nothing, and more moves farther."""
    rows, erasers = rows_for(explorer, "dog", near=1, far=1)[:1], dict.fromkeys(("whole", "half", "none"), dog_erased)
    pairs = draw_pairs(explorer, rows, erasers, 0, 2, {"half": 0.5, "none": 0.0})
    whole, half, none = (sum(pair.distance for pair in pairs[title]) for title in erasers)
    assert none == 0 < half < whole
    assert all(len({id(pair.original) for pair in column}) == 1 for column in zip(*pairs.values(), strict=True))
    (alone,) = draw_pairs(explorer, rows, {"whole": dog_erased}, 0, 2).values()
    assert [pair.edited.tobytes() for pair in alone] == [pair.edited.tobytes() for pair in pairs["whole"]]
    with pytest.raises(AgeError, match="5 edited models are too many side by side: choose at most 4"):
        draw_pairs(explorer, rows, dict.fromkeys("abcde", dog_erased), 0, 1)


def test_a_form_that_cannot_work_is_refused_before_anything_is_written(explorer):
    explorer = of_few(explorer)
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
    assert explorer.library.runs_of(ANN) == []
    for word, target in (("", None), (' "" ', ""), ("cat", "cat")):
        queued = explorer.ask(ANN, ["puppy"], "uce", False, word)
        assert queued.run.config.request["target"] == target and queued.run.config.concepts == ("dog",)
        assert [update.state for update in explorer.queue.watch(queued)][-1] == "finished"


def test_the_weights_are_read_once_for_all_runs(queue, emoji_pipe, emoji_probe, tmp_path, monkeypatch):
    """A hash of every weight, in the thread that draws for everybody, is nothing for each start."""
    threads = []

    def identity(pipe):
        threads.append(threading.current_thread())
        return model_identity(pipe)

    monkeypatch.setattr("age_core.serve.explorer.model_identity", identity)
    monkeypatch.setattr("age_core.runs.record.model_identity", lambda _: pytest.fail("the weights are read again"))
    explorer = Explorer(emoji_pipe, emoji_probe, ConceptSet.load("emoji"), queue, Library(tmp_path))
    runs = [explorer.ask(ANN, [name], "uce", False).run for name in ("dog", "cat")]
    assert explorer.measured.name.startswith(explorer.identity)
    assert len(threads) == 1 and threads[0] is not threading.current_thread()  # between two steps of whoever trains
    assert {run.config.model_identity for run in runs} == {explorer.identity} == {model_identity(emoji_pipe)}
