"""What the tabs share to answer events: how an event is sent, whom its handler is told of, and errors as messages."""

import copy
import functools
import html
import inspect
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import gradio as gr

from age_core import AgeError
from age_core.serve.registry import Choice
from viz.charts import panels
from viz.tabs.map_data import MapCache, MapData

Updates = dict[Any, Any]  # {component: its new value}
Stream = Iterator[Updates]
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
QUICK: dict[str, Any] = QUIET | {"queue": False, "trigger_mode": "always_last"}  # answers at once
STREAMED: dict[str, Any] = QUIET | {"concurrency_limit": 32}  # takes the model, or lasts
LATEST: dict[str, Any] = STREAMED | {"trigger_mode": "always_last"}  # the same, asked again before it has answered


class Handler:
    """`answer(known, ui, *values)`, which changes components, and raises nothing.

    Whatever goes wrong is said in one sentence (see `warn`), and the regions named in `idle` show what is given for
    them: nothing is left that seems to go on. A stream that is closed ends like any other.
    """

    def __init__(self, answer: Callable[..., Any], idle: Updates):
        functools.update_wrapper(self, answer)
        self._answer, self._idle, self.streams = answer, idle, inspect.isgeneratorfunction(answer)

    def __call__(self, known: Any, ui: SimpleNamespace, *values: Any, **more: Any) -> Any:
        return self.of(lambda: known, ui, *values, **more)

    def of(self, find: Callable[[], Any], ui: SimpleNamespace, *values: Any, **more: Any) -> Any:
        """The same where what is known must be found first, which may go wrong as well."""
        if self.streams:
            return self._stream(find, ui, *values, **more)
        try:
            return self._answer(find(), ui, *values, **more)
        except Exception as error:
            return self._failed(ui, error)

    def _stream(self, find: Callable[[], Any], ui: SimpleNamespace, *values: Any, **more: Any) -> Stream:
        try:
            yield from self._answer(find(), ui, *values, **more)
        except Exception as error:
            yield self._failed(ui, error)

    def _failed(self, ui: SimpleNamespace, error: Exception) -> Updates:
        # Gradio changes the dictionaries that it is given
        return {getattr(ui, region): copy.copy(value) for region, value in self._idle.items()} | warn(ui, error)


def answers(**idle: Any) -> Callable[[Callable[..., Any]], Handler]:
    """Make a handler of the function below: `idle` as `Handler` has it, by the names of the regions."""
    return lambda answer: Handler(answer, idle)


@dataclass(frozen=True)
class Link:
    """Ties handlers to events of the page, whose components are `ui`."""

    page: gr.Blocks
    ui: SimpleNamespace
    maps: MapCache

    def on(
        self,
        event: Callable[..., gr.events.Dependency],
        handler: Handler,
        inputs: Iterable[str],
        outputs: Iterable[str],
        how: dict[str, Any],
        known: Callable[[Choice], Any] | None = None,
    ) -> gr.events.Dependency:
        """Have an event answered by `handler(data, ui, *values)`: all of the page is tied by this.

        inputs: the components whose values it is told. outputs: those it may change, beside the messages. known: what
        it is given for `data` at the page's choice of a model, which is the map of that unless said otherwise.
        """
        known = known or self.maps.of

        def answer(choice: Choice, *values: Any) -> Any:
            return handler.of(lambda: known(choice), self.ui, *values)

        def stream(choice: Choice, *values: Any) -> Stream:
            yield from answer(choice, *values)

        changed = self.parts(*dict.fromkeys((*outputs, "messages")))
        return event(stream if handler.streams else answer, self.parts("choice", *inputs), changed, **how)

    def parts(self, *names: str) -> list[Any]:
        """Several components by name, as the inputs or outputs of an event."""
        return [getattr(self.ui, name) for name in names]

    @property
    def everything(self) -> list[str]:
        """The names of all components, for what changes the whole page."""
        return [name for name, component in vars(self.ui).items() if isinstance(component, gr.blocks.Block)]


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
    """Say what went wrong, where it is seen and where it stays; what is no person's mistake is logged as well."""
    text = str(error)
    if not isinstance(error, AgeError):
        logging.getLogger(__name__).error("A handler of the page failed.", exc_info=error)
        text = f"This did not work: {reason(error)}. The explorer's log says more; try again, or reload the page."
    gr.Warning(html.escape(text, quote=False))
    return {ui.messages: panels.message(text)}


def reason(error: Exception) -> str:
    """Why something failed, for people who may be strangers: without paths of this machine."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__:
        return "the memory is full"
    return f"it ended in a {type(error).__name__}"


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


def concept_in(line: str) -> str:
    """The concept that a line of `where` is about."""
    match = re.search('data-concept="([^"]*)"', line or "")
    return html.unescape(match[1]) if match else ""


def by_region(ui: SimpleNamespace, regions: dict[str, str]) -> Updates:
    """HTML by the names of its regions, as updates of those components."""
    return {getattr(ui, region): value for region, value in regions.items()}


def clear(ui: SimpleNamespace, *names: str) -> Updates:
    """Empty regions by name."""
    return {getattr(ui, name): "" for name in names}
