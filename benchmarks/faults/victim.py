"""The run that `kill` kills: begun, or gone on with, in a process that was forked with the imports done."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from age_core import load_pipeline
from age_core.runs.record import resume_run, start_run
from age_core.runs.run import list_runs
from benchmarks.tiny import QUICK, WORLD

# of the weights (dtype), and options (precision of the arithmetic)
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "float32": ("float32", {}),
    "bfloat16": ("bfloat16", {}),
    "float16": ("float16", {}),
    "float32, steps in bfloat16": ("float32", {"precision": "bfloat16"}),
}
BUDGET: dict[str, Any] = QUICK | {"steps": 6, "checkpoint_every": 2, "preview_every": 3, "grid": 20, "pool": 4}
NAME = "killed"


def carry_on(model: Path, runs: Path, kind: str) -> None:
    """Start the run, or go on with the one that is there, to its end."""
    torch.set_num_threads(1)
    dtype, options = FORMATS[kind]
    pipe = load_pipeline(model, dtype=dtype)
    begun = list_runs(runs)
    if begun:
        events = resume_run(pipe, begun[0], WORLD)
    else:
        _, events = start_run(pipe, runs, "age", "dog", WORLD, "tiny", NAME, **BUDGET, **options)
    for _ in events:
        pass


def forked(model: Path, runs: Path, kind: str) -> BaseProcess:
    """A process that carries the run on: forked from a server that has imported everything and computed nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    # Python hands the server its import path, which 3.11 does not take: each process would then import for itself
    with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):
        forkserver.ensure_running()
    process = context.Process(target=carry_on, args=(model, runs, kind))
    process.start()
    return process
