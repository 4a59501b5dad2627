"""How much was erased, and what else was lost: ESR, PSR and same-seed pairs."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from torch import Tensor

from age_core.concepts import ConceptSet
from age_core.losses import add_noise, row_errors
from age_core.pipeline import encode_text, generate, sample_latents
from age_core.probes import Probe
from age_core.weights import Eraser

STEPS, GUIDANCE = 4, 3.0  # the sampler that judges; the same for every number that is compared
PAIR_STEPS = 8  # pictures for people: a little finer, same verdicts


@dataclass(frozen=True)
class Pair:
    """One prompt and seed, drawn by the original and by the edited model, with the probe's best guess."""

    prompt: str
    seed: int
    original: Image.Image
    edited: Image.Image
    original_verdict: tuple[str, float]  # label, probability
    edited_verdict: tuple[str, float]


def seeds_of(name: str, count: int, first: int = 0) -> list[int]:
    """Fixed seeds of a concept: the same in every run, different between concepts."""
    base = zlib.crc32(name.encode()) % 1_000_000
    return [base * 1000 + first + row for row in range(count)]


def same_seed_pairs(
    pipe: StableDiffusionPipeline, eraser: Eraser, probe: Probe, prompts: Sequence[str], seeds: Sequence[int]
) -> list[Pair]:
    """Original beside edited for every prompt, from the same noise. Raises AgeError on an empty prompt."""
    original = generate(pipe, prompts, seeds, PAIR_STEPS, GUIDANCE)
    with eraser.applied_to(pipe):
        edited = generate(pipe, prompts, seeds, PAIR_STEPS, GUIDANCE)
    verdicts = probe.top([*original, *edited])
    before, after = verdicts[: len(prompts)], verdicts[len(prompts) :]
    return [
        Pair(*row, b[0], a[0])
        for row, b, a in zip(zip(prompts, seeds, original, edited, strict=True), before, after, strict=True)
    ]


def hits(
    pipe: StableDiffusionPipeline,
    probe: Probe,
    concepts: ConceptSet,
    names: Sequence[str],
    images: int,
    eraser: Eraser | None = None,
    first: int = 0,
) -> pd.DataFrame:
    """Is each picture's own label the probe's first, or among its first five?

    One row a picture: concept, seed, top1, top5 (bool). `images` pictures of each concept, on fixed seeds.
    """
    prompts = [concepts.prompt(name) for name in names for _ in range(images)]
    seeds = [seed for name in names for seed in seeds_of(name, images, first)]
    with eraser.applied_to(pipe) if eraser else nullcontext():
        pictures = generate(pipe, prompts, seeds, STEPS, GUIDANCE)
    order = np.argsort(-probe.scores(pictures), axis=1)[:, :5]
    label = np.array([probe.labels.index(concepts[name].label) for name in names for _ in range(images)])
    match = order == label[:, None]
    owner = [name for name in names for _ in range(images)]
    return pd.DataFrame({"concept": owner, "seed": seeds, "top1": match[:, 0], "top5": match.any(1)})


@dataclass(frozen=True)
class Reference:
    """Noised latents of the original model's own pictures, on which noise predictions are compared."""

    concept: tuple[str, ...]  # of each row
    seed: tuple[int, ...]
    z: Tensor  # (N, C, h, w)
    t: Tensor  # (N,)
    states: Tensor  # (N, L, D)
    prediction: Tensor  # (N, C, h, w) of the original model
    signal: Tensor  # (N,) its squared distance to the prediction for the empty prompt


def noise_reference(pipe: StableDiffusionPipeline, concepts: ConceptSet, images: int) -> Reference:
    """`images` pictures of every concept, noised to levels that are spread evenly and the same for all concepts."""
    names = [name for name in concepts.names for _ in range(images)]
    seeds = [seed for name in concepts.names for seed in seeds_of(name, images)]
    states = encode_text(pipe, [concepts.prompt(name) for name in names])
    z0 = sample_latents(pipe, states, seeds, STEPS, GUIDANCE)
    levels = pipe.scheduler.config.num_train_timesteps * (torch.arange(images) + 1) // (images + 1)
    t = levels.repeat(len(concepts)).to(z0.device)
    noise = torch.stack([torch.randn(z0.shape[1:], generator=torch.Generator().manual_seed(s + 1)) for s in seeds])
    z = add_noise(pipe.scheduler, z0, noise.to(z0), t)
    prediction = _predict(pipe, z, t, states)
    empty = _predict(pipe, z, t, encode_text(pipe, [""]).expand_as(states))
    return Reference(tuple(names), tuple(seeds), z, t, states, prediction, row_errors(prediction, empty))


def noise_shift(pipe: StableDiffusionPipeline, reference: Reference, eraser: Eraser) -> pd.DataFrame:
    """How far an edit moved each noise prediction: squared change over the squared distance to the empty prompt's.

    0: untouched; 1: as far as if the words had been deleted. One row a picture: concept, seed, shift, kept (1 - shift).
    """
    with eraser.applied_to(pipe):
        moved = _predict(pipe, reference.z, reference.t, reference.states)
    shift = (row_errors(moved, reference.prediction) / reference.signal).cpu().numpy()
    return pd.DataFrame({"concept": reference.concept, "seed": reference.seed, "shift": shift, "kept": 1 - shift})


@torch.no_grad()
def _predict(pipe: StableDiffusionPipeline, z: Tensor, t: Tensor, states: Tensor, batch_size: int = 64) -> Tensor:
    parts = zip(z.split(batch_size), t.split(batch_size), states.split(batch_size), strict=True)
    return torch.cat([pipe.unet(*part).sample for part in parts])


def bootstrap(values: np.ndarray, rounds: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean over the first axis, by resampling it."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(rounds, len(values)))].mean(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def evaluate(
    pipe: StableDiffusionPipeline,
    probe: Probe,
    concepts: ConceptSet,
    erased: Sequence[str],
    erasers: Mapping[str, Eraser],
    images: int = 4,
    erased_images: int = 16,
    others: Sequence[str] | None = None,
) -> pd.DataFrame:
    """ESR-k and PSR-k in percent, a row for the original model and for each eraser.

    ESR-k: pictures of erased concepts whose label is not in the top k; PSR-k: pictures of the others whose
    label is (method.md, section E). `psr1_low`, `psr1_high`: 95 % bootstrap interval over concepts.
    """
    others = [name for name in (others or concepts.names) if name not in erased]
    rows = []
    for method, eraser in [("original", None), *erasers.items()]:
        gone = hits(pipe, probe, concepts, erased, erased_images, eraser)
        kept = hits(pipe, probe, concepts, others, images, eraser)
        by_concept = kept.groupby("concept", sort=False)["top1"].mean().to_numpy()
        low, high = bootstrap(by_concept)
        rows.append(
            {
                "method": method,
                "esr1": 100 * (1 - gone["top1"].mean()),
                "esr5": 100 * (1 - gone["top5"].mean()),
                "psr1": 100 * kept["top1"].mean(),
                "psr5": 100 * kept["top5"].mean(),
                "psr1_low": 100 * low,
                "psr1_high": 100 * high,
            }
        )
    return pd.DataFrame(rows)
