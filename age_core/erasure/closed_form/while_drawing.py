"""Closed forms that edit no weight, and say what is taken out of values, answers or predictions while a model draws.

All three carry a strength of 2, at which what is taken out is mirrored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from age_core.concepts.captions import prompts_of
from age_core.erasure.closed_form.problem import ErasureProblem
from age_core.erasure.closed_form.steering import orthonormal, steering_vectors
from age_core.errors import AgeError
from age_core.models.eraser import Eraser
from age_core.models.families import encode_text


def adavd(problem: ErasureProblem, targets: Mapping[str, str]) -> Eraser:
    """No edit of weights: each value loses its share along the concept's (AdaVD, arXiv 2412.06143). No target.

    In the emoji world a concept's value within a prompt has a cosine of 0.9 or more with that of the bare word for 95 %
    of concepts, while other concepts reach 0.52 at the 99th percentile: the default threshold of 0.7 lies between.
    Strength 1, which takes the share out, erased 15 of 16 cats; strength 2, which mirrors it, all of them.
    """
    C, o = problem.words.only_last(), problem.options
    directions = {n.removesuffix(".weight"): (C @ W.T).float().cpu().contiguous() for n, W in problem.values().items()}
    strengths: dict[str, Any] = {"sharpness": o.sharpness, "threshold": o.threshold, "strength": o.strength}
    return problem.eraser("adavd", dict.fromkeys(problem.concepts), {}, directions=directions, **strengths)


def casteer(problem: ErasureProblem, targets: Mapping[str, str]) -> Eraser:
    """No edit of weights: each patch's answer of cross-attention is mirrored where it points to the concept (CASteer,
    arXiv 2503.09630).

    It points from what the model draws of the target to what it draws of the concept, in `steer_pairs` pairs of
    pictures. Inferred: pairs are the concept and its target in the same template, and one vector serves all steps, as
    the paper does with vectors of a distilled model; several concepts' vectors are made orthogonal in turn. A target
    of the same class harms others least: away from the empty prompt, near ones of cat move eight times as far.
    """
    o = problem.options
    vectors = [
        steering_vectors(problem.pipe, concept, targets[concept].strip(), o.templates, o.steer_pairs)
        for concept in problem.concepts
    ]
    directions = {name: orthonormal(torch.stack([v[name] for v in vectors])).float() for name in vectors[0]}
    return problem.eraser("casteer", targets, {}, directions=directions, strength=o.steer_strength)


def dve(problem: ErasureProblem, targets: Mapping[str, str]) -> Eraser:
    """No edit of weights: each prediction loses its share from the target towards the concept (Differential Vector
    Erasure, arXiv 2602.01089; `age_core.models.differential` has the formula, its source and what was inferred).

    In the emoji world, with the general word as target, 13 of 16 cats are erased at strength 1, the formula's, and all
    of them at 2, which mirrors; with "tiger" 14 at 2, and others change more than twice as far.
    The eraser holds both prompts as the model reads them, in every template. Raises AgeError where the model cannot
    tell them apart: nothing would be erased.
    """

    def read(words: Sequence[str]) -> Tensor:
        prompts = prompts_of(problem.pipe, words, problem.options.templates)
        return encode_text(problem.pipe, prompts).float().cpu()

    words = [targets[concept].strip() for concept in problem.concepts]
    for concept, target in zip(problem.concepts, words, strict=True):
        if torch.equal(read([concept]), read([target])):
            raise AgeError(f"The model reads {target!r} as it reads {concept!r}: choose another target.")
    prompts = {"concept": read(problem.concepts), "target": read(words)}
    return problem.eraser("dve", targets, {}, prompts=prompts, strength=problem.options.dve_strength)
