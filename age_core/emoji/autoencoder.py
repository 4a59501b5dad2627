"""The autoencoder: 64-pixel pictures to 8 x 8 latents of 16 channels and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from age_core.emoji.art import Art
from age_core.emoji.training import (
    PX,
    augment,
    fast_arithmetic,
    linear_decay,
    load_checkpoint,
    save_checkpoint,
    step_generator,
)

LATENT_CHANNELS = 16
LATENT_PX = 8


def new_autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(16, 32, 64, 128),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=LATENT_CHANNELS,
        layers_per_block=1,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=PX,
    )


def autoencoder_loss(vae: AutoencoderKL, pictures: Tensor, generator: torch.Generator) -> tuple[Tensor, float]:
    """L1 + 0.5 x L1 of the picture's gradients (sharp edges) + 1e-3 x KL per latent value; and the MSE."""
    posterior = vae.encode(pictures).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=generator).to(pictures.device)
    out = vae.decode(posterior.mean + posterior.std * noise).sample.float()
    error = out - pictures
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    kl = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean()
    return error.abs().mean() + 0.5 * edges + 1e-3 * kl, float(error.detach().square().mean())


def train_autoencoder(
    art: Art,
    checkpoint: Path,
    steps: int,
    batch: int = 8,
    lr: float = 1.5e-3,
    seed: int = 0,
    save_every: int = 500,
    start: AutoencoderKL | None = None,
    device: str = "cpu",
) -> Iterator[tuple[int, int, dict[str, float]]]:
    """Train, or go on from `checkpoint`; yields (step, steps, losses) after every update.

    Without a checkpoint the first weights are those of `start`, or random. What is drawn is the same on every device.
    """
    torch.manual_seed(seed)  # initial weights
    vae = new_autoencoder()
    if start is not None:
        vae.load_state_dict(start.float().state_dict())
    vae.to(device)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=0.0)
    for step in range(load_checkpoint(checkpoint, {"vae": vae}, optimizer), steps):
        generator = step_generator(seed, step)
        rows = torch.randint(len(art.pictures), (batch,), generator=generator)
        pictures = augment(art.pictures[rows].to(device), generator)
        if torch.rand((), generator=generator) < 0.5:
            pictures = pictures.flip(-1)
        optimizer.param_groups[0]["lr"] = lr * linear_decay(step, steps)
        with fast_arithmetic(device):
            loss, mse = autoencoder_loss(vae, pictures, generator)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save_checkpoint(checkpoint, step + 1, {"vae": vae}, optimizer)
        yield step, steps, {"loss": float(loss.detach()), "mse": mse}


def load_autoencoder(checkpoint: Path) -> AutoencoderKL:
    if not checkpoint.exists():
        raise FileNotFoundError(f"{checkpoint} is missing: run `python -m age_core.emoji vae` first.")
    vae = new_autoencoder()
    load_checkpoint(checkpoint, {"vae": vae})
    return vae.eval()


@torch.no_grad()
def encode_art(vae: AutoencoderKL, art: Art, copies: int, seed: int = 0) -> tuple[Tensor, float]:
    """Latents of `copies` augmentations of every picture, scaled to unit variance.

    Returns ((copies, N, 16, 8, 8), scaling_factor) with latents already multiplied by the factor.
    """
    latents = []
    for copy in range(copies):
        generator = step_generator(seed + 77, copy)
        pictures = augment(art.pictures.to(vae.device), generator, scale=(0.92, 1.02), degrees=4.0, shift=0.02)
        latents.append(torch.cat([vae.encode(part).latent_dist.mean for part in pictures.split(64)]))
    stacked = torch.stack(latents)
    factor = float(1 / stacked.std())
    return stacked * factor, factor
