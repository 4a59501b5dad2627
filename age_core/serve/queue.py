"""Runs that go on by themselves: one training at a time on a device, any number of watchers, pictures in between."""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from diffusers import DiffusionPipeline

from age_core.concepts.concept_set import ConceptSet
from age_core.erasure.by_method import Request
from age_core.erasure.events import EraseEvent
from age_core.errors import AgeError
from age_core.runs.record import resume_run, start_planned
from age_core.runs.run import Run
from age_core.serve.lent import Trainer
from age_core.serve.worker import DeviceWorker

State = Literal["waiting", "running", "finished", "stopped", "failed"]
PATIENCE_S = 20.0  # a run that nobody watches ends after so long, unless it was asked to go on
MOST_OPEN = 4  # runs of one person that wait or train
MOST_IN_LINE = 24  # of all: anybody may have any number of tokens
REMEMBERED = 50  # ended runs whose events stay in memory; their folders stay anyway
ERASERS = 4  # of these, the latest whose erasers stay as well: each is as large as all weights that were trained


@dataclass(frozen=True, eq=False)
class Training:
    """What a run needs until it ends: the model that it trains, and the events that train it.

    asked: in what the run was asked for, by which a Space knows whose time on a lent card it takes.
    """

    pipe: DiffusionPipeline
    events: Generator[EraseEvent, None, None]
    asked: Context = field(default_factory=copy_context)


@dataclass(eq=False)
class QueuedRun:
    """One run that was asked for: where it stands, and every event so far (pictures only of the last that has any)."""

    run: Run
    owner: str
    keep: bool  # go on although nobody watches
    training: Training | None = field(repr=False)  # None once it has ended: a model that was closed must be let go
    state: State = "waiting"
    reason: str = ""  # why it failed, or was stopped by the queue
    events: list[EraseEvent] = field(default_factory=list, repr=False)
    seen: float = field(default_factory=time.monotonic)  # when somebody last watched
    told: bool = False  # whether somebody watched its end
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
        """Keep an event and wake whoever watches."""
        with self.changed:
            if event.previews:
                self.events = [replace(old, previews=()) if old.previews else old for old in self.events]
            self.events.append(replace(event, state=None))
            self.changed.notify_all()

    def forget_eraser(self) -> None:
        """Let go of what lies in the run's folder as well."""
        with self.changed:
            self.events = [replace(event, eraser=None) for event in self.events]


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

    def __init__(
        self, patience: float = PATIENCE_S, elsewhere: Trainer | None = None, longest_s: float = math.inf
    ) -> None:
        """`elsewhere`: the events of a run that another process trains (`serve.lent`); else the device's own thread.

        longest_s: seconds that a run may train at a stretch, so that others have their turn; it can go on later.
        """
        self._patience, self._elsewhere, self.longest_s = patience, elsewhere, longest_s
        self.worker = DeviceWorker()
        if elsewhere:
            self.worker.finish_before_forks()
        self._runs: list[QueuedRun] = []
        self._waiting: queue.SimpleQueue[QueuedRun | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="run queue", daemon=True)
        self._thread.start()

    def start(
        self,
        pipe: DiffusionPipeline,
        concepts: ConceptSet,
        root: str | Path,
        request: Request,
        owner: str = "",
        keep: bool = False,
        model: str = "",
        identity: str = "",
    ) -> QueuedRun:
        """Ask for a run in a new folder of `root`; `model` and `identity` as for `start_run`. Raises AgeError."""
        self._check(owner)
        # reading the candidates' texts takes the model
        run, events = self.worker.run(lambda: start_planned(pipe, root, request, concepts, model, identity=identity))
        return self._add(QueuedRun(run, owner, keep, self._training(pipe, run, events)))

    def resume(
        self, pipe: DiffusionPipeline, concepts: ConceptSet, run: Run, owner: str = "", keep: bool = False
    ) -> QueuedRun:
        """Ask for a stopped run to go on. Raises AgeError when it cannot, or is waiting or running already."""
        if self.holds(run.path):
            raise AgeError(f"The run {run.path.name!r} is already waiting or running.")
        self._check(owner)
        events = self.worker.run(lambda: resume_run(pipe, run, concepts))
        return self._add(QueuedRun(run, owner, keep, self._training(pipe, run, events)))

    def holds(self, run: Path) -> bool:
        """Whether a run waits or trains, whoever asked for it."""
        return any(queued.run.path == run and not queued.ended for queued in self._runs)

    def uses(self, pipe: DiffusionPipeline) -> bool:
        """Whether a run of that model waits or trains."""
        trainings = [queued.training for queued in self._runs]
        return any(training.pipe is pipe for training in trainings if training)

    def find(self, run: Path, owner: str) -> QueuedRun | None:
        """The owner's latest request for a run folder; None where there is none, or it is someone else's."""
        mine = [queued for queued in self._runs if queued.run.path == run and queued.owner == owner]
        return mine[-1] if mine else None

    def to_watch(self, owner: str, fits: Callable[[Run], bool] = lambda _: True) -> QueuedRun | None:
        """The owner's run that waits or trains, the one asked for first; else the latest that ended unseen, or None.

        `fits`: whether a run is one that can be shown, being of the model that is open.
        """
        mine = [queued for queued in self._runs if queued.owner == owner and fits(queued.run)]
        going = [queued for queued in mine if not queued.ended]
        unseen = [queued for queued in mine if not queued.told and queued.run.path.is_dir()]
        unseen = [queued for queued in unseen if self.find(queued.run.path, owner) is queued]  # not resumed since
        return next(iter(going or unseen[::-1]), None)

    def ahead(self, queued: QueuedRun) -> int:
        """How many runs come before one that waits."""
        return self._ahead(queued)[0]

    def stop(self, queued: QueuedRun) -> None:
        """End a run after its present step, or before its first; it can be resumed from its last checkpoint."""
        queued.set(stopping=True)

    def watch(self, queued: QueuedRun, every: float = 0.2) -> Iterator[RunUpdate]:
        """What happens to a run from its first event on, at most each `every` seconds, until it has ended.

        Closing it only stops watching; nobody else's run ends with it, and this one after a while unless it is kept.
        """
        events_sent = 0
        while True:
            queued.seen = time.monotonic()
            ended = queued.ended  # before the events, so that none comes after the last look
            new = tuple(queued.events[events_sent:])
            events_sent += len(new)
            yield RunUpdate(queued.state, queued.reason, new, *self._ahead(queued))
            if ended:
                queued.told = True
                return
            again = time.monotonic() + every
            with queued.changed:
                if not queued.ended and len(queued.events) == events_sent:
                    queued.changed.wait(timeout=1.0)
            if not queued.ended:
                time.sleep(max(0.0, again - time.monotonic()))

    def close(self) -> None:
        """Stop everything and wait for it."""
        for queued in self._runs:
            self.stop(queued)
        self._waiting.put(None)
        self._thread.join()
        self.worker.close()

    def _training(self, pipe: DiffusionPipeline, run: Run, events: Generator[EraseEvent, None, None]) -> Training:
        """What was planned, and so found to be possible; where another process trains, that plans it again."""
        return Training(pipe, self._elsewhere(run) if self._elsewhere else events)

    def _check(self, owner: str) -> None:
        """Raise AgeError where the owner has as many runs in line as one person may, or all have too many."""
        mine = sum(queued.owner == owner and not queued.ended for queued in self._runs)
        if mine >= MOST_OPEN:
            raise AgeError(f"{mine} of your runs are waiting or running: let one end, or stop one, first.")
        if sum(not queued.ended for queued in self._runs) >= MOST_IN_LINE:
            raise AgeError(f"{MOST_IN_LINE} runs are waiting for this machine: come back when some have ended.")

    def _add(self, queued: QueuedRun) -> QueuedRun:
        """Put a run at the end."""
        ended = [old for old in self._runs if old.ended]
        for old in ended[:-ERASERS]:
            old.forget_eraser()
        forgotten = set(map(id, ended[: max(len(ended) - REMEMBERED, 0)]))
        self._runs = [old for old in self._runs if id(old) not in forgotten] + [queued]
        self._waiting.put(queued)
        return queued

    def _ahead(self, queued: QueuedRun) -> tuple[int, float]:
        """How many runs come before this one, and how many seconds they may take."""
        before = []
        for other in list(self._runs):
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

    def _serve(self) -> None:
        while (queued := self._waiting.get()) is not None:
            state: State = "failed"
            reason = ""
            try:
                state, reason = self._train(queued)
            except AgeError as error:
                reason = str(error)
            except Exception as error:  # a defect must not end the queue for everybody else
                logging.getLogger(__name__).exception("The run %s broke off.", queued.run.path.name)
                reason = f"{type(error).__name__}: {error}"
            queued.set(state=state, reason=reason, training=None)
            del queued  # else it would stay in memory until the next run

    def _train(self, queued: QueuedRun) -> tuple[State, str]:
        """How it ended, and why, if that was not its person's wish."""
        began = time.monotonic()

        def unwanted() -> bool:
            abandoned = not queued.keep and time.monotonic() - queued.seen > self._patience
            return queued.stopping or abandoned

        if unwanted():
            return "stopped", ""
        queued.set(state="running")
        assert queued.training is not None  # until it has ended
        events, asked, late = queued.training.events, queued.training.asked, False
        # what another process trains is waited for in this thread, so that the device's can draw meanwhile
        run: Callable[..., Any] = (lambda function: function()) if self._elsewhere else self.worker.run
        try:
            while (event := run(lambda: asked.run(next, events, None))) is not None:
                queued.add(event)
                if event.eraser is not None:
                    return "finished", ""
                late = time.monotonic() - began > self.longest_s
                if unwanted() or late:
                    break
        finally:
            run(lambda: asked.run(events.close))
        if queued.run.status == "finished":  # another process was past its last step when it was told to stop
            queued.add(replace(queued.run.events()[-1], eraser=queued.run.eraser()))
            return "finished", ""
        return "stopped", f"A run trains {self.longest_s / 60:g} min at a stretch here." if late else ""
