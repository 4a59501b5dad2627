"""The whole world, erased: every concept erased once, and every other drawn after it; a restart goes on.

    python -m benchmarks.evidence.world build/world                   # ESD and AGE of all 450 concepts: 25 hours a core
    python -m benchmarks.evidence.world build/world --only esd --part 0/2 # one of two processes that share the work
    python -m benchmarks.evidence.world build/world --device cuda --seconds 300 # no erasure is begun after that time
    python -m benchmarks.evidence.world build/world --pack assets/world   # what is finished, small enough to ship

For each erasure: one picture of every concept by the atlas's prompt and seed, with the probe's five guesses, its
features, and the distance from the original's picture; three more of those that moved and of the nearest, for
intervals; noise shift of all. Nothing is thrown away: pictures stay as a lossless sheet (in the set's order), so that
what is shipped can be cut from them again (`pack_world.py`).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import save_file

from age_core import AgeError, ConceptSet, Eraser, load_pipeline, load_probe
from age_core.concepts.candidates import Vocabulary
from age_core.concepts.concept_set import vocabulary_hash
from age_core.erasure.by_method import erase_by
from age_core.erasure.outcome import last_eraser
from age_core.files import read_json, replacing, write_json
from age_core.measure.noise_shift import noise_reference, noise_shift
from age_core.measure.pictures import pair_distance
from age_core.measure.verdicts import GUIDANCE, STEPS, seeds_of
from age_core.models.identity import model_identity
from age_core.models.sampling import generate
from age_core.study.baseline import Original
from benchmarks.evidence.pack_world import ABOUT, pack, sheet
from benchmarks.parts import add_part

NEAREST, MOVED = 24, 0.1  # whom four pictures are drawn of: these nearest in words, and all that moved so far
PICTURES, OF_ERASED = 4, 16
METHODS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "esd": ("naive", "fast", {"preview_every": 0, "seed": 0, "latents": "cached"}),
    "age": ("age", "balanced", {"preview_every": 0, "seed": 0}),
    "age-unprotected": ("age-unprotected", "balanced", {"preview_every": 0, "seed": 0}),
}
# How a sheet is written: a tenth larger than it need be, in a tenth of the time.
QUICKLY: dict[str, Any] = {"lossless": True, "quality": 0, "method": 0}


def in_order(world: ConceptSet) -> list[str]:
    """Netfive's concepts first, then one of each group in turn, so that whatever is finished is spread evenly."""
    first = list(ConceptSet.load("emoji-netfive").names)
    rest = pd.DataFrame({"name": [c.name for c in world if c.name not in first]})
    rest["group"] = [world[name].group for name in rest["name"]]
    rest["turn"] = rest.groupby("group").cumcount()
    return first + rest.sort_values(["turn", "group"], kind="stable")["name"].tolist()


class World:
    """The original model, what it draws, and who is near whom."""

    def __init__(self, folder: Path, device: str):
        self.folder = folder
        self.pipe, self.probe = load_pipeline("emoji", device), load_probe("emoji", device)
        self.concepts = ConceptSet.load("emoji")
        self.names = list(self.concepts.names)
        (folder / "original").mkdir(parents=True, exist_ok=True)
        original = Original.open(self.pipe, self.probe, self.concepts, PICTURES, folder / "original")
        self.drawn = [Image.fromarray(picture) for picture in original.pictures]
        self.reference = noise_reference(self.pipe, self.concepts, 1)
        vectors = Vocabulary.of(self.concepts.names).vectors(self.pipe)
        self.near = np.argsort(-(vectors @ vectors.T), axis=1, kind="stable")
        self._keep_original()

    def _keep_original(self) -> None:
        """Of what model the folder is, written last; and what the probe sees in the original's pictures."""
        folder = self.folder / "original"
        rule = "crc32 of the concept's name, modulo 1,000,000, times 1,000, plus the number of the picture"
        about: dict[str, Any] = {"model": "emoji", "identity": model_identity(self.pipe), "probe": self.probe.version}
        about |= {"vocabulary": vocabulary_hash(self.concepts), "prompt": self.concepts.template, "seeds": rule}
        about["sampler"] = {"steps": float(STEPS), "guidance": GUIDANCE}
        if (folder / ABOUT).exists():
            if read_json(folder / ABOUT) != about:
                raise AgeError(f"{self.folder.name!r} holds erasures of another model: name another folder.")
            return
        for picture in range(PICTURES):
            sheet(self.drawn[picture::PICTURES]).save(folder / f"sheet-{picture}.webp", **QUICKLY)
        self.judged(self.names, list(range(PICTURES)), self.drawn).to_parquet(folder / "verdicts.parquet", index=False)
        self._between_seeds().to_parquet(folder / "seeds.parquet", index=False)
        write_json(folder / ABOUT, about)

    def _between_seeds(self) -> pd.DataFrame:
        """How far pictures of a concept lie apart that differ by their seed: columns concept, one, two, distance."""
        tables = []
        for one, two in combinations(range(PICTURES), 2):
            far = pair_distance(self.probe, self.drawn[one::PICTURES], self.drawn[two::PICTURES])
            tables.append(pd.DataFrame({"concept": self.names, "one": one, "two": two, "distance": far}))
        return pd.concat(tables, ignore_index=True)

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
        sheet(first).save(folder / f"{key}.webp", **QUICKLY)
        sheet([*later, *own]).save(folder / f"{key}-more.webp", **QUICKLY)
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


def parts(names: list[str], only: list[str]) -> Iterator[tuple[str, str]]:
    """Method and concept of each erasure, what matters most first: netfive by both, then the rest by ESD, by AGE."""
    for some in (names[:25], names[25:]):
        for method in only:
            yield from ((method, name) for name in some)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(METHODS), default=list(METHODS))
    add_part(parser)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no erasure later than this")
    parser.add_argument("--most", type=int, default=10**6, help="so many erasures at most, this time")
    parser.add_argument("--pack", type=Path, help="write what is finished into this folder, and erase nothing")
    args = parser.parse_args()
    if args.pack:
        pack(args.folder, args.pack, ConceptSet.load("emoji"))
        return
    began = time.monotonic()
    for method in args.only:
        (args.folder / method).mkdir(parents=True, exist_ok=True)
    world = World(args.folder, args.device)
    wanted = list(parts(in_order(world.concepts), args.only))
    left = [
        (method, name)
        for method, name in wanted[args.part]
        if not (args.folder / method / f"{world.names.index(name):03d}.json").exists()
    ]
    for done, (method, name) in enumerate(left[: args.most], 1):
        if time.monotonic() - began > args.seconds:
            break
        found = read_json(world.erase(method, name))
        print(f"{done} of {len(left)}: {method} {name}, {found['erasing_s']} s of {found['whole_s']} s", flush=True)


if __name__ == "__main__":
    main()
