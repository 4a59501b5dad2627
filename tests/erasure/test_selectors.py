"""Selectors: Gumbel-softmax is a sampler of softmax(pi) with a gradient; whatever learns is taught by the loop."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import torch
from support import SMALL

from age_core import Candidates, erase
from age_core.erasure.options import TargetKind
from age_core.erasure.selectors import SELECTORS, AdaptiveTarget, FixedTarget, RandomTarget, gumbel_softmax


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_draws_are_one_hot_and_follow_softmax():
    logits = torch.tensor([1.0, 0.0, -1.0])
    draws = gumbel_softmax(logits, 40_000, 0.7, seeded())
    assert torch.allclose(draws.sum(-1), torch.ones(40_000), atol=1e-5)
    assert torch.allclose(draws.max(-1).values, torch.ones(40_000), atol=1e-5)
    assert torch.allclose(draws.mean(0), logits.softmax(-1), atol=0.01)


def test_gradient_is_that_of_the_relaxation():
    logits = torch.tensor([0.3, -0.2, 0.1], requires_grad=True)
    value = torch.tensor([1.0, 2.0, 5.0])
    (got,) = torch.autograd.grad((gumbel_softmax(logits, 5, 0.7, seeded()) * value).sum(), logits)
    uniform = torch.rand(5, 3, generator=seeded())
    noise = -torch.log(-torch.log(uniform + 1e-10) + 1e-10)
    (want,) = torch.autograd.grad((torch.softmax((logits + noise) / 0.7, -1) * value).sum(), logits)
    assert torch.allclose(got, want, atol=1e-6)


def test_adaptive_finds_the_most_damaged_candidate_and_grows_sure():
    selector, generator = AdaptiveTarget(6, lr=0.1, temperature=1.0), seeded()
    damage = torch.tensor([0.0, 0.1, 0.0, 1.0, 0.2, 0.0])
    start = torch.special.entr(selector.logits.softmax(-1)).sum()
    for _ in range(150):
        selector.update(lambda weights: (weights * damage).sum(-1).mean(), 8, generator)
    probabilities = selector.logits.detach().softmax(-1)
    assert probabilities.argmax() == 3
    assert torch.special.entr(probabilities).sum() < 0.5 * start


def test_draws_of_the_outer_step_carry_no_gradient():
    assert not AdaptiveTarget(3, 0.1, 1.0).draw(2, seeded()).requires_grad


def test_a_committed_student_is_given_the_likeliest_candidate_while_pi_explores():
    selector = AdaptiveTarget(3, 0.1, 1.0, prior=(0.0, 0.2, 0.1), argmax_target=True)
    assert torch.equal(selector.draw(4, seeded()), torch.tensor([[0.0, 1, 0]] * 4))
    explored = selector.explore(200, seeded())
    assert torch.equal(explored, selector.relaxed(200, seeded()).detach())
    assert (explored.sum(0) > 20).all()
    for _ in range(40):
        selector.update(lambda weights: weights[:, 2].mean(), 8, seeded())
    assert torch.equal(selector.draw(1, seeded()), torch.tensor([[0.0, 0, 1]]))


def test_controls():
    assert torch.equal(FixedTarget(3, 1).draw(2, seeded()), torch.tensor([[0.0, 1, 0], [0, 1, 0]]))
    draws = RandomTarget(4).draw(8000, seeded())
    assert torch.allclose(draws.mean(0), torch.full((4,), 0.25), atol=0.03)


class Bandit(RandomTarget):
    """Draws evenly, and remembers how much damage each candidate exposed: a selector without a gradient."""

    learns = True

    def __init__(self, count):
        super().__init__(count)
        self.taught = []

    def update(self, inner_objective, rows, generator):
        weights = self.draw(rows, generator).requires_grad_(True)
        (damage,) = torch.autograd.grad(inner_objective(weights), weights)
        self.logits = self.logits + (weights.detach() * damage).sum(0)
        self.taught.append(rows)


def test_a_selector_of_ones_own_learns_whatever_it_is_called(tiny_sd, monkeypatch):
    bandits = []

    class Recorded(Bandit):
        @classmethod
        def of(cls, options, count, prior=()):
            bandits.append(cls(count))
            return bandits[-1]

    monkeypatch.setitem(SELECTORS, "random", Recorded)
    pool = Candidates(("wolf", "cat", "pizza"), (0.1, 0.2, 0.9))
    options = replace(SMALL, target="random", steps=6, pi_every=2, pi_batch=5, lr=1e-2, preview_every=0)
    events = [event for event in erase(tiny_sd, "dog", pool, options) if event.step]
    assert bandits[0].taught == [5, 5, 5]  # every second step, by as many rows as the options say
    assert events[0].logits == (0.0, 0.0, 0.0) and any(events[-1].logits)


def test_what_learns_nothing_costs_no_inner_step(tiny_sd, monkeypatch):
    monkeypatch.setattr("age_core.erasure.loop.inner_gradient", None)
    pool = Candidates(("wolf", "cat"), (0.1, 0.2))
    for target in ("random", "fixed"):
        *_, last = erase(tiny_sd, "dog", pool, replace(SMALL, target=target, fixed_target="cat", preview_every=0))
        assert last.step == 4


def test_the_table_holds_every_target_that_the_options_allow():
    assert set(SELECTORS) == set(get_args(TargetKind))
    assert {name for name, selector in SELECTORS.items() if selector.learns} == {"adaptive"}
    assert {name for name, selector in SELECTORS.items() if selector.takes_word} == {"fixed"}
