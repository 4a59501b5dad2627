"""A run whose eraser was scaled, and exports at a strength."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from support import QUICK, WORLD
from test_export import dense, edited_pictures, low_rank, pictures, prompt_pairs, value_directions

from age_core import AgeError, Eraser, export_bundle, import_bundle, start_run
from age_core.errors import RunFailed
from age_core.files import read_json
from age_core.measure.strength import AtStrength, Scaling
from age_core.runs.export import NOTE, export_eraser
from age_core.runs.scale import scale_run


def search(strength: float) -> Scaling:
    """One that ended at a strength."""
    return Scaling(95.0, (AtStrength(1.0, 90.0, 80.0, 95.0), AtStrength(strength, 97.0, 83.0, 99.0)))


@pytest.fixture
def finished(tiny_epsilon, tmp_path):
    run, events = start_run(tiny_epsilon, tmp_path, "random", "dog", WORLD, "tiny", pool=3, **QUICK)
    list(events)
    return run


def test_the_run_keeps_the_scaled_eraser_and_says_so(finished, tmp_path):
    before, events = finished.eraser(), finished.events()
    path = scale_run(finished, search(1.25))
    after = Eraser.load(path)
    assert after.info["strength"] == 1.25 and before.delta
    assert all(torch.equal(change, 1.25 * before.delta[name]) for name, change in after.delta.items())
    *others, last = finished.events()
    assert [event.step for event in others] + [last.step] == [event.step for event in events]
    assert last.note == "scaled for ESR-1 95: ESR-1 97.0 (83.0 to 99.0) at strength 1.25"
    assert last.candidates == events[-1].candidates and last.logits == events[-1].logits
    assert not any(event.note for event in others if event.step) and finished.status == "finished"
    bundle = export_bundle(finished, tmp_path / "dog.zip")  # it can still be sent and taken in
    taken_in = import_bundle(bundle, tmp_path / "others")
    assert taken_in.eraser().strength == 1.25 and taken_in.events()[-1].note == last.note


def test_at_strength_1_the_file_stays_and_the_record_says_why(finished):
    before = (finished.path / "eraser.safetensors").read_bytes()
    scale_run(finished, Scaling(95.0, (AtStrength(1.0, 90.0, 80.0, 95.0), AtStrength(1.5, 91.0, 80.0, 95.0))))
    assert (finished.path / "eraser.safetensors").read_bytes() == before
    assert finished.events()[-1].note.startswith("left as it was made, since ESR-1 95 is not reached")


def test_a_failed_write_leaves_the_eraser_as_it_was_made(finished, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    before, lines = (finished.path / "eraser.safetensors").read_bytes(), (finished.path / "events.jsonl").read_bytes()
    monkeypatch.setattr("age_core.models.eraser.save_file", full)
    with pytest.raises(RunFailed, match="the disk is full"):
        scale_run(finished, search(0.5))
    assert (finished.path / "eraser.safetensors").read_bytes() == before
    assert (finished.path / "events.jsonl").read_bytes() == lines and finished.status == "finished"


@pytest.mark.parametrize(
    ("make", "kind"),
    [(dense, "pipeline"), (low_rank, "lora"), (dense, "delta"), (value_directions, "delta"), (prompt_pairs, "delta")],
)
def test_an_export_at_a_strength_draws_as_the_scaled_eraser_does(tiny_epsilon, tmp_path, make, kind):
    made = make(tiny_epsilon)
    half = made.scaled(0.5)
    done = export_eraser(tiny_epsilon, half, tmp_path / "half.safetensors", kind)
    wanted, whole = edited_pictures(tiny_epsilon, half), edited_pictures(tiny_epsilon, made)
    assert np.abs(wanted - whole).mean() > 0.1
    if kind == "delta":
        written = Eraser.load(done.path)
        assert written.info["strength"] == 0.5 * made.strength
        assert np.array_equal(edited_pictures(tiny_epsilon, written), wanted)
        return
    assert read_json(done.path / NOTE)["eraser"]["strength"] == 0.5
    if kind == "pipeline":
        opened = DiffusionPipeline.from_pretrained(done.path)
        opened.set_progress_bar_config(disable=True)
    else:
        opened = copy.deepcopy(tiny_epsilon)
        opened.load_lora_weights(done.path)
    assert np.abs(pictures(opened) - wanted).mean() < 0.05


@pytest.mark.parametrize("kind", ["pipeline", "delta", "lora"])
def test_nothing_is_exported_of_an_eraser_that_changes_nothing(tiny_epsilon, tmp_path, kind):
    with pytest.raises(AgeError, match="At strength 0 an eraser changes nothing"):
        export_eraser(tiny_epsilon, low_rank(tiny_epsilon).scaled(0), tmp_path / "x", kind)
    assert not list(tmp_path.iterdir())
