"""The sliders of the Compare tab: pictures, scores and damage are all of the strength that they show."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from age_core import Eraser
from age_core.serve import comparison
from viz.tabs import compare as tab
from viz.tabs.session import EditedModel


@pytest.fixture
def edited(data, session):
    """A session with two edited models to choose."""
    weights = dict(data.explorer.pipe.unet.named_parameters())
    name = next(name for name in weights if name.endswith("attn2.to_v.weight"))
    for title in ("one", "two"):
        session.edited[title] = EditedModel(
            ("dog",), Eraser({name: torch.ones_like(weights[name])}, {"concept": "dog"})
        )
    return session


def test_pictures_say_at_what_strength_they_were_drawn(data, ui, edited):
    *_, last = tab.on_compare(data, ui, edited, ["one", "two"], "a dog", 0, 1, 0.0, 1.0)
    assert list(edited.pairs) == ["a dog, seed 0, one, strength 0", "a dog, seed 0, two"]
    none, whole = edited.pairs.values()
    assert none[0].tobytes() == none[1].tobytes() and whole[0].tobytes() != whole[1].tobytes()
    assert "one, strength 0" in last["drawn"]


def test_scores_are_of_the_strengths_of_the_columns(data, ui, edited, monkeypatch):
    def evaluate(_pipe, _probe, _concepts, _names, erasers, images):
        share = [0.0, *(100 * float(next(iter(eraser.delta.values())).max()) for eraser in erasers.values())]
        columns = {f"{rate}{end}": share for rate in ("esr1", "esr5", "psr1", "psr5") for end in ("", "_low", "_high")}
        return pd.DataFrame({"method": ["original", *erasers], **columns, "distance": share})

    monkeypatch.setattr(comparison, "evaluate", evaluate)
    monkeypatch.setattr(data.explorer, "probe", object())
    measured = []
    shift = data.explorer.measure
    monkeypatch.setattr(data.explorer, "measure", lambda name, eraser: measured.append(eraser) or shift(name, eraser))
    *_, last = tab.on_judge(data, ui, edited, ["one", "two"], 0.25, 1.0)
    assert "one, strength 0.25" in last["scores"] and "(one, strength 0.25)" in last["caption"]
    assert "25.0" in last["scores"] and "100" in last["scores"] and measured[0].strength == 0.25
