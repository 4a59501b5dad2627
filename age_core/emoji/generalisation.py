"""What the denoiser does beyond the pictures and words that it was trained on, and what it merely repeats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from torch import Tensor

from age_core.concepts.concept_set import ConceptSet
from age_core.emoji.art import STYLES, Art
from age_core.emoji.captions import STYLE_TEMPLATE, caption
from age_core.emoji.training import augment, step_generator
from age_core.measure.verdicts import GUIDANCE, STEPS, seeds_of
from age_core.models.probes import Probe
from age_core.models.sampling import generate


def draw(pipe: StableDiffusionPipeline, prompts: Sequence[str], images: int) -> list[Image.Image]:
    """`images` pictures of each prompt, one prompt after the other."""
    seeds = [seed for prompt in prompts for seed in seeds_of(prompt, images)]
    return generate(pipe, [prompt for prompt in prompts for _ in range(images)], seeds, STEPS, GUIDANCE)


def named(probe: Probe, pictures: Sequence[Image.Image]) -> list[str]:
    """The probe's first guess of each picture."""
    return [top[0][0] for top in probe.top(pictures)]


def in_styles(
    pipe: StableDiffusionPipeline, probe: Probe, style_probe: Probe, pairs: Sequence[tuple[str, str]], images: int
) -> dict[str, Any]:
    """Shares of pictures of (concept, style) pairs that are right in concept, in style, and in both.

    `by_style`: the share that is right in style, of the pictures asked for in each.
    """
    pictures = draw(pipe, [caption(concept, STYLE_TEMPLATE, style) for concept, style in pairs], images)
    concepts, styles = named(probe, pictures), named(style_probe, pictures)
    prompted = [pair for pair in pairs for _ in range(images)]
    right = np.array([(c == pair[0], s == pair[1]) for c, s, pair in zip(concepts, styles, prompted, strict=True)])
    style_of = np.array([style for _, style in prompted])
    shares: dict[str, Any] = dict(zip(("concept", "style"), right.mean(0).tolist(), strict=True))
    by_style = {style: float(right[style_of == style, 1].mean()) for style in dict.fromkeys(style_of.tolist())}
    return shares | {"both": float(right.all(1).mean()), "by_style": by_style}


def pairs_seen_and_unseen(art: Art, table: list[dict[str, str]]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """One seen (concept, style) pair of every concept, styles in turn, and all the unseen ones."""
    drawn = set(zip(art.concept.tolist(), art.style.tolist(), strict=True))
    unseen = [(row["name"], row["unseen_style"]) for row in table if row.get("unseen_style")]
    seen = []
    for index, row in enumerate(table):
        turn = [(index + offset) % len(STYLES) for offset in range(len(STYLES))]
        style = next(s for s in turn if (index, s) in drawn and STYLES[s].name != row.get("unseen_style"))
        seen.append((row["name"], STYLES[style].name))
    return seen, unseen


def words(
    pipe: StableDiffusionPipeline, probe: Probe, concepts: ConceptSet, meant: dict[str, str], images: int
) -> dict[str, float]:
    """Shares of pictures of words (word to concept) that show the concept, and at least one of its group."""
    best = named(probe, draw(pipe, [concepts.prompt(word) for word in meant], images))
    drawn = [concepts[name] for name in meant.values() for _ in range(images)]
    concept = [guess == right.name for guess, right in zip(best, drawn, strict=True)]
    group = [concepts[guess].group == right.group for guess, right in zip(best, drawn, strict=True)]
    return {"concept": float(np.mean(concept)), "group": float(np.mean(group))}


def general_words(pipe: StableDiffusionPipeline, probe: Probe, concepts: ConceptSet, images: int) -> dict[str, float]:
    """For each general word and group ("fruit", "animal") the share of its pictures that show one of its members."""
    kinds = sorted({concept.general for concept in concepts} | {concept.group for concept in concepts})
    best = named(probe, draw(pipe, [concepts.prompt(kind) for kind in kinds], images))
    shares = {}
    for row, kind in enumerate(kinds):
        guesses = [concepts[guess] for guess in best[row * images : (row + 1) * images]]
        shares[kind] = float(np.mean([kind in (guess.general, guess.group) for guess in guesses]))
    return shares


def confusions(asked: Sequence[str], seen: Sequence[str], k: int = 12) -> list[list[object]]:
    """The k commonest (asked, seen, pictures) among the guesses that are wrong."""
    wrong = Counter((a, b) for a, b in zip(asked, seen, strict=True) if a != b)
    return [[*pair, count] for pair, count in sorted(wrong.items(), key=lambda item: (-item[1], item[0]))[:k]]


def beyond_training(
    pipe: StableDiffusionPipeline,
    probe: Probe,
    style_probe: Probe,
    concepts: ConceptSet,
    art: Art,
    table: list[dict[str, str]],
    asked: Sequence[str],
    drawn: Sequence[Image.Image],
    images: int,
) -> dict[str, Any]:
    """Everything above as shares, by the names that the model card uses; parts without a held-out word are left out.

    asked, drawn: the concepts' names and what the model drew for them.
    """
    seen, unseen = pairs_seen_and_unseen(art, table)
    captioned = {word: row["name"] for row in table for word in filter(None, row["synonyms"].split("|"))}
    kept_back = {row["unseen_synonym"]: row["name"] for row in table if row.get("unseen_synonym")}
    captioned = {word: name for word, name in captioned.items() if word not in kept_back}
    found: dict[str, Any] = {
        "styles": in_styles(pipe, probe, style_probe, seen, 1),
        "synonyms": words(pipe, probe, concepts, captioned, 1),
        "general_words": general_words(pipe, probe, concepts, images),
        "confusions": confusions(asked, named(probe, drawn)),
    }
    if unseen:
        found["unseen_pairs"] = in_styles(pipe, probe, style_probe, unseen, images)
    if kept_back:
        found["unseen_synonyms"] = words(pipe, probe, concepts, kept_back, images)
    nearest, _ = nearest_training_pictures(art, drawn[:: max(1, len(drawn) // 64)])
    low_middle_high = nearest.quantile(torch.tensor([0.1, 0.5, 0.9]))
    found["nearest_training_picture_rms"] = [round(float(q), 1) for q in low_middle_high]
    return found


def nearest_training_pictures(art: Art, pictures: Sequence[Image.Image]) -> tuple[Tensor, Tensor]:
    """Of each picture the nearest rendering, unturned: root mean square distance (0 to 255) and row; (n,) each."""
    rendered = augment(art.pictures, step_generator(2, 2), (1.0, 1.0), 0.0, 0.0).flatten(1)
    shown = torch.from_numpy(np.stack([np.asarray(picture.convert("RGB")) for picture in pictures]))
    shown = shown.permute(0, 3, 1, 2).float().div(127.5).sub(1).flatten(1)
    distance, row = torch.cdist(shown, rendered).min(1)
    return distance * 127.5 / shown.shape[1] ** 0.5, row
