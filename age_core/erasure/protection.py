"""Quiet directions: changes of keys and values that words to be preserved hardly notice.

A key or value matrix sees a prompt only through its token states x. So W changes only as W + D P, where D trains and

    P = lambda (C / c + lambda I)^-1,    C = mean of x x^T over all preserved token states,  c = mean of C's diagonal:

along a direction that the preserved states fill, P is nearly 0, so that W x stays as it was; along one that they hardly
use it is nearly 1, and the change acts in full. lambda says how little counts as hardly. It is the null space of closed
forms (SPEED, arXiv 2503.07392; AlphaEdit, arXiv 2410.02355) made soft, and trained in instead of solved for.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from age_core.concepts.candidates import Vocabulary
from age_core.concepts.captions import prompts_of
from age_core.erasure.options import EraseOptions
from age_core.errors import AgeError
from age_core.models.families import embed_concepts, encode_text, reading, token_states

AT_ONCE = 16  # prompts
KEPT_BYTES = 256 * 2**20  # of token states; those of the 450 bundled words in three prompts take 33 MB
NEAREST, NEAR_SHARE = 20, 0.5  # words, and their share of C


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
    total, rows = torch.zeros(()), 0
    for states in _states(pipe, ["", *words], templates):
        total, rows = total + states.T @ states, rows + len(states)
    return total / rows


def _states(pipe: DiffusionPipeline, words: Sequence[str], templates: Sequence[str]) -> Iterator[Tensor]:
    """Token states (N, D) of every word in every template, some prompts at a time, float64 on the CPU."""
    prompts = list(dict.fromkeys(prompts_of(pipe, words, templates)))
    kept = _kept_of(pipe)
    for start in range(0, len(prompts), AT_ONCE):
        some = prompts[start : start + AT_ONCE]
        if all(prompt in kept for prompt in some):
            states = torch.stack([kept[prompt] for prompt in some])
        else:  # all of them: on a card the last bits may depend on how many are read at once
            states = token_states(pipe, encode_text(pipe, some)).cpu()
            if (len(kept) + len(some)) * states[0].nbytes <= KEPT_BYTES:
                kept.update(zip(some, states, strict=True))
        yield states.flatten(0, 1).double()


# The states of prompts that were read last: of which pipeline, and how that read.
_latest: tuple[weakref.ref[DiffusionPipeline], tuple[Any, ...], dict[str, Tensor]] | None = None


def _kept_of(pipe: DiffusionPipeline) -> dict[str, Tensor]:
    """What was read for a pipeline, to which more may be added: another erasure spares nearly the same words."""
    global _latest
    latest, how = _latest, reading(pipe)
    if latest is None or latest[0]() is not pipe or latest[1] != how:
        _latest = latest = weakref.ref(pipe), how, {}
    return latest[2]


def nearest_words(pipe: DiffusionPipeline, erased: Sequence[str], words: Sequence[str]) -> list[str]:
    """NEAREST of `words` to each erased concept; those that share a word with it ("hot dog" with "dog") too."""
    vocabulary = Vocabulary.of(tuple(words))
    nearness = embed_concepts(pipe, erased) @ vocabulary.vectors(pipe).T  # (n, words)
    return [vocabulary.words[row] for own in nearness for row in np.argsort(-own, kind="stable")[:NEAREST]]


def protection_of(
    pipe: DiffusionPipeline, erased: Sequence[str], words: Sequence[str], options: EraseOptions
) -> Tensor:
    """P (D, D) of `options.protect` for preserved `words`, in float32 on the CPU, times a number.

    With "near", NEAR_SHARE of C's weight is that of the words nearest to an erased concept, NEAREST of each: damage is
    local, and among all words alike what tells a concept from its neighbours is too rare to be spared. The number makes
    P leave `options.reach` of the erased concepts' own states, so that a step of training takes them as far whatever
    the softness and the neighbourhood. A prompt of another form has other states at every token, those of its own
    words too, which a change in directions that only `templates` leave free would still reach: so the forms in which
    the words are asked count as well.
    """
    forms = (*options.templates, *options.protect_in)
    moment = second_moment(pipe, words, forms)
    if options.protect == "near":
        nearest = second_moment(pipe, nearest_words(pipe, erased, words), forms)
        moment = torch.lerp(moment, nearest, NEAR_SHARE)
    projection = quiet_projection(moment, options.softness)
    own = torch.cat(list(_states(pipe, erased, options.templates)))
    return (projection * (options.reach * own.abs().sum() / (own @ projection).abs().sum())).float()
