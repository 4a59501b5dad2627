"""What several tests of the command line start from."""

from __future__ import annotations

from functools import partial

import pytest


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> str:
    """The folder of a tiny random Stable Diffusion, which nobody changes."""
    from support import build_tiny_sd

    folder = tmp_path_factory.mktemp("tiny")
    build_tiny_sd(folder, "epsilon").save_pretrained(folder / "sd")
    return str(folder / "sd")


@pytest.fixture
def few_pictures(monkeypatch):
    """`evaluate` draws two pictures of an erased concept: for the names of its rows, and whether they differ."""
    from age_core.measure.evaluation import evaluate

    monkeypatch.setattr("age_core.cli.evaluate.evaluate", partial(evaluate, erased_images=2))
