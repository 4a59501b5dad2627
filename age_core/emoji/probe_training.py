"""The probe: a ResNet that names concepts, judge of erasure. It never sees the diffusion model's samples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import ResNetConfig, ResNetForImageClassification

from age_core.emoji.art import Art
from age_core.emoji.training import augment, linear_decay, load_checkpoint, save_checkpoint, step_generator


def new_probe(labels: tuple[str, ...]) -> ResNetForImageClassification:
    config = ResNetConfig(
        embedding_size=32,
        hidden_sizes=[32, 64, 96, 192],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        id2label=dict(enumerate(labels)),
        label2id={label: row for row, label in enumerate(labels)},
    )
    return ResNetForImageClassification(config)


def distort(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Colour, blur and noise on top of the affine augmentation; (B, 3, PX, PX) in [-1, 1]."""
    count = len(pictures)

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return low + (high - low) * torch.rand(count, channels, 1, 1, generator=generator)

    out = 1 - (1 - pictures) * uniform(0.75, 1.2)  # contrast against the white ground
    out = out * uniform(0.92, 1.05, 3) + uniform(-0.05, 0.03, 3)
    blurred = F.avg_pool2d(F.pad(out, (1, 1, 1, 1), mode="replicate"), 3, 1)
    out = torch.lerp(out, blurred, uniform(0.0, 1.0) * (uniform(0, 1) < 0.6))
    noise = torch.randn(out.shape, generator=generator) * uniform(0.0, 0.08)
    return (out + noise).clamp(-1, 1)


def draw_batch(art: Art, rows: Tensor, vae: AutoencoderKL | None, generator: torch.Generator) -> Tensor:
    """Strongly augmented pictures; half of them go through the autoencoder, so that compression is no clue."""
    pictures = augment(art.pictures[rows], generator, scale=(0.75, 1.1), degrees=14.0, shift=0.08)
    if vae is not None:
        half = len(rows) // 2
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            rebuilt = vae.decode(vae.encode(pictures[:half]).latent_dist.mean).sample.float()
        pictures = torch.cat([rebuilt.clamp(-1, 1), pictures[half:]])
    return distort(pictures, generator)


def train_probe(
    art: Art,
    vae: AutoencoderKL | None,
    checkpoint: Path,
    steps: int,
    rows: Tensor | None = None,
    batch: int = 64,
    lr: float = 3e-3,
    seed: int = 0,
    save_every: int = 200,
) -> Iterator[tuple[int, int, dict[str, float]]]:
    """Train, or go on; yields (step, steps, losses). `rows` limits the art (leave-one-style-out)."""
    torch.manual_seed(seed)  # initial weights
    probe = new_probe(art.concepts).to(memory_format=torch.channels_last)
    rows = torch.arange(len(art.pictures)) if rows is None else rows
    optimizer = torch.optim.AdamW(probe.parameters(), lr=lr, weight_decay=0.02)
    for step in range(load_checkpoint(checkpoint, {"probe": probe}, optimizer), steps):
        generator = step_generator(seed, step)
        chosen = rows[torch.randint(len(rows), (batch,), generator=generator)]
        pictures = draw_batch(art, chosen, vae, generator)
        optimizer.param_groups[0]["lr"] = lr * linear_decay(step, steps)
        probe.train()
        with torch.autocast("cpu", torch.bfloat16):
            logits = probe(pictures.to(memory_format=torch.channels_last)).logits
        loss = F.cross_entropy(logits.float(), art.concept[chosen], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save_checkpoint(checkpoint, step + 1, {"probe": probe}, optimizer)
        right = (logits.argmax(-1) == art.concept[chosen]).float().mean()
        yield step, steps, {"loss": float(loss.detach()), "accuracy": float(right)}


def load_trained_probe(checkpoint: Path, labels: tuple[str, ...]) -> ResNetForImageClassification:
    if not checkpoint.exists():
        raise FileNotFoundError(f"{checkpoint} is missing: run `python -m age_core.emoji probe` first.")
    probe = new_probe(labels)
    load_checkpoint(checkpoint, {"probe": probe})
    return probe.eval()


@torch.no_grad()
def probe_accuracy(probe: ResNetForImageClassification, pictures: Tensor, concept: Tensor) -> tuple[float, float]:
    """Top-1 and top-5 accuracy (shares) on pictures (N, 3, PX, PX) in [-1, 1]."""
    logits = torch.cat([probe(part).logits for part in pictures.split(128)])
    best = logits.topk(5, dim=-1).indices == concept[:, None]
    return float(best[:, 0].float().mean()), float(best.any(dim=-1).float().mean())
