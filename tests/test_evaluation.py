"""ESR, PSR and side effects, checked against counts done by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from age_core import ConceptSet, Eraser, encode_text
from age_core.concepts import Concept
from age_core.evaluation import bootstrap, noise_reference, noise_shift, seeds_of
from age_core.graph import COLUMNS, side_effect_rows


def table(top1: list[bool]) -> pd.DataFrame:
    return pd.DataFrame({"concept": ["a"] * 4 + ["b"] * 4, "seed": range(8), "top1": top1, "top5": [True] * 8})


def test_damage_is_before_minus_after():
    before = table([True, True, True, True, True, False, True, False])
    after = table([False, False, False, True, True, True, True, False])
    rows = side_effect_rows(before, after, "DS-1", "top1", erased="x", seed=0).set_index("affected")
    assert list(side_effect_rows(before, after, "DS-1", "top1").columns) == list(COLUMNS)
    assert rows.loc["a", ["before", "after", "delta"]].tolist() == [1.0, 0.25, 0.75]
    assert rows.loc["b", "delta"] == pytest.approx(-0.25)
    assert all(rows["low"] <= rows["delta"]) and all(rows["delta"] <= rows["high"])
    assert set(rows["erased"]) == {"x"}


def test_no_change_means_no_damage_and_no_doubt():
    same = table([True, False] * 4)
    rows = side_effect_rows(same, same, "DS-1", "top1")
    assert (rows[["delta", "low", "high"]] == 0).all().all()


def test_bootstrap_covers_the_mean_about_95_times_in_100():
    rng = np.random.default_rng(1)
    inside = 0
    for seed in range(200):
        low, high = bootstrap(rng.normal(0.3, 1, 40), rounds=400, seed=seed)
        inside += low <= 0.3 <= high
    assert 0.88 <= inside / 200 <= 0.99


def test_seeds_are_fixed_and_differ_between_concepts():
    assert seeds_of("dog", 3) == seeds_of("dog", 3)
    assert not set(seeds_of("dog", 50)) & set(seeds_of("wolf", 50))
    assert seeds_of("dog", 2, first=1)[0] == seeds_of("dog", 2)[1]


def test_noise_shift_is_zero_for_no_edit_and_one_for_deleted_words(tiny_sd):
    """An edit that makes every prompt act like the empty one moves each prediction exactly that far."""
    words = ConceptSet("tiny", tuple(Concept(n, "g", "thing") for n in ("dog", "cat")), "a photo of {a_noun}")
    reference = noise_reference(tiny_sd, words, 3)
    assert len(reference.concept) == 6 and len(set(reference.t.tolist())) == 3
    nothing = Eraser({"conv_in.bias": torch.zeros(32)})
    assert noise_shift(tiny_sd, reference, nothing)["shift"].max() < 1e-9
    empty = encode_text(tiny_sd, [""]).expand_as(reference.states)
    deleted = noise_shift(tiny_sd, replace(reference, states=empty), nothing)
    assert np.allclose(deleted["shift"], 1, atol=1e-3)
