"""Runs without a watcher, in line, stopped and resumed; and pictures while one trains. On a tiny random model."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from contextlib import closing
from functools import partial

import pytest
import torch
from support import QUICK, WORLD, build_tiny_sd

from age_core import AgeError, generate
from age_core.erasure.by_method import erase_by, plan
from age_core.runs.record import resume_run
from age_core.runs.run import Run, list_runs
from age_core.serve.queue import ERASERS, MOST_OPEN, RunQueue
from age_core.serve.worker import DeviceWorker


@pytest.fixture(scope="module")
def tiny_sd(tmp_path_factory):
    """Of one kind: a queue does not know what a model predicts, and both kinds train and resume in test_loop.py."""
    return build_tiny_sd(tmp_path_factory.mktemp("tokenizer"), "epsilon")


@pytest.fixture
def queue():
    queue = RunQueue(60)
    yield queue
    queue.close()


def ask(queue, pipe, root, method, name, owner="", keep=False, **options):
    """Asks for a run of a model."""
    return queue.start(pipe, WORLD, root, plan(method, name, WORLD, **options), owner, keep)


@pytest.fixture
def start(queue, tiny_sd):
    """Asks for a run of the tiny model."""
    return partial(ask, queue, tiny_sd)


def quick(**changes):
    return {"preset": "balanced", "seed": 3, **QUICK, **changes}


def until_ended(queue, queued):
    updates = list(queue.watch(queued, every=0.01))
    return updates[-1], [event for update in updates for event in update.events]


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_run_ends_as_it_does_without_a_queue_and_is_on_disk(queue, start, tiny_sd, tmp_path):
    queued = start(tmp_path, "age", "dog", **quick())
    last, events = until_ended(queue, queued)
    assert last.state == "finished" and events[-1].eraser is not None
    assert [event.step for event in events] == sorted(event.step for event in events)
    *_, plain = erase_by(tiny_sd, "age", "dog", WORLD, **quick())
    for name, delta in plain.eraser.delta.items():
        assert torch.equal(delta, events[-1].eraser.delta[name])
    assert Run.open(queued.run.path).status == "finished" and len(list_runs(tmp_path)) == 1
    again, repeated = until_ended(queue, queued)  # whoever comes back sees it all from the start
    assert again.state == "finished" and len(repeated) == len(events)


def test_runs_stand_in_line_and_are_told_so(queue, start, tmp_path):
    first = start(tmp_path, "empty", "dog", owner="ann", **quick(steps=4000))
    second = start(tmp_path, "empty", "cat", owner="ben", **quick(steps=2))
    wait_for(lambda: len(first.events) > 3)
    update = next(queue.watch(second))
    assert (update.state, update.ahead) == ("waiting", 1) and 0 < update.wait_s < 4000
    assert queue.find(first.run.path, "ann") is first and queue.find(first.run.path, "ben") is None
    queue.stop(first)
    assert until_ended(queue, second)[0].state == "finished" and first.state == "stopped"


def test_a_run_that_nobody_watches_ends_unless_it_is_kept(tiny_sd, tmp_path):
    queue = RunQueue(1)
    start = partial(ask, queue, tiny_sd)
    alone = start(tmp_path, "empty", "dog", **quick(steps=100_000))
    kept = start(tmp_path, "empty", "cat", keep=True, **quick(steps=30))
    wait_for(lambda: kept.ended)
    assert (alone.state, kept.state) == ("stopped", "finished")
    assert queue.to_watch("") is kept and queue.to_watch("somebody else") is None  # its end was seen by nobody
    assert queue.to_watch("", lambda run: run.config.concepts == ("dog",)) is alone
    for ended in (kept, alone):
        assert queue.to_watch("") is ended and next(queue.watch(ended)).state == ended.state
        assert queue.to_watch("") is ended  # whoever left before it was shown has not seen it
        until_ended(queue, ended)
    assert queue.to_watch("") is None
    watched = start(tmp_path, "empty", "dog", **quick(steps=30))
    assert queue.to_watch("") is watched
    assert until_ended(queue, watched)[0].state == "finished" and queue.to_watch("") is None
    queue.close()


def test_a_run_that_trains_long_is_stopped_for_the_next_and_goes_on_behind_it(tiny_sd, tmp_path):
    queue = RunQueue(60, longest_s=0.3)
    start = partial(ask, queue, tiny_sd)
    long, short = (start(tmp_path, "empty", name, **quick(steps=n)) for name, n in (("dog", 100_000), ("cat", 1)))
    last, events = until_ended(queue, long)
    assert (last.state, last.reason) == ("stopped", "A run trains 0.005 min at a stretch here.")
    assert until_ended(queue, short)[0].state == "finished"
    queue.longest_s = 60
    more = queue.resume(tiny_sd, WORLD, Run.open(long.run.path))
    wait_for(lambda: more.events and more.events[-1].step > events[-1].step)
    queue.stop(more)
    assert until_ended(queue, more)[0].reason == ""
    queue.close()


def test_a_stopped_run_goes_on_to_the_same_bits(queue, start, tiny_sd, tmp_path):
    request = quick(steps=16, checkpoint_every=2)
    queued = start(tmp_path, "age", "dog", **request)
    wait_for(lambda: queued.events and queued.events[-1].step >= 4)
    queue.stop(queued)
    wait_for(lambda: queued.ended)
    assert Run.open(queued.run.path).status == "stopped" and queued.events[-1].step < 16
    more = queue.resume(tiny_sd, WORLD, Run.open(queued.run.path))
    assert queue.to_watch("") is more
    with pytest.raises(AgeError, match="already waiting or running"):
        queue.resume(tiny_sd, WORLD, Run.open(queued.run.path))
    last, events = until_ended(queue, more)
    assert queue.to_watch("") is None  # that it stopped before is past
    *_, plain = erase_by(tiny_sd, "age", "dog", WORLD, **request)
    assert last.state == "finished" and 1 < events[0].step <= queued.events[-1].step + 1
    assert all(torch.equal(d, events[-1].eraser.delta[n]) for n, d in plain.eraser.delta.items())
    with pytest.raises(AgeError, match="finished"):
        queue.resume(tiny_sd, WORLD, Run.open(queued.run.path))


def test_a_run_that_another_process_had_ended_when_it_was_stopped_is_finished(tiny_sd, tmp_path):
    def elsewhere(run):
        with closing(resume_run(tiny_sd, run, WORLD)) as events:
            try:
                yield next(events)
            finally:
                list(events)  # it is ahead of what was heard of it

    queue = RunQueue(60, elsewhere)
    try:
        queued = ask(queue, tiny_sd, tmp_path, "age", "dog", **quick())
        wait_for(lambda: queued.events)
        queue.stop(queued)
        last, events = until_ended(queue, queued)
    finally:
        queue.close()
    assert last.state == "finished" and queued.run.status == "finished"
    *_, plain = erase_by(tiny_sd, "age", "dog", WORLD, **quick())
    assert all(torch.equal(delta, events[-1].eraser.delta[name]) for name, delta in plain.eraser.delta.items())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_fork_waits_for_the_job_that_is_being_done():
    worker, began, go_on = DeviceWorker(), threading.Event(), threading.Event()
    worker.finish_before_forks()

    def job():
        began.set()
        assert go_on.wait(60)
        return time.monotonic()

    answer = worker.begin(job)
    assert began.wait(60)
    threading.Timer(0.3, go_on.set).start()
    child = os.fork()
    if not child:
        os._exit(0)
    forked = time.monotonic()
    assert os.waitpid(child, 0)[1] == 0 and forked > answer.result()
    assert worker.run(lambda: 7) == 7, "it goes on"
    worker.close()


def test_pictures_are_drawn_between_two_steps_by_the_original_model(queue, start, tiny_sd, tmp_path):
    before = generate(tiny_sd, ["a dog"], [0], 2)[0]
    queued = start(tmp_path, "empty", "dog", **quick(steps=100_000, lr=1e-2))
    wait_for(lambda: len(queued.events) > 5)
    for _ in range(3):
        step = queued.events[-1].step
        during = queue.worker.run(lambda: generate(tiny_sd, ["a dog"], [0], 2)[0])
        assert during.tobytes() == before.tobytes()
        wait_for(lambda step=step: queued.events[-1].step > step)
    queue.stop(queued)


def test_what_goes_wrong_is_told_and_ends_nobody_else_s_run(queue, start, tmp_path):
    with pytest.raises(AgeError, match="lr"):
        start(tmp_path, "empty", "dog", **quick(lr=-1))
    assert not list_runs(tmp_path)
    bad = start(tmp_path, "empty", "dog", **quick(lr=1e30, steps=20))
    good = start(tmp_path, "empty", "cat", **quick())
    last, _ = until_ended(queue, bad)
    assert last.state == "failed" and "diverged" in last.reason
    assert until_ended(queue, good)[0].state == "finished"


def test_nobody_fills_the_queue_alone(queue, start, tmp_path):
    mine = [start(tmp_path, "empty", "dog", owner="ann", **quick(steps=100_000)) for _ in range(MOST_OPEN)]
    with pytest.raises(AgeError, match="4 of your runs"):
        start(tmp_path, "empty", "dog", owner="ann", **quick())
    assert len(list_runs(tmp_path)) == MOST_OPEN
    other = start(tmp_path, "empty", "dog", owner="ben", **quick())
    for queued in mine:
        queue.stop(queued)
    assert until_ended(queue, other)[0].state == "finished"
    assert until_ended(queue, start(tmp_path, "empty", "dog", owner="ann", **quick()))[0].state == "finished"


def test_many_names_do_not_fill_it_either(queue, start, tmp_path, monkeypatch):
    """Anybody may have any number of tokens."""
    monkeypatch.setattr("age_core.serve.queue.MOST_IN_LINE", 3)
    mine = [start(tmp_path, "empty", "dog", owner=name, **quick(steps=100_000)) for name in ("ann", "ben", "cem")]
    with pytest.raises(AgeError, match="3 runs are waiting for this machine"):
        start(tmp_path, "empty", "dog", owner="dora", **quick())
    for queued in mine:
        queue.stop(queued)
    assert until_ended(queue, mine[-1])[0].state == "stopped"
    assert until_ended(queue, start(tmp_path, "empty", "dog", owner="dora", **quick()))[0].state == "finished"


@pytest.mark.parametrize("changes", [{}, {"lr": 1e30, "steps": 20}, {"steps": 100_000}])
def test_a_model_that_was_closed_is_let_go_although_its_runs_are_remembered(queue, tmp_path, changes):
    (tmp_path / "tokenizer").mkdir()
    pipe = build_tiny_sd(tmp_path / "tokenizer", "epsilon")
    kept = weakref.ref(pipe)
    queued = ask(queue, pipe, tmp_path, "empty", "dog", **quick(**changes))
    assert queue.uses(pipe)
    if changes.get("steps") == 100_000:
        wait_for(lambda: queued.events)
        queue.stop(queued)
    last, _ = until_ended(queue, queued)
    assert last.state in ("finished", "failed", "stopped") and not queue.uses(pipe)
    del pipe
    queue.worker.run(gc.collect)
    assert kept() is None
    assert queue.find(queued.run.path, "") is queued and queued.events  # whoever comes back still sees what it did


def test_only_the_latest_erasers_stay_in_memory(queue, start, tmp_path):
    """Each is as large as all weights that were trained; its run's folder has it."""
    ended = []
    for _ in range(ERASERS + 2):
        ended.append(start(tmp_path, "uce", "dog"))
        until_ended(queue, ended[-1])
    held = [one.events[-1].eraser is not None for one in ended]
    assert held == [False] + [True] * (ERASERS + 1)  # looked over whenever another is asked for
    assert ended[0].run.eraser().concepts == ("dog",) and ended[0].events[-1].step == 1


def test_one_thread_computes_what_is_asked_for_in_that_order():
    model, order, gate = DeviceWorker(), [], threading.Event()

    def work(name):
        order.append((name, threading.current_thread()))

    threads = [threading.Thread(target=model.run, args=(gate.wait,))]
    threads[0].start()
    for name in range(6):
        threads.append(threading.Thread(target=model.run, args=(partial(work, name),)))
        threads[-1].start()
        wait_for(lambda name=name: model._jobs.qsize() >= name + 1)
    gate.set()
    for thread in threads:
        thread.join()
    assert [name for name, _ in order] == list(range(6)) and len({thread for _, thread in order}) == 1
    assert model.run(lambda: model.run(lambda: 7)) == 7  # what runs there may ask for more
    with pytest.raises(ZeroDivisionError):
        model.run(lambda: 1 / 0)
    assert model.run(lambda: 8) == 8  # and goes on
    model.close()
