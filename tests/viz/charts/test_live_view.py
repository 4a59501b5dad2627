"""What is redrawn while a run goes on, and a run seen again, on events whose answer is plain."""

from __future__ import annotations

import json
from types import SimpleNamespace

from PIL import Image

from age_core.erasure.events import EraseEvent
from viz.charts import panels
from viz.charts.live_view import LiveView, Recording

RED, BLUE = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")


def event(step, probabilities=(0.7, 0.3), **more):
    fields = {
        "step": step,
        "steps": 4,
        "note": "",
        "concept": "dog",
        "candidates": ("wolf", "<b>cat"),
        "probabilities": probabilities,
        "sampled": (1.0, 0.0),
        "logits": (1.0, 0.2),
        "loss_erase": 0.1 / (step or 1),
        "loss_preserve": 0.01,
        "elapsed_s": 1.0,
        "remaining_s": 3.0,
        "previews": (),
        "preview_prompts": (),
        "eraser": None,
    }
    return SimpleNamespace(**(fields | more))


def record(step, **more):
    """The same event, read back from the line of a run folder."""
    values = {key: value for key, value in vars(event(step, **more)).items() if key not in ("previews", "eraser")}
    return EraseEvent.from_line(json.dumps(values))


def test_every_event_counts_for_the_curves_and_the_last_one_is_shown(monkeypatch):
    clock = iter(range(0, 100, 10))
    monkeypatch.setattr("viz.charts.live_view.time.monotonic", lambda: next(clock))
    view = LiveView("dog")
    first = view.update([event(0, note="looking ahead: 3 of 30")])
    assert "looking ahead: 3 of 30" in first["status"] and "live_loss" not in first
    out = view.update(
        [event(1), event(2), event(3, probabilities=(0.9, 0.1), previews=(RED,), preview_prompts=("a dog",))]
    )
    assert "step 3 of 4" in out["status"] and len(view.erase) == 3
    assert out["live_previews"].count("<img") == 1 and "at step 3" in out["live_previews"]
    assert "90.0%" in out["live_targets"] and "&lt;b&gt;cat" in out["live_targets"] and "<b>cat" not in str(out)
    assert view.update([]) == {}
    monkeypatch.setattr("viz.charts.live_view.time.monotonic", lambda: 10.1)
    assert "status" not in view.update([event(4)])  # too soon
    done = view.update([event(4, eraser=object())])
    assert "Done: dog was erased in 4 steps" in done["status"] and "live_loss" in done
    assert json.loads(view.lit(event(4, probabilities=(0.995, 0.005)))) == {"wolf": 0.995}


def test_a_recording_is_seen_as_it_stood_at_each_step():
    pictures = {"a.png": RED, "b.png": BLUE}
    records = [record(0), record(1), record(2, probabilities=[0.2, 0.8], pictures=["a.png"], preview_prompts=["a dog"])]
    records += [
        record(3),
        record(4, probabilities=[None, 1.0], pictures=["b.png", "gone.png"], preview_prompts=["x", "y"]),
    ]
    run = Recording("dog", records, pictures)
    assert run.steps == 4
    early, middle, late = run.at(1), run.at(3), run.at(4)
    assert "live_previews" not in early and "step 1 of 4" in early["status"] and "wolf 70%" in early["status"]
    assert middle["live_previews"] == panels.previews([RED], ["a dog"], 2)
    assert late["live_previews"].count("<img") == 1 and "cat 100%" in late["status"]
    assert late["live_loss"].count(",") > early["live_loss"].count(",")
    assert run.film().count("<img") == 2
    assert Recording("dog", [record(0)], {}).at(1) == {}
