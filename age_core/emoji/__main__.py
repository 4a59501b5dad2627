"""Command line: rebuild each part of the emoji world from nothing. Every part resumes after a kill."""

from __future__ import annotations

import argparse
from pathlib import Path

from diffusers import AutoencoderKL, UNet2DConditionModel

from age_core.emoji import art as art_module
from age_core.emoji.training import log_progress

ASSETS = Path(__file__).parents[2] / "assets"
CONCEPTS_CSV = ASSETS / "concepts" / "emoji.csv"
BUNDLE = ASSETS / "emoji-sd"
LATENT_COPIES = 6


def build_art(args: argparse.Namespace) -> None:
    icons = args.work / "icons"
    art_module.fetch_icons(icons)
    art = art_module.render_all(icons, art_module.read_concept_table(args.table))
    art.save(args.work / "art.safetensors")
    print(f"{len(art.pictures)} pictures of {len(art.concepts)} concepts in {len(art_module.STYLES)} styles")


def build_vae(args: argparse.Namespace) -> None:
    from age_core.emoji.autoencoder import train_autoencoder

    art = art_module.Art.load(args.work / "art.safetensors")
    steps = train_autoencoder(art, args.work / "vae.safetensors", args.steps or 11_000)
    log_progress(args.work / "vae.jsonl", steps, every=200)


def _autoencoder(args: argparse.Namespace) -> AutoencoderKL:
    """The autoencoder of the work folder, or the bundled one."""
    from age_core.emoji.autoencoder import load_autoencoder

    if args.from_bundle:
        return AutoencoderKL.from_pretrained(BUNDLE / "vae").float().eval()
    return load_autoencoder(args.work / "vae.safetensors")


def build_probe(args: argparse.Namespace, part: str = "probe") -> None:
    from age_core.emoji.probe_training import train_probe, with_reconstructions

    art = with_reconstructions(art_module.Art.load(args.work / "art.safetensors"), _autoencoder(args))
    stream = train_probe(art, args.work / f"{part}.safetensors", args.steps or 2500, of_style=part == "style-probe")
    log_progress(args.work / f"{part}.jsonl", stream)


def build_style_probe(args: argparse.Namespace) -> None:
    build_probe(args, "style-probe")


def build_unet(args: argparse.Namespace) -> None:
    from age_core.emoji.autoencoder import encode_art
    from age_core.emoji.captions import CaptionBank, prepare_text_encoder
    from age_core.emoji.denoiser import UNET_STEPS, train_unet

    art = art_module.Art.load(args.work / "art.safetensors")
    start = UNet2DConditionModel.from_pretrained(BUNDLE / "unet") if args.from_bundle else None
    print("encoding the art and its captions", flush=True)
    latents, _ = encode_art(_autoencoder(args), art, LATENT_COPIES)
    text = prepare_text_encoder(BUNDLE if args.from_bundle else args.work / "text")
    bank = CaptionBank(art_module.read_concept_table(args.table), *text)
    steps = args.steps or UNET_STEPS
    stream = train_unet(latents, art.concept, art.style, bank, args.work / "unet.safetensors", steps, start=start)
    log_progress(args.work / "unet.jsonl", stream)


def build_bundle(args: argparse.Namespace) -> None:
    from age_core.emoji.bundle import write_pipeline, write_probe
    from age_core.emoji.probe_training import STYLE_NAMES

    art = art_module.Art.load(args.work / "art.safetensors")
    write_probe(args.work / "style-probe.safetensors", STYLE_NAMES, ASSETS / "emoji-style-probe")
    write_probe(args.work / "probe.safetensors", art.concepts, ASSETS / "emoji-probe")
    write_pipeline(args.work, art, LATENT_COPIES, BUNDLE)


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
    parser.add_argument("--from-bundle", action="store_true", help="start from the weights in assets/")
    args = parser.parse_args()
    for part in PARTS if args.part == "all" else [args.part]:
        print(f"== {part}", flush=True)
        PARTS[part](args)


if __name__ == "__main__":
    main()
