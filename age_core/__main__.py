"""Command line over the same functions as the notebook API: erase, evaluate, graph."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from age_core import AgeError, ConceptSet, EraseOptions, Eraser, Vocabulary, erase, evaluate, load_pipeline, load_probe
from age_core.graph import POOL, build_side_effects, gather
from age_core.options import PRESETS, TARGET_KINDS


def chosen_options(args: argparse.Namespace) -> EraseOptions:
    return EraseOptions.preset(
        args.preset, target=args.target, fixed_target=args.word, seed=args.seed, steps=args.steps, preview_every=0
    )


def run_erase(args: argparse.Namespace) -> None:
    pipe, concepts = load_pipeline(args.model), ConceptSet.load(args.concepts)
    concept = concepts.find(args.concept)
    candidates = Vocabulary(concepts.names).near(pipe, concept.name, POOL, exclude=concept.synonyms)
    event = None
    for event in erase(pipe, concept.name, candidates, chosen_options(args)):
        if event.step:
            top = ", ".join(f"{name or '(empty)'} {share:.0%}" for name, share in event.top_targets(3))
            print(
                f"\rstep {event.step}/{event.steps}  {event.remaining_s:4.0f} s left  {top:60.60}", end="", flush=True
            )
    print()
    if event is not None and event.eraser is not None:
        print(f"saved {event.eraser.save(args.out)} after {event.elapsed_s:.0f} s")


def run_evaluate(args: argparse.Namespace) -> None:
    pipe, concepts, probe = load_pipeline(args.model), ConceptSet.load(args.concepts), load_probe(args.model)
    erasers = {path.stem: Eraser.load(path) for path in args.erasers}
    erased = sorted({eraser.info["concept"] for eraser in erasers.values()})
    print(evaluate(pipe, probe, concepts, erased, erasers, args.images).round(1).to_string(index=False))


def run_graph(args: argparse.Namespace) -> None:
    pipe, concepts, probe = load_pipeline(args.model), ConceptSet.load(args.concepts), load_probe(args.model)
    erased = [concepts.find(name).name for name in args.erase] or list(concepts.names)
    started = time.monotonic()
    stream = build_side_effects(
        pipe, probe, concepts, erased, chosen_options(args), args.parts, images=args.images, model=args.model
    )
    for done, name in enumerate(stream, 1):
        seconds = time.monotonic() - started
        left = seconds / done * (len(erased) - done)
        print(f"{done}/{len(erased)} {name}, {seconds:.0f} s, about {left:.0f} s left", flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    gather(args.parts).to_parquet(args.out, index=False)


def add_method_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", choices=PRESETS, default="balanced")
    parser.add_argument("--target", choices=TARGET_KINDS, default="adaptive")
    parser.add_argument("--word", default="", help='the word for --target fixed; "" is the empty prompt')
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="updates (the preset's own when left out)")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, or 2 when the input was bad."""
    parser = argparse.ArgumentParser(prog="python -m age_core", description=__doc__)
    parser.add_argument("--model", default="emoji", help="a bundled model, a diffusers folder or a Hub id")
    parser.add_argument("--concepts", default="emoji", help="a bundled concept set")
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("erase", help="erase one concept and save the eraser")
    one.add_argument("concept")
    one.add_argument("--out", type=Path, default=Path("runs/eraser.safetensors"))
    add_method_arguments(one)
    one.set_defaults(run=run_erase)
    judge = commands.add_parser("evaluate", help="ESR and PSR of saved erasers beside the original model")
    judge.add_argument("erasers", type=Path, nargs="+")
    judge.add_argument("--images", type=int, default=4, help="pictures of each preserved concept")
    judge.set_defaults(run=run_evaluate)
    graph = commands.add_parser("graph", help="side effects of many erasures; a restart goes on where it stopped")
    graph.add_argument("--erase", nargs="*", default=[], help="concepts to erase (all when left out)")
    graph.add_argument("--images", type=int, default=4, help="pictures of each concept")
    graph.add_argument("--parts", type=Path, required=True, help="folder for finished erasures")
    graph.add_argument("--out", type=Path, required=True, help="parquet file to write")
    add_method_arguments(graph)
    graph.set_defaults(run=run_graph)
    args = parser.parse_args(arguments)
    try:
        args.run(args)
    except AgeError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
