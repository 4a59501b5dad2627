"""One recorded erasure in pictures, for docs/results.md; no model is opened.

python -m benchmarks.evidence.world_figure docs/recorded.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from age_core.assets import ASSETS
from age_core.concepts.concept_set import ConceptSet
from age_core.study.world import RecordedErasure, RecordedWorld

NAME, SHOWN = "dog", 14  # the erased concept, and how many of those that it moved most
GAP = 4  # pixels


def figure(world: RecordedWorld, path: Path) -> None:
    """One erasure in pictures: the erased concept and those that it moved most, by the original and by each method."""
    erasures = [e for method in world.methods if (e := world.erasure(method, NAME)) is not None]
    names = [NAME, *erasures[0].moved().index[:SHOWN]]
    rows = [[world.original.tile(name) for name in names]]
    rows += [[shown(world, erasure, name) for name in names] for erasure in erasures]
    step = world.original.side + GAP
    whole = Image.new("RGB", (len(names) * step, len(rows) * step), "white")
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            whole.paste(tile, (x * step, y * step))
    whole.save(path, optimize=True)
    print(", ".join(names))


def shown(world: RecordedWorld, erasure: RecordedErasure, name: str) -> Image.Image:
    """The picture of a concept after an erasure; the original's where it did not visibly move."""
    sheet = erasure.sheet if erasure.sheet is not None and name in erasure.sheet.places else world.original
    return sheet.tile(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    figure(RecordedWorld.open(ASSETS / "world", ConceptSet.load("emoji")), parser.parse_args().path)


if __name__ == "__main__":
    main()
