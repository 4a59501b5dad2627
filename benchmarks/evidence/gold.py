"""The gold reference: how far is each method's edited model from one that never saw the concept?

    python -m benchmarks.evidence.gold build/gold squirrel --table benchmarks/results/gold-concepts.csv \\
        --out assets/gold-squirrel.csv --sheet assets/gold-squirrel.png

The folder holds two denoisers of one training (README, "The gold reference"): `unet.safetensors`, and
`unet-without-squirrel.safetensors`, which saw none of the concept's pictures and captions. For the first ("original")
and each method's edit of it a row for each word: the concept and its synonyms (16 pictures), the 20 nearest concepts
and 40 others (4 each). `named`: what the probe calls most of them; `right`: share named as the word says; `distance`:
energy distance of their probe features to the reference's pictures of the same word.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from age_core import ConceptSet, Eraser, load_pipeline, load_probe
from age_core.concepts.candidates import near_and_far, rank_others
from age_core.concepts.concept_set import TEMPLATES
from age_core.emoji.__main__ import CONCEPTS_CSV
from age_core.emoji.denoiser import load_unet
from age_core.erasure.by_method import erase_by
from age_core.erasure.outcome import finished
from age_core.measure.pictures import energy_distance
from age_core.measure.verdicts import draw_and_judge, known

METHODS = ["uce", "empty", "random", "in-class", "nearest", "look-ahead", "age"]


def reference(pipe, checkpoint: Path) -> Eraser:
    """The model that never saw the concept, as what to add to the one that did."""
    never = dict(load_unet(checkpoint).named_parameters())
    return Eraser({name: never[name].detach() - value.detach() for name, value in pipe.unet.named_parameters()})


def compare(pipe, probe, concepts: ConceptSet, concept: str, models: Mapping[str, Eraser | None]) -> pd.DataFrame:
    """One row a model and word; the first of `models` is the reference."""
    rows = []
    near, far = near_and_far(rank_others(pipe, concepts, concepts[concept]))
    watched = {"erased": ((concept, *concepts[concept].synonyms), 16), "near": (near, 4), "far": (far, 4)}
    for side, (words, images) in watched.items():
        asked = [known(concepts, word) for word in words]
        gold: np.ndarray | None = None
        for model, eraser in models.items():
            judged, pictures = draw_and_judge(pipe, probe, concepts, asked, images, eraser)
            features = probe.features(pictures).reshape(len(words), images, -1)
            gold = features if gold is None else gold
            best = [top[0][0] for top in probe.top(pictures)]
            for row, word in enumerate(words):
                mine = slice(row * images, (row + 1) * images)
                name, count = Counter(best[mine]).most_common(1)[0]
                rows.append(
                    {
                        "side": side,
                        "word": word,
                        "model": model,
                        "right": 100 * float(judged["top1"][mine].mean()),
                        "named": name,
                        "share": 100 * count / images,
                        "distance": float("nan") if features is gold else energy_distance(gold[row], features[row]),
                    }
                )
        print(f"{side}: done", file=sys.stderr, flush=True)
    return pd.DataFrame(rows)


def sheet(
    pipe, probe, concepts: ConceptSet, words: list[str], models: Mapping[str, Eraser | None], images: int
) -> Image.Image:
    """Same seeds, one row of pictures a model."""
    side, asked = 64, [concepts[word] for word in words]
    paper = Image.new("RGB", (side * images * len(words), side * len(models)), "white")
    for row, eraser in enumerate(models.values()):
        _, pictures = draw_and_judge(pipe, probe, concepts, asked, images, eraser)
        for column, picture in enumerate(pictures):
            paper.paste(picture, (column * side, row * side))
    return paper


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, help="the folder of the training")
    parser.add_argument("concept")
    parser.add_argument("--table", type=Path, default=CONCEPTS_CSV, help="the concepts that both were trained on")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sheet", type=Path)
    args = parser.parse_args()
    pipe, probe = load_pipeline("emoji"), load_probe("emoji")
    concepts = ConceptSet.read(args.table, TEMPLATES["emoji"])
    pipe.unet.load_state_dict(load_unet(args.work / "unet.safetensors").state_dict())
    models: dict[str, Eraser | None] = {
        "never saw it": reference(pipe, args.work / f"unet-without-{args.concept}.safetensors"),
        "original": None,
    }
    for method in args.methods:
        last, models[method] = finished(erase_by(pipe, method, args.concept, concepts, preview_every=0))
        print(f"{method}: erased to {last.top_targets(3)}", file=sys.stderr, flush=True)
    table = compare(pipe, probe, concepts, args.concept, models)
    table.round(3).to_csv(args.out, index=False)
    if args.sheet:
        near, _ = near_and_far(rank_others(pipe, concepts, concepts[args.concept]))
        sheet(pipe, probe, concepts, [args.concept, *near[:5]], models, 3).save(args.sheet)
    means = table.groupby(["side", "model"], sort=False)[["right", "distance"]].mean().unstack("side")
    print(means.round(2).to_string())
    print(table[table["side"] == "erased"].drop(columns="side").to_string(index=False))
    changed = table[(table["model"] == "original") & (table["side"] != "erased")]
    print("Most unlike the original in the reference:")
    print(changed.nlargest(10, "distance")[["side", "word", "right", "distance"]].to_string(index=False))


if __name__ == "__main__":
    main()
