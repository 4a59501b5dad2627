"""SDXL's classes, random and small: two text encoders, a pooled vector, the picture's size as a condition."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support import SMALL, WORDS, build_tiny_sdxl

from age_core import AgeError, Eraser, Vocabulary, encode_text, erase, generate, load_pipeline
from age_core.models.families import predict, token_states


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sdxl")
    (path / "words").mkdir()
    build_tiny_sdxl(path / "words").save_pretrained(path / "pipe")
    return path / "pipe"


@pytest.fixture(scope="module")
def sdxl(folder):
    return load_pipeline(folder)


def test_predictions_are_conditioned_as_the_pipeline_conditions_them(sdxl):
    prompts = ["a dog", "a cat"]
    packed = encode_text(sdxl, prompts)
    states, _, pooled, _ = sdxl.encode_prompt(prompts, device="cpu", do_classifier_free_guidance=False)
    assert torch.equal(token_states(sdxl, packed), states)
    z, t = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([100, 700])
    sizes = sdxl._get_add_time_ids((16, 16), (0, 0), (16, 16), torch.float32, 24).expand(2, -1)
    with torch.no_grad():
        added = {"text_embeds": pooled, "time_ids": sizes}
        want = sdxl.unet(z, t, states, added_cond_kwargs=added).sample
        assert torch.allclose(predict(sdxl, z, t, packed), want, atol=1e-6)


def test_the_empty_prompt_is_what_guidance_starts_from(sdxl):
    """An SDXL whose configuration says so is guided away from zeros, pooled vector included."""
    _, negative, _, pooled = sdxl.encode_prompt(["a dog"], device="cpu", do_classifier_free_guidance=True)
    packed = encode_text(sdxl, [""])
    assert torch.equal(token_states(sdxl, packed), negative)
    assert torch.equal(packed[:, -1, :24], pooled)


@pytest.mark.parametrize("changes", [{}, {"latents": "student", "grid": 4}, {"train": "lora"}])
def test_it_erases_and_draws(sdxl, changes, tmp_path):
    before = {name: value.clone() for name, value in sdxl.unet.named_parameters()}
    pool = Vocabulary(WORDS).near(sdxl, "dog", 3)
    *_, last = erase(sdxl, "dog", pool, replace(SMALL, lr=1e-2, preview_every=4, **changes))
    assert all(torch.equal(value, before[name]) for name, value in sdxl.unet.named_parameters())
    assert len(last.previews) == 4
    plain = generate(sdxl, ["a dog"], [0], steps=2)[0]
    eraser = Eraser.load(last.eraser.save(tmp_path / "dog.safetensors"))
    with eraser.applied_to(sdxl):
        assert generate(sdxl, ["a dog"], [0], steps=2)[0].tobytes() != plain.tobytes()


def test_a_pipeline_of_another_kind_is_refused(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for part in folder.iterdir():
        (other / part.name).symlink_to(part)
    (other / "model_index.json").unlink()
    (other / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    with pytest.raises(AgeError, match="FluxPipeline"):
        load_pipeline(other)
