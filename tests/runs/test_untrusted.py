"""Events and status: one type each, live and on disk, in this version and in earlier ones."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from test_runs import config

from age_core import AgeError, Eraser, Run
from age_core.erasure.events import FILES, EraseEvent, TrainingState
from age_core.runs.config import RunConfig
from age_core.runs.status import RunStatus

OLD = Path(__file__).parent / "e28eaab" / "runs" / "finished"
LIVE = EraseEvent(
    3,
    9,
    concept="dog",
    loss_erase=0.5,
    candidates=("wolf", "東京"),
    logits=(-math.inf, 1.0),
    probabilities=(0.0, 1.0),
    sampled=(0.0, 1.0),
    preview_prompts=("a dog",),
    pictures=("000003-00.png",),
    previews=(Image.new("RGB", (8, 8)),),
    state=TrainingState(3, {}),
    eraser=Eraser({}),
)


def test_an_event_comes_back_from_its_line_without_what_has_files():
    line = LIVE.to_line()
    assert line.endswith("\n") and "Infinity" not in line and "NaN" not in line and "東京" in line
    again = EraseEvent.from_line(line)
    assert again == replace(LIVE, previews=(), state=None, eraser=None)
    assert math.isnan(again.entropy) and again.logits[0] == -math.inf and again.top_targets(1) == [("東京", 1.0)]
    assert again.to_line() == line and not set(json.loads(line)) & set(FILES)
    assert EraseEvent.from_line(EraseEvent(0, 9, "looking").to_line()) == EraseEvent(0, 9, "looking")


def test_lines_of_an_earlier_version():
    lines = (OLD / "events.jsonl").read_bytes().splitlines()
    assert b'"shares"' in lines[-1] and b'"used"' in lines[-1]
    events = Run.open(OLD).events()
    assert len(events) == len(lines) and [event.step for event in events if event.step] == [1, 2, 3, 4]
    assert list(events[-1].probabilities) == json.loads(lines[-1])["shares"]
    assert {picture for event in events for picture in event.pictures} == {
        path.name for path in (OLD / "pictures").iterdir()
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"step": -1}, "which step"),
        ({"loss_erase": "low"}, "'loss_erase' cannot be 'low'"),
        ({"probabilities": [1.0]}, "more or fewer shares"),
        ({"eraser": None}, "a file of its own"),
        ({"mood": "good"}, "no entry 'mood'"),
        ({"candidates": None}, "'candidates' cannot be 'None'"),
    ],
)
def test_lines_that_are_none(change, words):
    with pytest.raises(AgeError if change != {"eraser": None} else ValueError, match=words):
        EraseEvent.from_line(json.dumps(json.loads(LIVE.to_line()) | change))


def test_a_damaged_line_is_explained(tmp_path):
    run = Run.create(tmp_path, config())
    (run.path / "events.jsonl").write_text('{"step": "one", "steps": 3}\n')
    with pytest.raises(AgeError, match="events of the run 'dog-age-001' are damaged: it does not say which step"):
        run.events()


def test_a_status_is_written_as_it_is_read(tmp_path):
    RunStatus(status="stopped", step=3, steps=9).write(tmp_path)
    assert RunStatus.read(tmp_path) == RunStatus(status="stopped", step=3, steps=9)
    for document, words in (
        ({"status": "happy"}, "must say one of finished, stopped, failed"),
        ({"status": "stopped", "step": 1.5}, "steps are no numbers"),
        ({"status": "stopped", "mood": ""}, "no entry 'mood'"),
    ):
        (tmp_path / "status.json").write_text(json.dumps(document))
        with pytest.raises(AgeError, match=f"status.json of the run '{tmp_path.name}' cannot be used: .*{words}"):
            RunStatus.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": "0"}, "config.json of the run 'x' cannot be used: The entry 'seed' cannot be '0'"),
        ({"method": "AGE!"}, "names no method"),
        ({"more": 1}, "written by another version"),
    ],
)
def test_a_config_that_is_none(change, words):
    document = json.loads((OLD / "config.json").read_text())
    assert RunConfig.of(document, "x").options["inner_objective"] == "preserve"  # recorded as "gain"
    with pytest.raises(AgeError, match=words):
        RunConfig.of(document | change, "x")


def test_a_known_identity_is_taken_and_going_on_looks_at_the_weights(tmp_path, monkeypatch):
    from support import QUICK, WORLD, build_tiny_sd

    from age_core import resume_run, start_run
    from age_core.runs import record

    pipe, hashed = build_tiny_sd(tmp_path, "epsilon"), []
    identity = record.model_identity
    monkeypatch.setattr(record, "model_identity", lambda pipe: hashed.append(1) or identity(pipe))
    known = identity(pipe)
    run, events = start_run(pipe, tmp_path / "runs", "random", "dog", WORLD, identity=known, pool=3, **QUICK)
    next(events)
    events.close()
    assert run.config.model_identity == known and not hashed
    pipe.unet.conv_in.bias.data[0] += 1
    with pytest.raises(AgeError, match="another model"):
        resume_run(pipe, run, WORLD)
    assert hashed == [1]
