"""Differential Vector Erasure while a model draws: its predictions lose their share towards the concept.

At each step the denoiser is also asked for the erased concept and for its target. Where d is the unit vector from the
target's velocity to the concept's, v <- v - strength max(0, <v, d>) d, so that what points away from the concept, or
across, stays as it is (DVE, arXiv 2602.01089).

Read in its abstract: the difference of the velocities of the concept and of a chosen anchor (here, the target), which
is projected out of the velocity at inference, selectively. At second hand: the formula. Inferred: latents are one
vector, not one a pixel; every step is treated alike, without a threshold; the prompts are the bare words; several
concepts take their turns, each on what the one before left; and the strength, which is 1 there.

Otherwise than there: FLUX, on which the paper is tried, has guidance built in and predicts once a step. Here each row
is treated, the empty prompt's too, before guidance puts them together; d is the same before and after. And a UNet
predicts noise or v: its prediction is made the velocity of the flow through the same points (`noise.velocity`), and
what is taken out of that is taken out of the prediction.

The cost: two more rows a picture, step and pair of prompts, in batches of their own, so that memory is as before. With
one pair a picture takes twice as long under guidance, and three times as long without.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from age_core.models.families import encode_text, family_of

SIDES = ("concept", "target")  # of `Eraser.prompts`
# Set while the two are asked for: they are what the weights say, whatever other such erasers are applied.
_ASKING: ContextVar[bool] = ContextVar("asking", default=False)


def without_difference(velocity: Tensor, difference: Tensor, strength: float = 1.0) -> Tensor:
    """v <- v - strength max(0, <v, d>) d, d being each row's difference at length 1; (B, C, h, w) float32."""
    d = nn.functional.normalize(difference.flatten(1), dim=1)
    share = (velocity.flatten(1) * d).sum(1, keepdim=True).clamp_min(0)
    return velocity - strength * (share * d).view_as(velocity)


def are_pairs(prompts: Mapping[str, Tensor]) -> bool:
    """Whether there is a target's prompt beside each concept's: two tensors (m, L, D) of the same shape."""
    return set(prompts) == set(SIDES) and prompts["concept"].ndim == 3 and len({t.shape for t in prompts.values()}) == 1


def suit(pipe: DiffusionPipeline, prompts: Mapping[str, Tensor]) -> bool:
    """Whether they are pairs of what `encode_text` makes of a prompt for this model."""
    return are_pairs(prompts) and prompts["concept"].shape[1:] == encode_text(pipe, [""]).shape[1:]


def project_out(pipe: DiffusionPipeline, prompts: Mapping[str, Tensor], strength: float) -> RemovableHandle:
    """From now on, and until the handle is removed, the denoiser predicts as above."""
    family = family_of(pipe)
    denoiser = family.denoiser(pipe)
    device = next(denoiser.parameters()).device
    # cloned: from a file they are aligned otherwise, and sums would differ in the last bit
    concepts, targets = (prompts[side].to(device).clone() for side in SIDES)

    def predicted(z: Tensor, t: Tensor, prompt: Tensor) -> Tensor:
        return family.predict(pipe, z, t, prompt.expand(len(z), *prompt.shape))

    def differences(z: Tensor, t: Tensor) -> list[Tensor]:
        twice = _asked_twice(z, t)
        if twice:
            z = z[: len(z) // 2]
        asking = _ASKING.set(True)
        try:
            pairs = zip(concepts, targets, strict=True)
            found = [predicted(z, t, concept) - predicted(z, t, target) for concept, target in pairs]
        finally:
            _ASKING.reset(asking)
        return [torch.cat([part, part]) for part in found] if twice else found

    def edit(_denoiser: nn.Module, args: tuple[Any, ...], named: dict[str, Any], output: Any) -> Any:
        if _ASKING.get():
            return None
        given = dict(zip(("sample", "timestep"), args, strict=False)) | named
        z, t = given["sample"], torch.as_tensor(given["timestep"], device=given["sample"].device)
        raw = output[0]
        velocity = left = family.velocity(pipe, raw.float(), z.float(), t)
        for difference in differences(z, t):
            left = without_difference(left, difference, strength)
        edited = (raw.float() + (left - velocity)).to(raw.dtype)  # a change of one is a change of the other
        return (edited, *output[1:]) if isinstance(output, tuple) else type(output)(sample=edited)

    return denoiser.register_forward_hook(edit, with_kwargs=True)


def _asked_twice(z: Tensor, t: Tensor) -> bool:
    """Whether the second half of the rows are the latents of the first, as under guidance; a GPU is waited for."""
    return t.ndim == 0 and len(z) % 2 == 0 and torch.equal(*z.chunk(2))
