"""Drawing: prompts to latents to pictures, each picture from a seed of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from numbers import Integral
from typing import Any

import torch
from diffusers import DiffusionPipeline
from PIL import Image
from torch import Tensor

from age_core.errors import AgeError
from age_core.models.families import device_of, encode_text, family_of, predict


def check_generation(prompts: Sequence[str], seeds: Sequence[int], steps: int) -> None:
    """Raise AgeError before any work is done on prompts that cannot be drawn."""
    if not prompts:
        raise AgeError("There is no prompt: write what to draw, such as 'an emoji of a dog'.")
    if len(prompts) != len(seeds):
        raise AgeError(f"{len(prompts)} prompts came with {len(seeds)} seeds: give one seed a prompt.")
    for seed in seeds:
        if not isinstance(seed, Integral) or not 0 <= seed < 2**64:
            raise AgeError(f"A seed must be a whole number from 0 to {2**64 - 1}, not {seed}.")
    if steps < 1:
        raise AgeError(f"The number of sampling steps must be at least 1, not {steps}.")


def generate(
    pipe: DiffusionPipeline,
    prompts: Sequence[str],
    seeds: Sequence[int],
    steps: int = 8,
    guidance: float = 3.0,
    batch_size: int = 64,
) -> list[Image.Image]:
    """One picture a prompt, drawn from its own seed, so that a picture does not depend on its batch.

    Sampled by DPM-Solver++ (2M), which needs few steps. "" asks for nothing in particular. Raises AgeError when there
    is no prompt, or not one seed for each.
    """
    check_generation(prompts, seeds, steps)
    latents = sample_latents(pipe, encode_text(pipe, prompts), seeds, steps, guidance, batch_size)
    return decode(pipe, latents)


@torch.no_grad()
def sample_latents(
    pipe: DiffusionPipeline,
    prompt_embeds: Tensor,
    seeds: Sequence[int],
    steps: int = 8,
    guidance: float = 3.0,
    batch_size: int = 64,
    late: Callable[[], AbstractContextManager[Any]] | None = None,
    late_from: int = 0,
) -> Tensor:
    """Latents (B, C, h, w) of text states (B, L, D) under classifier-free guidance against the empty prompt.

    `late` is entered before step `late_from`, such as an eraser that is to finish what the original model began.
    """
    family, shape = family_of(pipe), family_of(pipe).latent_shape(pipe)
    device = device_of(pipe)
    noise = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(int(s))) for s in seeds])
    noise = noise.to(device)
    rows = batch_size if rounds_by_size(device) and len(noise) > batch_size else 0
    empty = encode_text(pipe, [""])
    parts = []
    for z, text in zip(noise.split(batch_size), prompt_embeds.split(batch_size), strict=True):
        scheduler = family.sampler(pipe)
        scheduler.set_timesteps(steps, device=device)
        drawn = len(z)
        z, text = filled(z, rows), filled(text, rows)
        z = z * scheduler.init_noise_sigma
        both = torch.cat([empty.expand_as(text), text])
        with ExitStack() as stack:
            for step, t in enumerate(scheduler.timesteps):
                if late and step == late_from:
                    stack.enter_context(late())
                unguided, guided = predict(pipe, scheduler.scale_model_input(torch.cat([z, z]), t), t, both).chunk(2)
                z = scheduler.step(unguided + guidance * (guided - unguided), t, z).prev_sample
        parts.append(z[:drawn])
    return torch.cat(parts)


def rounds_by_size(device: torch.device) -> bool:
    """Whether a batch of another size may take other kernels, and end in other last bits."""
    return device.type != "cpu"


def filled(part: Tensor, rows: int) -> Tensor:
    """A part of a batch, its last row repeated until there are `rows` of them."""
    missing = max(rows - len(part), 0)
    return torch.cat([part, part[-1:].expand(missing, *part.shape[1:])]) if missing else part


@torch.no_grad()
def decode(pipe: DiffusionPipeline, latents: Tensor) -> list[Image.Image]:
    """Latents (B, C, h, w) to pictures. Raises AgeError where one holds values that are no numbers."""
    pictures: list[Image.Image] = []
    with closing(family_of(pipe).decode(pipe, latents)) as parts:
        for pixels in parts:
            if not torch.isfinite(pixels).all():
                raise AgeError(
                    "The model drew a picture of values that are no numbers: open it in bfloat16 or float32, should "
                    "float16 overflow, or apply a weaker eraser, should its weights be changed too far."
                )
            pictures += pipe.image_processor.postprocess(pixels, output_type="pil")
    return pictures
