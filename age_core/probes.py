"""Probes: what does a picture show? A classifier's scores, with its labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import ResNetForImageClassification

from age_core.concepts import ASSETS
from age_core.errors import AgeError

BUNDLED = {"emoji": ASSETS / "emoji-probe"}
PX = 64  # the probe was trained at this size


@dataclass(frozen=True)
class Probe:
    """An image classifier in evaluation mode."""

    model: Any
    labels: tuple[str, ...]

    @torch.no_grad()
    def scores(self, pictures: Sequence[Image.Image], batch_size: int = 128) -> np.ndarray:
        """Probabilities of every label; (B, n_labels)."""
        parts = []
        for start in range(0, len(pictures), batch_size):
            arrays = [
                np.asarray(picture.convert("RGB").resize((PX, PX), Image.Resampling.BICUBIC))
                for picture in pictures[start : start + batch_size]
            ]
            x = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 127.5 - 1
            parts.append(self.model(x).logits.softmax(-1).numpy())
        return np.concatenate(parts) if parts else np.zeros((0, len(self.labels)), np.float32)

    def top(self, pictures: Sequence[Image.Image], k: int = 1) -> list[list[tuple[str, float]]]:
        """The k likeliest labels of each picture with their probabilities."""
        scores = self.scores(pictures)
        order = np.argsort(-scores, axis=1)[:, :k]
        return [[(self.labels[j], float(row[j])) for j in best] for row, best in zip(scores, order, strict=True)]


def load_probe(source: str | Path = "emoji") -> Probe:
    """Open a bundled probe or a folder. Raises AgeError when it is missing or broken."""
    folder = BUNDLED.get(str(source), Path(source))
    try:
        model = ResNetForImageClassification.from_pretrained(folder, dtype=torch.float32, use_safetensors=True).eval()
    except (OSError, ValueError, RuntimeError) as error:
        raise AgeError(f"The probe {str(source)!r} cannot be loaded from {folder.name!r}.") from error
    return Probe(model, tuple(model.config.id2label[row] for row in range(len(model.config.id2label))))
