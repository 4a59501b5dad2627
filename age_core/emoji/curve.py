"""The training curve: what a probe sees in the pictures that the denoiser draws on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from diffusers import StableDiffusionPipeline

from age_core.concepts.concept_set import ConceptSet
from age_core.measure.verdicts import hits
from age_core.models.probes import Probe

Progress = Iterator[tuple[int, int, dict[str, float]]]
JUDGED = 150  # concepts, spread evenly


def watched(
    steps: Progress,
    pipe: StableDiffusionPipeline,
    probe: Probe,
    concepts: ConceptSet,
    batch: int,
    every: int,
    path: Path,
) -> Progress:
    """Pass a training's steps on; every `every` of them, and at the end, append a line to `path`.

    Judged on one picture each of JUDGED concepts. `pipe` must hold the very weights that are being trained, or their
    moving average.
    """
    names = concepts.names[:: max(1, len(concepts) // JUDGED)]
    for step, total, losses in steps:
        yield step, total, losses
        if (step + 1) % every == 0 or step + 1 == total:
            shares = hits(pipe, probe, concepts, names, 1)[["top1", "top5"]].mean().to_dict()
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"pictures": (step + 1) * batch, **shares}) + "\n")
