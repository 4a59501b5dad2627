"""Models that many tests share: a tiny random Stable Diffusion, and the bundled world."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import age_core as age_core  # before Torch, for what it sets (`age_core.environment`)

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

# the files that take longest, in the order in which workers begin them: the short ones fill up what is left at the end
LONGEST = (
    "test_emoji_world.py",
    "test_explorer.py",
    "test_closed_form.py",
    "test_cli.py",
    "test_report.py",
    "test_parallel.py",
    "test_emoji_training.py",
    "test_runs.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session", params=["epsilon", "v_prediction"])
def tiny_sd(request, tmp_path_factory) -> StableDiffusionPipeline:
    from support import build_tiny_sd

    return build_tiny_sd(tmp_path_factory.mktemp("tokenizer"), request.param)


@pytest.fixture(scope="session")
def emoji_pipe() -> StableDiffusionPipeline:
    from age_core import load_pipeline

    return load_pipeline("emoji")


@pytest.fixture(scope="session")
def emoji_probe():
    from age_core import load_probe

    return load_probe("emoji")
