"""Runs that go on by themselves: one training at a time on a device, any number of watchers, pictures in between."""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from diffusers import DiffusionPipeline

from age_core.concepts.concept_set import ConceptSet
from age_core.erasure.events import EraseEvent
from age_core.errors import AgeError
from age_core.runs.record import resume_run, start_run
from age_core.runs.run import Run

T = TypeVar("T")
State = Literal["waiting", "running", "finished", "stopped", "failed"]
PATIENCE_S = 20.0  # a run that nobody watches ends after so long, unless it was asked to go on
MOST_OPEN = 4  # runs of one person that wait or train
REMEMBERED = 50  # ended runs whose events stay in memory; their folders stay anyway


class DeviceWorker:
    """The one thread of a device that computes; what is asked of it is done in the order in which it was asked for.

    A training asks anew for each step, so that whoever wants pictures waits for a step, not for the whole run.

    It is one thread, and not a lock that many take, because OpenMP keeps a team of threads for every thread that ever
    computed. As soon as all teams together outnumber the cores, GNU's OpenMP no longer waits awake at its barriers, and
    a training on two cores takes a third longer, whether or not the others compute.
    """

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        # no executor: at the end of the program Python would wait for its thread, and for whatever it computes
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
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
            self._asked.put((answer, function))
        return answer

    def close(self) -> None:
        """End the thread after what was asked for so far."""
        self._asked.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            self._settle(*asked)
            del asked  # a model that was closed would stay in memory until the next one is asked

    @staticmethod
    def _settle(answer: Future[Any], function: Callable[[], Any]) -> None:
        try:
            answer.set_result(function())
        except BaseException as error:
            answer.set_exception(error)


@dataclass(eq=False)
class QueuedRun:
    """One run that was asked for: where it stands, and every event so far (pictures only of the last that has any)."""

    run: Run
    owner: str
    keep: bool  # go on although nobody watches
    source: Generator[EraseEvent, None, None] = field(repr=False)
    pipe: DiffusionPipeline = field(repr=False)  # the model that it trains
    state: State = "waiting"
    reason: str = ""  # why it failed
    events: list[EraseEvent] = field(default_factory=list, repr=False)
    seen: float = field(default_factory=time.monotonic)  # when somebody last watched
    stopping: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition, repr=False)

    @property
    def ended(self) -> bool:
        return self.state not in ("waiting", "running")

    def set(self, **values: Any) -> None:
        """Change fields and wake whoever watches."""
        with self.changed:
            for name, value in values.items():
                setattr(self, name, value)
            self.changed.notify_all()

    def add(self, event: EraseEvent) -> None:
        with self.changed:
            if event.previews:
                self.events = [replace(old, previews=()) if old.previews else old for old in self.events]
            self.events.append(replace(event, state=None))
            self.changed.notify_all()


@dataclass(frozen=True)
class RunUpdate:
    """What a watcher is told: the state, the events since the last time, and who is before this run in the queue."""

    state: State
    reason: str
    events: tuple[EraseEvent, ...]
    ahead: int
    wait_s: float  # until its turn, as far as one can tell; nan where one cannot


class RunQueue:
    """The trainings of one device, one after the other in a thread of its own, whatever models they train."""

    def __init__(self, patience: float = PATIENCE_S):
        self._patience = patience
        self.model = DeviceWorker()
        self._queued: list[QueuedRun] = []
        self._queue: queue.SimpleQueue[QueuedRun | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="workbench", daemon=True)
        self._thread.start()

    def check(self, owner: str) -> None:
        """Raise AgeError where the owner has as many runs in line as one person may."""
        mine = sum(queued.owner == owner and not queued.ended for queued in self._queued)
        if mine >= MOST_OPEN:
            raise AgeError(f"{mine} of your runs are waiting or running: let one end, or stop one, first.")

    def add(self, queued: QueuedRun) -> QueuedRun:
        """Put a run at the end."""
        ended = [old for old in self._queued if old.ended]
        forgotten = set(map(id, ended[: max(len(ended) - REMEMBERED, 0)]))
        self._queued = [old for old in self._queued if id(old) not in forgotten] + [queued]
        self._queue.put(queued)
        return queued

    def holds(self, run: Path) -> bool:
        """Whether a run waits or trains, whoever asked for it."""
        return any(queued.run.path == run and not queued.ended for queued in self._queued)

    def uses(self, pipe: DiffusionPipeline) -> bool:
        """Whether a run of that model waits or trains."""
        return any(queued.pipe is pipe and not queued.ended for queued in self._queued)

    def find(self, run: Path, owner: str) -> QueuedRun | None:
        """The owner's latest ticket of a run folder; None where there is none, or it is someone else's."""
        mine = [queued for queued in self._queued if queued.run.path == run and queued.owner == owner]
        return mine[-1] if mine else None

    def running(self, owner: str) -> QueuedRun | None:
        """The owner's run that waits or trains, the one asked for first; None where there is none."""
        return next((queued for queued in self._queued if queued.owner == owner and not queued.ended), None)

    def stop(self, queued: QueuedRun) -> None:
        """End a run after its present step, or before its first; it can be resumed from its last checkpoint."""
        queued.set(stopping=True)

    def watch(self, queued: QueuedRun, every: float = 0.2) -> Iterator[RunUpdate]:
        """What happens to a run from its first event on, at most each `every` seconds, until it has ended.

        Closing it only stops watching; nobody else's run ends with it, and this one after a while unless it is kept.
        """
        told = 0
        while True:
            queued.seen = time.monotonic()
            ended = queued.ended  # before the events, so that none comes after the last look
            new = tuple(queued.events[told:])
            told += len(new)
            yield RunUpdate(queued.state, queued.reason, new, *self._line(queued))
            if ended:
                return
            again = time.monotonic() + every
            with queued.changed:
                if not queued.ended and len(queued.events) == told:
                    queued.changed.wait(timeout=1.0)
            if not queued.ended:
                time.sleep(max(0.0, again - time.monotonic()))

    def _line(self, queued: QueuedRun) -> tuple[int, float]:
        """How many runs come before this one, and how many seconds they may take."""
        before = []
        for other in list(self._queued):
            if other is queued:
                break
            if not other.ended:
                before.append(other)
        if queued.state != "waiting" or not before:
            return 0, 0.0
        last = before[0].events[-1] if before[0].events else None
        if last is None or not math.isfinite(last.remaining_s):
            return len(before), math.nan
        whole = last.elapsed_s + last.remaining_s
        return len(before), last.remaining_s + whole * (len(before) - 1)

    def close(self) -> None:
        """Stop everything and wait for it."""
        for queued in self._queued:
            self.stop(queued)
        self._queue.put(None)
        self._thread.join()
        self.model.close()

    def _serve(self) -> None:
        while (queued := self._queue.get()) is not None:
            try:
                ended = self._train(queued)
            except AgeError as error:
                ended = "failed", str(error)
            except Exception as error:  # a defect must not end the queue for everybody else
                logging.getLogger(__name__).exception("The run %s broke off.", queued.run.path.name)
                ended = "failed", f"{type(error).__name__}: {error}"
            queued.set(state=ended[0], reason=ended[1])

    def _train(self, queued: QueuedRun) -> tuple[State, str]:
        def unwanted() -> bool:
            left = not queued.keep and time.monotonic() - queued.seen > self._patience
            return queued.stopping or left

        if unwanted():
            return "stopped", ""
        queued.set(state="running")
        try:
            while (event := self.model.run(lambda: next(queued.source, None))) is not None:
                queued.add(event)
                if event.eraser is not None:
                    return "finished", ""
                if unwanted():
                    break
            return "stopped", ""
        finally:
            self.model.run(queued.source.close)


class Workbench:
    """One model, for which runs are asked that train in `line`.

    Whoever draws with the pipeline, or applies an eraser to it, does so by `run`.
    """

    def __init__(
        self, pipe: DiffusionPipeline, concepts: ConceptSet, model: str = "", run_queue: RunQueue | None = None
    ):
        self.pipe, self.concepts, self.model = pipe, concepts, model
        self.run_queue = run_queue or RunQueue()

    def run(self, function: Callable[[], T]) -> T:
        """What `function` answers, computed when it is its turn (see `ModelThread`)."""
        return self.run_queue.model.run(function)

    def start(
        self,
        root: str | Path,
        method: str,
        names: str | Sequence[str],
        owner: str = "",
        keep: bool = False,
        **asked: Any,
    ) -> QueuedRun:
        """Ask for a run in a new folder of `root`; `asked` as for `start_run`. Raises AgeError at once on bad input."""
        self.run_queue.check(owner)
        # reading the candidates' texts takes the model
        run, events = self.run(lambda: start_run(self.pipe, root, method, names, self.concepts, self.model, **asked))
        return self.run_queue.add(QueuedRun(run, owner, keep, events, self.pipe))

    def resume(self, run: Run, owner: str = "", keep: bool = False) -> QueuedRun:
        """Ask for a stopped run to go on. Raises AgeError when it cannot, or is waiting or running already."""
        if self.run_queue.holds(run.path):
            raise AgeError(f"The run {run.path.name!r} is already waiting or running.")
        self.run_queue.check(owner)
        events = self.run(lambda: resume_run(self.pipe, run, self.concepts))
        return self.run_queue.add(QueuedRun(run, owner, keep, events, self.pipe))
