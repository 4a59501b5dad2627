"""What handlers are given without a browser: components that are their own names, and a map of a tiny random model."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pandas as pd
import pytest
from support import WORLD, build_tiny_sd

from age_core import AgeError, start_run
from age_core.serve.explorer import Explorer
from age_core.serve.library import Library
from age_core.serve.queue import RunQueue
from age_core.serve.registry import Choice
from age_core.serve.stored import SideEffects
from viz.tabs.map_data import MapCache, MapData
from viz.tabs.session import Session

ANN, BEN = "a" * 32, "b" * 32


class Names(SimpleNamespace):
    """Components of a page: each is its own name."""

    def __getattr__(self, name: str) -> str:
        return name


class OneModel:
    """Stands for `OpenModels` where only the tiny one can be opened."""

    def __init__(self, choice: Choice, explorer: Explorer):
        self.choice, self.open = choice, explorer

    def explorer(self, choice: Choice) -> Explorer:
        for _ in self.opening(choice):
            pass
        return self.open

    def has(self, choice: Choice) -> bool:
        return choice == self.choice

    def opening(self, choice: Choice) -> Iterator[str]:
        yield f"Loading the weights of {choice.model}"
        if choice != self.choice:
            raise AgeError(f"{choice.model!r} is no pipeline.")


@pytest.fixture
def ui() -> Names:
    return Names()


@pytest.fixture(autouse=True)
def warnings(monkeypatch) -> list[str]:
    """What pops up on the page."""
    texts: list[str] = []
    monkeypatch.setattr(gr, "Warning", texts.append)
    return texts


@pytest.fixture(scope="session")
def tiny_pipe(tmp_path_factory):
    return build_tiny_sd(tmp_path_factory.mktemp("tokenizer"), "epsilon")


@pytest.fixture(scope="session")
def queue():
    queue = RunQueue()
    yield queue
    queue.close()


@pytest.fixture
def explorer(tiny_pipe, queue, tmp_path) -> Explorer:
    return Explorer(tiny_pipe, None, WORLD, queue, Library(tmp_path / "runs", tmp_path / "shipped", "tiny"), "tiny")


@pytest.fixture
def maps(explorer) -> MapCache:
    return MapCache(OneModel(Choice("tiny", "mine", ""), explorer))


@pytest.fixture
def data(maps) -> MapData:
    """Erasing a dog or a cat was measured: a dog hurts wolves, a cat dogs, and nothing else is beyond the floor."""
    names, clear = WORLD.names, {("dog", "wolf"): 0.5, ("cat", "dog"): 0.3}
    rows = [
        {"erased": a, "affected": b, "delta": clear.get((a, b), 0.02), "low": 0.01, "high": 0.9}
        for a in ("dog", "cat")
        for b in names
    ]
    facts = {"model": "tiny", "method": "uce", "target": "", "seed": 0, "metric": "noise-shift"}
    table = pd.DataFrame(rows).assign(before=1.0, after=lambda rows: 1 - rows["delta"], **facts)
    angles = np.linspace(0, 6, len(names))
    places = pd.DataFrame({"name": names, "x": np.cos(angles), "y": np.sin(angles)})
    return MapData(maps.models, maps.models.choice, WORLD, {"meaning": places}, SideEffects(table))


@pytest.fixture
def session() -> Session:
    return Session(ANN)


@pytest.fixture
def make_run(explorer, tiny_pipe):
    """Makes a finished run of one person, by a closed form."""

    def make(owner: str = ANN, name: str = "", model: str = "tiny", identity: str = ""):
        folder = explorer.library.shipped if owner == "shipped" else explorer.library.folder(owner)
        run, events = start_run(tiny_pipe, folder, "uce", "dog", WORLD, model, name, identity)
        for _ in events:
            pass
        return run

    return make
