"""The bundled weights draw, can be judged, and are as good as their card says; what ships with them is theirs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from age_core import ConceptSet, encode_text, load_probe
from age_core.assets import ASSETS
from age_core.emoji.captions import MAX_TOKENS, embed
from age_core.measure.verdicts import draw, hits
from age_core.models.identity import model_identity
from age_core.study.tables import load_side_effects
from age_core.study.world import RecordedWorld

EMOJI = ConceptSet.load("emoji")


def test_opens_with_plain_diffusers_and_holds_only_plain_files():
    pipe = StableDiffusionPipeline.from_pretrained(ASSETS / "emoji-sd")
    assert pipe.scheduler.config.prediction_type == "v_prediction"
    for file in ASSETS.rglob("*"):
        assert file.suffix not in {".bin", ".pt", ".pkl", ".ckpt", ".py"}
        assert file.stat().st_size < 60e6


def test_the_pipeline_conditions_on_what_training_saw(emoji_pipe):
    """Same padding, same mask: the pipeline's states are those the UNet was trained with."""
    texts = ["an emoji of a dog", "", "a red panda in the twemoji style"]
    trained = embed(texts, emoji_pipe.tokenizer, emoji_pipe.text_encoder)
    assert trained.shape[1] == MAX_TOKENS
    assert torch.allclose(encode_text(emoji_pipe, texts), trained, atol=1e-5)


def test_the_probe_knows_the_concepts():
    assert set(load_probe("emoji").labels) == set(EMOJI.names)


def test_the_style_probe_knows_the_styles_and_tells_some_apart(emoji_pipe):
    styles, probe = ConceptSet.load("emoji-styles"), load_probe("emoji-styles")
    assert set(probe.labels) == set(styles.names)
    assert hits(emoji_pipe, probe, styles, styles.names, 8)["top1"].mean() > 2 / 7  # twice chance; measured 0.45


def test_the_model_card_and_report_agree_and_the_model_is_as_good_as_they_say(emoji_pipe, emoji_probe):
    report = json.loads((ASSETS / "emoji-sd" / "report.json").read_text())
    card = (ASSETS / "emoji-sd" / "README.md").read_text()
    assert f"{report['model_top1']:.1%}" in card and "CC BY 4.0" in card
    drawn = hits(emoji_pipe, emoji_probe, EMOJI, EMOJI.names[::5], 1)
    assert drawn["top1"].mean() == pytest.approx(report["model_top1"], abs=0.05)


def test_shipped_side_effects_are_complete():
    table = load_side_effects("emoji")
    assert not table["delta"].isna().any()
    assert set(table["affected"]) == set(EMOJI.names) and set(table["erased"]) <= set(EMOJI.names)
    lost = (table["before"] - table["after"]).where(table["metric"] != "distance", table["after"] - table["before"])
    assert (table["delta"] - lost).abs().max() < 1e-9
    own = table["erased"] == table["affected"]
    for (metric, method), rows in table.groupby(["metric", "method"]):
        if metric in ("DS-1", "noise-shift"):
            mine, others = rows.loc[own[rows.index], "delta"], rows.loc[~own[rows.index], "delta"]
            assert mine.mean() > 10 * others.mean() and mine.min() > 5 * others.mean(), (metric, method)
    assert set(table.loc[table["method"] == "uce", "erased"]) == set(EMOJI.names)  # every concept has arrows


def test_the_recorded_world_is_of_this_model_and_draws_as_it_does(emoji_pipe):
    world = RecordedWorld.open(ASSETS / "world", EMOJI, model_identity(emoji_pipe))
    assert world.erased("esd") and world.methods[0] == "esd"
    (drawn,) = draw(emoji_pipe, EMOJI, [EMOJI["dog"]], 1).pictures
    assert np.abs(np.asarray(drawn, float) - np.asarray(world.original.tile("dog"), float)).mean() < 4
    for method in world.methods:
        for name in world.erased(method):
            erasure = world.erasure(method, name)
            assert erasure is not None and erasure.sheet is not None and name in erasure.sheet.places
            assert set(erasure.lost()) | set(erasure.moved().index) <= set(erasure.sheet.places)
            assert all(erasure.sheet.tile(other).size == (64, 64) for other in erasure.sheet.places)
