"""Command line over the same functions as the notebook API."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from age_core import AgeError
from age_core.cli import commands as cli
from age_core.erasure.methods import METHODS
from age_core.erasure.options import PRESETS, TARGET_KINDS
from age_core.errors import RunFailed
from age_core.measure.metrics import DEFAULT, VERDICTS
from age_core.measure.metrics import METRICS as PICTURE_METRICS
from age_core.models.pipelines import DTYPES
from age_core.runs.export import KINDS
from age_core.study.build import METRICS
from age_core.study.parallel import BACKENDS

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
METRICS_HELP = f"{', '.join([*VERDICTS, *PICTURE_METRICS])}; NAME=SOURCE with weights of your own"
CODES = "exit codes: 0 done, 1 the work failed (divergence, full disk), 2 bad input, 130 interrupted"


def add_common(parser: argparse.ArgumentParser, top: bool = False) -> None:
    """What every command takes, before its name or after."""

    def add(name: str, default: object, **named: object) -> None:
        parser.add_argument(name, default=default if top else argparse.SUPPRESS, **named)  # type: ignore[arg-type]

    add("--model", None, help="a bundled model, a diffusers folder or a Hub id (emoji)")
    add("--concepts", None, help="a bundled concept set (emoji)")
    add("--device", "cpu", help="where to compute, such as cuda")
    add("--dtype", "float32", choices=DTYPES, help="number format of the weights")
    add("--low-memory", False, action="store_true", help="slower, with less memory on the device")
    add("--json", False, action="store_true", help="print one JSON document instead of text")


def add_method_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--method", choices=METHODS, help="a named method (age; --target chooses among three)")
    parser.add_argument("--preset", choices=PRESETS, default="balanced")
    parser.add_argument("--target", choices=TARGET_KINDS, default="adaptive")
    parser.add_argument("--word", help='the word for --target fixed; "" is the empty prompt')
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="updates (the preset's own when left out)")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="any other option")


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m age_core", description=__doc__, epilog=CODES)
    add_common(parser, top=True)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, about: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=about, description=about, epilog=CODES)
        add_common(made)
        made.set_defaults(run_command=run)
        return made

    one = command("erase", cli.run_erase, "erase concepts in a run folder that can be resumed, and save the eraser")
    one.add_argument("concept", nargs="*", help="names, synonyms or kinds of the concept set")
    one.add_argument("--run", type=Path, help="folder of the run (a new one in runs/ or beside --out)")
    one.add_argument("--resume", action="store_true", help="go on with the run of --run")
    one.add_argument("--out", type=Path, help="where to save the eraser besides the run folder")
    add_method_arguments(one)
    judge = command("evaluate", cli.run_evaluate, "ESR and PSR of saved erasers beside the original model")
    judge.add_argument("erasers", type=Path, nargs="+", help="eraser files or run folders")
    judge.add_argument("--images", type=int, default=4, help="pictures of each preserved concept")
    judge.add_argument("--others", choices=("near-and-far", "all"), default="near-and-far", help="who is preserved")
    judge.add_argument("--metrics", nargs="+", default=list(DEFAULT), help=METRICS_HELP, metavar="METRIC")
    compare = command("compare", cli.run_compare, "draw original beside edited from the same seeds, with verdicts")
    compare.add_argument("eraser", type=Path, help="an eraser file or a run folder")
    compare.add_argument("--names", nargs="*", default=[], help="concepts to draw (the erased ones)")
    compare.add_argument("--prompts", nargs="*", default=[], help="prompts of your own")
    compare.add_argument("--seeds", type=int, default=2, help="pairs of each prompt")
    compare.add_argument("--seed", type=int, default=0, help="the first seed")
    compare.add_argument("--out", type=Path, required=True, help="folder for grid.png and pairs.json")
    leave = command("export", cli.run_export, "write an eraser for other tools, reopened and compared before done")
    leave.add_argument("eraser", type=Path, help="an eraser file or a run folder")
    leave.add_argument("--kind", choices=KINDS, default="pipeline")
    leave.add_argument("--out", type=Path, required=True, help="a folder, or a file for --kind delta; must not exist")
    bundle = command("bundle", cli.run_bundle, "write a run that has ended as one file, to keep or to send")
    bundle.add_argument("run", type=Path, help="the run's folder")
    bundle.add_argument("--out", type=Path, required=True, help="zip file to write; must not exist")
    taken = command("import", cli.run_import, "make a bundle that anyone sent a run folder, after checking all of it")
    taken.add_argument("bundle", type=Path, help="a file that `bundle` wrote")
    taken.add_argument("--root", type=Path, default=Path("runs"), help="folder of the runs (runs)")
    taken.add_argument("--name", default="", help="name of the run's folder (a new one from concept and method)")
    info = command("info", cli.run_info, "describe a model, an eraser, a run or an export")
    info.add_argument("what", nargs="?", help="a name, file, folder or Hub id (the model)")
    graph = command("graph", cli.run_graph, "side effects of many erasures; a restart goes on where it stopped")
    graph.add_argument("--erase", nargs="*", default=[], help="concepts to erase (all watched ones when left out)")
    graph.add_argument("--images", type=int, default=4, help="pictures of each concept")
    graph.add_argument("--erased-images", type=int, default=16, help="pictures of the erased concept")
    graph.add_argument("--metrics", nargs="+", default=list(METRICS), help=f"what to measure ({', '.join(METRICS)})")
    graph.add_argument("--seeds", type=int, nargs="*", default=[], help="erase each concept once for each (--seed)")
    graph.add_argument("--workers", type=int, default=1, help="erasures at once, each in a process of its own")
    graph.add_argument("--backend", choices=BACKENDS, default="processes")
    graph.add_argument("--scheduler", help="address of the cluster for --backend dask, such as tcp://host:8786")
    graph.add_argument("--devices", nargs="*", default=[], help="one for each worker, in turn, such as cuda:0 cuda:1")
    graph.add_argument("--parts", type=Path, required=True, help="folder for finished erasures")
    graph.add_argument("--out", type=Path, required=True, help="parquet file to write")
    add_method_arguments(graph)
    reading = command("statistics", cli.run_statistics, "what tables of side effects say, beside shuffled labels")
    reading.add_argument("tables", type=Path, nargs="+", help="parquet files that `graph` wrote")
    reading.add_argument("--metric", choices=METRICS, default="noise-shift")
    reading.add_argument("--methods", nargs="*", default=[], help="as the tables name them (all that they hold)")
    reading.add_argument("--nearest", type=int, default=5, help="how many count as near")
    reading.add_argument("--predict", action="store_true", help="also how well the damage was told before training")
    for parser_watching in (graph, reading):
        parser_watching.add_argument("--watched", help="a concept set that the damage is measured on (--concepts)")
    for parser_with_probe in (judge, compare, graph, reading):
        parser_with_probe.add_argument("--probe", help="an image classifier that judges (the model's own)")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code (`CODES`)."""
    args = make_parser().parse_args(arguments)
    try:
        document, text = args.run_command(args)
    except (AgeError, KeyboardInterrupt) as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        code = INTERRUPTED if interrupted else FAILED if isinstance(error, RunFailed) else BAD_INPUT
        document, text = {"error": str(error) or "Interrupted."}, ""
        print(document["error"], file=sys.stderr)
    else:
        code = OK
    if args.json:
        print(json.dumps(document, ensure_ascii=False, allow_nan=False, default=str))
    elif text:
        print(text)
    return code


def quiet() -> None:
    """The libraries' bars and remarks would run through ours."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.disable_progress_bar()
        logging.set_verbosity_error()


if __name__ == "__main__":
    quiet()
    sys.exit(main())
