"""What keeps a pipeline from being edited truly and wholly: each check raises AgeError with one sentence on it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import torch
from diffusers import ConsistencyDecoderVAE, UNet2DConditionModel
from torch import Tensor, nn

from age_core.errors import AgeError
from age_core.models.solver import solver_for

LORA = "LoRA layers are in place: fuse them first, `pipe.fuse_lora()` and then `pipe.unload_lora_weights()`"
# What stands in names of weights where a UNet is no longer as its configuration describes it, and the way back.
FOREIGN = {
    "_orig_mod.": "it is compiled: hand in the UNet that was compiled, `pipe.unet._orig_mod`",
    "lora_": LORA,
    "base_layer.": LORA,
    "_ip.": "an IP-Adapter is in place: take it out first, `pipe.unload_ip_adapter()`",
    "image_projection_layers.": "an IP-Adapter is in place: take it out first, `pipe.unload_ip_adapter()`",
    "to_qkv.": "its attention projections are fused into copies: open the pipeline afresh, without fusing them",
    "to_kv.": "its attention projections are fused into copies: open the pipeline afresh, without fusing them",
    "processor.": "its attention processors have weights of their own: `pipe.unet.set_default_attn_processor()` first",
}
# Conditions beside text and time that a UNet may have been trained with.
UNMET = ("class_embed_type", "num_class_embeds", "encoder_hid_dim_type", "time_cond_proj_dim")


def check_unet(unet: nn.Module) -> None:
    """Its weights are those that its configuration describes, plain numbers, and nothing stands between."""
    names = {name: tuple(weight.shape) for name, weight in unet.named_parameters()}
    _check_names(names)
    if not isinstance(unet, UNet2DConditionModel):
        raise _uneditable(f"it is a {type(unet).__name__}, not a UNet2DConditionModel")
    if any(getattr(module, "_compiled_call_impl", None) is not None for module in unet.modules()):
        raise _uneditable("it is compiled, and need not see an edit: open the pipeline afresh, without compiling it")
    if any(_hooked(module) for module in unet.modules()):
        raise _uneditable(
            "hooks of accelerate or diffusers are in place (offloading, caching, storage in 8 bits): open it without "
            "them; `load_pipeline(..., offload=True)` saves memory too"
        )
    if any(_quantized(weight) for weight in unet.parameters()):
        raise _uneditable("its weights are quantized: open it in float32, bfloat16 or float16")
    settings = {name: value for name, value in unet.config.items() if not name.startswith("_")}
    described = _described(json.dumps(settings, sort_keys=True, default=str))
    odd = [name for name in (*described, *names) if described.get(name) != names.get(name)]
    if odd:
        raise _uneditable(
            f"{odd[0]!r} is not as its configuration describes it (modules were quantized, replaced, added or taken "
            "out): open the pipeline afresh, in float32, bfloat16 or float16"
        )
    elsewhere = [name for name in _cross_attention(unet) if not name.endswith(".attn2")]
    if elsewhere:
        raise _uneditable(f"it also reads texts in {elsewhere[0]!r}, where no method looks for them")


def check_conditions(unet: Any, added: str | None) -> None:
    """It is conditioned on text and time alone, and, where `added` names it, on SDXL's additions."""
    config = unet.config
    unmet = [name for name in UNMET if config.get(name) is not None]
    if config.get("addition_embed_type") != added:
        unmet.insert(0, "addition_embed_type")
    if unmet:
        raise _uneditable(f"it wants a condition that texts do not give: its {unmet[0]} is {config.get(unmet[0])!r}")
    if config.in_channels != config.out_channels:
        raise _uneditable(
            f"it takes {config.in_channels} channels and gives {config.out_channels}: models for inpainting, depth, "
            "instructions or upscaling see more than noise"
        )


def check_noise_levels(scheduler: Any, prediction_type: str) -> None:
    """There is a table of noise levels that fits the prediction, and what draws reads the same one."""
    name, levels = type(scheduler).__name__, getattr(scheduler, "alphas_cumprod", None)
    if levels is None or scheduler.config.get("use_flow_sigmas"):
        raise AgeError(
            f"This model's scheduler, {name}, has no table of noise levels: models trained by EDM or flow matching "
            "cannot be erased from."
        )
    count = scheduler.config.num_train_timesteps
    if len(levels) != count:
        raise AgeError(f"This model's scheduler, {name}, has {len(levels)} noise levels for {count} timesteps.")
    falling = bool((levels[1:] <= levels[:-1]).all() and 1 >= levels[0] > levels[-1] >= 0)  # False where one is NaN
    if not falling:
        raise AgeError(f"The noise of this model's scheduler, {name}, does not rise from step to step.")
    if prediction_type == "epsilon" and (scheduler.config.get("rescale_betas_zero_snr") or levels[-1] == 0):
        raise AgeError(
            f"This model's scheduler, {name}, ends in pure noise (rescale_betas_zero_snr), where a model that predicts "
            "the noise ('epsilon') says nothing of the picture: such a schedule needs 'v_prediction'."
        )
    try:
        solver = solver_for(scheduler)
        solver.set_timesteps(2)
    except (ValueError, NotImplementedError, TypeError) as error:
        raise AgeError(f"This model's scheduler, {name}, has settings that cannot be drawn by: {error}") from error
    if not _same_levels(levels, solver.alphas_cumprod):
        raise AgeError(f"The noise levels of this model's scheduler, {name}, are not those that its settings describe.")


def check_texts(parts: list[tuple[Any, Any]], unet: Any) -> None:
    """Each tokenizer gives what its text encoder reads, and all together what the UNet reads."""
    for tokenizer, encoder in parts:
        _check_names((name for name, _ in encoder.named_parameters()), "text encoder")
        words, rows = len(tokenizer), encoder.get_input_embeddings().num_embeddings
        if words > rows:
            raise AgeError(
                f"This model's tokenizer knows {words} word pieces, its text encoder {rows}: load added ones into "
                "both, `pipe.load_textual_inversion(...)`."
            )
        if tokenizer.model_max_length > longest(encoder):
            raise AgeError(
                "This model's tokenizer reads longer texts than its text encoder: set "
                f"`tokenizer.model_max_length`, to {longest(encoder)} at most."
            )
    lengths = {tokenizer.model_max_length for tokenizer, _ in parts}
    if len(lengths) > 1:
        raise AgeError(f"This model's tokenizers must read texts of one length, not {sorted(lengths)}.")
    width, read = sum(encoder.config.hidden_size for _, encoder in parts), unet.config.cross_attention_dim
    if {width} != set(read if isinstance(read, (list, tuple)) else [read]):
        raise AgeError(f"This model's UNet reads texts of width {read}, its text encoders give {width}.")


def check_sizes(unet: Any, text_encoder: Any) -> None:
    """SDXL's UNet is told six numbers of the picture's size beside the pooled text; its refiner's is told a score."""
    config = unet.config
    count = config.projection_class_embeddings_input_dim - text_encoder.config.projection_dim
    if count != 6 * config.addition_time_embed_dim:
        raise _uneditable(
            f"it is told {count / config.addition_time_embed_dim:g} numbers beside the text where SDXL's base model is "
            "told 6: a refiner finishes pictures, and draws none of a text"
        )


def check_vae(vae: Any, channels: int) -> None:
    """It turns the UNet's latents into one picture, always the same."""
    if isinstance(vae, ConsistencyDecoderVAE):
        raise AgeError("A ConsistencyDecoderVAE draws by chance, and a seed has no one picture: take the plain VAE.")
    vae_channels = vae.config.get("latent_channels", channels)
    if vae_channels != channels:
        raise AgeError(f"This model's UNet draws latents of {channels} channels, its VAE reads {vae_channels}.")


def longest(encoder: Any) -> int:
    """How many word pieces a text encoder reads. Raises AgeError where it says none, as T5 does."""
    length = getattr(encoder.config, "max_position_embeddings", None)
    if length is None:
        raise AgeError(f"This model's text encoder, {type(encoder).__name__}, names no longest text: none can be read.")
    return length


def _uneditable(reason: str, part: str = "UNet") -> AgeError:
    return AgeError(f"This model's {part} cannot be edited as it is: {reason}.")


def _check_names(names: Iterable[str], part: str = "UNet") -> None:
    """No name of a weight tells of an adapter, a compiler or a fusion."""
    for name in names:
        for sign, way_back in FOREIGN.items():
            if sign in name:
                raise _uneditable(way_back, part)


def _hooked(module: nn.Module) -> bool:
    registry = getattr(module, "_diffusers_hook", None)
    return hasattr(module, "_hf_hook") or bool(registry is not None and registry.hooks)


def _quantized(weight: Tensor) -> bool:
    """Integers, 8-bit floats, and the packed tensors of torchao, which say that they are floats."""
    packed = hasattr(weight, "__tensor_flatten__")
    return packed or not weight.is_floating_point() or weight.element_size() < 2


@lru_cache(maxsize=8)
def _described(config: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights that a configuration describes; built without memory for them."""
    with torch.device("meta"):
        plain: Any = UNet2DConditionModel.from_config(json.loads(config))
    return {name: tuple(weight.shape) for name, weight in plain.named_parameters()}


def _cross_attention(unet: nn.Module) -> Iterator[str]:
    return (name for name, module in unet.named_modules() if getattr(module, "is_cross_attention", False))


def _same_levels(levels: Tensor, others: Tensor) -> bool:
    """Some schedulers end a little before pure noise where others end in it."""
    return levels.shape == others.shape and torch.allclose(levels.cpu(), others.cpu(), rtol=1e-3, atol=1e-6)
