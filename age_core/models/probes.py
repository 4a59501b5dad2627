"""Probes: what does a picture show? A classifier's scores, with its labels, and its features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import AutoImageProcessor, AutoModelForImageClassification

from age_core.assets import PROBES
from age_core.errors import AgeError
from age_core.models.identity import weights_hash

PX = 64  # the bundled probe was trained at this size


class AnyProbe(Protocol):
    """What measuring needs of a probe; `Probe` is the one that classifies. B pictures are asked about at once."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str:
        """Changes with whatever changes an answer; goes with every number that the probe yields."""

    def rows(self, labels: Iterable[str]) -> list[int]:
        """Which columns of `scores` count as any of `labels`. Raises AgeError naming one that the probe lacks."""

    def scores(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """How likely each label is; (B, n_labels)."""

    def top(self, pictures: Sequence[Image.Image], k: int = 1) -> list[list[tuple[str, float]]]:
        """The k likeliest labels of each picture with their probabilities."""

    def features(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """One vector a picture, alike for pictures that are alike; (B, D)."""

    def stages(self, pictures: Sequence[Image.Image]) -> list[Tensor]:
        """What is seen at several depths, each (B, positions, channels), for distances of pairs."""


@dataclass(frozen=True)
class Probe:
    """An image classifier in evaluation mode.

    `processor` turns pictures into its input; without one they are made 64 px wide and scaled to -1..1, as the bundled
    probe wants them. `name` and `version` (a hash of its weights) go with every number that the probe yields.
    """

    model: Any
    labels: tuple[str, ...]
    processor: Any = None
    name: str = "unnamed"
    version: str = ""

    def rows(self, labels: Iterable[str]) -> list[int]:
        """Which outputs count as any of `labels`, whatever their case: those of that name, else those that list it.

        ImageNet lists several names for one output ("sax, saxophone"), and has some names twice ("crane"). Raises
        AgeError naming a label that the probe does not know.
        """
        rows: set[int] = set()
        for label in labels:
            word = label.strip().lower()
            exact = {row for row, known in enumerate(self.labels) if known.lower() == word}
            listed = {row for row, known in enumerate(self.labels) if word in known.lower().split(", ")}
            if not (exact or listed):
                raise AgeError(f"The probe {self.name!r} has no label {label!r}, so it cannot judge pictures of it.")
            rows |= exact or listed
        return sorted(rows)

    @torch.no_grad()
    def scores(self, pictures: Sequence[Image.Image], batch_size: int = 128) -> np.ndarray:
        """Probabilities of every label; (B, n_labels)."""
        parts = [self.model(x).logits.softmax(-1).cpu().numpy() for x in self._batches(pictures, batch_size)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.labels)), np.float32)

    def top(self, pictures: Sequence[Image.Image], k: int = 1) -> list[list[tuple[str, float]]]:
        """The k likeliest labels of each picture with their probabilities."""
        scores = self.scores(pictures)
        order = np.argsort(-scores, axis=1)[:, :k]
        return [[(self.labels[j], float(row[j])) for j in best] for row, best in zip(scores, order, strict=True)]

    @torch.no_grad()
    def features(self, pictures: Sequence[Image.Image], batch_size: int = 128) -> np.ndarray:
        """Pooled penultimate features, which are what the last linear layer receives; (B, D) float32."""
        linear = [module for module in self.model.modules() if isinstance(module, nn.Linear)]
        if not linear:
            raise AgeError(f"The probe {self.name!r} has no linear layer to read features from.")
        parts: list[np.ndarray] = []
        hook = linear[-1].register_forward_pre_hook(lambda _, inputs: parts.append(inputs[0].cpu().numpy()))
        try:
            for x in self._batches(pictures, batch_size):
                self.model(x)
        finally:
            hook.remove()
        return np.concatenate(parts) if parts else np.zeros((0, linear[-1].in_features), np.float32)

    @torch.no_grad()
    def stages(self, pictures: Sequence[Image.Image]) -> list[Tensor]:
        """Hidden states of every stage, each (B, positions, channels): pixels of a feature map, or tokens."""
        (x,) = self._batches(pictures, len(pictures))
        hidden = self.model(x, output_hidden_states=True).hidden_states
        if not hidden:
            raise AgeError(f"The probe {self.name!r} does not give out hidden states.")
        return [state.flatten(2).mT if state.ndim == 4 else state for state in hidden]

    def _batches(self, pictures: Sequence[Image.Image], batch_size: int) -> Iterator[Tensor]:
        device = next(self.model.parameters()).device
        for start in range(0, len(pictures), batch_size):
            yield self._prepare([p.convert("RGB") for p in pictures[start : start + batch_size]]).to(device)

    def _prepare(self, pictures: list[Image.Image]) -> Tensor:
        if self.processor is not None:
            return self.processor(pictures, return_tensors="pt")["pixel_values"]  # (B, 3, H, W)
        small = np.stack([np.asarray(p.resize((PX, PX), Image.Resampling.BICUBIC)) for p in pictures])
        return torch.from_numpy(small).permute(0, 3, 1, 2).float() / 127.5 - 1


def image_processor(source: str | Path) -> Any:
    """What prepares pictures for a model; always PIL's, as torchvision's, where it is installed, rounds otherwise."""
    return AutoImageProcessor.from_pretrained(source, backend="pil", trust_remote_code=False)


def load_probe(source: str | Path = "emoji", device: str = "cpu") -> Probe:
    """Open a bundled probe, or a transformers image classifier: a folder or a Hub id such as "microsoft/resnet-50".

    Reads safetensors only and runs no code from the folder. Raises AgeError when the probe is missing or broken.
    """
    folder = PROBES.get(str(source), Path(source))
    where = folder if folder.is_dir() else str(source)
    if not folder.is_dir() and str(source).count("/") != 1:
        raise AgeError(
            f"{str(source)!r} is no probe: give {', '.join(map(repr, PROBES))}, a folder with an image classifier, "
            "or a Hub id such as 'microsoft/resnet-50'."
        )
    try:
        model = AutoModelForImageClassification.from_pretrained(
            where, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
        ).eval()
        bundled = folder.is_dir() and folder.resolve() in PROBES.values()
        processor = None if bundled else image_processor(where)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise AgeError(f"The probe {str(source)!r} cannot be loaded: {reason}") from error
    labels = tuple(model.config.id2label[row] for row in range(model.config.num_labels))
    name = folder.name if folder.is_dir() else str(source)
    return Probe(model.requires_grad_(False).to(device), labels, processor, name, weights_hash(model))
