"""What an erasure ends in: its last event, which carries the Eraser."""

from __future__ import annotations

from collections.abc import Iterable

from age_core.erasure.events import EraseEvent
from age_core.errors import RunFailed
from age_core.models.eraser import Eraser


def finished(events: Iterable[EraseEvent]) -> tuple[EraseEvent, Eraser]:
    """The last event of an erasure and the Eraser that it carries. Raises RunFailed where there is none."""
    last = None
    for event in events:
        last = event
    if last is None or last.eraser is None:
        raise RunFailed(f"The erasure ended at step {last.step if last else 0}, before there was an eraser.")
    return last, last.eraser


def last_eraser(events: Iterable[EraseEvent]) -> Eraser:
    """The Eraser that an erasure ends in: `last_eraser(erase_by(...))`. Raises RunFailed where there is none."""
    return finished(events)[1]
