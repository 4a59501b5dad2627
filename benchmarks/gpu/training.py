"""Emoji weights from nothing in three variants, judged as they go; the best comes home in parts, which `join` joins."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save

from age_core import ConceptSet, load_probe
from age_core.assets import ASSETS, MODELS
from age_core.emoji import large_batch
from age_core.emoji.art import STYLES, Art, held_out, read_concept_table
from age_core.emoji.autoencoder import encode_art
from age_core.emoji.bundle import assemble
from age_core.emoji.captions import VARIANTS, CaptionBank, CaptionTable, prepare_text_encoder
from age_core.emoji.denoiser import new_unet
from age_core.emoji.generalisation import general_words, in_styles, pairs_seen_and_unseen
from age_core.errors import AgeError
from age_core.files import replacing
from age_core.measure.verdicts import hits
from age_core.models.probes import Probe
from benchmarks.gpu.bench import LINES, Bench, Figures, rounded
from benchmarks.gpu.pack import ART, PACK, read_art

BATCH, COPIES = 1024, 64
JUDGED_EVERY_S = 30.0
PART = 15_000_000  # bytes of a file that comes home
WEIGHTS = "diffusion_pytorch_model.safetensors"
Table = list[dict[str, str]]


@dataclass(frozen=True)
class Judges:
    """What looks at the pictures of a variant, and what they are asked for."""

    probe: Probe
    style_probe: Probe
    concepts: ConceptSet
    asked: list[str]  # of the concepts
    seen: list[tuple[str, str]]  # (concept, style)
    unseen: list[tuple[str, str]]

    def figures(self, pipe: DiffusionPipeline, images: int) -> Figures:
        """Shares that are right, of concepts, styles, general words and pairs that were never seen; their mean."""
        shown = hits(pipe, self.probe, self.concepts, self.asked, images)
        general = general_words(pipe, self.probe, self.concepts, images)
        shares = {
            "concepts": float(shown["top1"].mean()),
            "styles": float(in_styles(pipe, self.probe, self.style_probe, self.seen, 1)["style"]),
            "general_words": float(np.mean([*general.values()])),
            "unseen_pairs": float(in_styles(pipe, self.probe, self.style_probe, self.unseen, images)["both"]),
        }
        return {**shares, "mean": float(np.mean([*shares.values()]))}


def check(bench: Bench) -> Iterator[Figures]:
    """Every variant for its share of the time; the best by the mean of the four figures is written as unet.0, unet.1, …

    Where the bundled denoiser is not at hand, as on a machine that it was too large for, the best takes its place.
    """
    table, concepts = read_concept_table(ASSETS / "concepts" / "emoji.csv"), ConceptSet.load("emoji")
    if bench.small:
        table = [row for row in table if row["unseen_style"]][:1]
        kin = tuple(replace(concept, group="animal", general="animal") for concept in concepts)
        concepts = replace(concepts, concepts=kin)  # one general word to draw instead of all
    art = made_up_art(table) if bench.small else read_art(PACK / ART)
    vae = AutoencoderKL.from_pretrained(MODELS["emoji"] / "vae").float().eval().to(bench.device)
    tokenizer, encoder = prepare_text_encoder(MODELS["emoji"])
    text = tokenizer, encoder.to(bench.device)
    began = time.perf_counter()
    latents, factor = encode_art(vae, art, 1 if bench.small else COPIES)
    vae.register_to_config(scaling_factor=factor)
    seen = (~held_out(art, table)).nonzero().flatten()
    latents, concept, style = latents.half()[:, seen], art.concept[seen].to(bench.device), art.style[seen]
    yield {"what": "art encoded", "latents": latents.shape[0] * latents.shape[1], "seconds": seconds_since(began)}
    probe, style_probe = (load_probe(name, bench.device) for name in ("emoji", "emoji-styles"))
    judges = Judges(probe, style_probe, concepts, [row["name"] for row in table], *pairs_seen_and_unseen(art, table))
    best, most = None, float("-inf")
    for name in list(VARIANTS)[:1] if bench.small else VARIANTS:
        captions = CaptionTable(CaptionBank(table, *text, VARIANTS[name]), bench.device)
        material = large_batch.Material(latents, concept, style.to(bench.device), captions)
        average = new_unet().to(bench.device)
        pipe = assemble(vae, average, text)
        for figures in trained(bench, name, material, average, pipe, judges):
            yield figures
        if figures["mean"] > most:  # written at once: whatever ends the round, the best so far is there
            best, most = average, figures["mean"]
            yield {"what": "weights", "variant": name, **write_parts(bench.out, average)}
    if best is not None and not (MODELS["emoji"] / "unet" / WEIGHTS).exists():
        best.half().save_pretrained(MODELS["emoji"] / "unet")


def trained(
    bench: Bench,
    name: str,
    material: large_batch.Material,
    average: UNet2DConditionModel,
    pipe: DiffusionPipeline,
    judges: Judges,
) -> Iterator[Figures]:
    """Train one variant for its share of the time, a line each JUDGED_EVERY_S and at the end."""
    batch, images = (2, 1) if bench.small else (BATCH, 2)
    steps = 2 if bench.small else steps_in(bench.train_s / len(VARIANTS), material, batch)
    began = judged = time.perf_counter()
    for step, _, losses in large_batch.train(material, VARIANTS[name], steps, batch, average=average):
        last = step + 1 == steps
        if last or time.perf_counter() - judged > JUDGED_EVERY_S:
            figures = {"what": "variant", "variant": name, "step": step + 1, "steps": steps, **losses}
            figures |= {"pictures": (step + 1) * batch, "seconds": seconds_since(began)}
            yield figures | judges.figures(pipe, images)
            judged = time.perf_counter()


def steps_in(seconds: float, material: large_batch.Material, batch: int) -> int:
    """How many steps fit, by the pace of the second half of forty; judging on the way takes a tenth."""
    times = [time.perf_counter() for _ in large_batch.train(material, VARIANTS["A"], 40, batch, report_every=20)]
    return max(1, int(0.9 * seconds / ((times[1] - times[0]) / 20)))


def seconds_since(began: float) -> float:
    return rounded(time.perf_counter() - began)


def made_up_art(table: Table) -> Art:
    """Noise in the place of every concept's picture in every style, so that a small round goes the whole way."""
    count = len(table) * len(STYLES)
    pictures = torch.randint(256, (1, 3, 8, 8), dtype=torch.uint8).expand(count, -1, -1, -1)
    concept, style = torch.arange(count) // len(STYLES), torch.arange(count) % len(STYLES)
    return Art(pictures, concept, style, tuple(row["name"] for row in table))


def write_parts(out: Path, unet: UNet2DConditionModel) -> Figures:
    """The weights in float16 as files that may come home, and what `join` holds them against."""
    tensors = {name: value.half().cpu().contiguous() for name, value in unet.state_dict().items()}
    whole = save(tensors, metadata={"format": "pt"})
    parts = [whole[start : start + PART] for start in range(0, len(whole), PART)]
    for number, part in enumerate(parts):
        (out / f"unet.{number}").write_bytes(part)
    return {"bytes": len(whole), "parts": len(parts), "sha256": hashlib.sha256(whole).hexdigest()}


def join(folder: Path, target: Path) -> str:
    """Put unet.0, unet.1, … of a round into the place of the denoiser in `target`; says what it did.

    Raises AgeError, and leaves the target as it was, on anything but the weights that the round wrote: another SHA-256,
    other names or shapes than the target's own, a value that is not finite.
    """
    try:
        lines = [json.loads(line) for line in (folder / LINES).read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise AgeError(f"{folder.name!r} holds no lines of a round that can be read: {error}.") from error
    told = [line for line in lines if line.get("check") == "train" and line.get("what") == "weights"]
    if not told:
        raise AgeError(f"The round in {folder.name!r} trained no weights.")
    paths = [folder / f"unet.{number}" for number in range(int(told[-1]["parts"]))]
    if missing := [path.name for path in paths if not path.exists()]:
        raise AgeError(f"{folder.name!r} lacks {', '.join(missing)}.")
    whole = b"".join(path.read_bytes() for path in paths)
    if hashlib.sha256(whole).hexdigest() != told[-1]["sha256"]:
        raise AgeError("The parts are not the weights that the round wrote: their SHA-256 is another.")
    check_weights(whole, target / WEIGHTS)
    with replacing(target / WEIGHTS) as temporary:
        temporary.write_bytes(whole)
    return f"{len(whole) / 1e6:.1f} MB of variant {told[-1]['variant']} are in {target / WEIGHTS}"


def check_weights(whole: bytes, like: Path) -> None:
    """Raise AgeError where the weights are of other names or shapes than a file's, or not finite."""
    try:
        tensors = load(whole)
        with safe_open(like, "pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
    except (OSError, SafetensorError) as error:
        raise AgeError(f"These weights, or those that they replace, cannot be read: {error}.") from error
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    if wrong := sorted({name for name, _ in found.items() ^ shapes.items()}):
        raise AgeError(f"These weights are of another model: {wrong[0]!r} differs in name or shape.")
    for name, value in tensors.items():
        if value.dtype != torch.float16 or not torch.isfinite(value).all():
            raise AgeError(f"These weights cannot be used: {name!r} is not finite, or not in float16.")
