"""The adversary of Receler: what it moves, that it gains on the student, and that a run with it goes on as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support import SMALL, build_tiny_sdxl
from torch import Tensor

from age_core import AgeError, Candidates, EraseOptions, encode_text, erase
from age_core.erasure.adversary import Adversary
from age_core.erasure.batch import draw_batch
from age_core.erasure.latents import LatentCache, prepare
from age_core.erasure.methods import method_options
from age_core.erasure.student import Student
from age_core.models.families import predict

OPTIONS = replace(
    SMALL, target="fixed", fixed_target="", negative_guidance=1.0, attack_steps=3, attack_tokens=4, train="kv"
)
POOL = Candidates(("wolf", "cat", "pizza"), (0.1, 0.2, 0.9))


def scene(pipe, options: EraseOptions = OPTIONS):
    """A cache, a student some way from its teacher, and a batch."""
    *_, cache = prepare(pipe, "dog", POOL.led_by("").names, options)
    assert isinstance(cache, LatentCache)
    student, generator = Student(pipe.unet, options), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for leaf in student.leaves.values():
            leaf += 0.3 * leaf.std() * torch.randn(leaf.shape, generator=generator)
    weights = torch.nn.functional.one_hot(torch.zeros(2).long(), cache.candidate_embeds.shape[1]).float()
    return cache, student, draw_batch(pipe, cache, weights, options, generator, student)


def test_an_attack_is_adam_on_the_difference_to_the_unedited_answer(tiny_sd):
    """min over the soft prompt of |eps_student(z, [c, soft]) - eps_teacher(z, c)|^2, step by step."""
    cache, student, batch = scene(tiny_sd)
    prompt = Adversary(tiny_sd, cache, OPTIONS).attack(tiny_sd, student, batch, 0)
    with torch.no_grad():
        original = predict(tiny_sd, batch.z_erased, batch.t, batch.erased)
    soft = cache.erased[0, -4:].clone().requires_grad_(True)
    adam = torch.optim.Adam([soft], lr=OPTIONS.attack_lr)
    for _ in range(3):
        with student.active():
            shown = torch.cat([batch.erased[:, :-4], soft.expand(2, -1, -1)], 1)
            error = ((predict(tiny_sd, batch.z_erased, batch.t, shown) - original) ** 2).mean()
            (soft.grad,) = torch.autograd.grad(error, soft)
        adam.step()
    assert torch.equal(prompt[:, :-4], batch.erased[:, :-4]) and not prompt.requires_grad
    assert (prompt[0, -4:] - soft.detach()).norm() < 1e-2 * (soft.detach() - cache.erased[0, -4:]).norm()


def test_an_attack_gains_on_the_student_and_leaves_it_alone(tiny_sd):
    options = replace(OPTIONS, attack_steps=30, attack_lr=0.03)
    cache, student, batch = scene(tiny_sd, options)
    before = {name: leaf.detach().clone() for name, leaf in student.leaves.items()}

    def error(prompt: Tensor) -> float:
        with torch.no_grad():
            original = predict(tiny_sd, batch.z_erased, batch.t, batch.erased)
            with student.active():
                return float((predict(tiny_sd, batch.z_erased, batch.t, prompt) - original).norm())

    adversary = Adversary(tiny_sd, cache, options)
    assert error(adversary.attack(tiny_sd, student, batch, 0)) < 0.95 * error(batch.erased)
    assert all(torch.equal(leaf, before[name]) and leaf.grad is None for name, leaf in student.leaves.items())
    in_parts, whole = (Adversary(tiny_sd, cache, OPTIONS).attack(tiny_sd, student, batch, rows) for rows in (1, 0))
    assert (in_parts - whole).norm() < 1e-2 * (whole - batch.erased).norm()


def test_the_pooled_vector_of_sdxl_is_not_attacked_and_at_most_half_of_a_prompt_is(tmp_path):
    pipe = build_tiny_sdxl(tmp_path)
    erased = encode_text(pipe, ["dog"]).float()
    cache = LatentCache(*[erased] * 3, torch.zeros(0), torch.zeros(0), torch.zeros(0))
    adversary = Adversary(pipe, cache, replace(OPTIONS, attack_tokens=100))
    with torch.no_grad():
        adversary.states.fill_(7.0)
    moved = (adversary.prompt(erased) != erased)[0].any(1)
    tokens = erased.shape[1] - 1
    assert not moved[-1] and moved[-1 - tokens // 2 : -1].all() and not moved[: -1 - tokens // 2].any()


def test_a_run_with_an_adversary_goes_on_as_it_was(tiny_sd):
    options = replace(OPTIONS, checkpoint_every=2)
    whole = list(erase(tiny_sd, "dog", POOL, options))
    state = next(event.state for event in whole if event.state)
    *_, again = erase(tiny_sd, "dog", POOL, options, resume=state)
    assert any(name.startswith("attack0/adam") for name in state.tensors)
    *_, calm = erase(tiny_sd, "dog", POOL, replace(options, attack_steps=0))
    for name, delta in whole[-1].eraser.delta.items():
        assert torch.equal(again.eraser.delta[name], delta) and not torch.equal(calm.eraser.delta[name], delta)


@pytest.mark.parametrize(("name", "value"), [("attack_steps", -1), ("attack_tokens", 0), ("attack_lr", 0.0)])
def test_an_adversary_that_cannot_work_is_said(name, value):
    with pytest.raises(AgeError, match=name):
        method_options("receler", **{name: value})
