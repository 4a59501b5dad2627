"""Processes for tests that kill them."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing import forkserver
from unittest import mock

import pytest


@pytest.fixture(scope="session")
def context():
    """Real processes that start with the imports done."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["test_bundles"])  # which imports all that the processes of both files do
    # Python hands the fork server its import path, which 3.11 does not take: it would then import nothing, and each
    # process torch and diffusers for itself, some four seconds
    with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):
        forkserver.ensure_running()
    return made
