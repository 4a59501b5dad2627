"""An eraser at a strength: what acts follows it in proportion, 0 is the original model, 1 the eraser itself."""

from __future__ import annotations

import math

import pytest
import torch

from age_core import AgeError, Eraser, encode_text, generate
from age_core.models.eraser import STRONGEST

PROMPTS = ["a photo of a dog", "a photo of a cat"]


@pytest.fixture(scope="module", params=["dense", "low-rank", "directions", "prompts"])
def made(request, tiny_sd) -> Eraser:
    """An eraser of each kind."""
    random = torch.Generator().manual_seed(0)
    modules = {name: part for name, part in tiny_sd.unet.named_modules() if name.endswith(".attn2.to_v")}
    if request.param == "directions":
        rows = {name: torch.randn(1, part.out_features, generator=random) for name, part in modules.items()}
        return Eraser({}, {"sharpness": 20.0, "threshold": 0.0, "strength": 2.0}, directions=rows)
    if request.param == "prompts":  # each way, so that one of the two is there to take out
        states = encode_text(tiny_sd, ["dog", "cat"])
        return Eraser({}, {}, prompts={"concept": states, "target": states.flip(0)})
    delta, lora = {}, {}
    for name, part in modules.items():
        down = torch.randn(2, part.in_features, generator=random) * 0.3
        up = torch.randn(part.out_features, 2, generator=random) * 0.3
        delta[f"{name}.weight"] = up @ down
        lora |= {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
    return Eraser(delta, {"concept": "dog"}, lora if request.param == "low-rank" else {})


def pictures(pipe, eraser: Eraser) -> list[bytes]:
    with eraser.applied_to(pipe):
        return [picture.tobytes() for picture in generate(pipe, PROMPTS, [1, 2], steps=2)]


def test_at_0_the_model_draws_as_the_original_does_and_at_1_as_the_eraser_was_made(tiny_sd, made):
    original, edited = pictures(tiny_sd, Eraser({})), pictures(tiny_sd, made)
    assert pictures(tiny_sd, made.scaled(0)) == original != edited
    assert made.scaled(1) is made and pictures(tiny_sd, made.scaled("1.0")) == edited
    assert pictures(tiny_sd, made.scaled(0.5)) not in (original, edited)


def test_everything_that_acts_is_in_proportion(tiny_sd, made):
    half, own = made.scaled(0.5), made.info.get("strength", 1.0)
    assert half.info["strength"] == half.strength == 0.5 * own and half.concepts == made.concepts
    assert all(torch.equal(change, 0.5 * made.delta[name]) for name, change in half.delta.items())
    for name, change in half.delta.items() if half.lora else ():
        down, up = (half.lora[name.replace("weight", f"lora_{factor}.weight")] for factor in "AB")
        assert torch.allclose(up @ down, change, atol=1e-6)
    assert half.scaled(2).strength == own
    weights = dict(tiny_sd.unet.named_parameters())
    before = {name: weights[name].detach().clone() for name in made.delta}
    with half.applied_to(tiny_sd):
        for name, change in made.delta.items():
            assert torch.allclose(weights[name] - before[name], 0.5 * change, atol=1e-6)


@pytest.mark.parametrize(
    "strength", [-1, -0.05, math.nan, math.inf, -math.inf, 1e9, STRONGEST + 1, "half", "", None, True]
)
def test_what_is_no_strength_is_one_sentence(made, strength):
    with pytest.raises(AgeError, match=r"^The strength must be a number from 0 to 10, not '.*'\.$"):
        made.scaled(strength)


def test_the_ends_are_strengths(made):
    assert math.copysign(1, made.scaled("-0").info["strength"]) == 1
    assert made.scaled(STRONGEST).strength == STRONGEST * made.strength


def test_a_file_whose_strength_is_no_number_is_one_sentence():
    with pytest.raises(AgeError, match="This eraser's strength is no number: 'strong'"):
        Eraser({}, {"strength": "strong"}).scaled(0.5)
