"""A step in parts, for less memory: the same gradient, never more rows at once; and checkpoints by the clock."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support import QUICK, SMALL, WORDS, WORLD, build_tiny_sd

from age_core import RunFailed, Vocabulary, erase, erase_by
from age_core.erasure import objective, rows, training
from age_core.erasure.rows import rows_at_once, rows_that_fit
from age_core.erasure.student import Student

SHORT = replace(SMALL, steps=2, batch=3, preview_every=0)


@pytest.fixture(scope="module")
def pipe(tmp_path_factory):
    return build_tiny_sd(tmp_path_factory.mktemp("tokenizer"), "epsilon")


@pytest.fixture(scope="module")
def pool(pipe):
    return Vocabulary(WORDS).near(pipe, "dog", 4)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"preserve": "none"},
        {"inner_objective": "both", "relaxation": "soft", "latents": "student", "grid": 3, "preserve": "target"},
        {"inner_objective": "student", "weighting": "x0", "argmax_target": True},
    ],
)
def test_parts_add_up_to_the_whole_and_none_is_larger_than_asked(pipe, pool, monkeypatch, changes):
    counts: list[int] = []
    real = objective.predict

    def counted(model, z, t, states):
        answer = real(model, z, t, states)
        if answer.requires_grad:
            counts.append(len(z))
        return answer

    monkeypatch.setattr(objective, "predict", counted)
    options = replace(SHORT, **changes)
    *_, whole = erase(pipe, "dog", pool, options)
    most = max(counts)
    for at_once in (1, 4):
        counts.clear()
        *_, parted = erase(pipe, "dog", pool, replace(options, rows_at_once=at_once))
        assert max(counts) <= max(at_once, 2) and (at_once > 1 or max(counts) < most)
        # Adam's first steps go by the gradient's sign, so that one near 0 may turn round
        far = [(parted.eraser.delta[n] - d).abs().gt(2e-4).float().mean() for n, d in whole.eraser.delta.items()]
        assert max(far) < 0.02 and parted.loss_erase == pytest.approx(whole.loss_erase, rel=1e-2)
        assert parted.logits == pytest.approx(whole.logits, abs=2e-2)


def test_how_many_rows_fit():
    assert rows_that_fit(one=12, two=22, free=100, most=16) == 9  # 2 for all, 10 a row
    assert rows_that_fit(one=12, two=22, free=5, most=16) == 1
    assert rows_that_fit(one=12, two=22, free=1e6, most=16) == 16
    assert rows_that_fit(one=0, two=0, free=10, most=4) == 4


def test_the_cpu_takes_all_and_a_card_what_fits(pipe, monkeypatch):
    student = Student(pipe.unet, SHORT)
    assert rows_at_once(pipe, student, SHORT) == 0
    assert rows_at_once(pipe, student, replace(SHORT, rows_at_once=5)) == 5
    monkeypatch.setattr(rows, "passes", lambda _, options: (1 if options.preserve == "none" else 2, 1))
    monkeypatch.setattr(rows, "device_of", lambda _: torch.device("cuda"))
    monkeypatch.setattr(rows, "_peak", lambda pipe, student, count, options: 2**20 * (1 + count))
    for free, many in ((2**40, 6), (2**20, 1)):
        monkeypatch.setattr(rows, "_free", lambda _, free=free: free)
        assert rows_at_once(pipe, student, SHORT) == many
        assert rows_at_once(pipe, student, replace(SHORT, preserve="none")) == min(many, 3)


def test_a_run_goes_on_in_the_parts_it_was_begun_in(pipe, pool, monkeypatch):
    options = replace(SHORT, steps=3, checkpoint_every=1, rows_at_once=2)
    whole = list(erase(pipe, "dog", pool, options))
    state = next(event.state for event in whole if event.state)
    assert int(state.tensors["rows_at_once"]) == 2
    monkeypatch.setattr(training, "rows_at_once", lambda *_: pytest.fail("the memory is measured"))
    *_, again = erase(pipe, "dog", pool, replace(options, rows_at_once=0), resume=state)
    assert again.eraser.info["options"]["rows_at_once"] == 2
    assert all(torch.equal(again.eraser.delta[name], delta) for name, delta in whole[-1].eraser.delta.items())


def test_large_checkpoints_are_made_by_the_clock(pipe, pool, monkeypatch):
    options = replace(SHORT, steps=4, checkpoint_every=1)
    monkeypatch.setattr(training, "LARGE", 0)
    assert not any(event.state for event in erase(pipe, "dog", pool, options))
    monkeypatch.setattr(training, "SECONDS_APART", 0.0)
    assert [event.step for event in erase(pipe, "dog", pool, options) if event.state] == [1, 2, 3, 4]


def starve(*_, **__):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.mark.parametrize("where", ["loop.draw_previews", "training.Training.state", "training.rows_at_once"])
def test_memory_that_runs_out_beside_a_step_becomes_advice_too(pipe, pool, monkeypatch, where):
    monkeypatch.setattr(f"age_core.erasure.{where}", starve)
    with pytest.raises(RunFailed, match="rows_at_once"):
        list(erase(pipe, "dog", pool, replace(SHORT, preview_every=1, checkpoint_every=1)))


@pytest.mark.parametrize("method", ["uce", "age"])
def test_memory_that_runs_out_in_algebra_becomes_advice_too(pipe, monkeypatch, method):
    monkeypatch.setattr("age_core.erasure.closed_form.algebra.uce_change", starve)
    with pytest.raises(RunFailed, match="memory ran out"):
        list(erase_by(pipe, method, "dog", WORLD, **QUICK))
