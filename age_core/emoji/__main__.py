"""Command line: rebuild each part of the emoji world from nothing. Every part resumes after a kill."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from age_core.assets import ASSETS, MODELS
from age_core.emoji import art as art_module
from age_core.emoji.card import EARLIER, earlier_trainings
from age_core.emoji.training import log_progress

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

    from age_core.emoji.bundle import Text

CONCEPTS_CSV = ASSETS / "concepts" / "emoji.csv"
BUNDLE = MODELS["emoji"]
LATENT_COPIES = 6
VAE_STEPS = 23_000
PROBE_STEPS = {"probe": 2500, "style-probe": 6000}  # styles are told apart by finer strokes


def remember_start(work: Path) -> None:
    """Keep what the bundle's report says of its own training, before these weights replace it."""
    work.mkdir(parents=True, exist_ok=True)
    path = work / EARLIER
    if not path.exists():
        report = json.loads((BUNDLE / "report.json").read_text(encoding="utf-8"))
        path.write_text(json.dumps(earlier_trainings(report)) + "\n", encoding="utf-8")


def build_art(args: argparse.Namespace) -> None:
    icons = args.work / "icons"
    art_module.fetch_icons(icons)
    art = art_module.render_all(icons, art_module.read_concept_table(args.table))
    art.save(args.work / "art.safetensors")
    print(f"{len(art.pictures)} pictures of {len(art.concepts)} concepts in {len(art_module.STYLES)} styles")


def build_vae(args: argparse.Namespace) -> None:
    from diffusers import AutoencoderKL

    from age_core.emoji.autoencoder import train_autoencoder

    art = art_module.Art.load(args.work / "art.safetensors")
    start = AutoencoderKL.from_pretrained(BUNDLE / "vae") if args.from_bundle else None
    steps = train_autoencoder(
        art, args.work / "vae.safetensors", args.steps or VAE_STEPS, start=start, device=args.device
    )
    log_progress(args.work / "vae.jsonl", steps, every=200)


def _autoencoder(args: argparse.Namespace) -> AutoencoderKL:
    """The autoencoder of the work folder; with --from-bundle and none there, the bundled one."""
    from diffusers import AutoencoderKL

    from age_core.emoji.autoencoder import load_autoencoder

    path = args.work / "vae.safetensors"
    if args.from_bundle and not path.exists():
        return AutoencoderKL.from_pretrained(BUNDLE / "vae").float().eval().to(args.device)
    return load_autoencoder(path).to(args.device)


def _text(args: argparse.Namespace) -> Text:
    from age_core.emoji.captions import prepare_text_encoder

    tokenizer, encoder = prepare_text_encoder(BUNDLE if args.from_bundle else args.work / "text")
    return tokenizer, encoder.to(args.device)


def build_probe(args: argparse.Namespace, part: str = "probe") -> None:
    from transformers import ResNetForImageClassification

    from age_core.emoji.probe_training import train_probe, with_reconstructions

    art = with_reconstructions(art_module.Art.load(args.work / "art.safetensors"), _autoencoder(args))
    of_style = part == "style-probe"
    start = None
    if args.from_bundle and of_style:  # the other's labels are this table's concepts, and start anew
        start = ResNetForImageClassification.from_pretrained(ASSETS / "emoji-style-probe")
    path = args.work / f"{part}.safetensors"
    steps = args.steps or PROBE_STEPS[part]
    stream = train_probe(art, path, steps, of_style=of_style, start=start, device=args.device)
    log_progress(args.work / f"{part}.jsonl", stream)


def build_style_probe(args: argparse.Namespace) -> None:
    build_probe(args, "style-probe")


def build_unet(args: argparse.Namespace) -> None:
    from diffusers import UNet2DConditionModel

    from age_core.concepts.concept_set import TEMPLATES, ConceptSet
    from age_core.emoji.autoencoder import encode_art
    from age_core.emoji.bundle import assemble
    from age_core.emoji.captions import CaptionBank
    from age_core.emoji.curve import watched
    from age_core.emoji.denoiser import BATCH, UNET_STEPS, new_unet, train_unet
    from age_core.emoji.probe_training import load_trained_probe
    from age_core.models.probes import Probe, load_probe

    art, table = art_module.Art.load(args.work / "art.safetensors"), art_module.read_concept_table(args.table)
    if args.without and args.without not in art.concepts:
        raise SystemExit(f"--without takes one of the table's concepts, which {args.without!r} is not.")
    which = f"-without-{args.without}" if args.without else ""
    source = args.start or (BUNDLE if args.from_bundle else None)
    start = UNet2DConditionModel.from_pretrained(source / "unet") if source else None
    print("encoding the art and its captions", flush=True)
    vae, text, average = _autoencoder(args), _text(args), new_unet()
    latents, factor = encode_art(vae, art, LATENT_COPIES)
    vae.register_to_config(scaling_factor=factor)
    seen = (~art_module.held_out(art, table)).nonzero().flatten()
    stream = train_unet(
        latents[:, seen],
        art.concept[seen],
        art.style[seen],
        CaptionBank(table, *text),
        args.work / f"unet{which}.safetensors",
        args.steps or UNET_STEPS,
        start=start,
        average=average,
        without=art.concepts.index(args.without) if args.without else None,
        compiled=args.compile,
        device=args.device,
    )
    probe_path = args.work / "probe.safetensors"
    if args.from_bundle and not probe_path.exists():
        probe = load_probe("emoji", args.device)
    else:
        probe = Probe(load_trained_probe(probe_path, art.concepts).to(args.device), art.concepts)
    pipe = assemble(vae, average, text)
    concepts = ConceptSet.read(args.table, TEMPLATES["emoji"])
    curve = args.work / f"curve{which}.jsonl"
    log_progress(args.work / f"unet{which}.jsonl", watched(stream, pipe, probe, concepts, BATCH, 500, curve))


def build_bundle(args: argparse.Namespace) -> None:
    from age_core.emoji.autoencoder import encode_art
    from age_core.emoji.bundle import assemble, write_pipeline, write_probe
    from age_core.emoji.denoiser import load_unet
    from age_core.emoji.probe_training import STYLE_NAMES

    art = art_module.Art.load(args.work / "art.safetensors")
    for part, labels in (("style-probe", STYLE_NAMES), ("probe", art.concepts)):
        path = args.work / f"{part}.safetensors"
        if path.exists() or not args.from_bundle:  # what was not trained again stays as it is
            write_probe(path, labels, ASSETS / f"emoji-{part}")
    vae = _autoencoder(args)
    vae.register_to_config(scaling_factor=encode_art(vae, art, LATENT_COPIES)[1])
    write_pipeline(assemble(vae, load_unet(args.work / "unet.safetensors"), _text(args)), BUNDLE)


def build_report(args: argparse.Namespace) -> None:
    from age_core.emoji.report import measure

    table = art_module.read_concept_table(args.table)
    path = BUNDLE / "report.json"
    print(measure(args.work, table, images=8, loso_steps=args.steps or 400, path=path))


PARTS = {
    "art": build_art,
    "vae": build_vae,
    "probe": build_probe,
    "style-probe": build_style_probe,
    "unet": build_unet,
    "bundle": build_bundle,
    "report": build_report,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m age_core.emoji", description=__doc__)
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--work", type=Path, default=Path("build/emoji"), help="folder for art and checkpoints")
    parser.add_argument("--table", type=Path, default=CONCEPTS_CSV, help="concepts to draw (assets/concepts/emoji.csv)")
    parser.add_argument("--steps", type=int, default=0, help="updates in all (0: the part's own default)")
    parser.add_argument("--without", help="unet: a concept to leave out (the gold reference of its erasure)")
    parser.add_argument("--start", type=Path, help="unet: folder of a pipeline whose denoiser to start from")
    parser.add_argument("--device", default="cpu", help="where vae, probe, style-probe and unet are trained")
    parser.add_argument("--compile", action="store_true", help="unet: compile the training step (needs a C++ compiler)")
    parser.add_argument("--from-bundle", action="store_true", help="start from the weights in assets/")
    args = parser.parse_args()
    if args.from_bundle:
        remember_start(args.work)
    for part in PARTS if args.part == "all" else [args.part]:
        print(f"== {part}", flush=True)
        PARTS[part](args)


if __name__ == "__main__":
    main()
