"""Latents to pictures: the VAE on the right device, in a format that holds, on latents scaled as it was trained."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import torch
from torch import Tensor

AT_ONCE, PIXELS = 64, 8 * 512**2  # pictures, and their pixels: eight of Stable Diffusion's keep a card busy and fit it


def decoded(vae: Any, z: Tensor, device: torch.device, scale: int) -> Generator[Tensor, None, None]:
    """Pictures (b, 3, H, W), about -1 to 1, float32, of latents (B, C, h, w), some at a time.

    Meanwhile the VAE stands on `device`, should it be kept in main memory, and is float32 where its configuration says
    that float16 overflows; afterwards it is as before. scale: pixels a latent, along a side.
    """
    before = vae.device, vae.dtype
    overflows = vae.dtype == torch.float16 and vae.config.get("force_upcast")
    # where memory is so short that the VAE is kept elsewhere, one picture at a time
    rows = 1 if vae.device != device else min(AT_ONCE, PIXELS // (z.shape[-2] * z.shape[-1] * scale**2))
    place = device, torch.float32 if overflows else vae.dtype
    if place != before:  # diffusers remarks on every change of format, and looks at every weight
        vae.to(*place)
    try:
        for part in z.split(max(rows, 1)):
            yield vae.decode(unscaled(vae.config, part).to(vae.device, vae.dtype)).sample.float()
    finally:
        if place != before:
            vae.to(*before)


def unscaled(config: Mapping[str, Any], z: Tensor) -> Tensor:
    """Latents (B, C, h, w) as the VAE gave them, before they were scaled, and maybe shifted, for the denoiser."""
    z = z / config["scaling_factor"]
    mean, std = config.get("latents_mean"), config.get("latents_std")
    if mean is not None and std is not None:  # of each channel
        mean, std = (torch.tensor(values).view(1, -1, 1, 1).to(z) for values in (mean, std))
        return z * std + mean
    return z + config["shift_factor"] if config.get("shift_factor") else z
