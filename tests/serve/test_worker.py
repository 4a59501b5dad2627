"""The device's thread between two jobs."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from age_core.serve import worker


@pytest.fixture
def given_back(monkeypatch):
    """How often memory was given back, and what is set whenever it is."""
    times: list[str] = []
    again = threading.Event()

    def give():
        times.append(threading.current_thread().name)
        again.set()

    monkeypatch.setattr(worker, "IDLE_S", 0.05)
    monkeypatch.setattr(worker, "give_back_memory", give)
    return times, again


def test_memory_is_given_back_once_after_work_and_not_before_nor_between(given_back):
    times, again = given_back
    device = worker.DeviceWorker()
    assert not again.wait(0.3)  # nothing was done
    busy = threading.Event()
    first, second = device.begin(lambda: busy.wait(10)), device.begin(lambda: len(times))
    busy.set()
    assert first.result(10) and second.result(10) == 0
    assert again.wait(10)
    again.clear()
    assert not again.wait(0.3) and times == ["device worker"]
    assert device.run(lambda: 7) == 7 and again.wait(10)
    device.close()


def test_where_work_never_ends_memory_is_given_back_now_and_then(given_back, monkeypatch):
    times, _ = given_back
    now = [100.0]
    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(worker, "IDLE_S", 60)
    device = worker.DeviceWorker()

    def job() -> int:
        now[0] += 8
        return len(times)

    jobs = [device.begin(job) for _ in range(7)]
    # three jobs of 8 s are the first 20; the next three begin with what they end at
    assert [asked.result(10) for asked in jobs] == [0, 0, 0, 1, 1, 1, 2]
    device.close()


def test_a_system_that_takes_nothing_back_is_no_failure(monkeypatch):
    worker.give_back_memory()

    def fail(_):
        raise OSError("no such library")

    monkeypatch.setattr(worker.ctypes, "CDLL", fail)
    worker.give_back_memory()
