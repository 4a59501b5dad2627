"""Models that many tests share: a tiny random Stable Diffusion, and the bundled world."""

from __future__ import annotations

import pytest
from diffusers import StableDiffusionPipeline
from support import build_tiny_sd


@pytest.fixture(scope="session", params=["epsilon", "v_prediction"])
def tiny_sd(request, tmp_path_factory) -> StableDiffusionPipeline:
    return build_tiny_sd(tmp_path_factory.mktemp("tokenizer"), request.param)


@pytest.fixture(scope="session")
def emoji_pipe() -> StableDiffusionPipeline:
    from age_core import load_pipeline

    return load_pipeline("emoji")


@pytest.fixture(scope="session")
def emoji_probe():
    from age_core import load_probe

    return load_probe("emoji")
