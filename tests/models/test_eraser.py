"""Selections of parameters, and erasers: exact restoration, round trips, broken files."""

from __future__ import annotations

import pytest
import torch

from age_core import AgeError, Eraser
from age_core.models.parameters import TRAINED, trained_parameters


def some_eraser(pipe):
    chosen = trained_parameters(pipe.unet, "xattn")
    generator = torch.Generator().manual_seed(0)
    return Eraser({n: torch.randn(p.shape, generator=generator) * 0.1 for n, p in chosen.items()}, {"concept": "dog"})


@pytest.mark.parametrize("train", TRAINED)
def test_selections_hold_what_they_say(tiny_sd, train):
    names = set(trained_parameters(tiny_sd.unet, train))
    everything = {name for name, _ in tiny_sd.unet.named_parameters()}
    cross = {name for name in everything if ".attn2." in name}
    assert cross and names <= everything
    if train == "xattn":
        assert names == cross
    if train == "noxattn":
        assert not names & cross and not any(name.startswith(("time_embedding.", "conv_out.")) for name in names)
    if train == "full":
        assert names == everything


def test_unknown_selection_lists_the_known(tiny_sd):
    with pytest.raises(AgeError, match="xattn, noxattn"):
        trained_parameters(tiny_sd.unet, "cross")


def test_an_empty_selection_is_an_error():
    with pytest.raises(AgeError, match="nothing would be trained"):
        trained_parameters(torch.nn.Linear(2, 2), "xattn")


def test_weights_are_bit_identical_after_use_even_when_it_fails(tiny_sd):
    before = {name: value.detach().clone() for name, value in tiny_sd.unet.named_parameters()}
    eraser = some_eraser(tiny_sd)
    with pytest.raises(KeyboardInterrupt), eraser.applied_to(tiny_sd):
        changed = [n for n, v in tiny_sd.unet.named_parameters() if not torch.equal(v, before[n])]
        assert set(changed) == set(eraser.delta)
        raise KeyboardInterrupt
    assert all(torch.equal(value, before[name]) for name, value in tiny_sd.unet.named_parameters())


def test_round_trip(tiny_sd, tmp_path):
    eraser = some_eraser(tiny_sd)
    again = Eraser.load(eraser.save(tmp_path / "deep" / "dog.safetensors"))
    assert again.info == {"concept": "dog"}
    assert all(torch.equal(again.delta[name], eraser.delta[name]) for name in eraser.delta)


def test_broken_files_are_explained(tiny_sd, tmp_path):
    path = some_eraser(tiny_sd).save(tmp_path / "dog.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    (tmp_path / "text.safetensors").write_text("hello")
    for name in ("dog", "text", "absent"):
        with pytest.raises(AgeError, match=rf"{name}\.safetensors"):
            Eraser.load(tmp_path / f"{name}.safetensors")


def test_a_scaled_eraser_is_that_much_of_it(tiny_sd):
    eraser = some_eraser(tiny_sd)
    name, before = next((n, p.detach().clone()) for n, p in tiny_sd.unet.named_parameters() if n in eraser.delta)
    with eraser.scaled(0.5).scaled(3).applied_to(tiny_sd):
        after = dict(tiny_sd.unet.named_parameters())[name]
        assert torch.allclose(after, before + 1.5 * eraser.delta[name])
    with eraser.scaled(0).applied_to(tiny_sd):
        assert torch.equal(dict(tiny_sd.unet.named_parameters())[name], before)
    turned = Eraser({}, {"strength": 2.0}, {}, {"to_v": torch.ones(1, 4)}).scaled(0.25)
    assert turned.info["strength"] == 0.5


def test_an_eraser_of_another_model_does_not_fit(tiny_sd):
    with pytest.raises(AgeError, match="another model"), Eraser({"nowhere": torch.zeros(1)}).applied_to(tiny_sd):
        pass
