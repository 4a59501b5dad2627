"""The training curve: what a probe sees in the pictures that the denoiser draws on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from diffusers import StableDiffusionPipeline

from age_core.emoji.captions import caption
from age_core.evaluation import GUIDANCE, STEPS, seeds_of
from age_core.pipeline import generate
from age_core.probes import Probe

Progress = Iterator[tuple[int, int, dict[str, float]]]
JUDGED = 150  # concepts, spread evenly


def named(pipe: StableDiffusionPipeline, probe: Probe) -> tuple[float, float]:
    """Shares of one picture each of JUDGED concepts that the probe names first, and among its first five."""
    labels = probe.labels[:: max(1, len(probe.labels) // JUDGED)]
    prompts = [caption(label, "an emoji of {a_noun}", "") for label in labels]
    pictures = generate(pipe, prompts, [seeds_of(label, 1)[0] for label in labels], STEPS, GUIDANCE)
    best = np.argsort(-probe.scores(pictures), axis=1)[:, :5]
    right = best == np.array(probe.rows(labels))[:, None]
    return float(right[:, 0].mean()), float(right.any(1).mean())


def watched(
    steps: Progress, pipe: StableDiffusionPipeline, probe: Probe, batch: int, every: int, path: Path
) -> Progress:
    """Pass a training's steps on; every `every` of them, and at the end, append a line to `path`.

    `pipe` must hold the very weights that are being trained, or their moving average.
    """
    for step, total, losses in steps:
        yield step, total, losses
        if (step + 1) % every == 0 or step + 1 == total:
            top1, top5 = named(pipe, probe)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"pictures": (step + 1) * batch, "top1": top1, "top5": top5}) + "\n")
