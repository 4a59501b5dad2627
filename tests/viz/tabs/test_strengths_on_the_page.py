"""Strengths on the page: what Compare draws and measures is of those that its sliders show, and a run says its own."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
import torch

from age_core import Eraser
from age_core.measure.strength import AtStrength, Scaling
from age_core.runs.scale import scale_run
from age_core.serve import comparison
from age_core.serve.explorer import Explorer
from viz.tabs import compare as tab
from viz.tabs.live import recording_of
from viz.tabs.session import EditedModel


@pytest.fixture
def edited(data, session):
    """A session with two edited models to choose."""
    weights = dict(data.explorer.pipe.unet.named_parameters())
    name = next(name for name in weights if name.endswith("attn2.to_v.weight"))
    noise = torch.randn(weights[name].shape, generator=torch.Generator().manual_seed(0))
    for title in ("one", "two"):
        session.edited[title] = EditedModel(("dog",), Eraser({name: noise}, {"concept": "dog"}))
    return session


def test_pictures_say_at_what_strength_they_were_drawn(data, ui, edited):
    *_, last = tab.on_compare(data, ui, edited, ["one", "two"], "a dog", 0, 1, 0.0, 1.0)
    assert list(edited.pairs) == ["a dog, seed 0, one, strength 0", "a dog, seed 0, two"]
    none, whole = edited.pairs.values()
    assert none[0].tobytes() == none[1].tobytes() and whole[0].tobytes() != whole[1].tobytes()
    assert "one, strength 0" in last["drawn"]


def test_each_model_is_judged_at_its_strength(data, edited, monkeypatch):
    judged = {}
    monkeypatch.setattr(comparison, "evaluate", lambda *asked, images: judged.update(asked[4]) or pd.DataFrame())
    erasers = {title: model.eraser for title, model in edited.edited.items()}
    comparison.scores(replace(data.explorer, probe=object()), ["dog"], erasers, {"one": 0.25})
    assert {title: eraser.strength for title, eraser in judged.items()} == {"one": 0.25, "two": 1}


def test_scores_and_damage_are_of_the_strengths_of_the_columns(data, ui, edited, monkeypatch):
    def scores(_explorer, _names, erasers, strengths):
        share = [0.0, *(100 * strengths[title] for title in erasers)]
        columns = {f"{rate}{end}": share for rate in ("esr1", "esr5", "psr1", "psr5") for end in ("", "_low", "_high")}
        return pd.DataFrame({"method": ["original", *erasers], **columns, "distance": share})

    measured, measure = [], Explorer.measure
    monkeypatch.setattr(comparison, "scores", scores)
    monkeypatch.setattr(
        Explorer, "measure", lambda self, name, eraser: measured.append(eraser.strength) or measure(self, name, eraser)
    )
    *_, last = tab.on_judge(data, ui, edited, ["one", "two"], 0.25, 1.0)
    assert "one, strength 0.25" in last["scores"] and "(one, strength 0.25)" in last["caption"]
    assert "25" in last["scores"] and "100" in last["scores"] and measured == [0.25]


def test_a_run_that_was_scaled_says_so_at_its_last_step(make_run):
    run = make_run()
    assert "strength" not in recording_of(run).at(1)["status"]
    scale_run(run, Scaling(95.0, (AtStrength(0.5, 100.0, 79.4, 100.0),)))
    assert "Its eraser was scaled for ESR-1 95: ESR-1 100.0 (79.4 to 100.0) at strength 0.5." in str(
        recording_of(run).at(1)["status"]
    )
