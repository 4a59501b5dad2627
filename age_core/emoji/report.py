"""Measure the bundled world and write it down: `report.json` and the numbers in the model card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from PIL import Image
from torch import Tensor

from age_core.concepts.concept_set import ConceptSet
from age_core.emoji.art import STYLES, Art, render_all
from age_core.emoji.captions import STYLE_TEMPLATE, caption
from age_core.emoji.card import EARLIER, earlier_trainings, hardware, model_card, training_time
from age_core.emoji.figure import draw_figure
from age_core.emoji.generalisation import beyond_training, nearest_training_pictures
from age_core.emoji.probe_training import distort, load_trained_probe, probe_accuracy, train_probe
from age_core.emoji.training import PX, augment, step_generator
from age_core.measure.pairs import PAIR_STEPS
from age_core.measure.verdicts import GUIDANCE, STEPS, draw_and_judge
from age_core.models.pipelines import load_pipeline
from age_core.models.probes import Probe, load_probe
from age_core.models.sampling import generate

# Prompts that name nothing of the world; the last is longer than what the text encoder reads.
OUTSIDE = (
    "",
    "quantum",
    "democracy",
    "the committee met again on Tuesday afternoon to discuss whether the minutes of its previous meeting were correct",
)
UNSEEN_PX = (72, 200)  # renderings at sizes that training never used


def unseen_renderings(icons: Path, table: list[dict[str, str]]) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures (N, 3, PX, PX) in [-1, 1] rendered anew at other sizes, turned and zoomed; concepts, styles (N,)."""
    parts, concepts, styles = [], [], []
    for size in UNSEEN_PX:
        art = render_all(icons, table, size)
        generator = step_generator(990_001, size)
        pictures = augment(art.pictures, generator, scale=(0.8, 1.0), degrees=10.0, shift=0.06)
        parts.append(distort(pictures, generator))
        concepts.append(art.concept)
        styles.append(art.style)
    return torch.cat(parts), torch.cat(concepts), torch.cat(styles)


def leave_one_style_out(art: Art, work: Path, steps: int) -> dict[str, float]:
    """Top-1 accuracy on each style of a probe that never saw that style (shorter training, no autoencoder)."""
    result = {}
    for index, style in enumerate(STYLES):
        rows = (art.style != index).nonzero().flatten()
        path = work / f"probe-without-{style.name}.safetensors"
        for _ in train_probe(art, path, steps, rows):
            pass
        held = (art.style == index).nonzero().flatten()
        pictures = augment(art.pictures[held], step_generator(5, index), (1.0, 1.0), 0.0, 0.0)
        result[style.name] = probe_accuracy(load_trained_probe(path, art.concepts), pictures, art.concept[held])[0]
        print(f"without {style.name}: {result[style.name]:.3f}", flush=True)
    return result


def calibration_error(probe: Probe, pictures: Tensor, concept: Tensor, bins: int = 10) -> float:
    """Expected calibration error (Naeini et al. 2015): mean gap between confidence and accuracy."""
    with torch.no_grad():
        device = probe.model.device
        scores = torch.cat([probe.model(part.to(device)).logits.softmax(-1).cpu() for part in pictures.split(128)])
    confidence, guess = scores.max(-1)
    right = (guess == concept).float()
    bucket = (confidence * bins).long().clamp(max=bins - 1)
    gaps = [
        (confidence[bucket == b].mean() - right[bucket == b].mean()).abs() * (bucket == b).float().mean()
        for b in range(bins)
        if (bucket == b).any()
    ]
    return float(sum(gaps))


@torch.no_grad()
def reconstruction_db(vae: AutoencoderKL, art: Art) -> float:
    """Peak signal-to-noise ratio (dB, on pictures in [0, 1]) of the autoencoder on the art as rendered."""
    pictures = augment(art.pictures.to(vae.device), step_generator(1, 1), (1.0, 1.0), 0.0, 0.0)
    errors = [
        (vae.decode(vae.encode(part).latent_dist.mean).sample.clamp(-1, 1) - part).square().flatten(1).mean(1)
        for part in pictures.split(64)
    ]
    return float(-10 * torch.log10(torch.cat(errors).mean() / 4))


def outputs_beside_training(
    art: Art, drawn: Sequence[Image.Image], columns: int = 16
) -> list[tuple[Image.Image, Image.Image]]:
    """`columns` of the pictures, evenly spread, each with the nearest rendering as training saw it."""
    shown = list(drawn[:: max(1, len(drawn) // columns)][:columns])
    _, rows = nearest_training_pictures(art, shown)
    found = [Image.fromarray(art.pictures[row].permute(1, 2, 0).numpy()) for row in rows]
    return [(picture, near.resize(picture.size)) for picture, near in zip(shown, found, strict=True)]


def sample_sheet(pipe: StableDiffusionPipeline, concepts: ConceptSet, columns: int = 16, rows: int = 6) -> Image.Image:
    """Concepts evenly spread over the set, seed 0 and uncurated; then a row of styles, and one of OUTSIDE."""
    plain = columns * (rows - 2)
    prompts = [concepts.prompt(name) for name in concepts.names[:: max(1, len(concepts) // plain)][:plain]]
    seeds = [0] * len(prompts)
    prompts += [caption(n, STYLE_TEMPLATE, s.name) for n in ("dog", "rose", "rocket", "skull") for s in STYLES[:4]]
    prompts += [prompt for prompt in OUTSIDE for _ in range(columns // len(OUTSIDE))]
    seeds += [0] * columns + [seed for _ in OUTSIDE for seed in range(columns // len(OUTSIDE))]
    pictures = generate(pipe, prompts, seeds, PAIR_STEPS, GUIDANCE)
    sheet = Image.new("RGB", (columns * PX, rows * PX), "white")
    for index, picture in enumerate(pictures):
        sheet.paste(picture, (index % columns * PX, index // columns * PX))
    return sheet


def measure(work: Path, table: list[dict[str, str]], images: int, loso_steps: int, path: Path) -> dict[str, object]:
    """Everything the model card states, as one dictionary, also written to `path`."""
    art = Art.load(work / "art.safetensors")
    probe, concepts, pipe = load_probe("emoji"), ConceptSet.load("emoji"), load_pipeline("emoji")
    sample_sheet(pipe, concepts).save(path.with_name("samples.png"))
    style_probe = load_probe("emoji-styles")
    pictures, labels, styles = unseen_renderings(work / "icons", table)
    top1, top5 = probe_accuracy(probe.model, pictures, labels)
    shown, drawn = draw_and_judge(pipe, probe, concepts, list(concepts), images)
    by_concept = shown.groupby("concept", sort=False)[["top1", "top5"]].mean()
    by_concept.insert(0, "group", [concepts[name].group for name in by_concept.index])
    by_concept.round(4).to_csv(path.with_name("accuracy.csv"))
    weakest = by_concept["top1"].sort_values(kind="stable").head(15)
    report: dict[str, object] = {
        "concepts": len(concepts),
        "styles": len(STYLES),
        "pictures": len(art.pictures),
        "sampler": {"steps": STEPS, "guidance": GUIDANCE, "images_per_concept": images},
        "model_top1": float(shown["top1"].mean()),
        "model_top5": float(shown["top5"].mean()),
        "weakest_concepts": {str(name): float(value) for name, value in weakest.items()},
        "top1_by_group": {str(g): float(v) for g, v in by_concept.groupby("group")["top1"].mean().items()},
        "probe_unseen_top1": top1,
        "probe_unseen_top5": top5,
        "probe_calibration_error": calibration_error(probe, pictures, labels),
        "style_probe_unseen_top1": probe_accuracy(style_probe.model, pictures, styles)[0],
        "autoencoder_psnr_db": reconstruction_db(pipe.vae, art),
        "picture_px": PX,
        "training": training_time(work),
        "hardware": hardware(),
    }
    if (work / EARLIER).exists():
        report["earlier"] = json.loads((work / EARLIER).read_text(encoding="utf-8"))
    report["beyond_training"] = beyond = beyond_training(
        pipe, probe, style_probe, concepts, art, table, list(shown["concept"]), drawn, images
    )
    lines = (work / "curve.jsonl").read_text(encoding="utf-8").splitlines()
    report["curve"] = [json.loads(line) for line in lines]
    trainings = [stage for stage in earlier_trainings(report) if stage["concepts"] == len(concepts)]
    curves = [stage["curve"] for stage in trainings if "curve" in stage]
    beside = outputs_beside_training(art, drawn[::images])
    draw_figure(curves, by_concept, beyond["styles"]["by_style"], beside, path.with_name("report.png"))
    if loso_steps:
        report["probe_leave_one_style_out_top1"] = leave_one_style_out(art, work, loso_steps)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    path.with_name("README.md").write_text(model_card(report), encoding="utf-8")
    return report
