"""Are two models the same? Hashes of weights, and of all that makes a pipeline."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import nn

from age_core.files import plain
from age_core.models.families import TOKENIZING, family_of
from age_core.models.same_model import DASH

# What a text encoder's configuration says that its weights do not; the rest differs between versions of transformers.
TEXT_SETTINGS = ("hidden_act", "num_attention_heads", "layer_norm_eps", "eos_token_id")
# What shows how a tokenizer splits words, whatever its class: letter case, accents, signs, digits, other scripts.
SAMPLES = (
    "a photo of an English springer",
    "A Photo, by 2 poodles' café!",
    "naïve ice-cream (1984) ñandú",
    "犬 собака 🐕",
)


def weights_hash(model: nn.Module) -> str:
    """Twelve hexadecimal digits of the SHA-256 of a model's weights: the same weights, the same digits."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())  # numpy has no bfloat16
    return digest.hexdigest()[:12]


def model_identity(pipe: DiffusionPipeline) -> str:
    """Equal for models that draw equally, wherever they lie; different where anything changes what they draw.

    16 digits, a hash of the denoiser's and the scheduler's configuration and of all weights, and after a dash 8 more,
    of how texts are read and latents decoded. Compare by `same_model`: earlier versions wrote the 16 alone. Reads every
    weight, about a second for each 2 GB.
    """
    family, digest = family_of(pipe), hashlib.blake2b(digest_size=8)
    denoiser: Any = family.denoiser(pipe)
    for part in (denoiser, pipe.scheduler):
        digest.update(repr(sorted((k, str(v)) for k, v in part.config.items() if not k.startswith("_"))).encode())
    for part in (denoiser, *(encoder for _, encoder in family.text_parts(pipe)), pipe.vae):
        digest.update(weights_hash(part).encode())
    return digest.hexdigest() + DASH + _settings_hash(pipe)


def _settings_hash(pipe: DiffusionPipeline) -> str:
    settings = {
        "vae": _chosen(pipe.vae),
        "texts": [_text_settings(*part) for part in family_of(pipe).text_parts(pipe)],
        "pipeline": pipe.config.get("force_zeros_for_empty_prompt"),
    }
    document = json.dumps(plain(settings), sort_keys=True)
    return hashlib.blake2b(document.encode(), digest_size=4).hexdigest()


def _chosen(vae: Any) -> Mapping[str, Any]:
    """The settings of a VAE that are not its class's own, so that one more in a later version of diffusers is none."""
    own = {name: parameter.default for name, parameter in inspect.signature(type(vae).__init__).parameters.items()}
    settings = {name: plain(value) for name, value in vae.config.items() if not name.startswith("_")}
    return {name: value for name, value in settings.items() if value != plain(own.get(name))}


def _text_settings(tokenizer: Any, encoder: Any) -> Mapping[str, Any]:
    with TOKENIZING:
        pieces = [tokenizer(text, truncation=False)["input_ids"] for text in SAMPLES]
    vocabulary = repr(sorted(tokenizer.get_vocab().items()))
    return {
        "encoder": {name: getattr(encoder.config, name, None) for name in TEXT_SETTINGS},
        "pieces": pieces,
        "vocabulary": hashlib.sha256(vocabulary.encode()).hexdigest(),
        "padding": [tokenizer.model_max_length, tokenizer.pad_token_id, tokenizer.padding_side],
    }
