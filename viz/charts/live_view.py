"""What to redraw while a run goes on, and how often, so that the browser keeps up; and a finished run, step by step."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from PIL import Image

from viz.charts import live_charts, panels
from viz.components.html_parts import Markup

Picture = Callable[[str], Markup | None]
EVERY_S, LOSS_EVERY_S = 0.2, 1.0  # shortest time between two drawings


class Event(Protocol):
    """What the views read of a step, whether it happens or was recorded."""

    @property
    def step(self) -> int: ...  # 0 while preparing
    @property
    def steps(self) -> int: ...
    @property
    def note(self) -> str: ...
    @property
    def concept(self) -> str: ...
    @property
    def loss_erase(self) -> float: ...
    @property
    def loss_preserve(self) -> float: ...
    @property
    def candidates(self) -> Sequence[str]: ...
    @property
    def logits(self) -> Sequence[float]: ...
    @property
    def probabilities(self) -> Sequence[float]: ...
    @property
    def sampled(self) -> Sequence[float]: ...
    @property
    def elapsed_s(self) -> float: ...
    @property
    def remaining_s(self) -> float: ...
    @property
    def preview_concepts(self) -> Sequence[str]: ...  # what the previews are of; none in runs of earlier versions
    @property
    def preview_prompts(self) -> Sequence[str]: ...
    @property
    def previews(self) -> Sequence[Image.Image]: ...
    @property
    def pictures(self) -> Sequence[str]: ...  # names of the previews
    @property
    def eraser(self) -> Any: ...

    def top_targets(self, k: int) -> Sequence[tuple[str, float]]: ...


class LiveView:
    """Turns the events of one run into HTML by region; regions that are not due are left out."""

    def __init__(self, name: str, picture: Picture = lambda _: None) -> None:
        """`picture`: what the original model draws of a candidate."""
        self.name, self.picture = name, picture
        self.erase: list[float] = []
        self.preserve: list[float] = []
        # by concept: with several, each has its own candidates
        self.probabilities: dict[str, list[Sequence[float]]] = {}
        self.drawn = self.slow_drawn = 0.0

    def update(self, events: Sequence[Event]) -> dict[str, str]:
        """What the latest of some new events change; none is lost for the curves."""
        if not events:
            return {}
        event, now = events[-1], time.monotonic()
        out: dict[str, str] = {}
        for one in events:
            self._keep(one)
        last = event.eraser is not None
        if now - self.drawn >= EVERY_S or last or not event.step:
            self.drawn = now
            out["status"] = panels.status(self.describe(event), event.step, event.steps)
            out["live_targets"] = self._targets(event)
        if event.step and (now - self.slow_drawn >= LOSS_EVERY_S or last):
            self.slow_drawn = now
            out |= self._curves(event)
        shown = [one for one in events if one.previews]
        if shown:
            out["live_previews"] = panels.previews(shown[-1].previews, shown[-1].preview_prompts, shown[-1].step)
        return out

    def _keep(self, event: Event) -> None:
        if event.step:
            self.erase.append(event.loss_erase)
            self.preserve.append(event.loss_preserve)
            if len(event.probabilities) == len(event.candidates):
                self.probabilities.setdefault(event.concept, []).append(event.probabilities)

    def _targets(self, event: Event) -> str:
        title = f"What {event.concept or self.name} is mapped to"
        weights = (event.candidates, event.probabilities, event.sampled, title, event.logits)
        return live_charts.target_bars(*weights, self.picture)

    def _curves(self, event: Event) -> dict[str, str]:
        history = self.probabilities.get(event.concept, [])
        of_all = event.steps if len(self.probabilities) < 2 else len(history)
        return {
            "live_loss": live_charts.loss_curve(self.erase, self.preserve, event.steps),
            "live_history": live_charts.share_history(event.candidates, history, of_all),
        }

    def lit(self, event: Event) -> str:
        """The candidates that light up on the map, with their shares, as JSON."""
        pairs = zip(event.candidates, event.probabilities, strict=False)
        return json.dumps({name: round(share, 4) for name, share in pairs if name and share >= 0.01})

    def describe(self, event: Event) -> str:
        if event.eraser is not None:
            return f"Done: {self.name} was erased in {event.steps} steps ({duration(event.elapsed_s)})."
        if not event.step:
            return f"Getting ready: {event.note} …"
        note = f" {event.note}." if event.note else ""
        place = f"step {event.step} of {event.steps}, about {duration(event.remaining_s)} left"
        return f"Erasing {self.name}: {place}.{note}"


class Recording:
    """A run that is over, to be seen again at any of its steps."""

    def __init__(
        self,
        name: str,
        events: Sequence[Event],
        pictures: Mapping[str, Image.Image],
        picture: Picture = lambda _: None,
    ) -> None:
        """`events`: from memory or read back, from the first on; `pictures`: the previews by the names in them;
        `picture`: what the original model draws of a candidate."""
        self.name, self.picture = name, picture
        self.pictures = pictures
        self.events = [event for event in events if event.step]

    @property
    def steps(self) -> int:
        return len(self.events)

    def at(self, step: int) -> dict[str, str]:
        """Every region as it stood after `step` steps (1 is the first)."""
        if not self.events:
            return {}
        view, until = LiveView(self.name, self.picture), self.events[: max(1, step)]
        for event in until:
            view._keep(event)
        event = until[-1]
        out = {"live_targets": view._targets(event), **view._curves(event)}
        shown = next((one for one in reversed(until) if one.pictures), None)
        if shown:
            images = [self.pictures[name] for name in shown.pictures if name in self.pictures]
            out["live_previews"] = panels.previews(images, shown.preview_prompts[: len(images)], shown.step)
        where = f"Recorded: {self.name}, step {event.step} of {event.steps}"
        words = ", ".join(f"{n or '(empty prompt)'} {s:.0%}" for n, s in event.top_targets(3))
        note = ""
        if event.note:  # on the last step how the eraser was scaled, before what was left then
            note = f" Its eraser was {event.note}." if event is self.events[-1] else f" {event.note}."
        text = f"{where}. Heaviest: {words or 'one fixed word'}.{note}"
        out["status"] = panels.status(text, event.step, event.steps)
        return out

    @property
    def stages(self) -> dict[int, Image.Image]:
        """The first preview of each step that has any: the erased concept, from one seed."""
        drawn = [event for event in self.events if event.pictures and event.pictures[0] in self.pictures]
        return {event.step: self.pictures[event.pictures[0]] for event in drawn}

    def film(self) -> str:
        return panels.film(list(self.stages.items()), self.name)


def duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
