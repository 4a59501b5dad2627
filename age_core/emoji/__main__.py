"""Command line: rebuild each part of the emoji world from nothing. Every part resumes after a kill."""

from __future__ import annotations

import argparse
from pathlib import Path

from age_core.emoji import art as art_module
from age_core.emoji.training import log_progress

ASSETS = Path(__file__).parents[2] / "assets"
CONCEPTS_CSV = ASSETS / "concepts" / "emoji.csv"
LATENT_COPIES = 6


def build_art(args: argparse.Namespace) -> None:
    icons = args.work / "icons"
    art_module.fetch_icons(icons)
    art = art_module.render_all(icons, art_module.read_concept_table(CONCEPTS_CSV))
    art.save(args.work / "art.safetensors")
    print(f"{len(art.pictures)} pictures of {len(art.concepts)} concepts in {len(art_module.STYLES)} styles")


def build_vae(args: argparse.Namespace) -> None:
    from age_core.emoji.autoencoder import train_autoencoder

    art = art_module.Art.load(args.work / "art.safetensors")
    steps = train_autoencoder(art, args.work / "vae.safetensors", args.steps or 11_000)
    log_progress(args.work / "vae.jsonl", steps, every=200)


def build_probe(args: argparse.Namespace) -> None:
    from age_core.emoji.autoencoder import load_autoencoder
    from age_core.emoji.probe_training import train_probe

    art = art_module.Art.load(args.work / "art.safetensors")
    vae = load_autoencoder(args.work / "vae.safetensors")
    log_progress(args.work / "probe.jsonl", train_probe(art, vae, args.work / "probe.safetensors", args.steps or 1500))


def build_unet(args: argparse.Namespace) -> None:
    from diffusers import AutoencoderKL, UNet2DConditionModel

    from age_core.emoji.autoencoder import encode_art, load_autoencoder
    from age_core.emoji.captions import CaptionBank, prepare_text_encoder
    from age_core.emoji.denoiser import UNET_STEPS, train_unet

    art = art_module.Art.load(args.work / "art.safetensors")
    bundle = ASSETS / "emoji-sd"
    if args.from_bundle:
        vae, start = (
            AutoencoderKL.from_pretrained(bundle / "vae"),
            UNet2DConditionModel.from_pretrained(bundle / "unet"),
        )
        vae = vae.float().eval()
    else:
        vae, start = load_autoencoder(args.work / "vae.safetensors"), None
    print("encoding the art and its captions", flush=True)
    latents, _ = encode_art(vae, art, LATENT_COPIES)
    text = prepare_text_encoder(bundle if args.from_bundle else args.work / "text")
    bank = CaptionBank(art_module.read_concept_table(CONCEPTS_CSV), *text)
    steps = args.steps or UNET_STEPS
    stream = train_unet(latents, art.concept, art.style, bank, args.work / "unet.safetensors", steps, start=start)
    log_progress(args.work / "unet.jsonl", stream)


def build_bundle(args: argparse.Namespace) -> None:
    from age_core.emoji.bundle import write_pipeline, write_probe

    art = art_module.Art.load(args.work / "art.safetensors")
    write_probe(args.work, art, ASSETS / "emoji-probe")
    write_pipeline(args.work, art, LATENT_COPIES, ASSETS / "emoji-sd")


def build_report(args: argparse.Namespace) -> None:
    from age_core.emoji.report import measure

    table = art_module.read_concept_table(CONCEPTS_CSV)
    path = ASSETS / "emoji-sd" / "report.json"
    print(measure(args.work, table, images=8, loso_steps=args.steps or 400, path=path))


PARTS = {
    "art": build_art,
    "vae": build_vae,
    "probe": build_probe,
    "unet": build_unet,
    "bundle": build_bundle,
    "report": build_report,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m age_core.emoji", description=__doc__)
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--work", type=Path, default=Path("build/emoji"), help="folder for art and checkpoints")
    parser.add_argument("--steps", type=int, default=0, help="updates in all (0: the part's own default)")
    parser.add_argument("--from-bundle", action="store_true", help="unet: start from the weights in assets/")
    args = parser.parse_args()
    for part in PARTS if args.part == "all" else [args.part]:
        print(f"== {part}", flush=True)
        PARTS[part](args)


if __name__ == "__main__":
    main()
