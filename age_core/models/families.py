"""The one seam to a model family: each is a class and a row of FAMILIES; nobody else looks inside a pipeline."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from torch import Tensor, nn

from age_core.errors import AgeError
from age_core.models import checks, noise
from age_core.models.decoding import decoded
from age_core.models.parameters import TRAINED, Selections, trained_parameters
from age_core.models.solver import solver_for

TEXTS = 128  # encoded at once: the activations of more leave the cache, and 450 take a fifth longer
TOKENIZING = threading.Lock()  # a fast tokenizer breaks off when two threads ask it at once
if hasattr(os, "register_at_fork"):  # a process that is forked meanwhile would find it closed for ever
    os.register_at_fork(
        before=TOKENIZING.acquire, after_in_parent=TOKENIZING.release, after_in_child=TOKENIZING.release
    )


class Family(Protocol):
    """What the rest asks of a pipeline. Prompt embeddings are one tensor a prompt, so that they can be mixed, cached
    and differentiated; only the family knows what their rows are. z: latents (B, C, h, w); t: timesteps (B,) or ().
    """

    pipeline: type[DiffusionPipeline]  # the class that is opened
    parts: ClassVar[tuple[str, ...]]  # what must be there
    load_options: Mapping[str, Any]  # what `from_pretrained` takes besides
    selections: Selections  # which parameters train, by the option `train`

    def check(self, pipe: DiffusionPipeline) -> None:
        """Raise AgeError where a pipeline of the class is one that cannot be edited truly and wholly."""

    def denoiser(self, pipe: DiffusionPipeline) -> nn.Module: ...

    def text_parts(self, pipe: DiffusionPipeline) -> list[tuple[Any, Any]]:
        """Each tokenizer with its text encoder."""

    def trained(self, pipe: DiffusionPipeline, train: str) -> dict[str, nn.Parameter]:
        """The denoiser's parameters of a selection. Raises AgeError on an unknown or empty one."""

    def encode(self, pipe: DiffusionPipeline, prompts: list[str]) -> Tensor:
        """Prompt embeddings (B, L, D), as the pipeline itself would condition on them."""

    def tokens(self, prompt_embeds: Tensor) -> Tensor:
        """The part that cross-attention sees; (B, L, D)."""

    def predict(self, pipe: DiffusionPipeline, z: Tensor, t: Tensor, prompt_embeds: Tensor) -> Tensor:
        """The denoiser's raw prediction, float32, differentiable in z, the embeddings and the weights."""

    def prediction_type(self, pipe: DiffusionPipeline) -> str: ...

    def latent_shape(self, pipe: DiffusionPipeline) -> tuple[int, int, int]:
        """(C, h, w) of one picture's latents."""

    def add_noise(self, pipe: DiffusionPipeline, z0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """z0 as it is at each row's own timestep."""

    def step(self, pipe: DiffusionPipeline, prediction: Tensor, z: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
        """One deterministic step from each row's timestep to its next."""

    def velocity(self, pipe: DiffusionPipeline, prediction: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Where flow matching would go from z (`noise.velocity`)."""

    def error_weights(self, pipe: DiffusionPipeline, t: Tensor, weighting: str, clip: float) -> Tensor:
        """What a squared error of each row's prediction is multiplied by (`noise.error_weights`); (B,)."""

    def sampler(self, pipe: DiffusionPipeline) -> Any:
        """A fresh solver that draws in few steps, without chance in them; its state serves one batch."""

    def decode(self, pipe: DiffusionPipeline, z: Tensor) -> Generator[Tensor, None, None]:
        """Latents to pictures (b, 3, H, W), about -1 to 1, float32, as many at a time as memory allows."""


class StableDiffusion:
    """Stable Diffusion 1.x and 2.x: a text encoder, a UNet with cross-attention, a table of noise levels."""

    pipeline = StableDiffusionPipeline
    parts: ClassVar[tuple[str, ...]] = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
    added: str | None = None  # what the UNet is conditioned on beside text and time
    load_options: Mapping[str, Any] = {"safety_checker": None, "requires_safety_checker": False}
    selections = TRAINED

    def check(self, pipe: DiffusionPipeline) -> None:
        lacking = [part for part in self.parts if getattr(pipe, part, None) is None]
        if lacking:
            raise AgeError(f"This pipeline has no {lacking[0]}: erasing needs {', '.join(self.parts)}.")
        noise.prediction_of(self.prediction_type(pipe))
        checks.check_unet(pipe.unet)
        checks.check_conditions(pipe.unet, self.added)
        channels, *_ = self.latent_shape(pipe)
        checks.check_vae(pipe.vae, channels)
        checks.check_texts(self.text_parts(pipe), pipe.unet)
        checks.check_noise_levels(pipe.scheduler, self.prediction_type(pipe))

    def denoiser(self, pipe: DiffusionPipeline) -> nn.Module:
        return pipe.unet

    def text_parts(self, pipe: DiffusionPipeline) -> list[tuple[Any, Any]]:
        return [(pipe.tokenizer, pipe.text_encoder)]

    def trained(self, pipe: DiffusionPipeline, train: str) -> dict[str, nn.Parameter]:
        return trained_parameters(self.denoiser(pipe), train, self.selections)

    def encode(self, pipe: DiffusionPipeline, prompts: list[str]) -> Tensor:
        prompt_embeds, _ = pipe.encode_prompt(prompts, pipe.text_encoder.device, 1, False)
        return prompt_embeds

    def tokens(self, prompt_embeds: Tensor) -> Tensor:
        return prompt_embeds

    def predict(self, pipe: DiffusionPipeline, z: Tensor, t: Tensor, prompt_embeds: Tensor) -> Tensor:
        dtype = dtype_of(pipe)
        return pipe.unet(z.to(dtype), t, prompt_embeds.to(dtype)).sample.float()

    def prediction_type(self, pipe: DiffusionPipeline) -> str:
        return pipe.scheduler.config.get("prediction_type", "epsilon")

    def latent_shape(self, pipe: DiffusionPipeline) -> tuple[int, int, int]:
        size = pipe.unet.config.sample_size  # a number, or a pair of them
        sides = set(size) if isinstance(size, (list, tuple)) else {size}
        if len(sides) != 1 or not all(isinstance(side, int) and side > 0 for side in sides):
            raise AgeError(f"A model's latents must be square and of one size: `sample_size` of this UNet is {size!r}.")
        (side,) = sides
        return pipe.unet.config.in_channels, side, side

    def add_noise(self, pipe: DiffusionPipeline, z0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        return noise.add_noise(pipe.scheduler, z0, eps, t)

    def step(self, pipe: DiffusionPipeline, prediction: Tensor, z: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
        a, a_next = noise.alpha_bar(pipe.scheduler, t), noise.alpha_bar(pipe.scheduler, t_next)
        return noise.ddim_step(prediction, z, a, a_next, self.prediction_type(pipe))

    def velocity(self, pipe: DiffusionPipeline, prediction: Tensor, z: Tensor, t: Tensor) -> Tensor:
        return noise.velocity(prediction, z, noise.alpha_bar(pipe.scheduler, t.long()), self.prediction_type(pipe))

    def error_weights(self, pipe: DiffusionPipeline, t: Tensor, weighting: str, clip: float) -> Tensor:
        return noise.error_weights(noise.alpha_bar(pipe.scheduler, t), self.prediction_type(pipe), weighting, clip)

    def sampler(self, pipe: DiffusionPipeline) -> Any:
        return solver_for(pipe.scheduler)

    def decode(self, pipe: DiffusionPipeline, z: Tensor) -> Generator[Tensor, None, None]:
        return decoded(pipe.vae, z, device_of(pipe), pipe.vae_scale_factor)


class StableDiffusionXL(StableDiffusion):
    """SDXL: two text encoders. Their pooled vector, padded with zeros, is the last row of the prompt embeddings."""

    pipeline = StableDiffusionXLPipeline
    parts = (*StableDiffusion.parts, "text_encoder_2", "tokenizer_2")
    added = "text_time"
    load_options: Mapping[str, Any] = {}

    def text_parts(self, pipe: DiffusionPipeline) -> list[tuple[Any, Any]]:
        return [(pipe.tokenizer, pipe.text_encoder), (pipe.tokenizer_2, pipe.text_encoder_2)]

    def check(self, pipe: DiffusionPipeline) -> None:
        super().check(pipe)
        checks.check_sizes(pipe.unet, pipe.text_encoder_2)

    def encode(self, pipe: DiffusionPipeline, prompts: list[str]) -> Tensor:
        prompt_embeds, _, pooled, _ = pipe.encode_prompt(
            prompts, device=pipe.text_encoder.device, num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        last = nn.functional.pad(pooled, (0, prompt_embeds.shape[-1] - pooled.shape[-1])).unsqueeze(1)
        packed = torch.cat([prompt_embeds, last], 1)  # (B, L + 1, D)
        if pipe.config.force_zeros_for_empty_prompt:
            packed[[row for row, prompt in enumerate(prompts) if not prompt]] = 0
        return packed

    def tokens(self, prompt_embeds: Tensor) -> Tensor:
        return prompt_embeds[:, :-1]

    def predict(self, pipe: DiffusionPipeline, z: Tensor, t: Tensor, prompt_embeds: Tensor) -> Tensor:
        dtype = dtype_of(pipe)
        width = pipe.text_encoder_2.config.projection_dim
        size = self.latent_shape(pipe)[-1] * pipe.vae_scale_factor  # px, told as the picture's and its target's size
        time_ids = torch.full((len(z), 6), size, device=z.device, dtype=dtype)
        time_ids[:, 2:4] = 0  # the corner of the crop; filled in there, since what is sent has the CPU wait
        added = {"text_embeds": prompt_embeds[:, -1, :width].to(dtype), "time_ids": time_ids}
        tokens = self.tokens(prompt_embeds).to(dtype)
        return pipe.unet(z.to(dtype), t, tokens, added_cond_kwargs=added).sample.float()


FAMILIES: tuple[Family, ...] = (StableDiffusion(), StableDiffusionXL())
CLASSES = {family.pipeline.__name__: family for family in FAMILIES}  # as a pipeline's folder names them


def family_of(pipe: DiffusionPipeline) -> Family:
    """The row of a pipeline. Raises AgeError on one of no known family."""
    for family in FAMILIES:
        if isinstance(pipe, family.pipeline):
            return family
    raise AgeError(f"A {type(pipe).__name__} cannot be erased from; erasing works on {' and '.join(CLASSES)}.")


def editable(pipe: DiffusionPipeline) -> Family:
    """The row of a pipeline that is to be edited. Raises AgeError where that cannot be done truly and wholly."""
    family = family_of(pipe)
    family.check(pipe)
    return family


def device_of(pipe: DiffusionPipeline) -> torch.device:
    """Where the denoiser is, and with it every latent and every text state; `load_pipeline` may leave the rest."""
    return next(family_of(pipe).denoiser(pipe).parameters()).device


def dtype_of(pipe: DiffusionPipeline) -> torch.dtype:
    """The number format of the denoiser's weights, told by the first: its own property looks through all of them."""
    return next(family_of(pipe).denoiser(pipe).parameters()).dtype


@torch.no_grad()
def encode_text(pipe: DiffusionPipeline, prompts: Sequence[str]) -> Tensor:
    """What the model is conditioned on for each prompt, exactly as in the pipeline; (B, L, D).

    Whatever a family packs into it (SDXL: the pooled vector as a last row), one tensor a prompt can be mixed, cached
    and differentiated like any other. The empty prompt is what guidance starts from.
    """
    family, texts, parts = family_of(pipe), list(prompts), []
    for start in range(0, max(len(texts), 1), TEXTS):
        with TOKENIZING:
            parts.append(family.encode(pipe, texts[start : start + TEXTS]))
    return torch.cat(parts).to(device_of(pipe))


def reading(pipe: DiffusionPipeline) -> tuple[Any, ...]:
    """Equal as long as a pipeline reads texts as before: no part replaced, no weight written over, no word added."""
    stamp: list[Any] = []
    for tokenizer, encoder in family_of(pipe).text_parts(pipe):
        weights = [
            (weight.data_ptr(), 0 if weight.is_inference() else weight._version) for weight in encoder.parameters()
        ]
        stamp += [id(tokenizer), len(tokenizer), id(encoder), *weights]
    return tuple(stamp)


def token_states(pipe: DiffusionPipeline, prompt_embeds: Tensor) -> Tensor:
    """The part of `encode_text`'s answer that cross-attention sees; (B, L, D)."""
    return family_of(pipe).tokens(prompt_embeds)


def predict(pipe: DiffusionPipeline, z: Tensor, t: Tensor, prompt_embeds: Tensor) -> Tensor:
    """The raw prediction (epsilon or v); z (B, C, h, w), t (B,) or (), embeddings from `encode_text`.

    Differentiable in z, the embeddings and the denoiser's weights.
    """
    return family_of(pipe).predict(pipe, z, t, prompt_embeds)


@torch.no_grad()
def predict_all(pipe: DiffusionPipeline, z: Tensor, t: Tensor, prompt_embeds: Tensor, batch_size: int = 64) -> Tensor:
    """`predict` for any number of rows, a batch at a time and without gradients; t (B,)."""
    parts = zip(z.split(batch_size), t.split(batch_size), prompt_embeds.split(batch_size), strict=True)
    return torch.cat([predict(pipe, *part) for part in parts])


def embed_concepts(pipe: DiffusionPipeline, names: Sequence[str]) -> np.ndarray:
    """One unit vector a name, the mean of its token states; (n, D)."""
    with TOKENIZING:
        words = pipe.maybe_convert_prompt(list(names), pipe.tokenizer)  # of an added word, all its pieces
        ids = pipe.tokenizer(words, padding="max_length", truncation=True, return_tensors="pt").attention_mask
    mask = ids.to(device_of(pipe)).unsqueeze(-1).float()  # (n, L, 1)
    mean = (token_states(pipe, encode_text(pipe, names)).float() * mask).sum(1) / mask.sum(1)
    return nn.functional.normalize(mean, dim=-1).cpu().numpy()
