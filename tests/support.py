"""What tests of several rooms build on, beside the tiny random models of `benchmarks.tiny`."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

from age_core import Concept, ConceptSet, EraseOptions
from benchmarks.tiny import ONE_BLOCK as ONE_BLOCK  # for the tests, as are those below
from benchmarks.tiny import QUICK as QUICK
from benchmarks.tiny import WORLD as WORLD
from benchmarks.tiny import build_tiny_sd as build_tiny_sd
from benchmarks.tiny import build_tiny_sdxl as build_tiny_sdxl
from benchmarks.tiny import text_numbers
from benchmarks.tiny import tiny_tokenizer as tiny_tokenizer

WORDS = ("dog", "wolf", "fox", "cat", "pizza", "church")
# options that train for a moment, in a model that is tiny
SMALL = EraseOptions(
    steps=4,
    batch=2,
    pi_every=1,
    pi_batch=2,
    samples=2,
    candidate_samples=1,
    sample_steps=2,
    preview_every=2,
    templates=("{noun}", "a photo of {a_noun}"),
    lr=1e-3,
    min_candidate_distance=0.0,
)

# two groups of kin, a general word, and one concept that only shares a word with another
RELATED = ConceptSet(
    "tiny",
    (
        Concept("dog", "mammal", "animal", ("puppy",)),
        Concept("wolf", "mammal", "animal"),
        Concept("hot dog", "meal", "food"),
        Concept("car", "vehicle", "machine"),
        Concept("taxi", "vehicle", "machine"),
        Concept("bus", "vehicle", "machine"),
    ),
    "a photo of {a_noun}",
)


def build_tiny_clip(folder):
    """A folder with a CLIP model of the real classes, randomly initialised and small."""
    tokenizer = tiny_tokenizer(folder)
    torch.manual_seed(1)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config=small | text_numbers(tokenizer),
        vision_config=small | {"image_size": 16, "patch_size": 8},
        projection_dim=8,
    )
    CLIPModel(config).eval().save_pretrained(folder)
    pictures = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    CLIPProcessor(pictures, tokenizer).save_pretrained(folder)
    return folder


def noise(count: int, size: tuple[int, int] = (40, 50), seed: int = 0) -> list[Image.Image]:
    rng = np.random.default_rng(seed)
    return [Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for _ in range(count)]
