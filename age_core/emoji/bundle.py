"""Put trained parts together: `assets/emoji-sd/` (a plain diffusers folder) and `assets/emoji-probe/`."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import BertModel, BertTokenizerFast

from age_core.emoji.denoiser import new_scheduler
from age_core.emoji.probe_training import load_trained_probe
from age_core.models.portable import make_portable, save_pipeline

Text = tuple[BertTokenizerFast, BertModel]


def assemble(vae: AutoencoderKL, unet: UNet2DConditionModel, text: Text) -> StableDiffusionPipeline:
    """The parts as one pipeline; the autoencoder's configuration holds the scale of its latents."""
    tokenizer, encoder = text
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def write_pipeline(pipe: StableDiffusionPipeline, folder: Path) -> None:
    """Save the pipeline in float16; the model card is left as it is until the report is run."""
    temporary = folder.with_name(folder.name + ".partial")
    shutil.rmtree(temporary, ignore_errors=True)
    save_pipeline(pipe.to(dtype=torch.float16), temporary)
    for name in ("README.md", "report.json", "report.png", "samples.png", "accuracy.csv"):
        if (folder / name).exists():
            shutil.copy2(folder / name, temporary / name)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def write_probe(checkpoint: Path, labels: tuple[str, ...], folder: Path) -> None:
    """Save a probe in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    load_trained_probe(checkpoint, labels).half().save_pretrained(folder)
    make_portable(folder)
