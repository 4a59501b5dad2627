"""Erasures in parallel on a tiny model: worker processes, a Dask cluster that loses a worker, and refusals."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pandas as pd
import pytest
from joblib.externals.loky.backend.context import set_start_method
from support import build_tiny_sd

from age_core import AgeError, ConceptSet, RunFailed
from age_core.study import parallel
from age_core.study.build import Job, Source, Task
from age_core.study.parallel import build_in_parallel
from age_core.study.tables import gather

TASK = Task.of("uce", images=1, metrics=("noise-shift",))
NAMES = ConceptSet.load("emoji-netfive").names


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Source:
    folder = tmp_path_factory.mktemp("tiny")
    build_tiny_sd(folder, "epsilon").save_pretrained(folder / "sd")
    return Source(model=str(folder / "sd"), concepts="emoji-netfive")


@pytest.fixture
def imported(context):
    """Joblib's workers start as processes that have the imports done."""
    set_start_method("forkserver")
    yield
    set_start_method(None, force=True)


@pytest.mark.usefixtures("imported")
def test_two_workers_find_what_one_finds_and_a_restart_recomputes_nothing(source, tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    list(build_in_parallel(source, TASK, NAMES[:3], alone, workers=1))
    first = build_in_parallel(source, TASK, NAMES[:3], together, workers=2)
    assert {job.erased for job in first} == set(NAMES[:3])
    order = ["erased", "affected"]
    one, two = (gather(folder).sort_values(order, ignore_index=True) for folder in (alone, together))
    pd.testing.assert_frame_equal(one, two, rtol=1e-3, atol=1e-4)  # threads differ, and with them the last bits
    written = {path: path.stat().st_mtime_ns for path in together.iterdir()}
    assert len(list(build_in_parallel(source, TASK, NAMES[:3], together, workers=2))) == 3
    assert {path: path.stat().st_mtime_ns for path in together.iterdir()} == written
    assert not list(together.glob(".workers*"))


@pytest.mark.usefixtures("imported")
def test_a_failed_erasure_does_not_stop_the_others(source, tmp_path):
    diverging = Task.of(
        "random",
        {"lr": 1e30, "steps": 3, "batch": 2, "samples": 2, "candidate_samples": 1, "min_candidate_distance": 0.0},
        images=1,
        metrics=("noise-shift",),
    )
    with pytest.raises(RunFailed, match=r"2 of 2 erasures failed, the first with: (dog|poodle): The training diverged"):
        list(build_in_parallel(source, diverging, NAMES[:2], tmp_path, workers=2))


@pytest.mark.usefixtures("context")
def test_a_dask_cluster_that_loses_a_worker_still_finishes(source, tmp_path):
    import dask
    from distributed import LocalCluster

    threads, some = os.environ.get("OMP_NUM_THREADS"), NAMES[:8]
    where = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    # Dask leaves one thread a process in the environment, which would hold for every program started later
    method = dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})  # with the imports done
    with mock.patch.dict(os.environ), method, LocalCluster(**where) as cluster:
        stream = build_in_parallel(source, TASK, some, tmp_path, backend="dask", scheduler=cluster.scheduler_address)
        finished = [next(stream).erased]
        lost = next(iter(cluster.workers.values())).pid
        os.kill(lost, signal.SIGKILL)
        finished += [job.erased for job in stream]
    assert sorted(finished) == sorted(some) and os.environ.get("OMP_NUM_THREADS") == threads
    assert len(gather(tmp_path)) == 8 * 25


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"workers": 0}, "at least 1"),
        ({"backend": "spark"}, "choose one of processes, dask"),
        ({"backend": "dask"}, "address of a scheduler"),
        ({"backend": "dask", "scheduler": "tcp://127.0.0.1:9"}, "No Dask scheduler answers"),
    ],
)
def test_what_cannot_work_is_refused(source, tmp_path, monkeypatch, changes, words):
    monkeypatch.setattr(parallel, "ANSWER_S", 1)
    with pytest.raises(AgeError, match=words):
        next(build_in_parallel(source, TASK, ["dog"], tmp_path, **changes))


def test_each_worker_takes_the_next_device(tmp_path):
    with parallel._slots(tmp_path) as slots:
        assert [parallel._claim(slots) for _ in range(3)] == [0, 1, 2]
        with mock.patch("socket.gethostname", lambda: "another"):  # whose cards are others, counted from 0 again
            assert [parallel._claim(slots) for _ in range(2)] == [0, 1]
    assert not list(tmp_path.iterdir())


def test_the_threads_of_one_worker_take_turns(tmp_path, monkeypatch):
    inside, most = [], []

    def run_job(*_):
        inside.append(1)
        time.sleep(0.02)
        most.append(len(inside))
        inside.pop()

    monkeypatch.setattr(parallel, "run_job", run_job)
    monkeypatch.setattr(parallel, "_opened", lambda *_: ())
    jobs = [Job(name, 0, tmp_path) for name in NAMES[:4]]
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda job: parallel._work(Source(), TASK, job, (), tmp_path), jobs))
    assert done == [(job, "") for job in jobs] and most == [1, 1, 1, 1]
