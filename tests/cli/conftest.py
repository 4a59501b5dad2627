"""What several tests of the command line start from."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> str:
    """The folder of a tiny random Stable Diffusion, which nobody changes."""
    from support import build_tiny_sd

    folder = tmp_path_factory.mktemp("tiny")
    build_tiny_sd(folder, "epsilon").save_pretrained(folder / "sd")
    return str(folder / "sd")
