"""Differential Vector Erasure against the paper's formula written out, at any batch, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import build_tiny_sd, build_tiny_sdxl
from torch import Tensor

from age_core import AgeError, ConceptSet, Eraser, encode_text
from age_core.erasure.closed_form.methods import ClosedFormOptions, closed_form
from age_core.erasure.methods import METHODS
from age_core.measure.verdicts import hits
from age_core.models.differential import without_difference
from age_core.models.families import predict
from age_core.models.noise import alpha_bar, velocity
from age_core.models.sampling import sample_latents


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory):
    return build_tiny_sdxl(tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(scope="module", params=["epsilon", "v_prediction", "sdxl"])
def pipe(request, tmp_path_factory):
    if request.param == "sdxl":
        return request.getfixturevalue("sdxl")
    return build_tiny_sd(tmp_path_factory.mktemp("words"), request.param)


def erased(pipe, targets: dict[str, str], strength: float = 1.0, *templates: str) -> Eraser:
    options = ClosedFormOptions(dve_strength=strength, templates=templates or ("{noun}",))
    return closed_form(pipe, "dve", targets, (), options)


def latents(rows: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def predicted(pipe, z: Tensor, t: Tensor, prompts: list[str], *erasers: Eraser) -> Tensor:
    if erasers:
        with erasers[0].applied_to(pipe):
            return predicted(pipe, z, t, prompts, *erasers[1:])
    return predict(pipe, z, t, encode_text(pipe, prompts))


def far_from(found: Tensor, wanted: Tensor, original: Tensor) -> float:
    """The distance of two predictions, over what the erasure itself does."""
    return float((found - wanted).norm() / (wanted - original).norm())


def plain(pipe, z: Tensor, t: Tensor, prompt: str, pairs: list[tuple[str, str]], strength: float) -> np.ndarray:
    """One row at a time, in flow matching's own terms: x0 and noise, their difference, and back to a prediction."""
    a = float(pipe.scheduler.alphas_cumprod[int(t)])
    signal, noise = a**0.5, (1 - a) ** 0.5
    x = z.numpy().astype(np.float64)

    def flow(prompt: str) -> np.ndarray:
        raw = predicted(pipe, z[None], t[None], [prompt])[0].numpy().astype(np.float64)
        if pipe.scheduler.config.prediction_type == "epsilon":
            return raw - (x - noise * raw) / signal
        return (noise * x + signal * raw) - (signal * x - noise * raw)

    v = flow(prompt)
    for concept, target in pairs:
        d = flow(concept) - flow(target)
        d = d / np.sqrt((d**2).sum())
        v = v - strength * max(0.0, float((v * d).sum())) * d
    # z = signal x0 + noise eps and v = eps - x0, solved for what the model would have predicted
    x0 = (x - noise * v) / (signal + noise)
    eps = v + x0
    return eps if pipe.scheduler.config.prediction_type == "epsilon" else signal * eps - noise * x0


@pytest.mark.parametrize(("strength", "rows"), [(1.0, 1), (2.0, 3)])
def test_predictions_are_the_papers_at_any_batch(pipe, strength, rows):
    pairs = [("dog", "cat"), ("fox", "")]
    eraser = erased(pipe, dict(pairs), strength)
    z, t = latents(rows), torch.tensor([40, 500, 980])[:rows]
    prompts = ["dog", "", "a photo of a fox"][:rows]
    found = predicted(pipe, z, t, prompts, eraser)
    wanted = torch.tensor(np.stack([plain(pipe, *row, pairs, strength) for row in zip(z, t, prompts, strict=True)]))
    assert far_from(found, wanted, predicted(pipe, z, t, prompts)) < 1e-3


def test_rows_of_guidance_are_treated_as_any_other_and_read_only_once(pipe):
    """The same latents twice, under the empty prompt and another: two more predictions a picture, not four."""
    eraser, z, t = erased(pipe, {"dog": "cat"}), latents(3), torch.tensor(500)
    prompts, rows = ["", "", "", "dog", "a dog", "pizza"], []
    hook = pipe.unet.conv_in.register_forward_hook(lambda _module, inputs, _output: rows.append(len(inputs[0])))
    both = predicted(pipe, torch.cat([z, z]), t, prompts, eraser)
    assert rows == [6, 3, 3]
    hook.remove()
    apart = [predicted(pipe, z[row % 3 : row % 3 + 1], t, prompts[row : row + 1], eraser) for row in range(6)]
    original = predicted(pipe, torch.cat([z, z]), t, prompts)
    assert far_from(both, torch.cat(apart), original) < 1e-3
    other = torch.cat([z, latents(3, 1)])  # no guidance: each row has latents of its own
    assert far_from(predicted(pipe, other, t, prompts, eraser)[:3], both[:3], original[:3]) < 1e-3


def test_what_points_away_from_the_concept_stays_as_it_is():
    difference, across = latents(2), latents(2, 1)
    d = difference / difference.flatten(1).norm(dim=1).view(2, 1, 1, 1)
    across = across - (across * d).sum((1, 2, 3), keepdim=True) * d
    assert torch.allclose(without_difference(across - 3 * d, difference), across - 3 * d, atol=1e-5)
    assert torch.allclose(without_difference(across + 3 * d, difference), across, atol=1e-5)
    assert torch.allclose(without_difference(across + 3 * d, difference, 2.0), across - 3 * d, atol=1e-5)
    assert torch.equal(without_difference(across, torch.zeros_like(across)), across)  # nothing tells the two apart


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_a_prediction_becomes_flow_matchings_velocity(kind):
    """Its length aside; and it stays a number where no signal is left, or no noise."""
    a = torch.tensor([0.0, 0.3, 1.0]).view(-1, 1, 1, 1)
    x0, eps = latents(3), latents(3, 1)
    z = a.sqrt() * x0 + (1 - a).sqrt() * eps
    raw = eps if kind == "epsilon" else a.sqrt() * eps - (1 - a).sqrt() * x0
    unit = a.sqrt() / (a.sqrt() + (1 - a).sqrt()) if kind == "epsilon" else 1 / (a.sqrt() + (1 - a).sqrt())
    assert torch.allclose(velocity(raw, z, a, kind), unit * (eps - x0), atol=1e-5)
    moved = velocity(raw + 0.5, z, a, kind) - velocity(raw, z, a, kind)
    assert torch.allclose(moved, torch.full_like(moved, 0.5), atol=1e-5)


def test_two_erasers_applied_at_once_are_one_of_both_concepts(pipe):
    z, t, prompts = latents(2), torch.tensor([300, 800]), ["dog", "fox"]
    one, other, both = (erased(pipe, pairs) for pairs in ({"dog": "cat"}, {"fox": ""}, {"dog": "cat", "fox": ""}))
    found = predicted(pipe, z, t, prompts, one, other)
    assert far_from(found, predicted(pipe, z, t, prompts, both), predicted(pipe, z, t, prompts)) < 1e-3


def test_beside_an_edit_of_weights_it_reads_the_edited_model(tiny_sd):
    """Within another eraser, around it, or as one with it: the differences are those of the weights at work."""
    z, t, prompts = latents(2), torch.tensor([300, 800]), ["dog", "fox"]
    weights, dve = closed_form(tiny_sd, "uce", {"fox": "cat"}), erased(tiny_sd, {"dog": "cat"})
    inside, around = predicted(tiny_sd, z, t, prompts, weights, dve), predicted(tiny_sd, z, t, prompts, dve, weights)
    as_one = predicted(tiny_sd, z, t, prompts, Eraser(weights.delta, dve.info, prompts=dve.prompts))
    assert torch.equal(inside, around) and torch.equal(inside, as_one)
    assert not torch.equal(inside, predicted(tiny_sd, z, t, prompts, dve))


def test_strength_0_is_the_original_and_the_rest_is_in_proportion(pipe):
    z, t, prompts = latents(2), torch.tensor([300, 800]), ["dog", "a dog"]
    eraser, original = erased(pipe, {"dog": "cat"}, 2.0), predicted(pipe, z, t, prompts)
    assert not eraser.delta and eraser.strength == 2.0
    nothing = eraser.scaled(0)
    with nothing.applied_to(pipe):
        assert not pipe.unet._forward_hooks  # nor does it cost anything
    assert torch.equal(predicted(pipe, z, t, prompts, nothing), original)
    whole = predicted(pipe, z, t, prompts, eraser) - original
    half = predicted(pipe, z, t, prompts, eraser.scaled(0.5)) - original
    assert whole.norm() > 0 and (half - whole / 2).norm() < 1e-3 * whole.norm()


def test_diffusers_own_call_draws_with_it_and_as_before_afterwards(pipe):
    def drawn() -> Tensor:
        seed = torch.Generator().manual_seed(0)
        return pipe("a dog", num_inference_steps=2, generator=seed, output_type="latent").images

    before, original = {name: value.clone() for name, value in pipe.unet.named_parameters()}, drawn()
    either_way = erased(pipe, {"dog": "cat", "cat": "dog"})  # so that one of the two is there to take out
    with pytest.raises(KeyboardInterrupt), either_way.applied_to(pipe):
        assert not torch.equal(drawn(), original)
        raise KeyboardInterrupt
    assert torch.equal(drawn(), original) and not pipe.unet._forward_hooks
    assert all(torch.equal(value, before[name]) for name, value in pipe.unet.named_parameters())


def test_it_is_stored_with_the_same_bits(pipe, tmp_path):
    eraser = erased(pipe, {"dog": "cat", "fox": ""}, 2.0, "{noun}", "a photo of {a_noun}")
    assert {side: len(rows) for side, rows in eraser.prompts.items()} == {"concept": 4, "target": 4}
    again = Eraser.load(eraser.save(tmp_path / "dog.safetensors"))
    assert all(torch.equal(again.prompts[side], rows) for side, rows in eraser.prompts.items())
    states = encode_text(pipe, ["dog", "a cat"])
    with eraser.applied_to(pipe):
        wanted = sample_latents(pipe, states, [1, 2], 2)
    with again.applied_to(pipe):
        assert torch.equal(sample_latents(pipe, states, [1, 2], 2), wanted)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_projected_in_float32(tmp_path, dtype):
    pipe = build_tiny_sd(tmp_path, "v_prediction").to(dtype)
    eraser = erased(pipe, {"dog": "cat"})
    assert {rows.dtype for rows in eraser.prompts.values()} == {torch.float32}
    z, t, states = latents(2).to(dtype), torch.tensor(500), encode_text(pipe, ["dog", "cat"])
    with torch.no_grad():
        raw, one, other = (pipe.unet(z, t, s).sample for s in (states, states[[0, 0]], states[[1, 1]]))
        with eraser.applied_to(pipe):
            found = pipe.unet(z, t, states).sample
    flow = velocity(raw.float(), z.float(), alpha_bar(pipe.scheduler, t), "v_prediction")
    wanted = raw.float() + without_difference(flow, one.float() - other.float()) - flow
    assert found.dtype == dtype and torch.allclose(found, wanted.to(dtype), atol=0.02)


def test_a_target_that_reads_the_same_is_refused(tiny_sd):
    with pytest.raises(AgeError, match=r"^The model reads 'DOG' as it reads 'dog': choose another target\.$"):
        erased(tiny_sd, {"fox": "", "dog": " DOG "})


def test_an_eraser_of_another_model_or_without_a_target_does_not_fit(tiny_sd, sdxl):
    made = erased(tiny_sd, {"dog": "cat"})
    lacking = Eraser({}, prompts={"concept": made.prompts["concept"]})
    uneven = Eraser({}, prompts=made.prompts | {"target": made.prompts["target"].repeat(2, 1, 1)})
    for pipe, eraser in ((sdxl, made), (tiny_sd, erased(sdxl, {"dog": "cat"})), (tiny_sd, lacking), (tiny_sd, uneven)):
        with pytest.raises(AgeError, match="made for another model: 'prompts' does not fit"), eraser.applied_to(pipe):
            pass
        assert not pipe.unet._forward_hooks


def test_cats_vanish_from_the_bundled_model_and_others_stay(emoji_pipe, emoji_probe):
    concepts, others = ConceptSet.load("emoji"), ["lion", "dog", "pizza", "car"]
    assert METHODS["dve"].word == "general"
    eraser = closed_form(emoji_pipe, "dve", {"cat": concepts["cat"].general})
    cats = hits(emoji_pipe, emoji_probe, concepts, ["cat"], 8, eraser)["top1"]
    assert cats.mean() <= 0.125  # the model draws 8 of 8
    assert hits(emoji_pipe, emoji_probe, concepts, others, 1, eraser)["top1"].sum() >= 3
