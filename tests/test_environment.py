"""What is set before Torch is imported, in every process that begins here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from age_core import environment

ROOT = Path(__file__).parents[1]
# Ends the process as soon as something asks for Torch, and writes down what is set then.
HOOK = """
import os, sys
class Watch:
    def find_spec(self, name, *rest):
        if name == "torch":
            set_now = {key: os.environ.get(key) for key in ("GOMP_SPINCOUNT", "TRANSFORMERS_VERBOSITY")}
            open(os.environ["TOLD"], "w").write(repr(set_now))
            os._exit(0)
sys.meta_path.insert(0, Watch())
import runpy
"""
STARTS = {
    "app": "runpy.run_path('app.py', run_name='app'); import torch",
    "command line": "sys.argv = ['age_core', 'info', 'emoji']; runpy.run_module('age_core', run_name='__main__')",
    "emoji": "import age_core.emoji.training",
    "benchmark": "runpy.run_module('benchmarks.speed.graph', run_name='benchmark'); import torch",
    "worker": "import age_core.study.parallel",
    "tests": "import pytest; pytest.main(['-q', '-p', 'no:cacheprovider', '--collect-only', 'tests/test_files.py'])",
}
OPENMP = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def bare(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OPENMP} | more


@pytest.mark.parametrize("start", STARTS)
def test_every_process_begins_with_it(tmp_path, start):
    told = tmp_path / "told"
    command = [sys.executable, "-c", HOOK + STARTS[start]]
    done = subprocess.run(command, cwd=ROOT, env=bare(TOLD=str(told)), capture_output=True, text=True)
    assert told.exists(), done.stderr + done.stdout
    assert "'GOMP_SPINCOUNT': '1000', 'TRANSFORMERS_VERBOSITY': 'error'" in told.read_text()


def test_workers_have_it_from_the_process_that_starts_them():
    code = "import age_core, joblib, os; print(*joblib.Parallel(2)([joblib.delayed(os.getenv)('GOMP_SPINCOUNT')] * 2))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=bare(), capture_output=True, text=True)
    assert done.stdout.split() == ["1000", "1000"], done.stderr


@pytest.mark.parametrize(
    ("own", "set_then"),
    [
        ({}, {"GOMP_SPINCOUNT": "1000"}),
        ({"GOMP_SPINCOUNT": "5"}, {"GOMP_SPINCOUNT": "5"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
    ],
)
def test_what_a_person_has_set_stays(monkeypatch, own, set_then):
    for name in OPENMP:
        monkeypatch.delenv(name, raising=False)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    environment.prepare()
    assert {name: os.environ[name] for name in OPENMP if name in os.environ} == set_then
