"""Put trained parts together: `assets/emoji-sd/` (a plain diffusers folder) and `assets/emoji-probe/`."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline

from age_core.emoji.art import Art
from age_core.emoji.autoencoder import encode_art, load_autoencoder
from age_core.emoji.captions import prepare_text_encoder
from age_core.emoji.denoiser import load_unet, new_scheduler
from age_core.emoji.probe_training import load_trained_probe


def write_pipeline(work: Path, art: Art, copies: int, folder: Path) -> None:
    """Save the pipeline in float16; the model card is left as it is until the report is run."""
    vae = load_autoencoder(work / "vae.safetensors")
    _, factor = encode_art(vae, art, copies)
    vae.register_to_config(scaling_factor=factor)
    tokenizer, encoder = prepare_text_encoder(work / "text")
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=load_unet(work / "unet.safetensors"),
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    temporary = folder.with_name(folder.name + ".partial")
    shutil.rmtree(temporary, ignore_errors=True)
    pipe.to(dtype=torch.float16).save_pretrained(temporary, safe_serialization=True)
    for name in ("README.md", "report.json", "samples.png"):
        if (folder / name).exists():
            shutil.copy2(folder / name, temporary / name)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def write_probe(checkpoint: Path, labels: tuple[str, ...], folder: Path) -> None:
    """Save a probe in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    load_trained_probe(checkpoint, labels).half().save_pretrained(folder)
