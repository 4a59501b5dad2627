"""erase: concepts in a run folder that can be resumed."""

from __future__ import annotations

import argparse
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path

import torch

from age_core.cli.common import (
    DEFAULT,
    Answer,
    Commands,
    add_command,
    add_method_arguments,
    changes_of,
    check_place,
    concepts_of,
    method_of,
    open_pipeline,
    path,
    progress_bar,
)
from age_core.concepts.concept_set import TEMPLATES
from age_core.erasure.events import EraseEvent
from age_core.errors import AgeError
from age_core.files import disk_errors
from age_core.runs.record import Place, resume_run, start_run
from age_core.runs.run import Run


class Stopped(KeyboardInterrupt):
    """Ctrl-C, with what the person can do next."""


def add_commands(commands: Commands) -> None:
    about = "erase concepts in a run folder that can be resumed, and save the eraser"
    parser = add_command(commands, "erase", run_erase, about)
    parser.add_argument("concept", nargs="*", help="names, synonyms or kinds of the concept set")
    parser.add_argument("--run", type=path, help="folder of the run (a new one in runs/ or beside --out)")
    parser.add_argument("--resume", action="store_true", help="go on with the run of --run")
    parser.add_argument("--out", type=path, help="where to save the eraser besides the run folder")
    add_method_arguments(parser)


def run_erase(args: argparse.Namespace) -> Answer:
    check_place(args.out)
    run, events = _resume(args) if args.resume else _start(args)
    last = None
    try:
        with progress_bar(
            args, total=run.config.options["steps"], unit="step", desc=", ".join(run.config.concepts)
        ) as bar:
            for last in events:
                bar.update(last.step - bar.n if last.step else 0)
                top = ", ".join(f"{name or '(empty)'} {share:.0%}" for name, share in last.top_targets(3))
                bar.set_postfix_str(last.note or top, refresh=False)
    except KeyboardInterrupt:
        events.close()
        again = f"python -m age_core erase --run {str(run.path)!r} --resume"
        raise Stopped(f"Stopped at step {last.step if last else 0}. Go on with: {again}") from None
    saved = run.path / "eraser.safetensors"
    if args.out:
        with disk_errors(f"The eraser {args.out.name!r}"):
            saved = run.eraser().save(args.out)
    seconds = last.elapsed_s if last else 0.0
    document = {"run": str(run.path), "eraser": str(saved), "status": run.status, "seconds": seconds}
    return document | {"config": asdict(run.config)}, f"saved {saved} after {seconds:.0f} s; the run is in {run.path}"


def _start(args: argparse.Namespace) -> tuple[Run, Generator[EraseEvent, None, None]]:
    if not args.concept:
        raise AgeError("Name a concept to erase, or a run to go on with: --run FOLDER --resume.")
    method, word = method_of(args)
    changes = {"preview_every": 0} | changes_of(args)
    beside = args.out.parent if args.out else Path("runs")
    root, name = (args.run.parent, args.run.name) if args.run else (beside, "")
    pipe, concepts = open_pipeline(args), concepts_of(args)
    model = args.model or DEFAULT
    return start_run(
        pipe, root, method, args.concept, concepts, model, name, preset=args.preset, target=word, **changes
    )


def _resume(args: argparse.Namespace) -> tuple[Run, Generator[EraseEvent, None, None]]:
    if not args.run or args.concept:
        raise AgeError("--resume takes the run's folder and nothing else: erase --run FOLDER --resume.")
    run = Run.open(args.run)
    if not args.concepts and run.config.world not in TEMPLATES:
        raise AgeError(f"The run used concepts of your own, {run.config.world!r}: name their file by --concepts.")
    place = Place.of(run)
    args.device = args.device or place.device or "cpu"
    args.dtype = args.dtype or place.dtype
    args.low_memory = args.low_memory or place.low_memory
    if args.device == place.device and args.device.startswith("cuda") and not torch.cuda.is_available():
        raise AgeError(
            f"The run {run.path.name!r} was begun on {args.device}, which is not here; go on by --device cpu "
            "to an eraser that differs in its last digits."
        )
    return run, resume_run(open_pipeline(args, run.config.model or DEFAULT), run, concepts_of(args, run.config.world))
