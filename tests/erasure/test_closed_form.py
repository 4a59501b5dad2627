"""Closed forms: the papers' equations by plain sums, what they must leave alone, and what they erase."""

from __future__ import annotations

import pytest
import torch
from support import build_tiny_sdxl
from torch import Tensor

from age_core import AgeError, ConceptSet, Eraser, encode_text
from age_core.erasure.closed_form.algebra import null_space, rotation, speed_change
from age_core.erasure.closed_form.methods import (
    CLOSED_FORMS,
    ClosedFormOptions,
    ErasureProblem,
    closed_form,
    revival_states,
)
from age_core.measure.verdicts import hits
from age_core.models.eraser import without_directions
from age_core.models.families import predict, token_states

EMOJI = ConceptSet.load("emoji")
BARE = ClosedFormOptions(tokens="last", preserve=0.0)


def rows(pipe, word: str, row: int, count: int | None = None) -> Tensor:
    """Token states of a bare word from a row on, read without the code under test; (n, D)."""
    return encode_text(pipe, [word])[0].double()[row : None if count is None else row + count]


def projections(pipe) -> dict[str, Tensor]:
    return {
        n: w.detach().double() for n, w in pipe.unet.named_parameters() if ".attn2.to_k." in n or ".attn2.to_v." in n
    }


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def test_uce_solves_its_normal_equations(tiny_sd):
    """Two concepts at once, a preserved word, every row from the last subject token on: dog and wolf have 3 and 4."""
    eraser = closed_form(tiny_sd, "uce", {"dog": "fox", "wolf": "pizza"}, ["church"])
    lam, a, p = 0.5, 1.0, 0.5  # one preserved word and the empty prompt
    kept = torch.cat([rows(tiny_sd, "", 0), rows(tiny_sd, "church", 0)])
    # pizza is one letter longer than wolf: its last row stands in for the one that is beyond the end
    pizza = torch.cat([rows(tiny_sd, "pizza", 5), rows(tiny_sd, "pizza", 19)])
    pairs = [*zip(rows(tiny_sd, "dog", 3), rows(tiny_sd, "fox", 3), strict=True)]
    pairs += [*zip(rows(tiny_sd, "wolf", 4), pizza, strict=True)]
    assert set(eraser.delta) == set(projections(tiny_sd))
    for name, W in projections(tiny_sd).items():
        left, right = lam * torch.eye(32, dtype=torch.float64), lam * W
        for c, c_star in pairs:
            left = left + a * torch.outer(c, c)
            right = right + a * torch.outer(W @ c_star, c)
        for r in kept:
            left = left + p * torch.outer(r, r)
            right = right + p * torch.outer(W @ r, r)
        assert relative((W + eraser.delta[name].double()) @ left, right) < 1e-5


def test_one_concept_without_preservation_is_sherman_and_morrison(tiny_sd):
    eraser = closed_form(tiny_sd, "uce", {"dog": "fox"}, (), BARE)
    c, c_star, x = rows(tiny_sd, "dog", 3, 1)[0], rows(tiny_sd, "fox", 3, 1)[0], rows(tiny_sd, "cat", 3, 1)[0]
    for name, W in projections(tiny_sd).items():
        assert relative(eraser.delta[name].double() @ x, W @ (c_star - c) * (c @ x) / (0.5 + c @ c)) < 1e-5


@pytest.mark.parametrize("method", ["uce", "speed"])
def test_a_concept_that_becomes_itself_changes_nothing(tiny_sd, method):
    eraser = closed_form(tiny_sd, method, {"dog": "dog"}, ["cat"])
    assert all(torch.equal(change, torch.zeros_like(change)) for change in eraser.delta.values())


def test_the_tensor_technique_asks_for_nothing_along_the_old_output(tiny_sd):
    problem = ErasureProblem.of(tiny_sd, ["dog"], (), ClosedFormOptions(technique="tensor", lam=1e-9, preserve=0.0))
    eraser = CLOSED_FORMS["uce"](problem, {"dog": "fox"})
    for name, W in projections(tiny_sd).items():
        old, new = problem.C @ W.T, problem.C @ (W + eraser.delta[name].double()).T
        plain = rows(tiny_sd, "fox", 3) @ W.T
        assert abs((new * old).sum()) < 1e-3 * abs((plain * old).sum())


def test_preserved_words_move_less(tiny_sd):
    alone, held = (closed_form(tiny_sd, "uce", {"dog": "fox"}, kept) for kept in ((), ("cat",)))
    cat = rows(tiny_sd, "cat", 0).float()
    for name in alone.delta:
        assert (cat @ held.delta[name].T).norm() < 0.5 * (cat @ alone.delta[name].T).norm()


def test_a_revival_revives_and_rece_makes_it_harder(emoji_pipe):
    problem = ErasureProblem.of(emoji_pipe, ["cat"])
    original = list(problem.weights.values())

    def missing(eraser: Eraser, revived: bool) -> float:
        """How far the outputs stay from those that the concept had; 1 is as far as their own size."""
        edited = [W + eraser.delta[name].double() for name, W in problem.weights.items()]
        c = revival_states(edited, original, problem.C) if revived else problem.C
        pairs = list(zip(edited, original, strict=True))
        missed = sum((c @ new.T - problem.C @ old.T).square().sum() for new, old in pairs)
        return float(missed / sum((problem.C @ old.T).square().sum() for old in original))

    uce, rece = (closed_form(emoji_pipe, method, {"cat": ""}) for method in ("uce", "rece"))
    assert missing(uce, revived=True) < 0.4 * missing(uce, revived=False)
    assert missing(rece, revived=True) > 1.2 * missing(uce, revived=True)
    assert rece.info["revived"][0] == pytest.approx(1 - missing(uce, revived=True), abs=1e-4)
    assert rece.info["revived"][-1] == pytest.approx(1 - missing(rece, revived=True), abs=1e-4)


def test_speed_leaves_preserved_and_invariant_states_alone():
    """And within that it is the best: a step in any allowed direction does not lower what it minimises."""
    C, C_star, R, K = random(2, 12, seed=1), random(2, 12, seed=2), random(5, 12, seed=3), random(2, 12, seed=4)
    P, rank = null_space(R, 1e-9)
    assert rank == 7
    T = speed_change(C, C_star, P, K)
    assert (R @ T.T).abs().max() < 1e-9 and (K @ T.T).abs().max() < 1e-9
    assert relative(C @ T.T, C_star - C) < 0.9

    def loss(change: Tensor) -> Tensor:
        return (C @ change.T + C - C_star).square().sum() + change.square().sum()

    allowed, _ = null_space(torch.cat([R, K]), 1e-9)
    for seed in range(5):
        step = 1e-3 * random(12, 12, seed=10 + seed) @ allowed
        assert loss(T + step) > loss(T) and loss(T - step) > loss(T)


def test_speed_reports_the_rank_and_edits_values_alone(emoji_pipe):
    kept = [name for name in EMOJI.names if name != "cat"][::4]
    options = ClosedFormOptions(filter_preserved=False, null_threshold=1e-9)
    eraser = closed_form(emoji_pipe, "speed", {"cat": "tiger"}, kept, options)
    assert eraser.info["null_space_rank"] == 384 - len(kept) and eraser.info["width"] == 384
    assert 0 < eraser.info["free_share"] < 1
    assert all(".to_v." in name for name in eraser.delta) and eraser.delta
    prompt = rows(emoji_pipe, kept[0], 1, 1).float()
    for name, change in eraser.delta.items():
        assert (prompt @ change.T).norm() < 1e-4 * (rows(emoji_pipe, "cat", 1, 1).float() @ change.T).norm(), name
    filtered = closed_form(emoji_pipe, "speed", {"cat": "tiger"}, kept)
    assert 0 < filtered.info["preserved_after_filter"] < len(kept)


def test_speed_says_when_nothing_is_left_to_edit(tiny_sd):
    words = [a + b for a in "abcdefgh" for b in "stuvwxyz"]  # 64 words in a text space of width 32
    options = ClosedFormOptions(null_threshold=1e-9, filter_preserved=False)
    with pytest.raises(AgeError, match="preserve fewer"):
        closed_form(tiny_sd, "speed", {"dog": ""}, words, options)


def test_oce_turns_values_without_stretching_them(tiny_sd):
    eraser = closed_form(tiny_sd, "oce", {"dog": "fox"}, ["cat"])
    assert all(".to_v." in name for name in eraser.delta) and eraser.delta
    for name, change in eraser.delta.items():
        W = projections(tiny_sd)[name]
        turned = W + change.double()
        assert relative(turned.T @ turned, W.T @ W) < 1e-5 < relative(turned, W)
    W, C, C_star = random(6, 12), random(1, 12, seed=1), random(1, 12, seed=2)
    held = torch.eye(12, dtype=torch.float64)
    R = rotation(W, C, C_star, held, 2.0, True)
    assert relative(R @ R.T, torch.eye(6, dtype=torch.float64)) < 1e-12
    assert relative(rotation(W, C, C_star, held, 0.0, True), torch.eye(6, dtype=torch.float64)) < 1e-12


def test_adavd_takes_out_the_concept_and_nothing_else():
    c = random(8)
    other = random(8, seed=1)
    other = other - (other @ c) / (c @ c) * c
    values = torch.stack([c, 3 * c, other, -c]).unsqueeze(0)
    after = without_directions(values, c.unsqueeze(0), 100.0, 0.7)
    assert torch.equal(after[0, 0], c)  # the first token is exempt
    assert after[0, 1].norm() < 1e-9
    assert torch.allclose(after[0, 2:], values[0, 2:])
    assert torch.allclose(without_directions(values, c.unsqueeze(0), 100.0, 0.7, strength=2.0)[0, 1], -3 * c)


@pytest.mark.parametrize("method", CLOSED_FORMS)
def test_every_method_restores_the_model_and_survives_a_file(tiny_sd, tmp_path, method):
    before = {name: value.detach().clone() for name, value in tiny_sd.unet.state_dict().items()}
    z, t, states = random(1, 4, 8, 8).float(), torch.tensor([500]), encode_text(tiny_sd, ["dog"])
    eraser = closed_form(tiny_sd, method, {"dog": "fox", "cat": ""}, ["pizza"])
    again = Eraser.load(eraser.save(tmp_path / "dog.safetensors"))
    assert again.info == eraser.info and again.info["concepts"] == ["dog", "cat"]
    with torch.no_grad():
        original = predict(tiny_sd, z, t, states)
        edited = []
        for one in (eraser, again):
            with one.applied_to(tiny_sd):
                edited.append(predict(tiny_sd, z, t, states))
        assert torch.equal(edited[0], edited[1]) and not torch.equal(edited[0], original)
        assert torch.equal(predict(tiny_sd, z, t, states), original)
    assert all(torch.equal(value, before[name]) for name, value in tiny_sd.unet.state_dict().items())
    changed = {name.removesuffix(".weight") for name in (*eraser.delta, *eraser.directions)}
    assert changed and all(name.endswith((".attn2.to_k", ".attn2.to_v", ".attn2.to_out.0")) for name in changed)


def test_sdxl_is_edited_on_its_tokens_and_not_on_its_pooled_vector(tmp_path):
    pipe = build_tiny_sdxl(tmp_path)
    c, c_star = (encode_text(pipe, [word])[0, 3].double() for word in ("dog", "fox"))
    for method in CLOSED_FORMS:
        eraser = closed_form(pipe, method, {"dog": "fox"}, ["pizza"], BARE)
        with eraser.applied_to(pipe):
            assert set(eraser.delta) <= set(projections(pipe))
    # the empty prompt is all zeros there: the concept's outputs shrink towards nothing
    for target, wanted in (("fox", c_star), ("", torch.zeros_like(c))):
        eraser = closed_form(pipe, "uce", {"dog": target}, (), BARE)
        for name, W in projections(pipe).items():
            assert relative(eraser.delta[name].double() @ c, W @ (wanted - c) * (c @ c) / (0.5 + c @ c)) < 1e-5


@pytest.mark.parametrize("tokens", ["last", "onward", "all"])
def test_one_problem_serves_many_targets(tiny_sd, tokens):
    options = ClosedFormOptions(tokens=tokens, templates=("{noun}", "a photo of {a_noun}"))
    problem = ErasureProblem.of(tiny_sd, ["dog"], ["cat"], options)
    for target in ("fox", "", "pizza"):
        once = closed_form(tiny_sd, "uce", {"dog": target}, ["cat"], options)
        again = CLOSED_FORMS["uce"](problem, {"dog": target})
        assert all(torch.equal(once.delta[name], again.delta[name]) for name in once.delta)


def test_the_subject_is_found_within_a_template(emoji_pipe):
    """'an emoji of a hot dog': the row of 'dog', which no other row of the prompt equals."""
    template = "{a_noun} in the twemoji style"
    problem = ErasureProblem.of(emoji_pipe, ["hot dog"], (), ClosedFormOptions(templates=(template,)))
    ids = emoji_pipe.tokenizer("a hot dog in the twemoji style").input_ids
    row = ids.index(emoji_pipe.tokenizer("dog").input_ids[1])
    wanted = token_states(emoji_pipe, encode_text(emoji_pipe, ["a hot dog in the twemoji style"]))[0, row]
    assert torch.equal(problem.words.only_last()[0].float(), wanted)


@pytest.mark.parametrize(
    ("method", "targets", "preserve", "options", "sentence"),
    [
        ("sld", {"dog": ""}, (), {}, "uce, rece, speed, oce, adavd, dp, cure, casteer"),
        ("uce", {}, (), {}, "name one"),
        ("uce", {" ": "fox"}, (), {}, "name one"),
        ("uce", {"dog": "fox"}, ("cat", "dog"), {}, "at once"),
        ("uce", {"dog": "fox"}, (), {"tokens": "first"}, "last, onward, all"),
        ("uce", {"dog": "fox"}, (), {"technique": "swap"}, "replace, tensor"),
        ("uce", {"dog": "fox"}, (), {"templates": ("a photo",)}, "{noun}"),
        ("uce", {"dog": "fox"}, (), {"lam": 0.0}, "'lam' must be above 0"),
        ("uce", {"dog": "fox"}, (), {"preserve": -1.0}, "'preserve' must not be negative"),
        ("rece", {"dog": "fox"}, (), {"rounds": -1}, "'rounds' must be at least 0"),
        ("dp", {"dog": "fox"}, (), {"dp_rank": 0}, "'dp_rank' must be at least 1"),
        ("dp", {"dog": "fox"}, (), {"dp_safe": -1}, "'dp_safe' must be at least 0"),
        ("cure", {"dog": "fox"}, (), {"cure_alpha": 0.0}, "'cure_alpha' must be above 0"),
        ("casteer", {"dog": "fox"}, (), {"steer_pairs": 0}, "'steer_pairs' must be at least 1"),
        ("casteer", {"dog": "fox"}, (), {"steer_strength": -1.0}, "'steer_strength' must be above 0"),
    ],
)
def test_bad_input_is_explained(tiny_sd, method, targets, preserve, options, sentence):
    with pytest.raises(AgeError, match=sentence.replace("{", r"\{")):
        closed_form(tiny_sd, method, targets, preserve, ClosedFormOptions(**options))


def test_mismatched_projections_cannot_be_revived():
    with pytest.raises(AgeError, match="same projections"):
        revival_states([random(4, 6)], [], random(1, 6))


OTHERS = (*EMOJI.names[::28], "lion", "tiger", "dog", "fox")


@pytest.fixture(scope="module")
def cat_and_all_others(emoji_pipe) -> ErasureProblem:
    return ErasureProblem.of(emoji_pipe, ["cat"], [name for name in EMOJI.names if name != "cat"])


@pytest.fixture(scope="module")
def originally(emoji_pipe, emoji_probe) -> tuple[float, float]:
    return judged(emoji_pipe, emoji_probe, None)


def judged(pipe, probe, eraser: Eraser | None) -> tuple[float, float]:
    """ESR-1 on "cat" and PSR-1 on some twenty other concepts, in percent."""
    cats = hits(pipe, probe, EMOJI, ["cat"], 8, eraser)["top1"]
    return 100 * (1 - cats.mean()), 100 * hits(pipe, probe, EMOJI, OTHERS, 1, eraser)["top1"].mean()


@pytest.mark.parametrize("method", CLOSED_FORMS)
def test_cats_vanish_from_the_bundled_model_and_the_rest_stays(
    emoji_pipe, emoji_probe, cat_and_all_others, originally, method
):
    eraser = CLOSED_FORMS[method](cat_and_all_others, {"cat": "tiger"})
    esr, psr = judged(emoji_pipe, emoji_probe, eraser)
    assert originally[0] <= 20  # the model did draw cats
    # UCE's published weight of preserved words is at least 0.1 each, so 449 of them hold back its edit: measured 83;
    # CURE leaves what the concept shares with them: measured 88
    assert esr >= (80 if method in ("uce", "cure") else 90)
    assert psr >= originally[1] - 10
