"""Same-seed pairs as a folder: one picture to look at, and the probe's verdicts as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from age_core.errors import AgeError
from age_core.files import disk_errors, plain, replacing, write_json
from age_core.measure.verdicts import Pair

MARGIN, CAPTION = 8, 34  # px
SHOWN = 256  # px a picture; small ones are enlarged without smoothing


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
    found = {side: {"label": label, "probability": share} for side, (label, share) in sides.items()}
    changed = pair.original_verdict[0] != pair.edited_verdict[0]
    return plain({"prompt": pair.prompt, "seed": pair.seed, **found, "changed": changed, "distance": pair.distance})


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
