"""The whole world, erased: every concept erased once, and every other drawn after it; a restart goes on.

    python -m benchmarks.evidence.world build/world                   # ESD and AGE of all 450 concepts: 25 hours a core
    python -m benchmarks.evidence.world build/world --only esd --part 0/2 # one of two processes that share the work
    python -m benchmarks.evidence.world build/world --pack assets/world   # what is finished, small enough to ship

For each erasure: one picture of every concept by the atlas's prompt and seed, with the probe's five guesses, its
features, and the distance from the original's picture; three more of those that moved and of the nearest, for
intervals; noise shift of all. Nothing is thrown away: pictures stay as a lossless sheet (a row of SHEET tiles after the
other, in the set's order), so that what is shipped can be cut from them again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from age_core import ConceptSet, Eraser, load_pipeline, load_probe
from age_core.concepts.candidates import Vocabulary
from age_core.erasure.by_method import erase_by
from age_core.erasure.outcome import last_eraser
from age_core.files import read_json, replacing, write_json
from age_core.measure.noise_shift import noise_reference, noise_shift
from age_core.measure.pictures import pair_distance
from age_core.measure.verdicts import GUIDANCE, STEPS, seeds_of
from age_core.models.sampling import generate
from age_core.study.baseline import Original

SHEET = 25  # tiles in a row
NEAREST, MOVED = 24, 0.1  # whom four pictures are drawn of: these nearest in words, and all that moved so far
PICTURES, OF_ERASED = 4, 16
VISIBLE, QUALITY = 0.2, 80  # the distance from which on a tile is shipped, and how well (WebP)
METHODS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "esd": ("naive", "fast", {"preview_every": 0, "seed": 0, "latents": "cached"}),
    "age": ("age", "balanced", {"preview_every": 0, "seed": 0}),
}


def in_order(world: ConceptSet) -> list[str]:
    """Netfive's concepts first, then one of each group in turn, so that whatever is finished is spread evenly."""
    first = list(ConceptSet.load("emoji-netfive").names)
    rest = pd.DataFrame({"name": [c.name for c in world if c.name not in first]})
    rest["group"] = [world[name].group for name in rest["name"]]
    rest["turn"] = rest.groupby("group").cumcount()
    return first + rest.sort_values(["turn", "group"], kind="stable")["name"].tolist()


def sheet(pictures: list[Image.Image]) -> Image.Image:
    """Pictures of one size as one, SHEET a row."""
    width, height = pictures[0].size
    whole = Image.new("RGB", (SHEET * width, -(-len(pictures) // SHEET) * height), "white")
    for place, picture in enumerate(pictures):
        whole.paste(picture, (place % SHEET * width, place // SHEET * height))
    return whole


class World:
    """The original model, what it draws, and who is near whom."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.pipe, self.probe, self.concepts = load_pipeline("emoji"), load_probe("emoji"), ConceptSet.load("emoji")
        self.names = list(self.concepts.names)
        (folder / "original").mkdir(parents=True, exist_ok=True)
        original = Original.open(self.pipe, self.probe, self.concepts, PICTURES, folder / "original")
        self.drawn = [Image.fromarray(picture) for picture in original.pictures]
        self.reference = noise_reference(self.pipe, self.concepts, 1)
        vectors = Vocabulary.of(self.concepts.names).vectors(self.pipe)
        self.near = np.argsort(-(vectors @ vectors.T), axis=1, kind="stable")
        self._keep_original()

    def _keep_original(self) -> None:
        path = self.folder / "original" / "features.safetensors"
        if path.exists():
            return
        features, scores = self.probe.features(self.drawn), self.probe.scores(self.drawn)
        with replacing(path) as temporary:
            save_file(
                {"features": torch.from_numpy(features).half(), "scores": torch.from_numpy(scores).half()}, temporary
            )
        for picture in range(PICTURES):
            sheet(self.drawn[picture::PICTURES]).save(self.folder / "original" / f"sheet-{picture}.webp", lossless=True)

    def draw(self, names: list[str], pictures: list[int]) -> list[Image.Image]:
        """The given of each concept's pictures, concept by concept, by the model as it is now."""
        prompts = [self.concepts.prompt(name, picture) for name in names for picture in pictures]
        seeds = [seeds_of(name, picture + 1)[picture] for name in names for picture in pictures]
        return generate(self.pipe, prompts, seeds, STEPS, GUIDANCE)

    def judged(self, names: list[str], pictures: list[int], drawn: list[Image.Image]) -> pd.DataFrame:
        """A row a picture: concept, picture, the probe's five guesses, and the distance where there is an original."""
        owner = [name for name in names for _ in pictures]
        scores = self.probe.scores(drawn)
        order = np.argsort(-scores, axis=1)[:, :5]
        own = [self.probe.rows(self.concepts[name].labels) for name in owner]
        match = np.stack([np.isin(best, rows) for best, rows in zip(order, own, strict=True)])
        table = pd.DataFrame({"concept": owner, "picture": pictures * len(names)})
        table["top1"], table["top5"] = match[:, 0], match.any(1)
        for place in range(5):
            table[f"label{place + 1}"] = [self.probe.labels[row] for row in order[:, place]]
            table[f"share{place + 1}"] = scores[range(len(order)), order[:, place]]
        table["own"] = [scores[row, rows].sum() for row, rows in enumerate(own)]
        if max(pictures) < PICTURES:
            places = [self.names.index(name) * PICTURES + picture for name in names for picture in pictures]
            table["distance"] = pair_distance(self.probe, [self.drawn[place] for place in places], drawn)
        return table

    def erase(self, method: str, name: str) -> Path:
        """One erasure and all that is kept of it; the JSON file is written last."""
        folder, key = self.folder / method, f"{self.names.index(name):03d}"
        started = time.monotonic()
        how, preset, changes = METHODS[method]
        eraser = last_eraser(erase_by(self.pipe, how, name, self.concepts, preset, None, **changes))
        erasing = time.monotonic() - started
        with eraser.applied_to(self.pipe):
            first = self.draw(self.names, [0])
            table = self.judged(self.names, [0], first)
            moved = table.loc[(table["distance"] > MOVED) | ~table["top1"], "concept"]
            near = [self.names[row] for row in self.near[self.names.index(name)][: NEAREST + 1]]
            more = [other for other in self.names if other in {*moved, *near} and other != name]
            later = self.draw(more, [1, 2, 3])
            own = self.draw([name], list(range(OF_ERASED)))
        tables = [table.assign(part="all"), self.judged(more, [1, 2, 3], later).assign(part="more")]
        tables.append(self.judged([name], list(range(OF_ERASED)), own).assign(part="erased"))
        shift = noise_shift(self.pipe, self.reference, eraser)["shift"].to_numpy()
        sheet(first).save(folder / f"{key}.webp", lossless=True)
        sheet([*later, *own]).save(folder / f"{key}-more.webp", lossless=True)
        small = {name: change.half() for name, change in eraser.delta.items()}
        Eraser(small, eraser.info).save(folder / f"{key}.safetensors")
        features = torch.from_numpy(self.probe.features(first)).half()
        with replacing(folder / f"{key}-features.safetensors") as temporary:
            save_file({"features": features, "noise_shift": torch.from_numpy(shift).float()}, temporary)
        pd.concat(tables, ignore_index=True).to_parquet(folder / f"{key}.parquet", index=False)
        about = {"erased": name, "method": how, "preset": preset, "target": eraser.info["target"], "more": more}
        seconds = {"erasing_s": round(erasing, 1), "whole_s": round(time.monotonic() - started, 1)}
        write_json(folder / f"{key}.json", about | seconds | {"options": eraser.info["options"]})
        return folder / f"{key}.json"


def pack(folder: Path, shipped: Path) -> None:
    """Write the finished erasures of a method small: one parquet file of numbers, and a WebP an erasure of its tiles.

    Rows: erased and affected (places in the concept set), picture, distance, top1, top5, label, share, own, noise_shift
    (of picture 0), tile (place in the WebP, SHEET a row; -1 where the original's tile will do).
    """
    places = {name: place for place, name in enumerate(ConceptSet.load("emoji").names)}
    for method in METHODS:
        tables = []
        for about in sorted((folder / method).glob("*.json")):
            rows = pd.read_parquet(about.with_suffix(".parquet"))
            rows = rows[rows["part"].isin(["all", "more"])].drop_duplicates(["concept", "picture"])
            tables.append(numbers_of(rows, int(about.stem), places, about))
            (shipped / method).mkdir(parents=True, exist_ok=True)
            save_tiles(tables[-1], about.with_suffix(".webp"), shipped / method / f"{about.stem}.webp")
        if tables:
            with replacing(shipped / f"{method}.parquet") as temporary:
                pd.concat(tables, ignore_index=True).astype({"label": "category"}).to_parquet(
                    temporary, index=False, compression="zstd"
                )


def numbers_of(rows: pd.DataFrame, erased: int, places: dict[str, int], about: Path) -> pd.DataFrame:
    """The rows of one erasure as `pack` writes them."""
    shift = load_file(about.with_name(f"{about.stem}-features.safetensors"))["noise_shift"].numpy()
    affected = rows["concept"].map(places).to_numpy()
    table = pd.DataFrame({"erased": np.int16(erased), "affected": affected.astype("int16")})
    for column, kind in (("picture", "int8"), ("top1", "bool"), ("top5", "bool")):
        table[column] = rows[column].to_numpy().astype(kind)
    for column, source in (("distance", "distance"), ("share", "share1"), ("own", "own")):
        table[column] = rows[source].to_numpy().astype("float32").round(3)
    table["label"] = rows["label1"].to_numpy()
    first = table["picture"] == 0
    table["noise_shift"] = np.where(first, shift[affected].round(4), np.nan).astype("float32")
    visible = first & ((table["distance"] > VISIBLE) | ~table["top1"])
    table["tile"] = np.where(visible, visible.cumsum() - 1, -1).astype("int16")
    return table


def save_tiles(table: pd.DataFrame, whole: Path, path: Path) -> None:
    """Cut the tiles that `table` keeps out of the sheet `whole`."""
    with Image.open(whole) as image:
        side = image.width // SHEET
        corners = [(place % SHEET * side, place // SHEET * side) for place in table.loc[table["tile"] >= 0, "affected"]]
        tiles = [image.crop((left, top, left + side, top + side)) for left, top in corners]
    if tiles:
        sheet(tiles).save(path, quality=QUALITY, method=6)


def parts(names: list[str], only: list[str]) -> Iterator[tuple[str, str]]:
    """Method and concept of each erasure, what matters most first: netfive by both, then the rest by ESD, by AGE."""
    for some in (names[:25], names[25:]):
        for method in only:
            yield from ((method, name) for name in some)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--part", default="0/1", help="which of how many processes this is, such as 0/2")
    parser.add_argument("--most", type=int, default=10**6, help="so many erasures at most, this time")
    parser.add_argument("--pack", type=Path, help="write what is finished into this folder, and erase nothing")
    args = parser.parse_args()
    if args.pack:
        pack(args.folder, args.pack)
        return
    turn, processes = map(int, args.part.split("/"))
    for method in args.only:
        (args.folder / method).mkdir(parents=True, exist_ok=True)
    world = World(args.folder)
    wanted = list(parts(in_order(world.concepts), args.only))
    left = [
        (method, name)
        for method, name in wanted[turn::processes]
        if not (args.folder / method / f"{world.names.index(name):03d}.json").exists()
    ]
    for done, (method, name) in enumerate(left[: args.most], 1):
        found = read_json(world.erase(method, name))
        print(f"{done} of {len(left)}: {method} {name}, {found['erasing_s']} s of {found['whole_s']} s", flush=True)


if __name__ == "__main__":
    main()
