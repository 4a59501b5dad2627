"""Check 8: the same erasures in the emoji world on the CPU and on the device in three formats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from diffusers import DiffusionPipeline
from PIL import Image

from age_core import ConceptSet, Eraser, erase_by, evaluate, generate, load_probe
from age_core.erasure.outcome import finished
from age_core.measure.verdicts import GUIDANCE, STEPS, seeds_of
from age_core.models.probes import Probe
from benchmarks.gpu.bench import Bench, Figures, attempt
from benchmarks.gpu.models import emoji

ERASED = ("cat", "violin", "bus")
SHOWN = ("cat", "tiger", "dog", "violin", "guitar", "pizza")
OTHERS = 60  # concepts, two pictures of each
QUICK: dict[str, Any] = {
    "steps": 2,
    "batch": 1,
    "samples": 1,
    "candidate_samples": 1,
    "sample_steps": 1,
    "pool": 2,
    "pi_batch": 1,
}


def check(bench: Bench) -> Iterator[Figures]:
    concepts = ConceptSet.load("emoji")
    if bench.small:  # to protect every word takes a CPU long
        concepts = replace(concepts, concepts=tuple(concepts[name] for name in SHOWN[:4]))
    # minutes of a card are not for the erasures of a CPU
    places: list[tuple[str, str, tuple[str, ...]]] = [("cpu", "float32", ERASED[:1])]
    if bench.cuda:
        places += [(bench.device, dtype, ERASED) for dtype in ("float32", "bfloat16", "float16")]
    rows: list[list[Image.Image]] = []
    for device, dtype, names in places:
        pipe, probe = emoji(dtype, device), load_probe("emoji", device)
        for name in names:
            case = {"device": device, "format": dtype, "concept": name}
            yield attempt(case, erase_and_judge, bench, pipe, probe, concepts, name, rows)
            bench.free_memory()
        save_sheet(rows, bench)


def erase_and_judge(
    bench: Bench, pipe: DiffusionPipeline, probe: Probe, concepts: ConceptSet, name: str, rows: list[list[Image.Image]]
) -> Figures:
    """ESR-1 and PSR-1 of one default erasure, its target and its seconds; the first concept's pictures go to `rows`."""
    options = QUICK if bench.small else {}
    last, eraser = finished(erase_by(pipe, "age", name, concepts, preview_every=0, **options))
    others = [other for other in concepts.names if other != name][:: max(1, len(concepts) // OTHERS)]
    images, own = (1, 1) if bench.small else (2, 16)
    table = evaluate(
        pipe, probe, concepts, [name], {"age": eraser}, images, own, others[:2] if bench.small else others[:OTHERS]
    ).set_index("method")
    if name == ERASED[0]:
        shown = SHOWN[:2] if bench.small else SHOWN
        rows.append([*pictures(pipe, concepts, shown, None), *pictures(pipe, concepts, shown, eraser)])
    target, share = last.top_targets(1)[0]
    figures: Figures = {"target": target, "share": share, "seconds": round(last.elapsed_s, 2)}
    for method in ("original", "age"):
        figures |= {f"{rate}_{method}": float(table.loc[method, rate]) for rate in ("esr1", "psr1")}
    return figures


def pictures(
    pipe: DiffusionPipeline, concepts: ConceptSet, shown: tuple[str, ...], eraser: Eraser | None
) -> list[Image.Image]:
    """The first judged picture of each shown concept, by the model with or without the eraser."""
    prompts, seeds = [concepts.prompt(name) for name in shown], [seeds_of(name, 1)[0] for name in shown]
    if eraser is None:
        return generate(pipe, prompts, seeds, STEPS, GUIDANCE)
    with eraser.applied_to(pipe):
        return generate(pipe, prompts, seeds, STEPS, GUIDANCE)


def save_sheet(rows: list[list[Image.Image]], bench: Bench) -> None:
    """A row a format, in the order of the lines: before, then after the erasure, on the same seeds."""
    if not rows:
        return
    side = rows[0][0].width
    sheet = Image.new("RGB", (side * len(rows[0]), side * len(rows)), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet.paste(picture, (x * side, y * side))
    sheet.save(bench.out / "pictures.png")
