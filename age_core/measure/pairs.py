"""Same-seed pairs: original beside edited, in memory and as a folder with one picture to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline
from PIL import Image, ImageDraw, ImageFont

from age_core.errors import AgeError
from age_core.files import disk_errors, plain, replacing, write_json
from age_core.measure.pictures import pair_distance
from age_core.measure.verdicts import GUIDANCE
from age_core.models.eraser import Eraser
from age_core.models.probes import AnyProbe
from age_core.models.sampling import generate

PAIR_STEPS = 8  # pictures for people: a little finer, same verdicts
UNJUDGED = ("", float("nan"))
MARGIN, CAPTION = 8, 34  # px
SHOWN = 256  # px a picture; small ones are enlarged without smoothing


@dataclass(frozen=True)
class Pair:
    """One prompt and seed, drawn by the original and by the edited model, with the probe's best guess.

    `distance`: how differently the probe sees the two (`pair_distance`), 0 for the same picture. Where no probe
    judged, the verdicts are ("", nan) and the distance is nan.
    """

    prompt: str
    seed: int
    original: Image.Image
    edited: Image.Image
    original_verdict: tuple[str, float]  # label, probability
    edited_verdict: tuple[str, float]
    distance: float


def same_seed_pairs(
    pipe: DiffusionPipeline, eraser: Eraser, probe: AnyProbe | None, prompts: Sequence[str], seeds: Sequence[int]
) -> list[Pair]:
    """Original beside edited for every prompt, from the same noise; without a probe unjudged."""
    return compare_pairs(pipe, {"edited": eraser}, probe, prompts, seeds)["edited"]


def compare_pairs(
    pipe: DiffusionPipeline,
    erasers: Mapping[str, Eraser],
    probe: AnyProbe | None,
    prompts: Sequence[str],
    seeds: Sequence[int],
) -> dict[str, list[Pair]]:
    """`same_seed_pairs` by the name of each eraser; the original model draws once for all of them."""
    original = generate(pipe, prompts, seeds, PAIR_STEPS, GUIDANCE)
    before = _verdicts(probe, original)
    pairs = {}
    for name, eraser in erasers.items():
        with eraser.applied_to(pipe):
            edited = generate(pipe, prompts, seeds, PAIR_STEPS, GUIDANCE)
        distances = pair_distance(probe, original, edited) if probe else [float("nan")] * len(edited)
        columns = (prompts, seeds, original, edited, before, _verdicts(probe, edited), map(float, distances))
        pairs[name] = [Pair(*row) for row in zip(*columns, strict=True)]
    return pairs


def _verdicts(probe: AnyProbe | None, pictures: Sequence[Image.Image]) -> list[tuple[str, float]]:
    """The likeliest label of each picture with its probability."""
    return [best[0] for best in probe.top(pictures)] if probe else [UNJUDGED] * len(pictures)


def save_comparison(pairs: Sequence[Pair], folder: str | Path) -> list[dict[str, Any]]:
    """Write grid.png (a row a pair: original, edited) and pairs.json into `folder`; returns what the JSON holds.

    Files of those names in the folder are replaced. Raises AgeError without pairs, RunFailed when the disk is full.
    """
    if not pairs:
        raise AgeError("There is nothing to compare: name a concept or a prompt.")
    folder, verdicts = Path(folder), [pair_verdicts(pair) for pair in pairs]
    with disk_errors(f"The comparison in {folder.name!r}"):
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / "grid.png") as temporary:
            draw_grid(pairs).save(temporary, "PNG")
        write_json(folder / "pairs.json", {"pairs": verdicts})
    return verdicts


def pair_verdicts(pair: Pair) -> dict[str, Any]:
    """One pair without its pictures, in JSON's own types."""
    sides = {"original": pair.original_verdict, "edited": pair.edited_verdict}
    verdicts = {side: {"label": label, "probability": share} for side, (label, share) in sides.items()}
    changed = pair.original_verdict[0] != pair.edited_verdict[0]
    return plain({"prompt": pair.prompt, "seed": pair.seed, **verdicts, "changed": changed, "distance": pair.distance})


def draw_grid(pairs: Sequence[Pair]) -> Image.Image:
    """One picture: a row a pair, its prompt and the two verdicts above the original and the edited picture."""
    font, row_height = ImageFont.load_default(size=13), SHOWN + CAPTION + MARGIN
    grid = Image.new("RGB", (2 * SHOWN + 3 * MARGIN, len(pairs) * row_height + MARGIN), "white")
    pen = ImageDraw.Draw(grid)
    for row, pair in enumerate(pairs):
        top = MARGIN + row * row_height
        sides = (("original", pair.original, pair.original_verdict), ("edited", pair.edited, pair.edited_verdict))
        pen.text((MARGIN, top), _fit(f"{pair.prompt}, seed {pair.seed}", 75), "black", font)
        for column, (side, picture, (label, share)) in enumerate(sides):
            left = MARGIN + column * (SHOWN + MARGIN)
            pen.text((left, top + CAPTION // 2), _fit(f"{side}: {label} {share:.0%}", 36), "dimgray", font)
            how = Image.Resampling.NEAREST if picture.width < SHOWN else Image.Resampling.LANCZOS
            grid.paste(picture.convert("RGB").resize((SHOWN, SHOWN), how), (left, top + CAPTION))
    return grid


def _fit(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"
