"""evaluate and compare: what erasers did, beside the original model."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from age_core.cli.common import (
    Answer,
    Commands,
    add_command,
    add_probe_argument,
    add_strength_argument,
    check_place,
    concepts_of,
    distinct_names,
    edited_model,
    open_edited,
    open_probe,
    path,
    whole,
)
from age_core.erasure.options import EraseOptions
from age_core.erasure.target_words import resolve
from age_core.errors import AgeError
from age_core.files import plain
from age_core.measure.evaluation import evaluate
from age_core.measure.metrics import DEFAULT, METRICS, VERDICTS, needs_probe
from age_core.measure.pairs import same_seed_pairs, save_comparison
from age_core.models.eraser import Eraser
from age_core.runs.run import load_eraser

METRICS_HELP = f"{', '.join([*VERDICTS, *METRICS])}; NAME=SOURCE with weights of your own"


def add_commands(commands: Commands) -> None:
    about = "ESR and PSR of saved erasers beside the original model"
    parser = add_command(commands, "evaluate", run_evaluate, about)
    parser.add_argument("erasers", type=path, nargs="+", help="eraser files or run folders")
    parser.add_argument("--images", type=whole, default=4, help="pictures of each preserved concept")
    parser.add_argument("--others", choices=("near-and-far", "all"), default="near-and-far", help="who is preserved")
    parser.add_argument("--metrics", nargs="+", default=list(DEFAULT), help=METRICS_HELP, metavar="METRIC")
    add_strength_argument(parser, several=True)
    add_probe_argument(parser)
    about = "draw original beside edited from the same seeds, with verdicts"
    parser = add_command(commands, "compare", run_compare, about)
    parser.add_argument("eraser", type=path, help="an eraser file or a run folder")
    parser.add_argument("--names", nargs="*", default=[], help="concepts to draw (the erased ones)")
    parser.add_argument("--prompts", nargs="*", default=[], help="prompts of your own")
    parser.add_argument("--seeds", type=whole, default=2, help="pairs of each prompt")
    parser.add_argument("--seed", type=whole, default=0, help="the first seed")
    parser.add_argument("--out", type=path, required=True, help="folder for grid.png and pairs.json")
    add_strength_argument(parser)
    add_probe_argument(parser)


def at_strengths(erasers: Mapping[str, Eraser], strengths: Sequence[float]) -> dict[str, Eraser]:
    """Each eraser at each strength, which its name then says; without strengths as they are."""
    if not strengths:
        return dict(erasers)
    return {f"{name} at {s:g}": eraser.scaled(s) for name, eraser in erasers.items() for s in strengths}


def run_evaluate(args: argparse.Namespace) -> Answer:
    names = distinct_names(args.erasers, taken="original")  # the row of the model without an eraser
    as_saved = {name: load_eraser(file) for name, file in zip(names, args.erasers, strict=True)}
    erasers = at_strengths(as_saved, args.strength)
    concepts, model = concepts_of(args), edited_model([] if args.model else args.erasers)
    erased = sorted({name for eraser in as_saved.values() for name in eraser.concepts})
    gone = [resolve(concepts, name) for name in erased]
    probe = open_probe(args, model) if needs_probe(args.metrics) else None
    others = "all" if args.others == "all" else None
    pipe = open_edited(args, args.erasers)
    table = evaluate(pipe, probe, concepts, gone, erasers, args.images, others=others, metrics=args.metrics)
    return {"erased": erased, "table": plain(table.to_dict("records"))}, table.round(1).to_string(index=False)


def run_compare(args: argparse.Namespace) -> Answer:
    eraser = load_eraser(args.eraser).scaled(args.strength)
    concepts, model = concepts_of(args), edited_model([args.eraser])
    check_place(args.out, folder=True)
    if args.seeds < 1:
        raise AgeError(f"The number of seeds must be at least 1, not {args.seeds}.")
    for seed in (args.seed, args.seed + args.seeds - 1):
        EraseOptions(seed=seed).check()
    names = [resolve(concepts, name).name for name in args.names] or ([] if args.prompts else list(eraser.concepts))
    rows = [*(concepts.prompt(name) for name in names), *args.prompts]
    prompts = [prompt for prompt in rows for _ in range(args.seeds)]
    seeds = [args.seed + number for _ in rows for number in range(args.seeds)]
    pipe, probe = open_edited(args, [args.eraser]), open_probe(args, model)
    pairs = save_comparison(same_seed_pairs(pipe, eraser, probe, prompts, seeds), args.out)
    lines = [
        f"{pair['prompt']}, seed {pair['seed']}: {pair['original']['label']} -> {pair['edited']['label']}"
        for pair in pairs
    ]
    return {"folder": str(args.out), "pairs": pairs}, "\n".join([*lines, f"drawn in {args.out / 'grid.png'}"])
