"""Runs without a watcher, in line, stopped and resumed; and pictures while one trains. On a tiny random model."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest
import torch
from support import QUICK, WORLD

from age_core import AgeError, generate
from age_core.erasure.by_method import erase_by
from age_core.runs.run import Run, list_runs
from age_core.serve.queue import MOST_OPEN, DeviceWorker, RunQueue, Workbench


@pytest.fixture
def bench(tiny_sd):
    bench = Workbench(tiny_sd, WORLD, run_queue=RunQueue(60))
    yield bench
    bench.run_queue.close()


def asked(**changes):
    return {"preset": "balanced", "seed": 3, **QUICK, **changes}


def until_ended(bench, queued):
    sights = list(bench.run_queue.watch(queued, every=0.01))
    return sights[-1], [event for sight in sights for event in sight.events]


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_run_ends_as_it_does_without_a_workbench_and_is_on_disk(bench, tiny_sd, tmp_path):
    queued = bench.start(tmp_path, "age", "dog", **asked())
    last, events = until_ended(bench, queued)
    assert last.state == "finished" and events[-1].eraser is not None
    assert [event.step for event in events] == sorted(event.step for event in events)
    *_, plain = erase_by(tiny_sd, "age", "dog", WORLD, **asked())
    for name, delta in plain.eraser.delta.items():
        assert torch.equal(delta, events[-1].eraser.delta[name])
    assert Run.open(queued.run.path).status == "finished" and len(list_runs(tmp_path)) == 1
    again, repeated = until_ended(bench, queued)  # whoever comes back sees it all from the start
    assert again.state == "finished" and len(repeated) == len(events)


def test_runs_stand_in_line_and_are_told_so(bench, tmp_path):
    first = bench.start(tmp_path, "empty", "dog", owner="ann", **asked(steps=4000))
    second = bench.start(tmp_path, "empty", "cat", owner="ben", **asked(steps=2))
    wait_for(lambda: len(first.events) > 3)
    sight = next(bench.run_queue.watch(second))
    assert (sight.state, sight.ahead) == ("waiting", 1) and 0 < sight.wait_s < 4000
    assert bench.run_queue.find(first.run.path, "ann") is first and bench.run_queue.find(first.run.path, "ben") is None
    bench.run_queue.stop(first)
    assert until_ended(bench, second)[0].state == "finished" and first.state == "stopped"


def test_a_run_that_nobody_watches_ends_unless_it_is_kept(tiny_sd, tmp_path):
    bench = Workbench(tiny_sd, WORLD, run_queue=RunQueue(0.2))
    left = bench.start(tmp_path, "empty", "dog", **asked(steps=100_000))
    kept = bench.start(tmp_path, "empty", "cat", keep=True, **asked(steps=30))
    wait_for(lambda: kept.ended)
    assert (left.state, kept.state) == ("stopped", "finished")
    watched = bench.start(tmp_path, "empty", "dog", **asked(steps=60))
    assert until_ended(bench, watched)[0].state == "finished"
    bench.run_queue.close()


def test_a_stopped_run_goes_on_to_the_same_bits(bench, tiny_sd, tmp_path):
    wanted = asked(steps=40, checkpoint_every=2)
    queued = bench.start(tmp_path, "age", "dog", **wanted)
    wait_for(lambda: queued.events and queued.events[-1].step >= 6)
    bench.run_queue.stop(queued)
    wait_for(lambda: queued.ended)
    assert Run.open(queued.run.path).status == "stopped" and queued.events[-1].step < 40
    more = bench.resume(Run.open(queued.run.path))
    with pytest.raises(AgeError, match="already waiting or running"):
        bench.resume(Run.open(queued.run.path))
    last, events = until_ended(bench, more)
    *_, plain = erase_by(tiny_sd, "age", "dog", WORLD, **wanted)
    assert last.state == "finished" and 1 < events[0].step <= queued.events[-1].step + 1
    assert all(torch.equal(d, events[-1].eraser.delta[n]) for n, d in plain.eraser.delta.items())
    with pytest.raises(AgeError, match="finished"):
        bench.resume(Run.open(queued.run.path))


def test_pictures_are_drawn_between_two_steps_by_the_original_model(bench, tiny_sd, tmp_path):
    before = generate(tiny_sd, ["a dog"], [0], 2)[0]
    queued = bench.start(tmp_path, "empty", "dog", **asked(steps=100_000, lr=1e-2))
    wait_for(lambda: len(queued.events) > 5)
    for _ in range(3):
        step = queued.events[-1].step
        during = bench.run(lambda: generate(tiny_sd, ["a dog"], [0], 2)[0])
        assert during.tobytes() == before.tobytes()
        wait_for(lambda step=step: queued.events[-1].step > step)
    bench.run_queue.stop(queued)


def test_what_goes_wrong_is_told_and_ends_nobody_else_s_run(bench, tmp_path):
    with pytest.raises(AgeError, match="lr"):
        bench.start(tmp_path, "empty", "dog", **asked(lr=-1))
    assert not list_runs(tmp_path)
    bad = bench.start(tmp_path, "empty", "dog", **asked(lr=1e30, steps=20))
    good = bench.start(tmp_path, "empty", "cat", **asked())
    last, _ = until_ended(bench, bad)
    assert last.state == "failed" and "diverged" in last.reason
    assert until_ended(bench, good)[0].state == "finished"


def test_nobody_fills_the_queue_alone(bench, tmp_path):
    mine = [bench.start(tmp_path, "empty", "dog", owner="ann", **asked(steps=100_000)) for _ in range(MOST_OPEN)]
    with pytest.raises(AgeError, match="4 of your runs"):
        bench.start(tmp_path, "empty", "dog", owner="ann", **asked())
    assert len(list_runs(tmp_path)) == MOST_OPEN
    other = bench.start(tmp_path, "empty", "dog", owner="ben", **asked())
    for queued in mine:
        bench.run_queue.stop(queued)
    assert until_ended(bench, other)[0].state == "finished"
    assert until_ended(bench, bench.start(tmp_path, "empty", "dog", owner="ann", **asked()))[0].state == "finished"


def test_one_thread_computes_what_is_asked_for_in_that_order():
    model, order, gate = DeviceWorker(), [], threading.Event()

    def work(name):
        order.append((name, threading.current_thread()))

    threads = [threading.Thread(target=model.run, args=(gate.wait,))]
    threads[0].start()
    for name in range(6):
        threads.append(threading.Thread(target=model.run, args=(partial(work, name),)))
        threads[-1].start()
        wait_for(lambda name=name: model._asked.qsize() >= name + 1)
    gate.set()
    for thread in threads:
        thread.join()
    assert [name for name, _ in order] == list(range(6)) and len({thread for _, thread in order}) == 1
    assert model.run(lambda: model.run(lambda: 7)) == 7  # what runs there may ask for more
    with pytest.raises(ZeroDivisionError):
        model.run(lambda: 1 / 0)
    assert model.run(lambda: 8) == 8  # and goes on
    model.close()
