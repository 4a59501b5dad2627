"""What a program may ask of the page's server, by `gradio_client` or as tools of a language model (MCP).

Each is named, typed and described by what stands here; all other events of the page are private.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.data_classes import FileData

from age_core import AgeError
from age_core.serve.registry import Choice
from viz.components.served import new_place
from viz.tabs.events import reason
from viz.tabs.map_data import MapCache

if TYPE_CHECKING:
    from age_core.serve.api import Api

AT_ONCE = 4  # requests of one kind; what takes the model has its turn on the device anyway


def offer(maps: MapCache) -> None:
    """Make the requests below part of the page that is being built."""
    requests = Requests(maps)
    for request in (
        requests.concepts,
        requests.methods,
        requests.victims,
        requests.start,
        requests.poll,
        requests.stop,
        requests.pairs,
        requests.measure,
        requests.file,
    ):
        gr.api(in_one_sentence(request), api_name=request.__name__, concurrency_limit=AT_ONCE)


def in_one_sentence(request: Callable[..., Any]) -> Callable[..., Any]:
    """A request whose faults are told as such: those of a person as they are, others without paths, and logged."""

    @functools.wraps(request)
    def answer(*values: Any, **named: Any) -> Any:
        try:
            return request(*values, **named)
        except AgeError as error:
            raise gr.Error(str(error), print_exception=False) from error
        except Exception as error:
            logging.getLogger(__name__).error("A request of a program failed.", exc_info=error)
            text = f"This did not work: {reason(error)}. The explorer's log says more."
            raise gr.Error(text, print_exception=False) from error

    return answer


class Requests:
    """The requests, of the bundled model."""

    def __init__(self, maps: MapCache) -> None:
        self._maps = maps

    @functools.cached_property
    def _api(self) -> Api:
        choice = Choice()
        self._maps.models.explorer(choice)  # which imports Torch, alone; two imports at once trip over each other
        from age_core.serve.api import Api

        return Api(lambda: self._maps.models.explorer(choice), lambda: self._maps.of(choice).world, new_place)

    def concepts(self) -> list[dict]:
        """List the concepts that can be erased: name, group, general word and synonyms of each."""
        return self._api.concepts()

    def methods(self) -> list[dict]:
        """List the methods of erasing: name, label, what it does, whether it trains (else a closed form that takes
        seconds), and under which name its erasures are recorded for `victims`, if they are."""
        return self._api.methods()

    def victims(self, concept: str, method: str = "esd", most: int = 20) -> list[dict]:
        """Tell whom the recorded erasure of a concept hurt: moved visibly, or no longer recognised; the worst first.

        Args:
            concept: a name or synonym of `concepts`.
            method: what `methods` calls `recorded`.
            most: how many to tell.
        """
        return self._api.victims(concept, method, most)

    def start(
        self,
        concept: str,
        method: str = "age",
        preset: str = "balanced",
        target: str = "",
        seed: int = 0,
        token: str = "",
    ) -> dict:
        """Begin to erase a concept from the bundled model; the answer names the run and the token that it belongs to.

        Args:
            concept: a name or synonym of `concepts`.
            method: a name of `methods`.
            preset: "fast", "balanced" or "thorough".
            target: the word to map it onto, for methods with a fixed one; blank: the method's own.
            seed: of the training.
            token: of earlier runs of yours, to keep them together; blank: a new one.
        """
        return self._api.start(concept, method, preset, target, seed, token)

    def poll(self, run: str, token: str) -> dict:
        """Tell where a run stands: its state, step, losses and the likeliest targets.

        Args:
            run: its name, as `start` told it.
            token: as `start` told it.
        """
        return self._api.poll(run, token)

    def stop(self, run: str, token: str) -> dict:
        """End a run after its present step; it stays, and can be resumed in the page.

        Args:
            run: its name, as `start` told it.
            token: as `start` told it.
        """
        return self._api.stop(run, token)

    def pairs(self, run: str, token: str, concepts: list[str], seed: int = 0, strength: float = 1.0) -> list[dict]:
        """Draw pictures by the original and by the edited model, on the same seeds.

        Args:
            run: the name of a finished run.
            token: as `start` told it.
            concepts: up to 8 names of concepts, or prompts of your own.
            seed: of the first picture.
            strength: how many times the erasure; 1 as it was made.
        """
        drawn = self._api.pairs(run, token, concepts, seed, strength)
        return [pair | {side: _served(pair[side]) for side in ("original", "edited")} for pair in drawn]

    def measure(self, run: str, token: str, nearest: int = 24, strength: float = 1.0) -> list[dict]:
        """Measure how far a picture of the erased concept and of those nearest to it moved, and whether a probe still
        recognises it.

        Args:
            run: the name of a finished run.
            token: as `start` told it.
            nearest: how many concepts, 1 to 64.
            strength: how many times the erasure; 1 as it was made.
        """
        return self._api.measure(run, token, nearest, strength)

    def file(self, run: str, token: str, kind: str = "bundle") -> FileData:
        """Fetch a finished run as a file.

        Args:
            run: its name.
            token: as `start` told it.
            kind: "bundle", "delta", "lora", "whole", "pipeline" or "single-file" (docs/formats.md, "Export").
        """
        return _served(self._api.file(run, token, kind))


def _served(path: str) -> Any:
    """A file as a client takes it."""
    return FileData(path=path, orig_name=Path(path).name).model_dump()
