"""What the original model draws, kept once for all the erasures that are compared with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from age_core.concepts.concept_set import ConceptSet, vocabulary_hash
from age_core.errors import AgeError
from age_core.files import disk_errors, replacing
from age_core.measure.noise_shift import Reference, noise_reference
from age_core.measure.verdicts import draw_and_judge, seeds_of
from age_core.models.families import device_of
from age_core.models.identity import model_identity
from age_core.models.probes import Probe
from age_core.models.same_model import same_model

FILE = "original.safetensors"
UNDRAWN = "-"  # in the place of the judge's version: noised latents alone
KEPT = ("z", "t", "states", "prediction", "signal")


@dataclass(frozen=True)
class Original:
    """Pictures and verdicts of every concept, `images` each, and noised latents to compare predictions on."""

    table: pd.DataFrame  # concept, seed, top1, top5; concept by concept; empty where nothing was drawn
    pictures: np.ndarray  # (N, H, W, 3) uint8, in the same order
    images: int
    reference: Reference

    @staticmethod
    def open(pipe: DiffusionPipeline, probe: Probe | None, concepts: ConceptSet, images: int, folder: Path) -> Original:
        """Read what `folder` keeps, or draw it and keep it there. Without a probe: noised latents, and no pictures.

        Raises AgeError where the folder's own was drawn by another model, for other concepts, in other numbers or for
        another judge.
        """
        path = folder / FILE
        made_for = (str(images), probe.version if probe else UNDRAWN, "|".join(concepts.names))
        made_by = {"model": model_identity(pipe), "vocabulary": vocabulary_hash(concepts)}
        if path.exists():
            return _read(path, made_for, made_by, pipe, concepts, images)
        table, pixels = pd.DataFrame({"seed": [], "top1": [], "top5": []}), np.zeros((0, 1, 1, 3), np.uint8)
        if probe:
            table, pictures = draw_and_judge(pipe, probe, concepts, list(concepts), images)
            pixels = np.stack([np.asarray(picture) for picture in pictures])
        original = Original(table, pixels, images, noise_reference(pipe, concepts, images))
        with disk_errors(f"What the original model draws, in {folder.name!r},"):
            original._write(path, {"for": " ".join(made_for)} | made_by)
        return original

    def without(self, name: str) -> tuple[pd.DataFrame, list[Image.Image]]:
        """Verdicts and pictures of all concepts but one."""
        rows = np.flatnonzero(self.table["concept"] != name)
        return self.table.iloc[rows].reset_index(drop=True), [Image.fromarray(self.pictures[row]) for row in rows]

    def _write(self, path: Path, about: dict[str, str]) -> None:
        tensors = {name: getattr(self.reference, name).detach().cpu().contiguous() for name in KEPT}
        tensors |= {name: torch.tensor(self.table[name].to_numpy()) for name in ("seed", "top1", "top5")}
        with replacing(path) as temporary:
            save_file(tensors | {"pictures": torch.from_numpy(self.pictures)}, temporary, metadata=about)


def _read(
    path: Path,
    made_for: tuple[str, str, str],
    made_by: dict[str, str],
    pipe: DiffusionPipeline,
    concepts: ConceptSet,
    images: int,
) -> Original:
    try:
        with safe_open(path, "pt") as file:
            about, tensors = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError) as error:
        raise AgeError(f"{path.name!r} in {path.parent.name!r} cannot be read; delete it to draw it again.") from error
    stored_count, stored_judge, stored_names = (*about.get("for", "").split(" ", 2), "", "", "")[:3]
    count, judge, joined_names = made_for
    others = (stored_count, stored_names) != (count, joined_names) or judge not in (stored_judge, UNDRAWN)
    # earlier versions wrote neither the model nor more than the names
    model, vocabulary = (about.get(name, value) for name, value in made_by.items())
    if others or not same_model(model, made_by["model"]) or vocabulary != made_by["vocabulary"]:
        raise AgeError(
            f"{path.parent.name!r} holds what another model drew, or the original model of other concepts, in other "
            "numbers or for another probe: name another folder."
        )
    names = [name for name in concepts.names for _ in range(images)]
    columns = {name: tensors[name].numpy() for name in ("seed", "top1", "top5")}
    table = pd.DataFrame({"concept": names[: len(columns["seed"])]} | columns)
    device = device_of(pipe)
    seeds = tuple(seed for name in concepts.names for seed in seeds_of(name, images))
    reference = Reference(tuple(names), seeds, **{name: tensors[name].to(device) for name in KEPT})
    return Original(table, tensors["pictures"].numpy(), images, reference)
