"""Where the bundled concepts stand on the map: by meaning, by looks and by side effects, turned onto one another.

    python -m benchmarks.evidence.layouts build/evidence/uce-world
    python -m benchmarks.evidence.layouts --apart          # only push what is stored apart, where it is too near

By meaning: UMAP of the mean token states. By looks: of the mean probe features of what the model draws; pictures are
those that the folder of the graph keeps, or drawn into it. By side effects: of whom erasing a concept hurts and by whom
it is hurt, from assets/graphs/emoji-uce.parquet, less what every erasure does and what everybody suffers. All are
pushed apart until pictures do not cover each other. Writes assets/graphs/emoji-layout.csv, keeping the layout by
meaning that is there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from age_core import ConceptSet, embed_concepts, load_pipeline, load_probe
from age_core.assets import ASSETS
from age_core.study.baseline import Original
from age_core.study.tables import SideEffects, read_table
from viz.atlas import layout

STORED = ASSETS / "graphs" / "emoji-layout.csv"
IMAGES = 2  # of each concept, as the graph of the world keeps them


def profiles(damage: pd.DataFrame) -> np.ndarray:
    """A vector a concept, (n, 2n): how much more it hurts each other, and is hurt by each, than those two do overall.

    Damage is compared as a ratio, since a few concepts suffer most of it.
    """
    logs = np.log(damage.to_numpy(float).clip(1e-6))
    np.fill_diagonal(logs, np.nan)
    rest = logs - np.nanmean(logs, axis=1, keepdims=True)
    rest = np.nan_to_num(rest - np.nanmean(rest, axis=0, keepdims=True))
    return np.concatenate([rest, rest.T], axis=1)


def apart(places: pd.DataFrame) -> pd.DataFrame:
    """The same layout with room for a picture at each place."""
    points = layout.spread_apart(places[["x", "y"]].to_numpy())
    return pd.DataFrame({"name": places["name"], "x": points[:, 0], "y": points[:, 1]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="of the graph of the world, whose pictures are used")
    parser.add_argument("--apart", action="store_true", help="compute no layout: push apart those that are stored")
    args = parser.parse_args()
    if args.apart == bool(args.folder):
        parser.error("name the folder of the graph, or say --apart")
    if args.apart:
        stored = layout.read_layouts(STORED, ConceptSet.load("emoji").names)
        layout.write_layouts(STORED, {name: apart(places) for name, places in stored.items()})
    else:
        compute(args.folder)


def compute(folder: Path) -> None:
    """Every layout but the one by meaning, where that is stored."""
    pipe, probe, concepts = load_pipeline("emoji"), load_probe("emoji"), ConceptSet.load("emoji")
    names = list(concepts.names)
    kept = layout.read_layout(STORED, names)
    folder.mkdir(parents=True, exist_ok=True)
    drawn = Original.open(pipe, probe, concepts, IMAGES, folder).pictures
    looks = probe.features([Image.fromarray(picture) for picture in drawn]).reshape(len(names), IMAGES, -1).mean(axis=1)
    damage = SideEffects(read_table(ASSETS / "graphs" / "emoji-uce.parquet")).damage(("uce", "noise-shift"))
    damage = damage.loc[names, names]
    vectors = {"looks": looks, "effects": profiles(damage)}
    if kept is None:
        vectors = {layout.MEANING: embed_concepts(pipe, names)} | vectors
    found = {layout.MEANING: kept} if kept is not None else {}
    for name, each in vectors.items():
        points = layout.umap_layout(each)
        places = pd.DataFrame({"name": names, "x": points[:, 0], "y": points[:, 1]})
        found[name] = layout.aligned(places, found[layout.MEANING]) if layout.MEANING in found else places
        print(f"{name}: {len(places)} concepts", flush=True)
    layout.write_layouts(STORED, {name: apart(places) for name, places in found.items()})


if __name__ == "__main__":
    main()
