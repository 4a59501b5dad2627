"""What the tabs share to answer events: how an event is sent, whom its handler is told of, and errors as messages."""

import html
import inspect
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import gradio as gr

from age_core.serve.registry import Choice
from viz.charts import panels
from viz.tabs.map_data import MapCache, MapData

Updates = dict[Any, Any]  # {component: its new value}
Stream = Iterator[Updates]
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
QUICK: dict[str, Any] = QUIET | {"queue": False, "trigger_mode": "always_last"}  # answers at once
STREAMED: dict[str, Any] = QUIET | {"concurrency_limit": 32}  # takes the model, or lasts
LATEST: dict[str, Any] = STREAMED | {"trigger_mode": "always_last"}  # the same, asked again before it has answered


@dataclass(frozen=True)
class Link:
    """Ties handlers to events of the page, whose components are `ui`."""

    page: gr.Blocks
    ui: SimpleNamespace
    maps: MapCache

    def of_map(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """`handler(data, ui, *values)` as Gradio calls it: with the page's choice of a model in place of both."""
        if inspect.isgeneratorfunction(handler):

            def stream(choice: Choice, *values: Any) -> Stream:
                yield from handler(self.maps.of(choice), self.ui, *values)

            return stream
        return lambda choice, *values: handler(self.maps.of(choice), self.ui, *values)

    def of_all(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """`handler(maps, ui, *values)` as Gradio calls it: with the values alone."""
        return partial(handler, self.maps, self.ui)

    def parts(self, *names: str) -> list[Any]:
        """Several components by name, as the inputs or outputs of an event."""
        return [getattr(self.ui, name) for name in names]

    @property
    def everything(self) -> list[Any]:
        """All components, for what changes the whole page."""
        return [component for component in vars(self.ui).values() if isinstance(component, gr.blocks.Block)]


@dataclass(frozen=True)
class Tab:
    """One tab of the page.

    lay_out(ui, data) makes its components; connect(link) ties its handlers to their events; reset(data, ui, owner) is
    what it shows to that person as soon as another model is open; offered(data): whether the page has it at all.
    """

    title: str
    lay_out: Callable[[SimpleNamespace, MapData], None]
    connect: Callable[[Link], None]
    reset: Callable[[MapData, SimpleNamespace, str], Updates] = lambda *_: {}
    offered: Callable[[MapData], bool] = lambda _: True

    @property
    def name(self) -> str:
        """What it is called in the page's address."""
        return self.title.lower()


def warn(ui: SimpleNamespace, error: Exception) -> Updates:
    """Say what went wrong, where it is seen and where it stays."""
    gr.Warning(html.escape(str(error), quote=False))
    return {ui.messages: panels.message(str(error))}


def unchanged(ui: SimpleNamespace) -> Updates:
    """What a stream sends that has nothing to say: Gradio would empty its outputs if it sent nothing at all."""
    return {ui.messages: gr.skip()}


def settle(since: float | None = None) -> None:
    """Wait between two updates of one event, the first sent now or at `since`: the browser drops one that the next
    overtakes."""
    time.sleep(0.4 if since is None else max(since + 0.4 - time.monotonic(), 0))


def where(concept: str, run: str = "") -> str:
    """The line below the header that says what everything on the page is about."""
    of_run = f" · Run <b>{html.escape(run)}</b>" if run else ""
    data = f'data-concept="{html.escape(concept)}" data-run="{html.escape(run)}"'
    return f'<div class="age where" {data}><span>Concept <b>{html.escape(concept)}</b>{of_run}</span></div>'


def by_region(ui: SimpleNamespace, regions: dict[str, str]) -> Updates:
    """HTML by the names of its regions, as updates of those components."""
    return {getattr(ui, region): value for region, value in regions.items()}


def clear(ui: SimpleNamespace, *names: str) -> Updates:
    """Empty regions by name."""
    return {getattr(ui, name): "" for name in names}
