"""The probes: ResNets that name concepts or styles, judges of erasure. They never see the diffusion model's samples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import ResNetConfig, ResNetForImageClassification

from age_core.emoji.art import STYLES, Art
from age_core.emoji.training import (
    augment,
    fast_arithmetic,
    linear_decay,
    load_checkpoint,
    save_checkpoint,
    step_generator,
)

STYLE_NAMES = tuple(style.name for style in STYLES)


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
        return low + (high - low) * torch.rand(count, channels, 1, 1, generator=generator).to(pictures.device)

    out = 1 - (1 - pictures) * uniform(0.75, 1.2)  # contrast against the white ground
    out = out * uniform(0.92, 1.05, 3) + uniform(-0.05, 0.03, 3)
    blurred = F.avg_pool2d(F.pad(out, (1, 1, 1, 1), mode="replicate"), 3, 1)
    out = torch.lerp(out, blurred, uniform(0.0, 1.0) * (uniform(0, 1) < 0.6))
    noise = torch.randn(out.shape, generator=generator).to(pictures.device) * uniform(0.0, 0.08)
    return (out + noise).clamp(-1, 1)


@torch.no_grad()
def with_reconstructions(art: Art, vae: AutoencoderKL, copies: int = 2) -> Art:
    """The art and, `copies` times, what the autoencoder makes of it: compression must be no clue to a probe."""
    pictures = [art.pictures]
    for copy in range(copies):
        turned = augment(art.pictures.to(vae.device), step_generator(88, copy), scale=(0.9, 1.05), degrees=6.0)
        for part in turned.split(64):
            rebuilt = vae.decode(vae.encode(part).latent_dist.mean).sample.clamp(-1, 1)
            large = F.interpolate(rebuilt, size=art.pictures.shape[-2:], mode="bilinear")
            pictures.append(((large + 1) * 127.5).round().to("cpu", torch.uint8))
    repeated = 1 + copies
    return Art(torch.cat(pictures), art.concept.repeat(repeated), art.style.repeat(repeated), art.concepts)


def train_probe(
    art: Art,
    checkpoint: Path,
    steps: int,
    rows: Tensor | None = None,
    batch: int = 64,
    lr: float = 3e-3,
    seed: int = 0,
    save_every: int = 200,
    of_style: bool = False,
    start: ResNetForImageClassification | None = None,
    device: str = "cpu",
) -> Iterator[tuple[int, int, dict[str, float]]]:
    """Train, or go on; yields (step, steps, losses). `rows` limits the art (leave-one-style-out).

    of_style: name the picture's style instead of its concept. `start`: first weights, if not random ones. What is drawn
    is the same on every device.
    """
    torch.manual_seed(seed)  # initial weights
    truth = art.style if of_style else art.concept
    probe = new_probe(STYLE_NAMES if of_style else art.concepts).to(memory_format=torch.channels_last)
    if start is not None:
        probe.load_state_dict(start.float().state_dict())
    probe.to(device)
    rows = torch.arange(len(art.pictures)) if rows is None else rows
    optimizer = torch.optim.AdamW(probe.parameters(), lr=lr, weight_decay=0.02)
    for step in range(load_checkpoint(checkpoint, {"probe": probe}, optimizer), steps):
        generator = step_generator(seed, step)
        chosen = rows[torch.randint(len(rows), (batch,), generator=generator)]
        right = truth[chosen].to(device)
        turned = augment(art.pictures[chosen].to(device), generator, scale=(0.75, 1.1), degrees=14.0, shift=0.08)
        pictures = distort(turned, generator)
        optimizer.param_groups[0]["lr"] = lr * linear_decay(step, steps)
        probe.train()
        with fast_arithmetic(device):
            logits = probe(pictures.to(memory_format=torch.channels_last)).logits
        loss = F.cross_entropy(logits.float(), right, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save_checkpoint(checkpoint, step + 1, {"probe": probe}, optimizer)
        accuracy = (logits.argmax(-1) == right).float().mean()
        yield step, steps, {"loss": float(loss.detach()), "accuracy": float(accuracy)}


def load_trained_probe(checkpoint: Path, labels: tuple[str, ...]) -> ResNetForImageClassification:
    if not checkpoint.exists():
        raise FileNotFoundError(f"{checkpoint} is missing: run `python -m age_core.emoji probe` first.")
    probe = new_probe(labels)
    load_checkpoint(checkpoint, {"probe": probe})
    return probe.eval()


@torch.no_grad()
def probe_accuracy(probe: ResNetForImageClassification, pictures: Tensor, concept: Tensor) -> tuple[float, float]:
    """Top-1 and top-5 accuracy (shares) on pictures (N, 3, PX, PX) in [-1, 1]."""
    logits = torch.cat([probe(part.to(probe.device)).logits.cpu() for part in pictures.split(128)])
    best = logits.topk(5, dim=-1).indices == concept[:, None]
    return float(best[:, 0].float().mean()), float(best.any(dim=-1).float().mean())
