"""Probes: the bundled one and any transformers image classifier, their labels, features and identity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import noise
from transformers import (
    AutoImageProcessor,
    ConvNextImageProcessor,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

from age_core import AgeError, Probe, load_probe
from age_core.models.probes import PX

NAMES = ("tench, Tinca tinca", "sax, saxophone", "crane", "sleeping bag", "crane", "bag")


@pytest.fixture(scope="module")
def resnet_folder(tmp_path_factory):
    """What a Hub repository such as microsoft/resnet-50 holds, in small and at random."""
    folder = tmp_path_factory.mktemp("tiny-resnet")
    torch.manual_seed(0)
    config = ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16],
        depths=[1, 1],
        layer_type="basic",
        id2label=dict(enumerate(NAMES)),
        label2id={name: row for row, name in enumerate(NAMES)},
    )
    ResNetForImageClassification(config).eval().save_pretrained(folder)
    ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=0.875).save_pretrained(folder)
    return folder


def test_a_classifier_folder_is_read_with_its_own_preprocessing(resnet_folder):
    probe, pictures = load_probe(resnet_folder), noise(5)
    assert probe.labels == NAMES and probe.name == resnet_folder.name
    model = ResNetForImageClassification.from_pretrained(resnet_folder).eval()
    x = AutoImageProcessor.from_pretrained(resnet_folder)(pictures, return_tensors="pt")["pixel_values"]
    assert x.shape == (5, 3, 32, 32)
    with torch.no_grad():
        expected, pooled = model(x).logits.softmax(-1), model.resnet(x).pooler_output.flatten(1)
    assert np.allclose(probe.scores(pictures, batch_size=2), expected, atol=1e-6)
    assert probe.features(pictures, batch_size=2).shape == (5, 16)
    assert np.allclose(probe.features(pictures, batch_size=2), pooled, atol=1e-6)
    assert probe.features([]).shape == (0, 16) and probe.scores([]).shape == (0, 6)


def test_pictures_are_prepared_by_pil_whatever_is_installed(resnet_folder, monkeypatch):
    """With torchvision, transformers would take its own arithmetic, and verdicts would differ between machines."""
    asked = []
    real = AutoImageProcessor.from_pretrained
    monkeypatch.setattr(
        AutoImageProcessor, "from_pretrained", lambda *args, **options: asked.append(options) or real(*args, **options)
    )
    assert type(load_probe(resnet_folder).processor).__name__ == "ConvNextImageProcessorPil"
    assert [options["backend"] for options in asked] == ["pil"]


def test_a_vision_transformer_is_a_probe_too(tmp_path):
    config = ViTConfig(
        image_size=16, patch_size=8, hidden_size=12, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2
    )
    ViTForImageClassification(config).save_pretrained(tmp_path)
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(tmp_path)
    probe = load_probe(tmp_path)
    assert probe.features(noise(3)).shape == (3, 12)
    assert [tuple(stage.shape) for stage in probe.stages(noise(3))] == [(3, 5, 12)] * 3


def test_the_bundled_probe_scales_to_minus_one_to_one(emoji_probe):
    pictures = noise(3, (PX, PX))
    x = torch.from_numpy(np.stack([np.asarray(p) for p in pictures])).permute(0, 3, 1, 2) / 255 * 2 - 1
    with torch.no_grad():
        expected = emoji_probe.model(x).logits.softmax(-1)
    assert np.allclose(emoji_probe.scores(pictures), expected, atol=1e-5)
    assert emoji_probe.name == "emoji-probe" and emoji_probe.features(pictures).shape == (3, 192)


def test_features_are_what_the_labels_are_read_from(emoji_probe):
    """The last linear layer on the features gives the very scores, and no hook is left behind."""
    pictures = noise(4)
    last = [m for m in emoji_probe.model.modules() if isinstance(m, torch.nn.Linear)][-1]
    with torch.no_grad():
        again = last(torch.from_numpy(emoji_probe.features(pictures))).softmax(-1)
    assert np.allclose(again, emoji_probe.scores(pictures), atol=1e-5)
    assert not last._forward_pre_hooks


def test_the_version_follows_the_weights(resnet_folder, tmp_path):
    first, again = load_probe(resnet_folder), load_probe(resnet_folder)
    assert first.version == again.version and len(first.version) == 12
    with torch.no_grad():
        next(again.model.parameters()).view(-1)[0] += 1e-4
    again.model.save_pretrained(tmp_path)
    first.processor.save_pretrained(tmp_path)
    assert load_probe(tmp_path).version != first.version


@pytest.mark.parametrize(
    ("labels", "rows"),
    [
        (["tench"], [0]),
        (["Saxophone", "sax"], [1]),
        (["sax, saxophone"], [1]),
        (["CRANE"], [2, 4]),
        (["bag"], [5]),
        (["bag", "tench"], [0, 5]),
    ],
)
def test_labels_are_found_by_any_listed_name(labels, rows):
    assert Probe(None, NAMES).rows(labels) == rows


def test_unknown_labels_are_named():
    with pytest.raises(AgeError, match="'unicorn'"):
        Probe(None, NAMES).rows(["tench", "unicorn"])


def test_probes_that_cannot_be_loaded_are_explained(resnet_folder, tmp_path):
    with pytest.raises(AgeError, match="is no probe"):
        load_probe("nothing")
    with pytest.raises(AgeError, match="cannot be loaded"):
        load_probe(tmp_path)  # an empty folder
    model = load_probe(resnet_folder).model
    model.save_pretrained(tmp_path)
    with pytest.raises(AgeError, match="cannot be loaded"):
        load_probe(tmp_path)  # nothing says how it wants its pictures
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(AgeError, match="cannot be loaded"):
        load_probe(tmp_path)  # pickled weights only
