"""The one thread of a device that computes."""

from __future__ import annotations

import ctypes
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")
IDLE_S = 1.0  # without work, before memory is given back
BUSY_S = 20.0  # with work all the time, before it is given back all the same


def give_back_memory() -> None:
    """Hand back to the system what was freed: glibc keeps it where it lies between what is not; 3 ms, else nothing."""
    with suppress(OSError, AttributeError, TypeError):  # no GNU system
        ctypes.CDLL(None).malloc_trim(0)


class DeviceWorker:
    """The one thread of a device that computes; what is asked of it is done in the order in which it was asked for.

    A training asks anew for each step, so that whoever wants pictures waits for a step, not for the whole run.

    It is one thread, and not a lock that many take, because OpenMP keeps a team of threads for every thread that ever
    computed. As soon as all teams together outnumber the cores, GNU's OpenMP no longer waits awake at its barriers, and
    a training on two cores takes a third longer, whether or not the others compute.
    """

    def __init__(self) -> None:
        self._computing = threading.RLock()  # held while a job is done
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        # no executor: at the end of the program Python would wait for its thread, and for whatever it computes
        self._thread = threading.Thread(target=self._work, name="device worker", daemon=True)
        self._thread.start()

    def run(self, function: Callable[[], T]) -> T:
        """What `function` answers or raises. What it changes in the model it must change back."""
        return self.begin(function).result()

    def begin(self, function: Callable[[], T]) -> Future[T]:
        """The same without waiting for it; from within that thread it is done at once, as it would wait for itself."""
        answer: Future[T] = Future()
        if threading.current_thread() is self._thread:
            self._settle(answer, function)
        else:
            self._jobs.put((answer, function))
        return answer

    def finish_before_forks(self) -> None:
        """Have whatever forks this process from now on wait for the job that is being done.

        In the middle of one the libraries' own locks may be closed, and in the fork they would stay so for ever. To be
        called once the models' room is imported, whose lock for tokenizers must be taken after this one.
        """
        lock = self._computing
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)

    def close(self) -> None:
        """End the thread after what was asked for so far."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        since = None  # when the first work began after which no memory was given back
        while True:
            try:
                job = self._jobs.get(timeout=None if since is None else IDLE_S)
            except queue.Empty:
                give_back_memory()  # or a server would grow for hours by holes that nothing fills
                since = None
                continue
            if job is None:
                return
            since = since or time.monotonic()
            with self._computing:
                self._settle(*job)
            del job  # a model that was closed would stay in memory until the next job
            if time.monotonic() - since > BUSY_S:
                give_back_memory()
                since = time.monotonic()

    @staticmethod
    def _settle(answer: Future[Any], function: Callable[[], Any]) -> None:
        try:
            answer.set_result(function())
        except BaseException as error:
            answer.set_exception(error)
