"""Quiet directions: changes of keys and values that words to be preserved hardly notice.

A key or value matrix sees a prompt only through its token states x. So W changes only as W + D P, where D trains and

    P = lambda (C / c + lambda I)^-1,    C = mean of x x^T over all preserved token states,  c = mean of C's diagonal:

along a direction that the preserved states fill, P is nearly 0, so that W x stays as it was; along one that they hardly
use it is nearly 1, and the change acts in full. lambda says how little counts as hardly. It is the null space of closed
forms (SPEED, arXiv 2503.07392; AlphaEdit, arXiv 2410.02355) made soft, and trained in instead of solved for.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from age_core.concepts.captions import article_of
from age_core.concepts.concept_set import fill
from age_core.errors import AgeError
from age_core.models.families import encode_text, token_states

AT_ONCE = 64  # prompts


def quiet_projection(moment: Tensor, softness: float) -> Tensor:
    """P of a second moment C (D, D) and lambda = `softness`; (D, D), symmetric, eigenvalues between 0 and 1."""
    identity = torch.eye(len(moment), dtype=moment.dtype, device=moment.device)
    scaled = moment / moment.diagonal().mean()
    projection = torch.linalg.solve(scaled + softness * identity, softness * identity)
    return (projection + projection.T) / 2


def second_moment(pipe: DiffusionPipeline, words: Sequence[str], templates: Sequence[str]) -> Tensor:
    """C (D, D), float64 on the CPU: of every token state, padding included, of every word in every template.

    And of the empty prompt, which guidance asks at each step. Raises AgeError where there is no word.
    """
    words = [word for word in dict.fromkeys(words) if word.strip()]
    if not words:
        raise AgeError("Protecting needs at least one word to preserve: none is left beside the erased concepts.")
    article = article_of(pipe)
    prompts = ["", *dict.fromkeys(fill(template, word, article) for word in words for template in templates)]
    total, rows = torch.zeros(()), 0
    for start in range(0, len(prompts), AT_ONCE):
        states = token_states(pipe, encode_text(pipe, prompts[start : start + AT_ONCE]))
        states = states.flatten(0, 1).cpu().double()
        total, rows = total + states.T @ states, rows + len(states)
    return total / rows


def protection_of(pipe: DiffusionPipeline, words: Sequence[str], templates: Sequence[str], softness: float) -> Tensor:
    """P (D, D) for these words, in float32 on the CPU."""
    return quiet_projection(second_moment(pipe, words, templates), softness).float()
