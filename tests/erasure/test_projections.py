"""Double Projections, CURE and CASteer, each against the paper's equation written out, and what each leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from age_core import AgeError, encode_text
from age_core.erasure.closed_form.algebra import double_projection, spectral_projection
from age_core.erasure.closed_form.methods import CLOSED_FORMS, ClosedFormOptions, ErasureProblem, closed_form
from age_core.erasure.closed_form.steering import FIRST_SEED, answering, orthonormal, steering_vectors
from age_core.measure.verdicts import GUIDANCE, STEPS, seeds_of
from age_core.models.eraser import Eraser, steered
from age_core.models.families import predict
from age_core.models.sampling import sample_latents


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def subject(pipe, word: str) -> Tensor:
    """State of a bare word's last letter, read without the code under test; (D,)."""
    return encode_text(pipe, [word])[0, len(word)].double()


def weights(pipe) -> dict[str, Tensor]:
    named = pipe.unet.named_parameters()
    return {n: w.detach().double() for n, w in named if n.endswith((".attn2.to_k.weight", ".attn2.to_v.weight"))}


def test_double_projections_is_the_papers_update_of_one_concept(tiny_sd):
    """dW = W (c* - c) x^T U2^T / |x|^2 with x = U2^T c, U2 a basis of the left null space, c* = S (S^T S)^+ S^T c."""
    options = ClosedFormOptions(dp_safe=1)
    eraser = closed_form(tiny_sd, "dp", {"dog": "fox"}, ["cat", "wolf"], options)
    c, fox = subject(tiny_sd, "dog").numpy(), subject(tiny_sd, "fox").numpy()
    cat, wolf = subject(tiny_sd, "cat").numpy(), subject(tiny_sd, "wolf").numpy()
    nearest = max((cat, wolf), key=lambda state: c @ state / np.linalg.norm(state))
    S = np.stack([fox, nearest], 1)
    c_star = S @ np.linalg.pinv(S.T @ S) @ S.T @ c
    preserved = np.column_stack([encode_text(tiny_sd, [""])[0].double().numpy().T, cat, wolf])
    U, s, _ = np.linalg.svd(preserved)
    U2 = U[:, (s > 1e-9 * s[0]).sum() :]
    x = U2.T @ c
    for name, W in weights(tiny_sd).items():
        wanted = np.outer(W.numpy() @ (c_star - c), x) / (x @ x) @ U2.T
        assert relative(eraser.delta[name].double(), torch.tensor(wanted)) < 1e-4
    assert eraser.info["free_share"] == pytest.approx(x @ x / (c @ c), rel=1e-6)


def test_double_projections_moves_nothing_that_is_preserved_and_every_concept_to_its_proxy():
    C, S, R, W = random(2, 16, seed=1), random(3, 16, seed=2), random(7, 16, seed=3), random(5, 16, seed=4)
    T, P = double_projection(C, S, R, 100)
    assert (R @ T.T @ W.T).abs().max() < 1e-9 and torch.allclose(P, P @ P)
    proxies = torch.stack([S.T @ torch.linalg.lstsq(S.T, c.unsqueeze(1)).solution[:, 0] for c in C])
    assert relative(C @ (torch.eye(16) + T.T), proxies) < 1e-9
    for seed in range(5):  # and no smaller change within P does the same: what is added cannot shorten it
        other = random(16, 16, seed=20 + seed) @ P
        other = other - other @ torch.linalg.pinv(P @ C.T @ C @ P) @ (P @ C.T @ C @ P)
        assert abs((other * T).sum()) < 1e-8


def test_double_projections_of_a_low_rank_is_bounded_by_the_next_singular_value():
    """|dW r| <= |Z| s_(k+1) for every preserved state, k being the rank."""
    C, S, R, W = random(1, 16, seed=1), random(1, 16, seed=2), random(40, 16, seed=3), random(5, 16, seed=4)
    singular = torch.linalg.svdvals(R)
    for rank in (4, 12):
        T, P = double_projection(C, S, R, rank)
        assert round(float(P.trace())) == 16 - rank
        moved = (R @ (W @ T).T).norm(dim=1)
        assert moved.max() <= torch.linalg.matrix_norm(W @ T, 2) * singular[rank] + 1e-9
        assert relative(W @ (C[0] + T @ C[0]), W @ (S[0] * (S[0] @ C[0]) / (S[0] @ S[0]))) < 1e-9


def test_double_projections_without_anything_preserved_still_erases_and_says_when_it_cannot(tiny_sd):
    T, P = double_projection(random(1, 8), random(1, 8, seed=1), torch.zeros(0, 8).double(), 100)
    assert torch.equal(P, torch.eye(8).double()) and torch.linalg.matrix_rank(T) == 1
    words = [a + b for a in "abcdefgh" for b in "stuvwxyz"]  # 64 words in a text space of width 32
    with pytest.raises(AgeError, match="Double Projections no room to change the concept: preserve fewer"):
        closed_form(tiny_sd, "dp", {"dog": ""}, words)


def test_cure_is_the_papers_projector(tiny_sd):
    """W' = W (I - Pf + Pf Pr), P = U diag(a r / ((a - 1) r + 1)) U^T, r = s^2 / sum s^2."""
    eraser = closed_form(tiny_sd, "cure", {"dog": "", "fox": ""}, ["cat", "wolf"], ClosedFormOptions(cure_alpha=5.0))

    def projector(words: list[str]) -> np.ndarray:
        U, s, _ = np.linalg.svd(np.stack([subject(tiny_sd, word).numpy() for word in words], 1), full_matrices=False)
        r = s**2 / (s**2).sum()
        return sum(5 * r[i] / (4 * r[i] + 1) * np.outer(U[:, i], U[:, i]) for i in range(len(words)))

    forget, retain = projector(["dog", "fox"]), projector(["cat", "wolf"])
    for name, W in weights(tiny_sd).items():
        wanted = torch.tensor(-W.numpy() @ (forget - forget @ retain))
        assert relative(eraser.delta[name].double(), wanted) < 1e-5


def test_cure_projects_a_single_concept_out_and_leaves_what_is_orthogonal(tiny_sd):
    eraser = closed_form(tiny_sd, "cure", {"dog": ""})
    c, other = subject(tiny_sd, "dog"), random(32)
    other = other - other @ c / (c @ c) * c
    for name, W in weights(tiny_sd).items():
        edited = W + eraser.delta[name].double()
        assert (edited @ c).norm() < 1e-5 * (W @ c).norm()
        assert relative(edited @ other, W @ other) < 1e-5
    P = spectral_projection(random(3, 12), 2.0)
    assert torch.allclose(P, P.T) and 0 < torch.linalg.eigvalsh(P).max() < 1
    plain = spectral_projection(random(3, 12), 1e12)
    assert torch.allclose(plain, plain @ plain, atol=1e-6)


def test_steering_mirrors_what_points_to_the_concept_and_nothing_else():
    s = torch.nn.functional.normalize(random(8), dim=0)
    h = random(2, 5, 8, seed=1)
    for beta in (1.0, 2.0):
        wanted = torch.stack([torch.stack([p - beta * max(float(p @ s), 0.0) * s for p in row]) for row in h])
        assert torch.allclose(steered(h, s.unsqueeze(0), beta), wanted)
    assert torch.allclose(steered(h, s.unsqueeze(0), 2.0).norm(dim=-1), h.norm(dim=-1))  # a mirror keeps lengths
    assert torch.equal(steered(-s.expand(1, 1, 8), s.unsqueeze(0), 2.0), -s.expand(1, 1, 8))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_steering_is_computed_in_float32(dtype):
    s, h = torch.nn.functional.normalize(random(1, 8), dim=1).float(), (100 * random(1, 4, 8)).to(dtype)
    assert steered(h, s, 2.0).dtype == dtype
    assert torch.equal(steered(h, s, 2.0), steered(h.float(), s, 2.0).to(dtype))


def test_vectors_of_several_concepts_are_made_orthogonal_in_turn():
    rows = torch.nn.functional.normalize(random(3, 8), dim=1)
    made = orthonormal(rows)
    assert torch.allclose(made @ made.T, torch.eye(3).double(), atol=1e-12) and torch.allclose(made[0], rows[0])
    assert (made * rows).sum(1).min() > 0
    assert torch.equal(orthonormal(rows[[0, 0]])[1], torch.zeros(8).double())


def test_steering_vectors_are_mean_differences_of_answers(tiny_sd):
    """Drawn pair by pair, the answers to the concept and to its target, averaged over patches, steps and pairs."""
    vectors = steering_vectors(tiny_sd, "dog", "fox", ("{noun}", "a photo of {a_noun}"), 2)
    modules = answering(tiny_sd.unet)
    assert vectors.keys() == modules.keys() and len(modules) > 1
    means: dict[str, dict[str, list[Tensor]]] = {"dog": {}, "fox": {}}
    for word, kept in means.items():
        for prompt, seed in zip((word, f"a photo of a {word}"), seeds_of("dog", 2, FIRST_SEED), strict=True):
            hooks = [
                module.register_forward_hook(
                    lambda _m, _i, out, name=name, kept=kept: kept.setdefault(name, []).append(out[1].double().mean(0))
                )
                for name, module in modules.items()
            ]
            sample_latents(tiny_sd, encode_text(tiny_sd, [prompt]), [seed], STEPS, GUIDANCE)
            for hook in hooks:
                hook.remove()
    for name, vector in vectors.items():
        difference = torch.stack(means["dog"][name]).mean(0) - torch.stack(means["fox"][name]).mean(0)
        assert relative(vector, difference / difference.norm()) < 1e-2
        assert vector.norm() == pytest.approx(1)


def test_a_steering_eraser_edits_no_weight_and_fades_with_its_strength(tiny_sd):
    problem = ErasureProblem.of(tiny_sd, ["dog", "cat"], (), ClosedFormOptions(steer_pairs=1))
    eraser = CLOSED_FORMS["casteer"](problem, {"dog": "fox", "cat": ""})
    assert not eraser.delta and eraser.info["strength"] == 2.0
    assert all(rows.shape[0] == 2 for rows in eraser.directions.values())
    z, t, states = random(1, 4, 8, 8).float(), torch.tensor([500]), encode_text(tiny_sd, ["dog"])

    def prediction(one: Eraser) -> Tensor:
        with torch.no_grad(), one.applied_to(tiny_sd):
            return predict(tiny_sd, z, t, states)

    original = prediction(Eraser({}))
    assert torch.equal(prediction(eraser.scaled(0.0)), original)
    assert (prediction(eraser.scaled(0.5)) - original).norm() < (prediction(eraser) - original).norm()
