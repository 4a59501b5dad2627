"""Erasure in closed form: a few linear solves on the keys and values of cross-attention, and no training.

What edits no weight, and acts while the model draws, stands in `while_drawing`.

Measured on the bundled emoji world, "cat" to "tiger", from pure noise as noise shift (1: as far as if the words had
been deleted), with all other concepts preserved and with none: the empty prompt's prediction moves by at most 0.0002 of
its own size under every method. "an emoji of a pizza" moves by 0.004 and 0.03 (UCE), 0.009 and 0.07 (RECE), 0.0003 and
0.007 (SPEED), 0.02 and 0.01 (OCE) and not at all (AdaVD); the erased prompt by 0.6 to 1.8. So an edit that counts end
and padding tokens as the concept does not leak through them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from age_core.erasure.closed_form import algebra
from age_core.erasure.closed_form.algebra import revival_states
from age_core.erasure.closed_form.problem import ClosedFormOptions, ErasureProblem, algebra_device, target_rows
from age_core.erasure.closed_form.while_drawing import adavd, casteer, dve
from age_core.errors import AgeError
from age_core.models.eraser import Eraser

__all__ = ["CLOSED_FORMS", "ClosedFormOptions", "ErasureProblem", "closed_form", "revival_states"]


def uce(problem: ErasureProblem, targets: Mapping[str, str]) -> Eraser:
    """Unified Concept Editing (arXiv 2308.14761): every concept's keys and values become its target's."""
    return problem.eraser("uce", targets, uce_changes(problem, targets))


def uce_changes(problem: ErasureProblem, targets: Mapping[str, str]) -> dict[str, Tensor]:
    """What UCE adds to each weight, float64 where the problem is."""
    C_star = _target_rows(problem, targets)
    V_star = _target_outputs(problem, problem.weights, C_star)
    return {n: algebra.uce_change(W, problem.C, V_star[n], problem.factor) for n, W in problem.weights.items()}


def rece(problem: ErasureProblem, targets: Mapping[str, str]) -> Eraser:
    """UCE, then in each round the states that would revive the concepts are erased too (RECE, arXiv 2407.12383).

    The concepts' own states stay among what each round erases: with the revival alone, later rounds undid part of the
    first (in the emoji world, "pizza" to the empty prompt ended at 69 % erased instead of 94 %).

    `info["revived"]`: before each round and after the last, how near the best revival comes to the original outputs,
    as a share of their squared norm (1: fully revived, 0: not at all).
    """
    options, C, C_star = problem.options, problem.C, _target_rows(problem, targets)
    original = problem.weights
    V_star = _target_outputs(problem, original, C_star)
    edited = {n: W + algebra.uce_change(W, C, V_star[n], problem.factor) for n, W in original.items()}
    revived = []
    for _ in range(options.rounds):
        c = revival_states(list(edited.values()), list(original.values()), C, options.rho)
        revived.append(_revived(edited, original, c, C))
        erased = torch.cat([C, c])
        factor = algebra.uce_factor(erased, problem.R, options.lam, options.erase, problem.p)
        both = {n: torch.cat([v, v]) for n, v in V_star.items()}
        edited = {n: W + algebra.uce_change(W, erased, both[n], factor) for n, W in edited.items()}
    c = revival_states(list(edited.values()), list(original.values()), C, options.rho)
    revived.append(_revived(edited, original, c, C))
    return problem.eraser("rece", targets, {n: edited[n] - W for n, W in original.items()}, revived=revived)


def speed(problem: ErasureProblem, targets: Mapping[str, str]) -> Eraser:
    """An edit of the values in the null space of what is preserved (SPEED, arXiv 2503.07392).

    Invariant are the empty prompt's first row and the mean of its others. The paper's augmentation of the preserved
    words by noise is left out. `info` gives the null space's rank, the width that bounds it, the share of the
    concepts' squared norm within it, and how many preserved prompts the filter left.
    """
    values, C, R = problem.values(), problem.words.only_last(), problem.kept
    C_star = problem.read_targets(targets).only_last()
    if problem.options.filter_preserved and len(R):
        unconstrained = (C_star - C).T @ algebra.uce_factor(C, R[:0], 1.0, 1.0, 0.0)
        R = R[algebra.most_affected(unconstrained, R, list(values.values()))]
    P, rank = algebra.null_space(R, problem.options.null_threshold)
    free_share = _free_share(C, P, "SPEED")
    T = algebra.speed_change(C, C_star, P, torch.stack([problem.empty[0], problem.empty[1:].mean(0)]))
    facts: dict[str, Any] = {
        "null_space_rank": rank,
        "width": len(P),
        "free_share": free_share,
        "preserved_after_filter": len(R),
    }
    return problem.eraser("speed", targets, {n: W @ T for n, W in values.items()}, **facts)


def oce(problem: ErasureProblem, targets: Mapping[str, str]) -> Eraser:
    """An orthogonal turn of every value projection (OCE, arXiv 2605.28902).

    The second moment of general text, which the paper takes from COCO captions, is that of every row of the preserved
    prompts and the empty one.
    """
    o, C, C_star = problem.options, problem.words.only_last(), problem.read_targets(targets).only_last()
    held = o.oce_keep * problem.kept.T @ problem.kept + o.oce_world * problem.R.T @ problem.R / len(problem.R)
    held = held + o.oce_lam * torch.eye(len(held), dtype=held.dtype, device=held.device)
    delta = {
        n: algebra.rotation(W, C, C_star, held, o.oce_erase, o.oce_relative) @ W - W
        for n, W in problem.values().items()
    }
    return problem.eraser("oce", targets, delta)


def dp(problem: ErasureProblem, targets: Mapping[str, str]) -> Eraser:
    """A concept's keys and values become those of its nearest safe state, by a change that does not act on what is
    preserved (Double Projections, arXiv 2604.10032).

    Inferred: states are those of last subject tokens; the safe space is spanned by the target and the `dp_safe`
    preserved words nearest to the concept; preserved are the `dp_rank` leading directions of the preserved words and
    the empty prompt, so that of fewer words than that none moves at all. Of the emoji world's 384 directions, 140
    already move others more than 60 or 100 do; 3 more words in the safe space erase 10 of 16 cats instead of all.
    `info` gives the concepts' share that is free to change, as SPEED's does.
    """
    o, C = problem.options, problem.words.only_last()
    S = torch.cat([problem.read_targets(targets).only_last(), _nearest(problem.kept, C, o.dp_safe)])
    T, P = algebra.double_projection(C, S, torch.cat([problem.empty, problem.kept]), o.dp_rank)
    share = _free_share(C, P, "Double Projections")
    return problem.eraser("dp", targets, {n: W @ T for n, W in problem.weights.items()}, free_share=share)


def cure(problem: ErasureProblem, targets: Mapping[str, str]) -> Eraser:
    """W' = W (I - Pf + Pf Pr) on keys and values: what only the concept uses is projected out (CURE, arXiv
    2505.12677). No target.

    Pf and Pr are spectral projections of the concept's states and of the preserved ones. Inferred: they are those of
    last subject tokens, in every template, and one alpha serves both.
    """
    o, C = problem.options, problem.words.only_last()
    forget = algebra.spectral_projection(C, o.cure_alpha)
    if len(problem.kept):
        forget = forget - forget @ algebra.spectral_projection(problem.kept, o.cure_alpha)
    delta = {n: -W @ forget for n, W in problem.weights.items()}
    return problem.eraser("cure", dict.fromkeys(problem.concepts), delta)


CLOSED_FORMS: dict[str, Callable[[ErasureProblem, Mapping[str, str]], Eraser]] = {
    "uce": uce,
    "rece": rece,
    "speed": speed,
    "oce": oce,
    "adavd": adavd,
    "dp": dp,
    "cure": cure,
    "casteer": casteer,
    "dve": dve,
}


@torch.no_grad()
def closed_form(
    pipe: DiffusionPipeline,
    method: str,
    targets: Mapping[str, str],
    preserve: Sequence[str] = (),
    options: ClosedFormOptions | None = None,
) -> Eraser:
    """Erase by one of CLOSED_FORMS.

    targets: the word that each erased concept becomes, "" for the empty prompt; AdaVD and CURE ignore it. preserve:
    words that shall not change; the empty prompt never shall. To try many targets, build the ErasureProblem once and
    call the functions in CLOSED_FORMS. Raises AgeError on bad input before any work.
    """
    if method not in CLOSED_FORMS:
        raise AgeError(f"Unknown closed form {method!r}; choose one of {', '.join(CLOSED_FORMS)}.")
    problem = ErasureProblem.of(pipe, tuple(targets), preserve, options, algebra_device(pipe))
    return CLOSED_FORMS[method](problem, targets)


def _nearest(states: Tensor, C: Tensor, count: int) -> Tensor:
    """The `count` states that make the smallest angle with any row of C; (count, D)."""
    cosines = torch.nn.functional.normalize(states, dim=1) @ torch.nn.functional.normalize(C, dim=1).T
    return states[cosines.amax(1).topk(min(count, len(states))).indices]


def _free_share(C: Tensor, P: Tensor, method: str) -> float:
    """The concepts' squared norm within P. Raises AgeError where there is none."""
    share = float((C @ P).square().sum() / C.square().sum())
    if share < 1e-12:
        raise AgeError(f"What is preserved leaves {method} no room to change the concept: preserve fewer words.")
    return share


def _target_rows(problem: ErasureProblem, targets: Mapping[str, str]) -> Tensor:
    return target_rows(problem.words, problem.read_targets(targets), problem.options.tokens)


def _target_outputs(problem: ErasureProblem, weights: Mapping[str, Tensor], C_star: Tensor) -> dict[str, Tensor]:
    """V* (n, out) for each projection."""
    if problem.options.technique == "tensor":
        return {n: algebra.without_old(W, problem.C, C_star) for n, W in weights.items()}
    return {n: C_star @ W.T for n, W in weights.items()}


def _revived(edited: Mapping[str, Tensor], original: Mapping[str, Tensor], c: Tensor, C: Tensor) -> float:
    """1 - |W' c' - W c|^2 / |W c|^2 over all projections."""
    missed = sum((c @ edited[n].T - C @ W.T).square().sum() for n, W in original.items())
    return float(1 - missed / sum((C @ W.T).square().sum() for W in original.values()))
