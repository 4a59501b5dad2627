"""What many tests share: a tiny random Stable Diffusion, the bundled world, and processes that start at once."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing import forkserver
from typing import TYPE_CHECKING
from unittest import mock

import pytest

import age_core as age_core  # before Torch, for what it sets (`age_core.environment`)

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

# the files that take longest, in the order in which workers begin them: the short ones fill up what is left at the end
LONGEST = (
    "test_readme.py",
    "test_emoji_world.py",
    "test_cuda_path.py",
    "test_gpu_check.py",
    "test_layout.py",
    "test_cli.py",
    "test_explorer.py",
    "test_faces.py",
    "test_runs.py",
    "test_closed_form.py",
    "test_parallel.py",
    "test_report.py",
    "test_emoji_training.py",
    "test_methods.py",
    "test_bundles.py",
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
def tiny_epsilon(tmp_path_factory) -> StableDiffusionPipeline:
    """For tests of what is the same whatever a model predicts."""
    from support import build_tiny_sd

    return build_tiny_sd(tmp_path_factory.mktemp("tokenizer"), "epsilon")


@pytest.fixture(scope="session")
def context():
    """Real processes that start with the imports done: those of tests that kill them, and of a Dask cluster."""
    made = multiprocessing.get_context("forkserver")
    # the tests of runs, which import all that their processes do; what is absent is passed over
    made.set_forkserver_preload(["test_bundles", "support", "age_core.study.parallel", "distributed"])
    # Python hands the fork server its import path, which 3.11 does not take: it would then import nothing, and each
    # process torch and diffusers for itself, some four seconds
    with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):
        forkserver.ensure_running()
    return made


@pytest.fixture(scope="session")
def emoji_pipe() -> StableDiffusionPipeline:
    from age_core import load_pipeline

    return load_pipeline("emoji")


@pytest.fixture(scope="session")
def emoji_probe():
    from age_core import load_probe

    return load_probe("emoji")
