"""Memory and time of an erasure at the full shapes of Stable Diffusion 1.x, with random weights.

    python -m benchmarks.speed.full_size [--dtype bfloat16] [--checkpointing] [--train xattn]

Prints one JSON line: the peak memory of the process (or of the GPU) after building the pipeline and after a few steps
of AGE, in GiB, their ratio, seconds a step, and the unit costs of a concept graph: seconds a row of the UNet without
gradients, in calls of --rows, and seconds to decode a picture. Random weights: it proves shapes, formats and memory,
not pictures.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from age_core import Candidates, EraseOptions, encode_text, erase
from age_core.models.families import predict_all
from age_core.models.sampling import decode
from benchmarks.tiny import assembled, tiny_tokenizer

DECODED = 8  # pictures at once: of 512 px they fill a card, and 64 would not fit one


@contextmanager
def built_on(device: str, dtype: torch.dtype) -> Iterator[None]:
    """New weights are drawn where they will stay and as they will stay: on a card in a second instead of tens."""
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(torch.float32)


def full_vae(side: int) -> AutoencoderKL:
    """Stable Diffusion's autoencoder, which SDXL shares, for pictures of so many pixels a side."""
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=4,
        sample_size=side,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )


def full_size(dtype: torch.dtype, device: str = "cpu") -> StableDiffusionPipeline:
    """The classes and shapes of Stable Diffusion 1.4: a UNet of 860 M parameters, text states 77 x 768."""
    text = CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)
    with built_on(device, dtype):
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
        vae = full_vae(512)
        encoder = CLIPTextModel(text)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = tiny_tokenizer(Path(folder), length=77)
    pipe = assembled(vae, encoder, tokenizer, unet)
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        part.requires_grad_(False)
    return pipe.to(device)


def peak_gib(device: str) -> float:
    """Of a card ("cuda", "cuda:0"), else of the process."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def unit_costs(pipe: StableDiffusionPipeline, rows: int) -> dict[str, float]:
    """Seconds a row of the UNet and seconds a decoded picture, each after one that is not counted."""
    z = torch.randn(rows, 4, 64, 64, device=pipe.device)
    states, t = encode_text(pipe, ["a photo of a dog"]).expand(rows, -1, -1), torch.full((rows,), 500).to(pipe.device)
    costs = {}
    for name, once in {
        "seconds_a_row": lambda: predict_all(pipe, z, t, states).cpu(),  # .cpu() waits for the device
        "seconds_a_picture": lambda: [decode(pipe, part) for part in z.split(DECODED)],
    }.items():
        once()
        began = time.perf_counter()
        once()
        costs[name] = round((time.perf_counter() - began) / rows, 4)
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--train", default="xattn")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--rows", type=int, default=2, help="in a call whose cost is measured; 64 on a GPU")
    args = parser.parse_args()
    pipe = full_size(getattr(torch, args.dtype), args.device)
    if args.checkpointing:
        pipe.unet.enable_gradient_checkpointing()
    loaded = peak_gib(args.device)
    options = EraseOptions(
        steps=args.steps,
        batch=1,
        lr=1e-5,
        train=args.train,
        pi_every=1,
        pi_batch=1,
        samples=1,
        candidate_samples=1,
        sample_steps=1,
        min_candidate_distance=0.0,
        preview_every=0,
        templates=("{noun}",),
    )
    events = [e for e in erase(pipe, "dog", Candidates(("wolf", "cat"), (0.1, 0.2)), options) if e.step]
    eraser = events[-1].eraser
    assert eraser is not None  # the last event carries it
    delta = eraser.delta
    moved = sum(float(d.abs().sum()) for d in delta.values())
    assert moved > 0 and all(torch.isfinite(d).all() for d in delta.values())
    peak = peak_gib(args.device)
    seconds = (events[-1].elapsed_s - events[0].elapsed_s) / max(len(events) - 1, 1)
    report = dict(vars(args))
    report |= {"unet_parameters": sum(p.numel() for p in pipe.unet.parameters())}
    report |= {"trained_parameters": sum(d.numel() for d in delta.values())}
    report |= {"loaded_gib": round(loaded, 2), "peak_gib": round(peak, 2), "ratio": round(peak / loaded, 2)}
    report |= {"seconds_a_step": round(seconds, 1)} | unit_costs(pipe, args.rows)
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
