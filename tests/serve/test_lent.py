"""Runs that another process trains, forked for it, as on a Space that lends its graphics cards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# In a process of its own, as forking copies whatever else this one has open.
VISIT = """
import hashlib, json, os, sys, time
from contextlib import closing
from pathlib import Path
import torch
from age_core import AgeError
from age_core.models.identity import weights_hash
from age_core.runs.record import resume_run, start_run
from age_core.serve import lent
from age_core.serve.registry import Choice, OpenModels, devices

torch.cuda.is_available()  # which a fork must not mind
folder, found = Path(sys.argv[1]), {"devices": devices(), "pid": os.getpid()}
models = OpenModels(folder / "runs", others=False)
explorer = models.explorer(Choice())
before = weights_hash(explorer.pipe.unet)
few = {"samples": 2, "candidate_samples": 1, "sample_steps": 2, "batch": 2, "preview_every": 0}
options = {"preset": "fast", "steps": 5, "seed": 0, **few}

def ask():
    return explorer.start("a" * 32, "dog", "empty", True, **options)

def weights(eraser):
    return hashlib.sha256(b"".join(eraser.delta[name].numpy().tobytes() for name in sorted(eraser.delta))).hexdigest()

def watch(queued, stop=None):
    for update in explorer.queue.watch(queued, every=0.01):
        for event in update.events:
            if event.step == stop:
                explorer.queue.stop(queued)
    found["reason"] = update.reason
    return update.state

whole = ask()
explorer.pictures("cat", 1)  # the device's own thread is free meanwhile
found["whole"] = watch(whole), weights(whole.events[-1].eraser), weights(whole.run.eraser())
found["steps"] = [event.step for event in whole.events if event.step]
found["place"] = type(whole.run).open(whole.run.path).config.machine

halves = ask()
found["stopped"] = watch(halves, stop=1), halves.run.status
again = explorer.resume("a" * 32, halves.run, keep=True)
found["resumed"] = watch(again), weights(again.run.eraser())
found["alike"] = weights_hash(explorer.pipe.unet) == before

run, events = start_run(explorer.pipe, folder / "here", "empty", "dog", explorer.concepts, "emoji", **options)
with closing(events):
    found["here"] = weights(list(events)[-1].eraser)

try:
    list(lent.trainer()(whole.run))  # what is wrong with it is found over there
except AgeError as error:
    found["broken"] = str(error)
os.rename(os.environ["LENT"], os.environ["LENT"] + ".used")
other = ask()
found["unlent"] = watch(other), found["reason"]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("lent")
    (folder / "notes").touch()
    path = os.pathsep.join((str(Path(__file__).with_name("lending")), str(ROOT)))
    lending = {"SPACES_ZERO_GPU": "true", "SPACE_ID": "a/b", "LENT": str(folder / "notes"), "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", VISIT, str(folder)],
        capture_output=True,
        text=True,
        env=os.environ | lending,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    notes = [json.loads(line) for line in (folder / "notes.used").read_text().splitlines()]
    return json.loads(done.stdout.splitlines()[-1]) | {"notes": notes}


def test_each_run_is_trained_by_a_process_of_its_own_to_the_bits_of_any_other(visited):
    state, of_event, of_folder = visited["whole"]
    assert state == "finished" and of_event == of_folder == visited["here"] and visited["steps"] == [1, 2, 3, 4, 5]
    assert visited["alike"], "the app's own model is as it was"
    pids = [note["pid"] for note in visited["notes"]]
    assert len(set(pids)) == len(pids) == 4 and visited["pid"] not in pids
    assert {note["seconds"] for note in visited["notes"]} == {45}  # 40 to begin with and one a step
    assert visited["devices"] == ["cpu"] and visited["place"]["device"] == "cpu"  # a card, where there is one


def test_a_run_that_was_stopped_goes_on_in_another_process_to_the_same_bits(visited):
    assert visited["stopped"] == ["stopped", "stopped"]
    assert visited["resumed"] == ["finished", visited["whole"][1]]


def test_what_goes_wrong_there_or_is_refused_comes_through_in_a_sentence(visited):
    state, reason = visited["unlent"]
    assert visited["broken"] == "The run 'dog-empty-001' is finished: start a new one."
    assert state == "failed" and "exceeded your GPU quota" in reason and reason.startswith("This Space lent no")
