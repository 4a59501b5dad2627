"""The device's path, tried with shadow tensors: nothing mixes devices, and the CPU hardly ever waits for the device."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from shadow_cuda import WAITS, move_pipeline, pretending
from support import ONE_BLOCK, QUICK, SMALL, WORDS, WORLD, build_tiny_sd, build_tiny_sdxl

from age_core import Vocabulary, encode_text, erase, evaluate, generate
from age_core.erasure.by_method import erase_by
from age_core.erasure.closed_form.methods import closed_form
from age_core.measure.noise_shift import noise_shift
from age_core.models.families import predict
from age_core.models.sampling import sample_latents
from age_core.study.baseline import Original

WAITS_A_STEP = 3  # pi's draws to the device, its gradient back, and the losses
SHORT = replace(SMALL, steps=2, preview_every=0, grid=3)
# every value of every option that changes the path, the most frequent pairs of them together
OPTIONS = {
    "default": {"preview_every": 1, "checkpoint_every": 1},
    "qkv, code": {
        "train": "xattn-qkv",
        "latents": "student",
        "legacy_offset": True,
        "inner_objective": "student",
        "negative_guidance": 1.0,
        "weighting": "x0",
        "preserve": "target",
    },
    "full, both": {"train": "full", "latents": "teacher", "inner_objective": "both", "relaxation": "soft"},
    "lora, both": {"train": "lora", "inner_objective": "both", "normalise_terms": True, "relaxation": "top-k"},
    "noxattn, none": {"train": "noxattn", "latents": "student", "preserve": "none", "weighting": "clipped"},
    "goes on": {"most_left": 1e-9, "settle": 0.5, "protect": "all", "train": "kv", "protect_in": ("{noun} icon",)},
    "parts, empty": {"preserve": "empty", "rows_at_once": 1, "argmax_target": True, "min_candidate_distance": 1e-6},
    "fixed, CA": {"target": "fixed", "fixed_target": "pizza", "preserve": "none", "latents_of": "target"},
    "random, AP": {"target": "random", "erase_to": "empty", "preserve": "target", "checkpoint_every": 1},
    "autocast": {"precision": "bfloat16", "preview_every": 1},
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return build_tiny_sd(tmp_path_factory.mktemp("tokenizer"), "epsilon", **ONE_BLOCK)


@pytest.fixture(scope="module")
def shadow(plain):
    return on_cuda(plain)


@pytest.fixture(scope="module")
def pool(plain):
    return Vocabulary(WORDS).near(plain, "dog", 4)


def on_cuda(pipe, dtype=torch.float32, offload=False):
    parts = {name: copy.deepcopy(part) for name, part in pipe.components.items()}
    return move_pipeline(type(pipe)(**parts).to(dtype), offload)


def waits_between(events):
    """What had the CPU wait in each step but the first, which sends tables, and the last, which fetches the eraser."""
    waits, before = [], 0
    for event in events:
        if event.step > 1 and event.eraser is None:
            waits.append(WAITS[before:])
        before = len(WAITS)
    return waits


def close(one, other, tolerance=1e-5):
    return one.keys() == other.keys() and all(
        torch.allclose(one[name], other[name], atol=tolerance, rtol=1e-3) for name in one
    )


@pytest.mark.parametrize("changes", OPTIONS.values(), ids=OPTIONS)
def test_every_option_of_the_loop_runs(plain, shadow, pool, changes):
    options = replace(SHORT, **changes)
    with pretending():
        events = list(erase(shadow, "dog", pool, options))
    *_, here = erase(plain, "dog", pool, options)
    assert all(delta.device.type == "cpu" and type(delta) is torch.Tensor for delta in events[-1].eraser.delta.values())
    if options.precision == "float32":  # the CPU's autocast does not reach into a shadow as CUDA's would
        assert close(events[-1].eraser.delta, here.eraser.delta)
    assert len(events[-1].previews) == len(here.previews)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("train", ["full", "lora"])
def test_half_precision_weights_train_there(plain, pool, dtype, train):
    pipe = on_cuda(plain, dtype)
    with pretending():
        *_, last = erase(pipe, "dog", pool, replace(SHORT, train=train, preview_every=2))
    assert all(delta.isfinite().all() for delta in last.eraser.delta.values())
    assert max(float(delta.abs().max()) for delta in last.eraser.delta.values()) > 0


def test_the_default_step_hardly_waits(shadow, pool):
    with pretending():
        waits = waits_between(erase(shadow, "dog", pool, replace(SHORT, steps=4)))
        without_pi = waits_between(erase(shadow, "dog", pool, replace(SHORT, steps=4, pi_every=9)))
    assert len(waits) == 2 and max(map(len, waits)) <= WAITS_A_STEP, waits
    assert max(map(len, without_pi)) <= 1, without_pi


def test_an_update_of_the_published_code_hardly_waits(shadow):
    with pretending():
        waits = waits_between(erase_by(shadow, "age-paper-code", "dog", WORLD, **QUICK | {"grid": 8, "steps": 3}))
    assert waits and max(map(len, waits)) <= WAITS_A_STEP, waits


@pytest.mark.parametrize("changes", [{}, {"train": "lora", "latents": "student", "preserve": "target"}])
def test_a_resumed_run_ends_as_the_uninterrupted_one(shadow, pool, changes):
    options = replace(SHORT, steps=3, checkpoint_every=1, **changes)
    with pretending():
        whole = list(erase(shadow, "dog", pool, options))
        state = next(event.state for event in whole if event.state)
        *_, again = erase(shadow, "dog", pool, options, resume=state)
    assert state.step == 1 and all(type(value) is torch.Tensor for value in state.tensors.values())
    assert all(torch.equal(again.eraser.delta[name], delta) for name, delta in whole[-1].eraser.delta.items())
    assert again.logits == whole[-1].logits


@pytest.mark.parametrize("method", ["uce", "rece", "speed", "oce", "adavd", "dp", "cure", "casteer", "dve"])
def test_closed_forms_are_solved_and_applied_there(plain, shadow, method):
    before = {name: weight.held.clone() for name, weight in shadow.unet.named_parameters()}
    with pretending():
        eraser = closed_form(shadow, method, {"dog": "pizza"}, ("cat",))
        with eraser.applied_to(shadow):
            _prediction(shadow)  # after which tables are there
            del WAITS[:]
            moved = _prediction(shadow).cpu()
            assert len(WAITS) <= 4, WAITS  # the word, the latents, their timestep, and the answer
    assert all(torch.equal(weight.held, before[name]) for name, weight in shadow.unet.named_parameters())
    here = closed_form(plain, method, {"dog": "pizza"}, ("cat",))
    assert all(type(delta) is torch.Tensor for delta in eraser.delta.values()) and close(eraser.delta, here.delta)
    with here.applied_to(plain):
        assert torch.allclose(_prediction(plain), moved, atol=1e-4)


def test_what_acts_while_drawing_draws_under_guidance_there(plain, shadow):
    for method in ("adavd", "casteer", "dve"):
        eraser = closed_form(plain, method, {"dog": "pizza"})
        with pretending(), eraser.applied_to(shadow):
            drawn = sample_latents(shadow, encode_text(shadow, ["dog", "cat"]), [1, 2], steps=2).cpu()
        with eraser.applied_to(plain):
            here = sample_latents(plain, encode_text(plain, ["dog", "cat"]), [1, 2], steps=2)
        assert (drawn - here).norm() < 1e-3 * here.norm()


@torch.no_grad()
def _prediction(pipe):
    states = encode_text(pipe, ["dog"])
    z = torch.ones(1, 4, 8, 8).to(states.device)
    return predict(pipe, z, torch.tensor([500]).to(states.device), states)


def test_the_look_ahead_tries_every_candidate_there(plain, shadow):
    asked = QUICK | {"steps": 1}
    with pretending():
        *_, event = erase_by(shadow, "age", "dog", WORLD, **asked)
    *_, here = erase_by(plain, "age", "dog", WORLD, **asked)
    assert event.logits == pytest.approx(here.logits, rel=1e-2, abs=1e-2)


class Brightness:
    """Takes pictures for the concept whose place between dark and bright is theirs."""

    name, version, labels = "brightness", "1", WORLD.names

    def rows(self, labels):
        return [self.labels.index(label) for label in labels]

    def features(self, pictures):
        return np.array([[np.asarray(picture.convert("L")).mean() / 255] for picture in pictures])

    def scores(self, pictures):
        return -np.abs(self.features(pictures) - np.linspace(0, 1, len(self.labels)))

    def stages(self, pictures):
        return [torch.tensor(np.stack([np.asarray(picture) for picture in pictures])).float().flatten(1, 2)]


def test_it_evaluates_and_draws_baselines_there(shadow, tmp_path):
    with pretending():
        eraser = closed_form(shadow, "uce", {"dog": "pizza"})
        table = evaluate(shadow, Brightness(), WORLD, ["dog"], {"uce": eraser}, images=1, erased_images=2)
        drawn = Original.open(shadow, Brightness(), WORLD, 1, tmp_path)
        again = Original.open(shadow, Brightness(), WORLD, 1, tmp_path)
        shifts = [noise_shift(shadow, original.reference, eraser)["shift"] for original in (drawn, again)]
    assert len(table) == 2 and len(drawn.pictures) == len(WORLD)
    assert shifts[0].gt(0).all() and shifts[0].equals(shifts[1])


def test_sdxl_trains_and_draws_there(tmp_path, pool):
    pipe = on_cuda(build_tiny_sdxl(tmp_path, **ONE_BLOCK))
    with pretending():
        waits = waits_between(erase(pipe, "dog", pool, replace(SHORT, steps=3)))
        generate(pipe, ["dog"], [1], steps=2)
    assert waits and max(map(len, waits)) <= WAITS_A_STEP, waits


def test_the_rest_may_stay_in_main_memory(plain, pool):
    pipe = on_cuda(plain, offload=True)
    with pretending():
        *_, last = erase(pipe, "dog", pool, replace(SHORT, preview_every=2))
        *_, solved = erase_by(pipe, "uce", "dog", WORLD)
    assert last.previews and solved.eraser.delta
