"""Many erasures at once: the same jobs by worker processes on this machine, or by a Dask cluster."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from age_core.errors import AgeError, RunFailed
from age_core.models.pipelines import release_memory
from age_core.study.baseline import Original
from age_core.study.build import (
    Job,
    MeasureSetup,
    Source,
    Task,
    build_side_effects,
    check_jobs,
    keep_floor,
    run_job,
)

Backend = Literal["processes", "dask"]
BACKENDS: tuple[Backend, ...] = ("processes", "dask")
ANSWER_S = 10  # that a Dask scheduler is waited for
_ALONE = threading.Lock()  # a Dask worker's threads share one model, and an erasure edits it


def build_in_parallel(
    source: Source,
    task: Task,
    erased: Sequence[str],
    folder: Path,
    seeds: Sequence[int] = (0,),
    workers: int = 2,
    backend: Backend = "processes",
    scheduler: str | None = None,
    devices: Sequence[str] = (),
) -> Iterator[Job]:
    """`build_side_effects` by many workers; yields each job as it finishes, the finished ones first.

    Every worker opens `source` for itself, once, and reads and writes `folder`, which on a cluster all machines must
    share. Of `devices` ("cuda:0", "cuda:1") each takes its machine's next in turn. processes: `workers` on this one.
    dask: as many as the cluster at `scheduler` ("tcp://host:8786") has, best with one thread each, as an erasure has
    the model to itself; a job whose worker is lost runs again on another.
    Killed at any point, a restart does what is missing. Raises AgeError on bad input before any work; RunFailed after
    the last job when some failed, or when a worker died.
    """
    if backend not in BACKENDS:
        raise AgeError(f"There is no backend {backend!r}; choose one of {', '.join(BACKENDS)}.")
    if backend == "dask" and not scheduler:
        raise AgeError("The dask backend needs the address of a scheduler, such as tcp://localhost:8786.")
    if workers < 1:
        raise AgeError(f"The number of workers must be at least 1, not {workers}.")
    setup = (replace(source, device=devices[0]) if devices else source).open()
    if backend == "processes" and workers == 1:
        yield from build_side_effects(setup, task, erased, folder, seeds)
        return
    done, left = check_jobs(setup, task, erased, folder, seeds)
    yield from done
    if not left:
        return
    folder = folder.resolve()  # workers may stand elsewhere
    judge = task.judge_of(setup)
    original = Original.open(setup.pipe, judge, setup.watched, task.images, folder)  # before many would draw it at once
    keep_floor(setup, original, task, folder)
    del setup, judge, original
    release_memory()  # the workers may share this card
    failed: list[str] = []
    with _workers(backend, scheduler) as how, _slots(folder) as slots:
        running = joblib.Parallel(
            n_jobs=workers if backend == "processes" else -1, return_as="generator_unordered", **how
        )
        calls = (
            joblib.delayed(_work)(source, task, Job(job.erased, job.seed, folder), tuple(devices), slots)
            for job in left
        )
        try:
            for job, error in running(calls):
                if error:
                    failed.append(error)
                else:
                    yield job
        except TerminatedWorkerError as error:
            raise RunFailed(
                "A worker died, perhaps for want of memory: start again with fewer workers; what is finished is kept."
            ) from error
    if failed:
        raise RunFailed(f"{len(failed)} of {len(left)} erasures failed, the first with: {failed[0]}")


@contextmanager
def _workers(backend: Backend, scheduler: str | None) -> Iterator[dict[str, Any]]:
    """Keyword arguments of joblib.Parallel, inside the context that its backend needs."""
    if backend == "processes":
        yield {"backend": "loky"}
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise AgeError("The dask backend needs the package distributed: `pip install distributed`.") from error
    with ExitStack() as stack:
        try:
            client = stack.enter_context(Client(scheduler, timeout=ANSWER_S))
        except OSError as error:
            raise AgeError(f"No Dask scheduler answers at {scheduler!r}.") from error
        stack.enter_context(joblib.parallel_config(backend="dask", client=client))
        yield {}


@contextmanager
def _slots(folder: Path) -> Iterator[Path]:
    """A folder in which each worker claims its machine's next number, for as long as the graph is built."""
    slots = folder / f".workers-{os.getpid()}"
    slots.mkdir(exist_ok=True)
    try:
        yield slots
    finally:
        shutil.rmtree(slots)


def _work(source: Source, task: Task, job: Job, devices: tuple[str, ...], slots: Path) -> tuple[Job, str]:
    """One job in a worker: the job, and what went wrong, if anything."""
    try:
        # a lost worker may have finished it before it was lost
        with _ALONE:
            if not job.done:
                run_job(*_opened(source, devices, slots, task, job.folder), task, job)
    except AgeError as error:
        return job, f"{job.erased}: {error}"
    return job, ""


@lru_cache(maxsize=1)
def _opened(
    source: Source, devices: tuple[str, ...], slots: Path, task: Task, folder: Path
) -> tuple[MeasureSetup, Original]:
    """What a worker opens once for all its jobs."""
    if devices:
        source = replace(source, device=devices[_claim(slots) % len(devices)])
    setup = source.open()
    return setup, Original.open(setup.pipe, task.judge_of(setup), setup.watched, task.images, folder)


def _claim(slots: Path) -> int:
    """The lowest number that no other worker on this machine has taken: each machine has devices of its own."""
    mine = slots / socket.gethostname()
    mine.mkdir(exist_ok=True)
    number = 0
    while True:
        try:
            (mine / str(number)).mkdir()
            return number
        except FileExistsError:
            number += 1
