"""The denoiser: a small UNet with cross-attention at both resolutions, v-prediction, zero terminal SNR."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from age_core.emoji.art import STYLES
from age_core.emoji.autoencoder import LATENT_CHANNELS, LATENT_PX
from age_core.emoji.captions import CaptionBank
from age_core.emoji.training import (
    fast_arithmetic,
    has_bfloat16,
    linear_decay,
    load_checkpoint,
    save_checkpoint,
    step_generator,
)

TEXT_WIDTH = 384
MIN_SNR_GAMMA = 5.0
UNET_STEPS, BATCH = 14_000, 64
STYLE_WEIGHT = {"firefox": 1.6, "emojione": 1.4, "flat": 1.2, "noto": 1.2}  # drawn oftener: most often missed


def new_scheduler() -> DDIMScheduler:
    """clip_sample must be off: the default clamps latents to [-1, 1] and washes every picture out."""
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,  # unused by trailing spacing, but the pipeline insists on it
    )


def new_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=LATENT_PX,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(128, 256),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=32,
    )


def denoising_loss(
    unet: UNet2DConditionModel, scheduler: DDIMScheduler, latents: Tensor, states: Tensor, generator: torch.Generator
) -> Tensor:
    """Error of the v-prediction, weighed by min(SNR + 1, 5) / (SNR + 1): 1 in heavy noise, less in slight noise.

    Min-SNR weights (Hang et al. 2023, arXiv 2303.09556) of v are min(SNR, 5) / (SNR + 1), which vanish in pure noise.
    But there, where nothing but the words tells the picture, style is learnt: with them the model drew an asked-for
    style in half of its pictures only.
    """
    here, levels = generator.device, scheduler.config.num_train_timesteps
    noise = torch.randn(latents.shape, generator=generator, device=here).to(latents.device)
    steps = torch.randint(levels, (len(latents),), generator=generator, device=here).to(latents.device)
    noisy = scheduler.add_noise(latents, noise, steps)
    velocity = scheduler.get_velocity(latents, noise, steps)
    alpha = scheduler.alphas_cumprod[steps]
    snr = alpha / (1 - alpha)
    weight = (snr + 1).clamp(max=MIN_SNR_GAMMA) / (snr + 1)
    dtype = next(unet.parameters()).dtype
    with fast_arithmetic(latents.device, dtype):
        out = unet(noisy.to(dtype, memory_format=torch.channels_last), steps, states.to(dtype)).sample
    return (weight * (out.float() - velocity).square().mean(dim=(1, 2, 3))).mean()


def style_weights(style: Tensor) -> Tensor:
    """How often each picture is drawn, relative to the others, by its style; (N,) to (N,)."""
    return torch.tensor([STYLE_WEIGHT.get(s.name, 1.0) for s in STYLES])[style]


def train_unet(
    latents: Tensor,
    concept: Tensor,
    style: Tensor,
    captions: CaptionBank,
    checkpoint: Path,
    steps: int,
    batch: int = BATCH,
    lr: float = 1.2e-3,
    seed: int = 0,
    save_every: int = 100,
    start: UNet2DConditionModel | None = None,
    average: UNet2DConditionModel | None = None,
    without: int | None = None,
    compiled: bool = False,
    device: str = "cpu",
) -> Iterator[tuple[int, int, dict[str, float]]]:
    """Train, or go on from `checkpoint`; yields (step, steps, losses). latents: (copies, N, 16, 8, 8).

    Without a checkpoint the first weights are those of `start`, or random. `average`, if given, is filled with the
    moving average as it goes. `without` leaves one concept's pictures out, and draws all others as if they were there.
    `compiled` takes a quarter off a step, after a minute or two; it needs a C++ compiler.
    The checkpoint holds the weights ("unet"), their moving average ("ema", what ships) and Adam's state. What is drawn
    is the same on every device; `large_batch.train` is for cards that would wait for these small batches.
    """
    torch.manual_seed(seed)  # initial weights
    unet = new_unet().to(memory_format=torch.channels_last)
    if start is not None:
        unet.load_state_dict(start.float().state_dict())
    unet.to(device)
    # torch's fused attention takes half of a step there on its way back
    if torch.device(device).type == "cpu" and has_bfloat16(device):
        unet.set_attn_processor(AttnProcessor())
    ema = (average or new_unet()).to(device, memory_format=torch.channels_last).requires_grad_(False)
    ema.load_state_dict(unet.state_dict())
    model = cast(UNet2DConditionModel, torch.compile(unet)) if compiled else unet
    scheduler = new_scheduler()
    optimizer = torch.optim.AdamW(unet.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    modules = {"unet": unet, "ema": ema}
    weights = style_weights(style)
    for step in range(load_checkpoint(checkpoint, modules, optimizer), steps):
        generator = step_generator(seed, step)
        rows = torch.multinomial(weights, batch, replacement=True, generator=generator)
        copies = torch.randint(latents.shape[0], (batch,), generator=generator)
        if without is not None:
            rows, copies = rows[(others := concept[rows] != without)], copies[others]
        states = captions.batch(concept[rows], style[rows], generator).to(device)
        optimizer.param_groups[0]["lr"] = lr * linear_decay(step, steps)
        loss = denoising_loss(model, scheduler, latents[copies, rows].to(device), states, generator)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        keep = min(0.998, (step + 1) / (step + 20))
        torch._foreach_lerp_(list(ema.parameters()), list(unet.parameters()), 1 - keep)
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save_checkpoint(checkpoint, step + 1, modules, optimizer)
        yield step, steps, {"loss": float(loss.detach())}


def load_unet(checkpoint: Path) -> UNet2DConditionModel:
    """The averaged weights of a checkpoint."""
    if not checkpoint.exists():
        raise FileNotFoundError(f"{checkpoint} is missing: run `python -m age_core.emoji unet` first.")
    unet = new_unet()
    load_checkpoint(checkpoint, {"ema": unet})
    return unet.eval()
