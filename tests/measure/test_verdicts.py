"""ESR, PSR and side effects, checked against counts done by hand."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from age_core import AgeError, ConceptSet, Eraser, encode_text, evaluate, generate
from age_core.concepts.concept_set import Concept
from age_core.measure import verdicts
from age_core.measure.intervals import bootstrap, hierarchical_bootstrap
from age_core.measure.noise_shift import noise_reference, noise_shift
from age_core.measure.verdicts import hits, seeds_of
from age_core.study.build import side_effect_rows
from age_core.study.tables import COLUMNS

EMOJI = ConceptSet.load("emoji")


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


def test_no_change_means_no_damage_and_doubt_only_of_shares():
    """Four pictures that stayed as they were do not tell that all would; a distance of zero is exactly that."""
    same = table([True, False] * 4)
    rows = side_effect_rows(same, same, "DS-1", "top1")
    assert (rows["delta"] == 0).all() and (rows["low"] < -0.2).all() and (rows["high"] > 0.2).all()
    rows = side_effect_rows(same.assign(far=0.0), same.assign(far=0.0), "distance", "far")
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


# --- ESR and PSR -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shaken(emoji_pipe) -> Eraser:
    """A random edit of cross-attention that spoils some pictures and leaves others."""
    noise = torch.Generator().manual_seed(0)
    weights = {name: w for name, w in emoji_pipe.unet.named_parameters() if ".attn2.to_" in name and w.ndim == 2}
    return Eraser({n: 1.5 * w.std() * torch.randn(w.shape, generator=noise) for n, w in weights.items()})


def test_esr_and_psr_equal_a_count_picture_by_picture(emoji_pipe, emoji_probe, shaken):
    """docs/method.md, section E: pooled over all pictures of several erased concepts, and over all of the others."""
    erased = ["dog", "puppy", EMOJI.of_general("fruit")]
    others = ["car", "cat", "apple", "pizza"]
    result = evaluate(emoji_pipe, emoji_probe, EMOJI, erased, {"edit": shaken}, 1, 2, others).set_index("method")
    fruit = {c.name for c in EMOJI if "fruit" in (c.general, c.group)}
    asked = [("dog", {"dog"}, 2), ("puppy", {"dog"}, 2), ("fruit", fruit, 2)]
    asked += [(name, {name}, 1) for name in others if name not in fruit]
    assert len(asked) == 3 + 3 and len(fruit) > 5
    for method in ("original", "edit"):
        counts = {"esr": [0, 0, 0], "psr": [0, 0, 0]}  # pictures, hits at 1, hits at 5
        for name, right, images in asked:
            part = "psr" if images == 1 else "esr"
            with shaken.applied_to(emoji_pipe) if method == "edit" else nullcontext():
                prompts, seeds = [EMOJI.prompt(name)] * images, seeds_of(name, images)
                pictures = generate(emoji_pipe, prompts, seeds, verdicts.STEPS, verdicts.GUIDANCE)
            for best in emoji_probe.top(pictures, 5):
                guesses = [label for label, _ in best]
                counts[part][0] += 1
                counts[part][1] += guesses[0] in right
                counts[part][2] += bool(right & set(guesses))
        (n, one, five), (m, kept_one, kept_five) = counts["esr"], counts["psr"]
        assert (n, m) == (6, 3)
        expected = [100 * (n - one) / n, 100 * (n - five) / n, 100 * kept_one / m, 100 * kept_five / m]
        assert result.loc[method, ["esr1", "esr5", "psr1", "psr5"]].tolist() == pytest.approx(expected)
    assert result.loc["edit", "psr1"] < result.loc["original", "psr1"]  # the edit did something
    assert result.loc["original", "distance"] == 0 < result.loc["edit", "distance"]
    assert (result["probe"] == "emoji-probe").all() and (result["probe_version"] == emoji_probe.version).all()
    for column in ("esr1", "esr5", "psr1", "psr5"):
        assert (result[f"{column}_low"] <= result[column]).all() and (result[column] <= result[f"{column}_high"]).all()


def test_memory_saving_parts_do_not_change_the_numbers(emoji_pipe, emoji_probe, shaken, monkeypatch):
    monkeypatch.setattr(verdicts, "AT_ONCE", 5)  # pictures: a part holds two concepts of two, or one
    names = ["dog", "car", "owl"]
    drawn = list(verdicts.draw_by_each(emoji_pipe, EMOJI, [EMOJI[name] for name in names], 2, {"edit": shaken}))
    assert [len(pictures.pictures) for _, pictures, _ in drawn] == [4, 4, 2, 2]
    parts = pd.concat([verdicts.judged(emoji_probe, *part) for part in drawn], ignore_index=True)
    for method, eraser in (("original", None), ("edit", shaken)):
        whole = hits(emoji_pipe, emoji_probe, EMOJI, names, 2, eraser)
        part = parts[parts["method"] == method].reset_index(drop=True)
        pd.testing.assert_frame_equal(part[list(whole.columns)], whole)
    assert (parts.loc[parts["method"] == "original", "distance"] == 0).all()
    assert (parts.loc[parts["method"] == "edit", "distance"] > 0).all()


@pytest.mark.parametrize(
    ("erased", "others", "words"),
    [
        (["dog"], [Concept("cat", "mammal", "animal", labels=("cat", "tabby"))], "'tabby'"),
        ([Concept("weapon", "g", "weapon", labels=("rifle",))], ["cat"], "'rifle'"),
        (["dgo"], ["cat"], "did you mean"),
        ([], ["cat"], "at least one erased"),
        (["dog"], ["dog"], "leave at least one"),
        (["dog"], ["puppy"], "leave at least one"),
    ],
)
def test_what_cannot_be_judged_is_refused_before_anything_is_drawn(
    emoji_pipe, emoji_probe, monkeypatch, erased, others, words
):
    monkeypatch.setattr(verdicts, "generate", lambda *_: pytest.fail("something was drawn"))
    with pytest.raises(AgeError, match=words):
        evaluate(emoji_pipe, emoji_probe, EMOJI, erased, {}, 1, 1, others)


def test_hits_refuse_an_unknown_label_before_drawing(emoji_pipe, emoji_probe, monkeypatch):
    monkeypatch.setattr(verdicts, "generate", lambda *_: pytest.fail("something was drawn"))
    with pytest.raises(AgeError, match="'rifle'"):
        hits(emoji_pipe, emoji_probe, EMOJI, [Concept("gun", "g", "weapon", labels=("rifle",))], 1)


def test_no_picture_is_no_evaluation(emoji_pipe, emoji_probe):
    with pytest.raises(AgeError, match="at least one picture"):
        evaluate(emoji_pipe, emoji_probe, EMOJI, ["dog"], {}, images=0)


def test_intervals_cover_the_mean_over_concepts_and_seeds():
    """Rates differ between concepts: resampling pictures alone is too sure of itself, the hierarchy is not."""
    rng, inside, naive = np.random.default_rng(0), 0, 0
    for seed in range(200):
        rates = rng.beta(1, 1, size=(30, 1))  # mean 0.5
        seen = (rng.random((30, 4)) < rates).astype(float)
        low, high = hierarchical_bootstrap(seen, rounds=300, seed=seed)
        inside += low <= 0.5 <= high
        low, high = bootstrap(seen.ravel(), rounds=300, seed=seed)
        naive += low <= 0.5 <= high
    assert naive / 200 < 0.9 < inside / 200


def test_of_one_concept_the_interval_is_over_its_seeds():
    seen = np.array([[1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0]])
    low, high = hierarchical_bootstrap(seen)
    assert (low, high) == pytest.approx(bootstrap(seen[0]), abs=0.13)
    assert low < 0.75 < high
    assert hierarchical_bootstrap(np.ones((5, 4))) == (1.0, 1.0)
