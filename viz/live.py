"""What to redraw while a run goes on, and how often, so that the browser keeps up."""

import time
from typing import Any

from viz import figures, panels

EVERY_S, LOSS_EVERY_S = 0.2, 1.0  # shortest time between two drawings


class LiveView:
    """Turns the events of one run into HTML by region; regions that are not due are left out."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.erase: list[float] = []
        self.preserve: list[float] = []
        self.drawn = self.loss_drawn = 0.0

    def update(self, event: Any) -> dict[str, str]:
        last, now, out = event.eraser is not None, time.monotonic(), {}
        if event.step:
            self.erase.append(event.loss_erase)
            self.preserve.append(event.loss_preserve)
        if now - self.drawn >= EVERY_S or last or not event.step:
            self.drawn = now
            out["status"] = panels.status(self.describe(event), event.step, event.steps)
            title = f"What {self.name} is mapped to"
            out["live_targets"] = figures.target_bars(event.candidates, event.shares, event.used, title)
        if event.step and (now - self.loss_drawn >= LOSS_EVERY_S or last):
            self.loss_drawn = now
            out["live_loss"] = figures.loss_curve(self.erase, self.preserve, event.steps)
        if event.previews:
            out["live_previews"] = panels.previews(event.previews, event.preview_prompts, event.step)
        return out

    def describe(self, event: Any) -> str:
        if event.eraser is not None:
            return f"Done: {self.name} was erased in {event.steps} steps ({_duration(event.elapsed_s)})."
        if not event.step:
            return f"Getting ready: {event.note} …"
        return f"Erasing {self.name}: step {event.step} of {event.steps}, about {_duration(event.remaining_s)} left."


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
