"""Previews: the erased concept and its nearest, drawn as the atlas draws them, at no cost to the eraser's bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support import QUICK, RELATED, build_tiny_sd

from age_core import Run, erase_by, resume_run, start_run
from age_core.concepts.candidates import rank_others
from age_core.erasure import previews
from age_core.erasure.events import EraseEvent
from age_core.measure.verdicts import draw

SHOWN = QUICK | {"steps": 4, "preview_every": 2}


@pytest.fixture(scope="module")
def pipe(tmp_path_factory):
    return build_tiny_sd(tmp_path_factory.mktemp("tokenizer"), "epsilon")


@pytest.mark.parametrize("method", ["random", "empty", "age"])
def test_the_last_previews_are_what_the_eraser_draws_for_the_atlas(pipe, method, monkeypatch):
    monkeypatch.setattr(previews, "NEAREST", 3)
    events = list(erase_by(pipe, method, "puppy", RELATED, **SHOWN))
    assert [event.step for event in events if event.previews] == [2, 4]
    names = ("dog", *rank_others(pipe, RELATED, RELATED["dog"])[:3])
    for event in events:
        assert event.preview_concepts == (names if event.previews else ())
        assert event.preview_prompts == (tuple(map(RELATED.prompt, names)) if event.previews else ())
    drawn = draw(pipe, RELATED, [RELATED[name] for name in names], 1, events[-1].eraser).pictures
    for preview, picture in zip(events[-1].previews, drawn, strict=True):
        assert np.abs(np.asarray(preview).astype(int) - np.asarray(picture)).max() <= 1
    assert events[-1].previews[0].tobytes() != next(e for e in events if e.previews).previews[0].tobytes()


def test_of_several_erased_concepts_the_one_of_the_step_is_shown(pipe):
    events = list(erase_by(pipe, "random", ["dog", "car"], RELATED, **SHOWN | {"steps": 8, "preview_every": 1}))
    firsts = [(event.concept, event.preview_concepts[0]) for event in events if event.step]
    assert all(erased == shown for erased, shown in firsts) and {"dog", "car"} == {erased for erased, _ in firsts}


def test_a_general_word_is_shown_by_itself(pipe):
    *_, last = erase_by(pipe, "random", "machine", RELATED, **SHOWN)
    assert last.preview_concepts[0] == "machine" and "car" not in last.preview_concepts


def test_without_previews_nothing_is_read_for_them_and_the_eraser_is_the_same(pipe, monkeypatch):
    *_, shown = erase_by(pipe, "random", "dog", RELATED, **SHOWN)
    monkeypatch.setattr("age_core.erasure.by_method.previews_around", lambda *_: pytest.fail("they are asked for"))
    *_, last = erase_by(pipe, "random", "dog", RELATED, **SHOWN | {"preview_every": 0})
    *_, closed = erase_by(pipe, "uce", "dog", RELATED)
    assert last.previews == last.preview_concepts == closed.previews == ()
    assert all(torch.equal(delta, shown.eraser.delta[name]) for name, delta in last.eraser.delta.items())


def test_a_resumed_run_shows_the_same(pipe, tmp_path):
    request = SHOWN | {"checkpoint_every": 2}
    whole, events = start_run(pipe, tmp_path, "random", "dog", RELATED, name="whole", **request)
    last = list(events)[-1]
    stopped, events = start_run(pipe, tmp_path, "random", "dog", RELATED, name="stopped", **request)
    for event in events:
        if event.step == 3:
            break
    events.close()
    *_, again = resume_run(pipe, Run.open(stopped.path), RELATED)
    assert [p.tobytes() for p in again.previews] == [p.tobytes() for p in last.previews]
    assert whole.events()[-1].preview_concepts == again.preview_concepts == last.preview_concepts


def test_a_record_of_an_earlier_version_does_not_say_of_which_concepts_its_previews_are():
    event = EraseEvent(3, 9, preview_concepts=("dog",), preview_prompts=("a dog",), pictures=("000003-00.png",))
    assert EraseEvent.from_line(event.to_line()) == event
    older = event.to_line().replace('"preview_concepts": ["dog"], ', "")
    assert "preview_concepts" not in older and EraseEvent.from_line(older) == replace(event, preview_concepts=())
    with pytest.raises(ValueError, match="prompts than concepts"):
        EraseEvent.from_line(event.to_line().replace('["dog"]', '["dog", "cat"]'))
