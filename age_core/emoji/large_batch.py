"""The denoiser's training on a card: batches of a thousand pictures, drawn where they are used.

The loop of `denoiser.train_unet` draws captions in Python and waits for each loss, which costs a card more than its
step. Here all draws are the device's own, weights are cast to bfloat16 once a step instead of being cast where they are
used, and a loss comes home every REPORT_EVERY steps. So other random numbers: this training makes no claim on bits.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from age_core.emoji.art import STYLES
from age_core.emoji.captions import CaptionTable, Recipe
from age_core.emoji.denoiser import BATCH, denoising_loss, new_scheduler, new_unet, style_weights
from age_core.emoji.training import has_bfloat16, linear_decay

LR, MOST_LR = 1.2e-3, 3e-3  # at BATCH pictures a step, growing with the root of the batch; and at most
WARMUP = 300
REPORT_EVERY = 100


@dataclass(frozen=True)
class Material:
    """What is trained on, all on one device."""

    latents: Tensor  # (copies, N, 16, 8, 8)
    concept: Tensor  # (N,)
    style: Tensor  # (N,)
    captions: CaptionTable


def even_weights(concept: Tensor, style: Tensor) -> Tensor:
    """How often to draw each picture so that every concept, and every style, is drawn equally often; (N,)."""
    weights = torch.ones(len(concept), device=concept.device)
    for _ in range(20):  # the two are evened out in turn
        for owner, count in ((concept, int(concept.max()) + 1), (style, len(STYLES))):
            mass = torch.zeros(count, device=concept.device).index_add_(0, owner, weights)
            weights = weights / mass[owner]
    return weights


def train(
    material: Material,
    recipe: Recipe,
    steps: int,
    batch: int = 1024,
    seed: int = 0,
    start: UNet2DConditionModel | None = None,
    average: UNet2DConditionModel | None = None,
    report_every: int = REPORT_EVERY,
) -> Iterator[tuple[int, int, dict[str, float]]]:
    """Train from `start`, or from random weights; yields (step, steps, mean loss) every `report_every` steps.

    `average`, if given, is filled with the moving average as it goes (float32, on the material's device): what ships.
    """
    device = material.latents.device
    torch.manual_seed(seed)  # initial weights
    masters = new_unet().to(device, memory_format=torch.channels_last)
    if start is not None:
        masters.load_state_dict(start.float().state_dict())
    ema = (average or new_unet()).to(device, memory_format=torch.channels_last).requires_grad_(False)
    ema.load_state_dict(masters.state_dict())
    unet = copy.deepcopy(masters).to(torch.bfloat16 if has_bfloat16(device) else torch.float32)
    scheduler, generator = new_scheduler(), torch.Generator(device).manual_seed(seed)
    lr = min(MOST_LR, LR * math.sqrt(batch / BATCH))
    leaves, working, averages = (list(model.parameters()) for model in (masters, unet, ema))
    for leaf in leaves:
        leaf.grad = torch.zeros_like(leaf)
    gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
    optimizer = torch.optim.AdamW(leaves, lr=lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    style = material.style
    weights = even_weights(material.concept, style) if recipe.even_pairs else style_weights(style.cpu()).to(device)
    total, count = torch.zeros((), device=device), 0
    for step in range(steps):
        rows = torch.multinomial(weights, batch, replacement=True, generator=generator)
        copies = torch.randint(len(material.latents), (batch,), generator=generator, device=device)
        states = material.captions.batch(material.concept[rows], style[rows], generator)
        loss = denoising_loss(unet, scheduler, material.latents[copies, rows].float(), states, generator)
        unet.zero_grad()
        loss.backward()
        with torch.no_grad():
            torch._foreach_copy_(gradients, [weight.grad for weight in working])
            torch.nn.utils.clip_grad_norm_(leaves, 1.0, foreach=True)  # no number of it comes home
            optimizer.param_groups[0]["lr"] = lr * linear_decay(step, steps, WARMUP)
            optimizer.step()
            torch._foreach_copy_(working, leaves)
            torch._foreach_lerp_(averages, leaves, 1 - min(0.998, (step + 1) / (step + 20)))
        total, count = total + loss.detach(), count + 1
        if (step + 1) % report_every == 0 or step + 1 == steps:
            yield step, steps, {"loss": float(total) / count}
            total, count = torch.zeros((), device=device), 0
