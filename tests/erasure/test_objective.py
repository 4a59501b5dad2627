"""Gradients of both players against those of the published equation, and which leaf gets none."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from diffusers import DDIMScheduler
from support import SMALL

from age_core import EraseOptions, encode_text
from age_core.erasure.batch import _partial_samples, draw_batch
from age_core.erasure.latents import LatentCache, prepare
from age_core.erasure.objective import guided_target, inner_gradient, losses, published_objective, share_left
from age_core.erasure.selectors import gumbel_softmax
from age_core.erasure.student import Student
from age_core.models.families import predict
from age_core.models.noise import alpha_bar, ddim_step, error_weights, to_x0

PROFILES = {
    "improved": {},
    "paper": {"inner_objective": "both", "relaxation": "soft", "pi_temperature": 0.5},
    "both, balanced": {"inner_objective": "both", "normalise_terms": True},
    "paper-code": {"inner_objective": "student", "weighting": "x0", "negative_guidance": 1.0, "pi_temperature": 0.1},
    "paper-code-style": {"inner_objective": "student", "weighting": "x0", "relaxation": "top-k", "top_k": 2},
    "AP": {"inner_objective": "preserve", "erase_to": "empty", "preserve_weight": 0.3},
}


def setting(pipe, **changes):
    """A student that has moved away from its teacher, a scene, drawn weights and their batch."""
    options = replace(SMALL, **({"batch": 3, "preserve_weight": 0.7} | changes))
    cache = next(p for p in prepare(pipe, "dog", ("cat", "fox", "pizza"), options) if isinstance(p, LatentCache))
    student = Student(pipe.unet, options)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for leaf in student.leaves.values():
            leaf.add_(torch.randn(leaf.shape, generator=generator) * 0.05)
    logits = torch.tensor([0.3, -0.1, 0.2], requires_grad=True)
    weights = gumbel_softmax(logits, 3, options.pi_temperature, generator, options.relaxation, options.top_k)
    batch = draw_batch(pipe, cache, weights.detach(), options, generator, student)
    return options, student, logits, weights, batch


def edited_copy(pipe, student):
    """A second pipeline whose UNet has the student's weights: with the published equation it shares nothing."""
    edited = copy.copy(pipe)
    edited.unet = copy.deepcopy(pipe.unet)
    with torch.no_grad():
        for name, parameter in edited.unet.named_parameters():
            if name in student.weights():
                parameter.copy_(student.weights()[name])
    return edited


def without_gradient(pipe):
    """A second pipeline whose predictions are constants."""
    constant = copy.copy(pipe)
    constant.unet = copy.copy(pipe.unet)
    constant.unet.forward = torch.no_grad()(pipe.unet.forward)
    return constant


def test_the_published_equation_is_what_both_players_compute(tiny_sd):
    """The loss that the student descends and the sum that the target climbs, each value and gradient."""
    paper = {"inner_objective": "both", "preserve": "target", "weighting": "none", "negative_guidance": 0.0}
    options, student, _, weights, batch = setting(tiny_sd, **paper)
    states = batch.mix(weights.detach())
    edited, c_e, c_t = edited_copy(tiny_sd, student), batch.erased, states.requires_grad_(True)
    trained = [p.requires_grad_(True) for name, p in edited.unet.named_parameters() if name in student.leaves]
    erase, preserve = published_objective(
        edited, tiny_sd, batch.z_erased, batch.z_target, batch.t, c_e, c_t, options.preserve_weight
    )
    *of_student, of_target = torch.autograd.grad((erase + preserve).mean(), [*trained, c_t])

    loss_erase, loss_preserve = losses(tiny_sd, student, batch, c_t, options)
    assert torch.allclose(loss_erase, erase.mean(), rtol=1e-4)
    assert torch.allclose(options.preserve_weight * loss_preserve, preserve.mean(), rtol=1e-4)
    loss = loss_erase + options.preserve_weight * loss_preserve
    for mine, plain in zip(torch.autograd.grad(loss, list(student.leaves.values())), of_student, strict=True):
        assert torch.allclose(mine, plain, rtol=1e-3, atol=1e-5 * max(float(g.abs().max()) for g in of_student))
    mine = inner_gradient(tiny_sd, student, batch, c_t, options)
    assert of_target.abs().max() > 0
    assert torch.allclose(mine, of_target, rtol=1e-3, atol=1e-5 * float(of_target.abs().max()))


@pytest.mark.parametrize("profile", ["improved", "paper-code", "AP"])
def test_what_is_left_is_the_erasing_term_beside_that_of_the_original(tiny_sd, profile):
    options, student, _, weights, batch = setting(tiny_sd, **PROFILES[profile])
    states, untouched = batch.mix(weights).detach(), Student(tiny_sd.unet, options)
    c_goal = batch.empty.expand_as(states) if options.erase_to == "empty" else states
    to_go = []
    for model in (edited_copy(tiny_sd, student), tiny_sd):
        target = predict(tiny_sd, batch.z_erased, batch.t, c_goal)
        original = predict(tiny_sd, batch.z_erased, batch.t, batch.erased)
        goal = target + options.negative_guidance * (target - original)
        to_go.append((predict(model, batch.z_erased, batch.t, batch.erased) - goal).square().mean())
    given = batch.z_erased, batch.t, batch.erased, c_goal, options.negative_guidance
    left = share_left(tiny_sd, student, *given)
    assert left == pytest.approx(float(to_go[0] / to_go[1]), rel=1e-4) and abs(left - 1) > 1e-3
    assert share_left(tiny_sd, untouched, *given) == pytest.approx(1)


@pytest.mark.parametrize("profile", PROFILES)
def test_pi_gradient_is_that_of_the_written_out_objective(tiny_sd, profile):
    options, student, logits, weights, batch = setting(tiny_sd, **PROFILES[profile])
    states = batch.mix(weights)
    ours = (states * inner_gradient(tiny_sd, student, batch, states, options)).sum()
    (got,) = torch.autograd.grad(ours, logits, retain_graph=True)

    edited = edited_copy(tiny_sd, student)
    original = without_gradient(tiny_sd) if options.inner_objective == "student" else tiny_sd
    c_t = torch.stack([sum(w[j] * batch.candidate_embeds[j] for j in range(3)) for w in weights])
    c_e, lam = batch.erased.expand_as(c_t), options.preserve_weight
    terms = published_objective(edited, original, batch.z_erased, batch.z_target, batch.t, c_e, c_t, lam)
    erase, objective = ((batch.weight * term).mean() for term in terms)
    if options.normalise_terms:
        erase, objective = erase / erase.detach(), objective / objective.detach()
    if options.inner_objective == "both":
        objective = objective + erase
    (want,) = torch.autograd.grad(objective, logits)
    assert want.abs().max() > 0
    assert torch.allclose(got, want, rtol=1e-3, atol=1e-6 * float(want.abs().max()) + 1e-9)


def test_the_published_code_has_no_gradient_through_the_erasing_term(tiny_sd):
    """Its pi step stays the same whatever the erasing latents are; the published equation's does not."""
    for inner_objective, same in (("student", True), ("both", False)):
        options, student, _, weights, batch = setting(tiny_sd, inner_objective=inner_objective)
        states = batch.mix(weights.detach())
        first = inner_gradient(tiny_sd, student, batch, states, options)
        second = inner_gradient(tiny_sd, student, replace(batch, z_erased=batch.z_erased + 1), states, options)
        assert torch.equal(first, second) is same


def test_at_the_start_the_true_preserving_gradient_is_zero_and_the_codes_is_too(tiny_sd):
    """Student equals teacher, so the difference that multiplies both Jacobians is zero (docs/method.md, section C)."""
    options = replace(SMALL, batch=2, inner_objective="preserve")
    cache = next(p for p in prepare(tiny_sd, "dog", ("cat", "fox"), options) if isinstance(p, LatentCache))
    student, generator = Student(tiny_sd.unet, options), torch.Generator().manual_seed(0)
    batch = draw_batch(tiny_sd, cache, torch.eye(2), options, generator, student)
    for inner_objective in ("preserve", "student"):
        gradient = inner_gradient(
            tiny_sd, student, batch, batch.mix(torch.eye(2)), replace(options, inner_objective=inner_objective)
        )
        assert gradient.abs().max() < 1e-8


@pytest.mark.parametrize(("eta", "preserve"), [(0.0, "target"), (1.0, "target"), (0.0, "neighbours"), (0.0, "empty")])
def test_student_gradient_is_that_of_the_written_out_losses(tiny_sd, eta, preserve):
    changes = {"negative_guidance": eta, "preserve": preserve}
    options, student, logits, weights, batch = setting(tiny_sd, weighting="x0", **changes)
    erase_loss, preserve_loss = losses(tiny_sd, student, batch, batch.mix(weights), options)
    total = erase_loss + options.preserve_weight * preserve_loss
    got = torch.autograd.grad(total, list(student.leaves.values()))
    assert total.grad_fn is not None
    with pytest.raises(RuntimeError):  # nothing links the student's loss to pi
        torch.autograd.grad(losses(tiny_sd, student, batch, batch.mix(weights), options)[0], logits)

    edited = edited_copy(tiny_sd, student)
    chosen = [p.requires_grad_(True) for n, p in edited.unet.named_parameters() if n in student.leaves]
    c_t, c_e = batch.mix(weights.detach()), batch.erased.expand(3, -1, -1)
    z_erased, t, lam = batch.z_erased, batch.t, options.preserve_weight
    z_kept, kept = {
        "target": (batch.z_target, c_t),
        "neighbours": (batch.z_kept, batch.kept),
        "empty": (batch.z_erased, encode_text(tiny_sd, [""]).expand_as(c_t)),
    }[preserve]
    l1, _ = published_objective(edited, tiny_sd, z_erased, z_kept, t, c_e, c_t, lam)
    _, l2 = published_objective(edited, tiny_sd, z_erased, z_kept, t, c_e, kept, lam)
    if eta:  # not in the published equation, but in the published code
        goal = (1 + eta) * predict(tiny_sd, z_erased, t, c_t) - eta * predict(tiny_sd, z_erased, t, c_e)
        l1 = (predict(edited, z_erased, t, c_e) - goal.detach()).pow(2).mean((1, 2, 3))
    want = torch.autograd.grad((batch.weight * (l1 + l2)).mean(), chosen)
    scale = max(float(w.abs().max()) for w in want)
    for mine, plain in zip(got, want, strict=True):
        assert torch.allclose(mine, plain, rtol=1e-3, atol=1e-5 * scale)
    assert all(parameter.grad is None for parameter in tiny_sd.unet.parameters())


def test_guided_target_passes_the_target_and_holds_no_gradient():
    target, erased = torch.tensor([3.0], requires_grad=True), torch.tensor([1.0], requires_grad=True)
    assert guided_target(target, erased, 0.0).item() == 3
    pushed = guided_target(target, erased, 1.0)
    assert pushed.item() == 5 and not pushed.requires_grad


@pytest.mark.parametrize("latents", ["cached", "teacher"])
def test_preserved_neighbours_are_any_candidates_whatever_the_target(tiny_sd, latents):
    options = replace(SMALL, batch=24, preserve="neighbours", latents=latents, grid=2)
    cache = next(p for p in prepare(tiny_sd, "dog", ("cat", "fox", "pizza"), options) if isinstance(p, LatentCache))
    student, generator = Student(tiny_sd.unet, options), torch.Generator().manual_seed(0)
    target = torch.tensor([0.0, 1.0, 0.0]).expand(24, -1)
    batch = draw_batch(tiny_sd, cache, target, options, generator, student)
    drawn = [next(j for j in range(3) if torch.equal(kept, batch.candidate_embeds[j])) for kept in batch.kept]
    assert set(drawn) == {0, 1, 2}
    if latents == "cached":  # where latents are sampled, the student's step has no use for the target's
        same = torch.tensor([torch.equal(a, b) for a, b in zip(batch.z_kept, batch.z_target, strict=True)])
        fox = torch.tensor(drawn) == 1
        # the same picture and noise where the target itself was drawn
        assert same[fox].all() and not same[~fox].any()


def test_checkpointing_changes_no_gradient(tiny_sd):
    """A checkpointed UNet runs again inside the backward pass and must meet the same weights there."""
    options, student, _, weights, batch = setting(tiny_sd)
    states, leaves = batch.mix(weights.detach()), list(student.leaves.values())

    def gradients():
        pi = inner_gradient(tiny_sd, student, batch, states, options)
        loss = sum(losses(tiny_sd, student, batch, states, options))
        with student.active():
            return [pi, *torch.autograd.grad(loss, leaves)]

    plain = gradients()
    tiny_sd.unet.enable_gradient_checkpointing()
    try:
        checkpointed = gradients()
    finally:
        tiny_sd.unet.disable_gradient_checkpointing()
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-7) for a, b in zip(plain, checkpointed, strict=True))


def test_x0_projection_and_weights_agree_with_diffusers(tiny_sd):
    scheduler = DDIMScheduler.from_config(tiny_sd.scheduler.config)
    kind = scheduler.config.prediction_type
    scheduler.set_timesteps(50)
    generator = torch.Generator().manual_seed(0)
    z, first, second = torch.randn(3, 1, 4, 8, 8, generator=generator)
    for step in scheduler.timesteps[[0, 10, 30, 49]]:
        t = torch.tensor([int(step)])
        theirs = scheduler.step(first, int(step), z)
        other = scheduler.step(second, int(step), z).pred_original_sample
        a = alpha_bar(scheduler, t)
        assert torch.allclose(to_x0(first, z, a, kind), theirs.pred_original_sample, atol=1e-4, rtol=1e-4)
        weight = error_weights(a, kind, "x0", 1.0)
        clean = (theirs.pred_original_sample - other).square().mean()
        assert torch.allclose(weight * (first - second).square().mean(), clean, rtol=1e-3)
        previous = int(step) - 20
        a_next = alpha_bar(scheduler, torch.tensor([max(previous, 0)]))
        assert torch.allclose(ddim_step(first, z, a, a_next, kind), theirs.prev_sample, atol=1e-4, rtol=1e-4)


def test_clipped_weights_never_exceed_the_clip(tiny_sd):
    a = alpha_bar(tiny_sd.scheduler, torch.arange(1000))
    kind = tiny_sd.scheduler.config.prediction_type
    whole, clipped = (error_weights(a, kind, way, 2.0) for way in ("x0", "clipped"))
    assert torch.equal(clipped, whole.clamp(max=2.0))
    assert bool(whole.max() > 2) is (kind == "epsilon")


def test_published_weights_at_the_specification_s_timesteps(tiny_sd):
    """docs/method.md, section C, point 2: 1.4 at t = 401, 26 at 801, 172 at 981 for Stable Diffusion's schedule."""
    weight = error_weights(alpha_bar(tiny_sd.scheduler, torch.tensor([1, 401, 801, 981])), "epsilon", "x0", 1.0)
    assert torch.allclose(weight, torch.tensor([0.0017, 1.4, 26.0, 172.0]), rtol=0.05)


@pytest.mark.parametrize(
    ("changes", "for_pi", "trajectories"),
    [
        ({"preserve": "target"}, False, 2),
        ({"preserve": "neighbours"}, False, 2),
        ({"preserve": "none"}, False, 1),
        ({"preserve": "empty"}, False, 1),
        ({"preserve": "target", "inner_objective": "student"}, True, 1),
        ({"preserve": "neighbours", "inner_objective": "preserve"}, True, 1),
        ({"preserve": "target", "inner_objective": "both"}, True, 2),
    ],
)
def test_no_trajectory_is_sampled_in_vain(tiny_sd, monkeypatch, changes, for_pi, trajectories):
    options = replace(SMALL, latents="teacher", grid=10, **changes)
    cache = next(p for p in prepare(tiny_sd, "dog", ("cat", "fox", "pizza"), options) if isinstance(p, LatentCache))
    rows: list[int] = []
    real = predict

    def counted(pipe, z, t, states):
        rows.append(len(z))
        return real(pipe, z, t, states)

    monkeypatch.setattr("age_core.erasure.batch.predict", counted)
    student = Student(tiny_sd.unet, options)
    batch = draw_batch(
        tiny_sd, cache, torch.eye(3)[:2], options, torch.Generator().manual_seed(1), student, for_pi=for_pi
    )
    steps = 9 - (batch.t - 1) // 100  # of each row's trajectory from the top of the grid to its own level
    shared = (trajectories - 1) * (steps > 0).sum()  # from one noise, one answer to the empty prompt serves all
    assert sum(rows) == 2 * trajectories * steps.sum() - shared  # twice, for guidance


def test_trajectories_sampled_together_are_those_sampled_alone(tiny_sd):
    states = encode_text(tiny_sd, ["dog", "cat", "fox", "pizza"]).unflatten(0, (2, 2))  # two trajectories of two rows
    empty = encode_text(tiny_sd, [""])[0]
    options = replace(SMALL, latents="teacher", grid=10)
    student = Student(tiny_sd.unet, options)

    def sample(wanted):
        return _partial_samples(tiny_sd, wanted, empty, options, torch.Generator().manual_seed(1), student)[0]

    together, alone = sample(states), torch.cat([sample(states[:1]), sample(states[1:])])
    assert torch.allclose(together, alone, atol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=1e-2)


@pytest.mark.parametrize("legacy", [False, True])
def test_partial_samples_stop_at_the_level_that_is_asked(tiny_sd, monkeypatch, legacy):
    """With a model that predicts the noise it was given, z on arrival is the level's own mix: check it by its size."""
    options = EraseOptions(
        latents="teacher",
        legacy_offset=legacy,
        grid=50,
        min_candidate_distance=0.0,
        templates=("{noun}",),
        sample_guidance=1.0,
        preserve="target",
    )
    empty = encode_text(tiny_sd, [""])[0]
    candidate_embeds = encode_text(tiny_sd, ["cat"]).unsqueeze(0)
    nothing = torch.zeros(0, 4, 8, 8)
    cache = LatentCache(
        encode_text(tiny_sd, ["dog"]), candidate_embeds, empty, nothing, nothing.view(0, 1, 4, 8, 8), torch.arange(1)
    )
    asked: list[int] = []

    def zero_clean(pipe, z, t, states):  # the prediction that says "the clean latent is 0"
        asked.append(int(t.flatten()[0]))
        a = alpha_bar(pipe.scheduler, t)
        kind = pipe.scheduler.config.prediction_type
        return z / (1 - a).sqrt() if kind == "epsilon" else a.sqrt() * z / (1 - a).sqrt()

    monkeypatch.setattr("age_core.erasure.batch.predict", zero_clean)
    rows, seed = 64, 3
    batch = draw_batch(
        tiny_sd,
        cache,
        torch.ones(rows, 1),
        options,
        torch.Generator().manual_seed(seed),
        Student(tiny_sd.unet, options),
    )
    generator = torch.Generator().manual_seed(seed)
    torch.randint(1, (1,), generator=generator)  # the template
    k = torch.randint(50, (rows,), generator=generator)
    torch.randint(20, (rows,), generator=generator)
    start = torch.randn(rows, 4, 8, 8, generator=generator)
    top = 961 if legacy else 981
    level = (20 * (k - 2) + 1).clamp(min=0) if legacy else 20 * k + 1
    a, a_top = alpha_bar(tiny_sd.scheduler, level), alpha_bar(tiny_sd.scheduler, torch.tensor([top]))
    assert torch.allclose(batch.z_erased, start * ((1 - a) / (1 - a_top)).sqrt(), atol=1e-3)
    assert asked[0] == top
    offset = batch.t - level
    if legacy:
        assert (batch.t // 20 == k).all()
        assert ((offset[k >= 2] >= 39) & (offset[k >= 2] <= 58)).all()
    else:
        assert (offset == 0).all()
