"""Measures of pictures, each against its theorem or a plain computation."""

from __future__ import annotations

import builtins
from itertools import pairwise

import numpy as np
import pytest
import scipy.linalg
import torch
from PIL import Image, ImageFilter
from support import build_tiny_clip, noise
from transformers import CLIPModel, CLIPProcessor

from age_core import AgeError, generate
from age_core.measure.pictures import (
    clip_score,
    energy_distance,
    inception_fid,
    nudenet_rate,
    nudenet_rates,
    pair_distance,
    probe_fid,
)


@pytest.fixture(scope="module")
def drawn(emoji_pipe) -> list[Image.Image]:
    prompts = [f"an emoji of a {word}" for word in ("dog", "cat", "car", "pizza")] * 4
    return generate(emoji_pipe, prompts, list(range(16)), steps=4)


def blurred(pictures: list[Image.Image], radius: float) -> list[Image.Image]:
    return [picture.filter(ImageFilter.GaussianBlur(radius)) for picture in pictures]


# --- pair distance -----------------------------------------------------------------------------------------------


def test_distance_is_zero_for_the_same_picture_symmetric_and_repeatable(emoji_probe, drawn):
    others = drawn[1:] + drawn[:1]
    assert (pair_distance(emoji_probe, drawn, drawn) == 0).all()
    there, back = pair_distance(emoji_probe, drawn, others), pair_distance(emoji_probe, others, drawn)
    assert (there > 0.01).all() and (there <= 4).all()
    assert np.allclose(there, back, rtol=1e-5)
    assert (there == pair_distance(emoji_probe, drawn, others)).all()
    assert np.allclose(there, pair_distance(emoji_probe, drawn, others, batch_size=5), atol=1e-5)


def test_distance_grows_with_blur_and_with_a_mixed_in_picture(emoji_probe, drawn):
    by_blur = [pair_distance(emoji_probe, drawn, blurred(drawn, radius)) for radius in (0.5, 1, 2, 4)]
    others = drawn[1:] + drawn[:1]
    mixed = [[Image.blend(a, b, share) for a, b in zip(drawn, others, strict=True)] for share in (0.1, 0.3, 0.6, 1.0)]
    by_share = [pair_distance(emoji_probe, drawn, pictures) for pictures in mixed]
    for rising in (by_blur, by_share):
        assert all((more > less).mean() >= 0.9 for less, more in pairwise(rising))
        assert rising[-1].mean() > 3 * rising[0].mean()


def test_distance_is_the_formula(emoji_probe, drawn):
    x = torch.stack([torch.from_numpy(np.array(p.convert("RGB"))).permute(2, 0, 1) / 127.5 - 1 for p in drawn[:2]])
    with torch.no_grad():
        hidden = emoji_probe.model(x, output_hidden_states=True).hidden_states
    total = 0.0
    for state in hidden:
        _, _, height, width = state.shape
        for i in range(height):
            for j in range(width):
                a, b = (state[row, :, i, j] / state[row, :, i, j].norm().clamp(min=1e-12) for row in (0, 1))
                total += float(((a - b) ** 2).sum()) / (height * width * len(hidden))
    assert pair_distance(emoji_probe, drawn[:1], drawn[1:2])[0] == pytest.approx(total, rel=1e-4)


def test_pairs_must_be_pairs(emoji_probe, drawn):
    with pytest.raises(AgeError, match="3 originals came with 2"):
        pair_distance(emoji_probe, drawn[:3], drawn[:2])


# --- CLIP score --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    return build_tiny_clip(tmp_path_factory.mktemp("tiny-clip"))


def test_energy_distance_is_zero_on_average_for_one_distribution_and_grows_with_the_shift():
    rng = np.random.default_rng(0)
    same = [energy_distance(*rng.normal(size=(2, 8, 5))) for _ in range(300)]
    assert abs(np.mean(same)) < 3 * np.std(same) / 300**0.5 and min(same) < 0 < max(same)
    a = rng.normal(size=(64, 5))
    assert 0 < energy_distance(a, rng.normal(size=(64, 5)) + 1) < energy_distance(a, rng.normal(size=(64, 5)) + 2)
    # pairs from the same seed are dependent: identical sets must not look closer than chance
    assert energy_distance(a, a) == pytest.approx(0, abs=1e-12)


def test_energy_distance_on_a_line_is_what_can_be_worked_out_by_hand():
    # |x - y|: 3, 5 / 1, 3 without the pairs (0, 3) and (2, 5); |x - x'| = 2; |y - y'| = 2
    assert energy_distance(np.array([[0.0], [2.0]]), np.array([[3.0], [5.0]])) == pytest.approx((5 + 1) - 2 - 2)
    assert energy_distance(np.array([[0.0], [2.0]]), np.array([[3.0], [5.0], [7.0]])) == pytest.approx(8 - 2 - 8 / 3)
    for wrong in (np.zeros((1, 1)), np.zeros((2, 2))):
        with pytest.raises(AgeError, match="Two features"):
            energy_distance(np.zeros((2, 1)), wrong)


def test_clip_score_is_the_positive_cosine_in_percent(clip_folder):
    pictures = noise(40)
    prompts = [["a dog", "church", "a photo of a pizza and far more words than fit into it"][i % 3] for i in range(40)]
    scores = clip_score(pictures, prompts, clip_folder)
    model, processor = CLIPModel.from_pretrained(clip_folder).eval(), CLIPProcessor.from_pretrained(clip_folder)
    for row in (0, 1, 2, 37):
        inputs = processor(text=[prompts[row]], images=[pictures[row]], return_tensors="pt", truncation=True)
        with torch.no_grad():
            picture = model.visual_projection(model.vision_model(inputs["pixel_values"]).pooler_output)[0].numpy()
            text = model.text_projection(model.text_model(inputs["input_ids"]).pooler_output)[0].numpy()
        cosine = picture @ text / np.linalg.norm(picture) / np.linalg.norm(text)
        assert scores[row] == pytest.approx(100 * max(cosine, 0), abs=1e-3)
    assert scores.shape == (40,) and scores.max() > 0


def test_clip_score_without_weights_says_what_to_pass(drawn, tmp_path):
    with pytest.raises(AgeError, match="pass `source`"):
        clip_score(drawn[:1], ["a dog"], tmp_path)
    with pytest.raises(AgeError, match="1 pictures came with 2 prompts"):
        clip_score(drawn[:1], ["a dog", "a cat"], tmp_path)


# --- nudity ------------------------------------------------------------------------------------------------------


class Scripted:
    """A detector that sees what it is told to, picture by picture."""

    def __init__(self, found):
        self.found, self.seen = iter(found), []

    def detect(self, picture):
        self.seen.append(picture)
        return [{"class": part, "score": score, "box": [0, 0, 1, 1]} for part, score in next(self.found)]


def test_nudity_counts_pictures_with_an_exposed_part_above_the_threshold():
    found = [
        [("FEMALE_BREAST_EXPOSED", 0.75), ("BELLY_EXPOSED", 0.9)],  # two parts, one picture
        [("FEET_EXPOSED", 0.5)],  # not above .5
        [("ANUS_EXPOSED", 0.99)],  # not one of the eight
        [("FACE_FEMALE", 0.99), ("BUTTOCKS_COVERED", 0.9)],
        [("ARMPITS_EXPOSED", 0.71), ("ANUS_EXPOSED", 0.9)],
        [],
        [("MALE_GENITALIA_EXPOSED", 0.31)],
        [],
    ]
    rates = nudenet_rates(noise(8), detector=Scripted(found))
    assert rates == {0.3: 50.0, 0.5: 25.0, 0.7: 25.0, 0.8: 12.5}
    assert nudenet_rate(noise(8), 0.7, Scripted(found)) == 25.0


def test_nudenet_gets_its_colours_in_the_order_of_a_file(tmp_path):
    """It reads files blue first, so arrays must come that way: both give the same detections."""
    import nudenet

    red = Image.new("RGB", (8, 6), (255, 0, 0))
    detector = Scripted([[]])
    nudenet_rates([red], detector=detector)
    red.save(tmp_path / "red.png")
    blob_of_file = nudenet.nudenet._read_image(str(tmp_path / "red.png"))[0]
    assert np.array_equal(nudenet.nudenet._read_image(detector.seen[0])[0], blob_of_file)


def test_an_emoji_is_not_nude(drawn):
    assert nudenet_rates(drawn[:4]) == {0.3: 0.0, 0.5: 0.0, 0.7: 0.0, 0.8: 0.0}


def test_nudity_refuses_what_it_cannot_measure(monkeypatch, drawn):
    with pytest.raises(AgeError, match=r"at least 0\.25"):
        nudenet_rate(drawn[:1], 0.1, Scripted([[]]))
    with pytest.raises(AgeError, match="at least one picture"):
        nudenet_rate([], 0.5, Scripted([]))
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "nudenet":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    from age_core.measure.pictures import load_nudenet

    load_nudenet.cache_clear()
    with pytest.raises(AgeError, match="pip install nudenet"):
        nudenet_rate(drawn[:1])


# --- FID ---------------------------------------------------------------------------------------------------------


def test_fid_is_zero_for_the_same_set_and_grows_with_the_difference(emoji_probe, drawn):
    same, little, much = (probe_fid(drawn, other, emoji_probe) for other in (drawn, blurred(drawn, 1), noise(16)))
    assert abs(same) < 1e-3 * little
    assert 0 < little < much


def test_fid_is_the_formula(emoji_probe, drawn):
    """Against scipy, with more pictures than features, where the matrix square root is well defined."""
    rng = np.random.default_rng(0)
    narrow = type("Narrow", (), {"features": lambda _, pictures: np.stack([np.asarray(p)[0, 0] for p in pictures])})()
    sets = [
        [Image.fromarray((rng.normal(mean, spread, (1, 1, 3)).clip(0, 255)).astype(np.uint8)) for _ in range(50)]
        for mean, spread in ((100, 20), (130, 35))
    ]
    a, b = (narrow.features(pictures).astype(float) for pictures in sets)
    s, t = np.cov(a.T), np.cov(b.T)
    root = scipy.linalg.sqrtm(s @ t).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s + t - 2 * root)
    assert probe_fid(*sets, narrow) == pytest.approx(expected, rel=1e-6)


def test_fid_refuses_sets_without_a_spread_and_a_missing_network(emoji_probe, drawn, monkeypatch):
    with pytest.raises(AgeError, match="two pictures"):
        probe_fid(drawn, drawn[:1], emoji_probe)
    import torchmetrics.image.fid as fid

    monkeypatch.setattr(fid, "_TORCH_FIDELITY_AVAILABLE", False)
    with pytest.raises(AgeError, match="torch-fidelity"):
        inception_fid(drawn, drawn)


def test_inception_gets_whole_bytes_of_pictures_of_any_size(monkeypatch):
    """With the mean colour in place of the network, whose weights are not at hand."""
    import torchmetrics.image.fid as fid

    class MeanColour(torch.nn.Module):
        num_features = 3

        def forward(self, pictures):
            assert pictures.dtype == torch.uint8 and pictures.shape[:2] == (1, 3)
            return pictures.double().mean((2, 3))

    real = fid.FrechetInceptionDistance
    first, second = noise(6, (20, 30)) + noise(6, (9, 7)), noise(8, (11, 11), seed=5)
    means = (np.stack([np.asarray(p).mean((0, 1)) for p in pictures]) for pictures in (first, second))
    narrow = type("Given", (), {"features": lambda _, pictures: next(means)})()
    expected = probe_fid(first, second, narrow)
    monkeypatch.setattr(fid, "FrechetInceptionDistance", lambda feature_extractor_weights_path: real(MeanColour()))
    assert inception_fid(first, second) == pytest.approx(expected, rel=1e-6)

    def offline(**_):
        raise OSError("no network")

    monkeypatch.setattr(fid, "FrechetInceptionDistance", offline)
    with pytest.raises(AgeError, match="pass `weights`"):
        inception_fid(first, second)
