"""Steering: directions of cross-attention's answers that mean a concept, read from what the model itself draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from age_core.concepts.captions import prompts_of
from age_core.measure.verdicts import GUIDANCE, STEPS, seeds_of
from age_core.models.eraser import ANSWERS
from age_core.models.families import encode_text, family_of
from age_core.models.sampling import sample_latents

FIRST_SEED = 500  # of a concept's own: no picture that an erasure is judged by


def answering(denoiser: nn.Module) -> dict[str, nn.Module]:
    """The last layer of each cross-attention by its name: what it puts out is what the text adds to the picture."""
    return {name: module for name, module in denoiser.named_modules() if name.endswith(f".attn2{ANSWERS}")}


def steering_vectors(
    pipe: DiffusionPipeline, concept: str, target: str, templates: Sequence[str], pairs: int
) -> dict[str, Tensor]:
    """The unit vector (D,) of each cross-attention from what draws the target to what draws the concept.

    A pair is drawn from one seed and one template, of which each has its turn; answers are averaged over patches, steps
    and pairs (CASteer, arXiv 2503.09630). target: "" is the empty prompt. float64 on the CPU.
    """
    turns = [templates[row % len(templates)] for row in range(pairs)]
    states = encode_text(pipe, prompts_of(pipe, (concept, target), turns))
    seeds = 2 * seeds_of(concept, pairs, FIRST_SEED)
    with _mean_answers(answering(family_of(pipe).denoiser(pipe)), len(states)) as sums:
        sample_latents(pipe, states, seeds, STEPS, GUIDANCE, len(states))
    differences = {name: total[:pairs].mean(0) - total[pairs:].mean(0) for name, total in sums.items()}
    return {name: nn.functional.normalize(difference, dim=0) for name, difference in differences.items()}


def orthonormal(rows: Tensor) -> Tensor:
    """Each row (m, D) without its share along those before it, of length 1; zero where nothing is left."""
    Q, R = torch.linalg.qr(rows.T)
    lengths = R.diagonal()
    return (Q * torch.where(lengths.abs() > 1e-9, lengths.sign(), 0.0)).T


@contextmanager
def _mean_answers(modules: dict[str, nn.Module], rows: int) -> Iterator[dict[str, Tensor]]:
    """Sums over calls of each module's answers to the last `rows` rows of a batch, as means over patches; (rows, D)."""
    sums: dict[str, Tensor] = {}

    def listen(name: str) -> torch.utils.hooks.RemovableHandle:
        def add(_module: nn.Module, _inputs: object, answers: Tensor) -> None:
            last = answers[-rows:]  # those before it answer the empty prompt, for guidance
            sums[name] = sums.get(name, 0) + last.double().mean(1).cpu()

        return modules[name].register_forward_hook(add)

    hooks = [listen(name) for name in modules]
    try:
        yield sums
    finally:
        for hook in hooks:
            hook.remove()
