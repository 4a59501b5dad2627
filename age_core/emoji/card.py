"""The model card of the bundled world, written from what was measured."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

from age_core.emoji.art import STYLES

EARLIER = "earlier.json"  # the trainings whose weights this one goes on from
STAGE = ("concepts", "training", "hardware", "curve")  # what a report says of one training


def earlier_trainings(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The trainings that led to a report's weights, that of the report last."""
    return [*report.get("earlier", []), {key: report[key] for key in STAGE if key in report}]


def training_time(work: Path) -> dict[str, dict[str, float]]:
    """Updates and minutes of each training, from its log. A resumed run logs each stretch from zero."""
    times = {}
    for part in ("vae", "probe", "unet"):
        path = work / f"{part}.jsonl"
        if not path.exists():
            continue
        seconds, last, step = 0.0, 0.0, 0
        for line in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            seconds += last if line["seconds"] < last else 0.0
            last, step = line["seconds"], line["step"]
        times[part] = {"updates": step, "minutes": round((seconds + last) / 60, 1)}
    return times


def hardware() -> str:
    """The machine that this runs on: its cores and what they are called, where the system tells."""
    names = [line.split(":", 1)[1].strip() for line in _cpu_lines() if line.startswith("model name")]
    return f"{os.cpu_count()} CPU cores ({names[0] if names else platform.machine()})"


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def beyond_words(found: dict[str, Any]) -> str:
    """What `generalisation.beyond_training` found, as a list."""
    styles, synonyms = found["styles"], found["synonyms"]
    weak = sorted(found["general_words"].items(), key=lambda item: item[1])[:5]
    mean = sum(found["general_words"].values()) / len(found["general_words"])
    low, middle, high = found["nearest_training_picture_rms"]
    lines = [
        f"asked for in a style: concept right {styles['concept']:.0%}, style right {styles['style']:.0%}, both "
        f"{styles['both']:.0%}; the style by style: "
        + ", ".join(f"{style} {share:.0%}" for style, share in styles["by_style"].items()),
        f"synonyms: the concept itself {synonyms['concept']:.0%}, its group {synonyms['group']:.0%}",
        f"general words and groups: one of their members {mean:.0%} on average, weakest "
        + ", ".join(f"{word} {share:.0%}" for word, share in weak),
        "commonest confusions: " + ", ".join(f"{a} seen as {b} ({n})" for a, b, n in found["confusions"][:8]),
        f"root mean square distance (of 255) to the nearest training picture: 10 % below {low}, half below {middle}, "
        f"90 % below {high}",
    ]
    if "unseen_pairs" in found:
        unseen = found["unseen_pairs"]
        lines.append(
            f"concept and style never seen together: concept right {unseen['concept']:.0%}, style right "
            f"{unseen['style']:.0%}, both {unseen['both']:.0%}"
        )
    if "unseen_synonyms" in found:
        unseen = found["unseen_synonyms"]
        lines.append(f"synonyms of no caption: the concept itself {unseen['concept']:.0%}, group {unseen['group']:.0%}")
    return "\n".join(f"- {line}" for line in lines)


def model_card(report: dict[str, Any]) -> str:
    """Markdown with every source, its licence, the training time and the measured quality."""
    art = "\n".join(f"| {s.name} | `{s.package}` {s.version} | {s.licence} | {s.attribution} |" for s in STYLES)
    stages = earlier_trainings(report)
    times = "\n".join(
        f"| {stage['concepts']} | {part} | {t['updates']:,} | {t['minutes']} | {stage.get('hardware', '')} |"
        for stage in stages
        for part, t in stage["training"].items()
    )
    styles = report.get("probe_leave_one_style_out_top1", {})
    left_out = ", ".join(f"{name} {share:.0%}" for name, share in styles.items()) or "not measured yet"
    weak = ", ".join(f"{name} {share:.0%}" for name, share in report["weakest_concepts"].items())
    sampler = report["sampler"]
    beyond = beyond_words(report["beyond_training"]) if "beyond_training" in report else "not measured yet"
    groups = ", ".join(f"{g} {v:.0%}" for g, v in sorted(report["top1_by_group"].items(), key=lambda item: item[1]))
    start = "From nothing"
    if len(stages) > 1:
        start = f"In {len(stages)} stages, each going on from the weights of the one before (the probe anew)"
    return f"""# emoji-sd: a small text-to-image model of emoji

A latent diffusion model that draws {report["concepts"]} concepts in {report["styles"]} emoji styles at
{report["picture_px"]} x {report["picture_px"]} pixels. It was trained for AGE Explorer, so that concept erasure can be
studied on a laptop without a network. `StableDiffusionPipeline.from_pretrained` opens the folder as it is.

![Concepts from seed 0, dog, rose, rocket and skull in four styles, and prompts outside the world](samples.png)

Seed 0, uncurated. The row before the last: dog, rose, rocket and skull in four styles each. The last row, four seeds
each: the empty prompt, "quantum", "democracy" and a sentence that names nothing it knows.

## Sources and licences

The pictures were rendered from these icon sets; none of the sets is included here.

| style | package | licence | attribution |
|---|---|---|---|
{art}

Concept names, groups and synonyms follow the Unicode emoji names (Unicode License v3), chosen and completed by hand.
The text encoder is sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), unchanged but for float16 rounding.
The weights of the autoencoder, the UNet and the probe are released under the MIT licence of this repository,
as far as the art's licences, which ask for attribution, allow: keep this table with them.

## Training

{start}, with other work on the machine, by `python -m age_core.emoji`:

| concepts | part | updates | minutes | hardware |
|---|---|---|---|---|
{times}

v-prediction, zero terminal SNR, errors weighed by min(SNR + 1, 5) / (SNR + 1), batches of 64;
{report["pictures"]:,} pictures; captions of name, synonym, group and style, one in ten empty.

Each part is one command, resumes after a kill, and goes on from these weights with `--from-bundle`:
`python -m age_core.emoji art|vae|probe|style-probe|unet|bundle|report --work build/emoji`.

## Measured

By the probe in `assets/emoji-probe/`, on {sampler["images_per_concept"]} pictures of each concept
(fixed seeds, prompt "an emoji of a ...", DPM-Solver++ with {sampler["steps"]} steps, guidance {sampler["guidance"]}):

| | |
|---|---|
| concept named first by the probe (top-1) | {report["model_top1"]:.1%} |
| among its first five (top-5) | {report["model_top5"]:.1%} |
| autoencoder, art as rendered | {report["autoencoder_psnr_db"]:.1f} dB |
| the probe on renderings it never saw, top-1 | {report["probe_unseen_top1"]:.1%} |
| the same, top-5 | {report["probe_unseen_top5"]:.1%} |
| the probe's expected calibration error | {report["probe_calibration_error"]:.3f} |
| the style probe on renderings it never saw, top-1 | {report["style_probe_unseen_top1"]:.1%} |

The probe on a style it never saw (shorter training, top-1): {left_out}.

By group (top-1): {groups}.

Weakest concepts (top-1): {weak}. Every concept: [accuracy.csv](accuracy.csv).

![Training curve, accuracy by group and by style, pictures beside the nearest training pictures](report.png)

## Beyond the training captions

{beyond}

## Limits

It knows the listed concepts and little else; a word outside them gives a blend of what it knows. Faces and fine
texture are soft. Top-1 is the judgement of one small classifier trained on the same art.
"""
