"""Half precision: what trains, what is drawn, and what pi climbs, beside float32."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from diffusers import UNet2DConditionModel
from support import ONE_BLOCK, SMALL, WORDS, WORLD, build_tiny_sd

from age_core import Candidates, Eraser, Vocabulary, encode_text, erase
from age_core.erasure.latents import LatentCache
from age_core.erasure.loop import _step
from age_core.erasure.training import Training
from age_core.measure.noise_shift import noise_reference, noise_shift
from age_core.models.eraser import without_directions
from age_core.models.precision import in_float32

HALF = [torch.bfloat16, torch.float16]
SHORT = replace(SMALL, steps=2, preview_every=0)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return build_tiny_sd(tmp_path_factory.mktemp("tokenizer"), "epsilon", **ONE_BLOCK)


@pytest.fixture(scope="module")
def pool(plain):
    return Vocabulary(WORDS).near(plain, "dog", 4)


def half(pipe, dtype):
    parts = {name: copy.deepcopy(part) for name, part in pipe.components.items()}
    return type(pipe)(**parts).to(dtype)


def cosine(one, other):
    return float(torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0))


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("train", ["xattn", "noxattn", "selfattn", "xattn-qkv", "full", "lora"])
def test_previews_are_drawn_whatever_trains(plain, pool, dtype, train):
    pipe = half(plain, dtype)
    before = dict(pipe.unet.named_parameters())
    *_, last = erase(pipe, "dog", pool, replace(SHORT, train=train, steps=1, preview_every=1))
    assert last.previews and all(weight is before[name] for name, weight in pipe.unet.named_parameters())
    assert all(delta.dtype == torch.float32 and delta.isfinite().all() for delta in last.eraser.delta.values())
    assert max(float(delta.abs().max()) for delta in last.eraser.delta.values()) > 0


@pytest.mark.parametrize("how", ["bfloat16 weights", "float16 weights", "bfloat16", "float16"])
def test_pi_climbs_on_the_student_as_it_is_after_its_update(plain, pool, how):
    """On the student before the first update, which is the teacher, its gradient would be nothing at all."""
    dtype = getattr(torch, how.split()[0])
    pipe, precision = (half(plain, dtype), "float32") if "weights" in how else (plain, how)
    options = replace(SHORT, steps=1, batch=8, inner_objective="student", pi_batch=8)
    *_, here = erase(pipe, "dog", pool, replace(options, precision=precision))
    *_, exact = erase(plain, "dog", pool, options)
    moved, wanted = (torch.tensor(event.logits) - 1 / len(event.logits) for event in (here, exact))
    assert moved.abs().max() > 0.01 and cosine(moved, wanted) > 0.9


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """With Stable Diffusion's 64 x 64 latents, where a mean over a row has 16,384 places; few channels."""
    pipe = build_tiny_sd(tmp_path_factory.mktemp("tokenizer"), "epsilon")
    parts = dict(pipe.components)
    torch.manual_seed(0)
    small = {"sample_size": 64, "block_out_channels": (8, 16), "attention_head_dim": 4}
    parts["unet"] = UNet2DConditionModel.from_config({**pipe.unet.config, **small}).eval().requires_grad_(False)
    return type(pipe)(**parts)


def first_step(pipe, options, monkeypatch):
    """The student's gradient, how it moved, and how pi did. The pictures are noise: to draw some takes a CPU long."""
    states = encode_text(pipe, ["dog", "cat", "fox", ""]).float()
    latents = torch.randn(3, 1, 4, 64, 64, generator=torch.Generator().manual_seed(1))
    cache = LatentCache(states[None, 0], states[None, 1:3], states[3], latents[0], latents[1:], torch.arange(2))
    training = Training.start(pipe, {"dog": Candidates(("cat", "fox"), (0.1, 0.2))}, {"dog": cache}, options)
    leaves, gradients = training.student.leaves.values(), []
    before = flat(leaves)
    update = Training.update

    def watched(self, lr):
        gradients.append(flat(leaf.grad / self.scaler.get_scale() for leaf in leaves))
        update(self, lr)

    monkeypatch.setattr(Training, "update", watched)
    _step(pipe, training, "dog", options, 1)
    monkeypatch.setattr(Training, "update", update)
    return gradients[0], flat(leaves) - before, training.selectors["dog"].logits.detach() - 0.5


def flat(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def test_float16_at_full_size_trains_and_moves_pi(large, monkeypatch):
    """At the papers' rate, where float16's own gradient of pi is zero in every place."""
    options = replace(SHORT, lr=1e-5, batch=1, pi_batch=1)
    exact, _, pi_exact = first_step(large, options, monkeypatch)
    gradient, moved, pi = first_step(half(large, torch.float16), options, monkeypatch)
    assert cosine(exact, gradient) > 0.98 and float((gradient == 0).float().mean()) < 0.02
    assert moved.abs().max() > 5e-6
    assert pi_exact.abs().max() > 0 and pi.numpy() == pytest.approx(pi_exact.numpy(), rel=0.5)


def test_gradients_beyond_float16_are_left_out_and_the_scale_is_halved(plain, pool):
    pipe, options = half(plain, torch.float16), replace(SHORT, steps=3, checkpoint_every=1)
    first = next(event.state for event in erase(pipe, "dog", pool, options) if event.state)
    assert float(first.tensors["scaler/scale"]) == 2.0**14
    wild = replace(first, tensors={**first.tensors, "scaler/scale": torch.tensor(2.0**60)})
    after = next(event.state for event in erase(pipe, "dog", pool, options, resume=wild) if event.state)
    assert float(after.tensors["scaler/scale"]) == 2.0**59
    same = [torch.equal(after.tensors[n], value) for n, value in first.tensors.items() if n.startswith("student/")]
    assert all(same)


def test_a_resumed_float16_run_ends_in_the_same_bits(plain, pool):
    pipe, options = half(plain, torch.float16), replace(SHORT, steps=3, checkpoint_every=1)
    whole = list(erase(pipe, "dog", pool, options))
    state = next(event.state for event in whole if event.state)
    *_, again = erase(pipe, "dog", pool, options, resume=state)
    assert all(torch.equal(again.eraser.delta[name], delta) for name, delta in whole[-1].eraser.delta.items())


def test_a_network_computes_in_float32_for_a_while(plain):
    pipe = half(plain, torch.bfloat16)
    before = dict(pipe.unet.named_parameters())
    with pytest.raises(KeyError), in_float32(pipe.unet):
        assert all(weight.dtype == torch.float32 for weight in pipe.unet.parameters())
        assert all(torch.equal(weight, before[name].float()) for name, weight in pipe.unet.named_parameters())
        raise KeyError
    assert all(weight is before[name] for name, weight in pipe.unet.named_parameters())
    with in_float32(plain.unet):
        assert next(plain.unet.parameters()) is dict(plain.unet.named_parameters())["conv_in.weight"]


def test_noise_shift_has_no_floor_in_half_precision(plain):
    """An edit of a ten-thousandth moves nothing that counts, and reads so; a real one reads as in float32."""
    generator = torch.Generator().manual_seed(0)
    weights = {n: w for n, w in plain.unet.named_parameters() if ".attn2.to_" in n and w.ndim == 2}
    slight = Eraser({n: 1e-4 * w.std() * torch.randn(w.shape, generator=generator) for n, w in weights.items()})
    pipe = half(plain, torch.bfloat16)
    before = dict(pipe.unet.named_parameters())
    reference = noise_reference(pipe, WORLD, 1)
    assert noise_shift(pipe, reference, slight)["shift"].max() < 1e-6
    strong = Eraser({name: 3000 * change for name, change in slight.delta.items()})
    real, exact = (noise_shift(model, noise_reference(model, WORLD, 1), strong)["shift"] for model in (pipe, plain))
    assert real.to_numpy() == pytest.approx(exact.to_numpy(), rel=0.1)
    assert all(weight is before[name] for name, weight in pipe.unet.named_parameters())


@pytest.mark.parametrize("dtype", HALF)
def test_directions_are_taken_out_in_float32(dtype):
    generator = torch.Generator().manual_seed(0)
    values, c = torch.randn(2, 5, 640, generator=generator).to(dtype), torch.randn(1, 640, generator=generator)
    values[:, 2] = c.to(dtype)
    answer = without_directions(values, c, 20.0, 0.7, 2.0)
    exact = without_directions(values.float(), c, 20.0, 0.7, 2.0)
    assert answer.dtype == dtype  # and rounded once
    assert ((answer.float() - exact).abs() <= torch.finfo(dtype).eps * exact.abs() + 1e-6).all()
