"""erase: concepts in a run folder that can be resumed."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from age_core.cli.common import (
    DEFAULT,
    Answer,
    Commands,
    add_command,
    add_method_arguments,
    add_probe_argument,
    between,
    changes_of,
    check_place,
    concepts_of,
    method_of,
    open_pipeline,
    open_probe,
    path,
    progress_bar,
)
from age_core.concepts.concept_set import TEMPLATES, Concept, ConceptSet
from age_core.erasure.by_method import plan
from age_core.erasure.events import EraseEvent
from age_core.erasure.target_words import resolve
from age_core.errors import AgeError, RunFailed
from age_core.files import disk_errors
from age_core.measure.strength import MOST_TRIES, STRONGEST_TRIED, AtStrength, Scaling, judge_of, least_strength
from age_core.models.probes import Probe
from age_core.runs.record import Place, resume_run, start_planned
from age_core.runs.run import Run
from age_core.runs.scale import scale_run


class Stopped(KeyboardInterrupt):
    """Ctrl-C, with what the person can do next."""


def add_commands(commands: Commands) -> None:
    about = "erase concepts in a run folder that can be resumed, and save the eraser"
    parser = add_command(commands, "erase", run_erase, about)
    parser.add_argument("concept", nargs="*", help="names, synonyms or kinds of the concept set")
    parser.add_argument("--run", type=path, help="folder of the run (a new one in runs/ or beside --out)")
    parser.add_argument("--resume", action="store_true", help="go on with the run of --run")
    parser.add_argument("--out", type=path, help="where to save the eraser besides the run folder")
    about = f"scale the finished eraser to the least strength, {STRONGEST_TRIED:g} at most, that reaches this ESR-1"
    parser.add_argument("--until", type=between(1, 100, "ESR to reach"), metavar="ESR", help=about)
    add_method_arguments(parser)
    add_probe_argument(parser)


@dataclass(frozen=True)
class Erasure:
    """A run that is about to go on, and what its eraser is judged by where --until is given."""

    pipe: DiffusionPipeline
    concepts: ConceptSet
    run: Run
    events: Generator[EraseEvent, None, None]
    probe: Probe | None


def run_erase(args: argparse.Namespace) -> Answer:
    check_place(args.out)
    erasure = _resume(args) if args.resume else _start(args)
    seconds, run = _train(args, erasure), erasure.run
    scaling = _scale(args, erasure, erasure.probe) if erasure.probe else None
    saved = run.path / "eraser.safetensors"
    if args.out:
        with disk_errors(f"The eraser {args.out.name!r}"):
            saved = run.eraser().save(args.out)
    if scaling and not scaling.reached:
        raise RunFailed(f"The eraser was {scaling}; it is in {str(saved)!r}.")
    document = {"run": str(run.path), "eraser": str(saved), "status": run.status, "seconds": seconds}
    document |= {"config": asdict(run.config), "until": scaling and _record(scaling)}
    text = f"saved {saved} after {seconds:.0f} s; the run is in {run.path}"
    return document, f"{text}; {scaling}" if scaling else text


def _train(args: argparse.Namespace, erasure: Erasure) -> float:
    """Run to the end; the seconds that it took."""
    run, events, last = erasure.run, erasure.events, None
    try:
        with progress_bar(
            args, total=run.config.options["steps"], unit="step", desc=", ".join(run.config.concepts)
        ) as bar:
            for last in events:
                bar.total = last.steps  # more, where the concept is not gone yet
                bar.update(last.step - bar.n if last.step else 0)
                top = ", ".join(f"{name or '(empty)'} {share:.0%}" for name, share in last.top_targets(3))
                bar.set_postfix_str(last.note or top, refresh=False)
    except KeyboardInterrupt:
        events.close()
        raise Stopped(f"Stopped at step {last.step if last else 0}. Go on with: {_again(args, run)}") from None
    return last.elapsed_s if last else 0.0


def _again(args: argparse.Namespace, run: Run) -> str:
    """What goes on with the run to all that was asked for; the run itself knows the rest."""
    command = ["python", "-m", "age_core"]
    command += ["--concepts", args.concepts] if args.concepts and run.config.world not in TEMPLATES else []
    command += ["erase", "--run", str(run.path), "--resume"]
    command += ["--out", str(args.out)] if args.out else []
    command += ["--until", f"{args.until:g}"] if args.until else []
    command += ["--probe", args.probe] if args.until and args.probe else []
    return shlex.join(command)


def _scale(args: argparse.Namespace, erasure: Erasure, probe: Probe) -> Scaling:
    """Find the least strength that --until takes, and keep the run's eraser at it; it is on disk as it was made."""
    run = erasure.run
    erased = [resolve(erasure.concepts, name) for name in run.config.concepts]
    judge = judge_of(erasure.pipe, probe, erasure.concepts, run.eraser(), erased)
    with progress_bar(args, total=MOST_TRIES, unit="strength", desc="least strength") as bar:

        def judge_and_show(strength: float) -> AtStrength:
            at_strength = judge(strength)
            bar.set_postfix_str(str(at_strength), refresh=False)
            bar.update()
            return at_strength

        try:
            scaling = least_strength(judge_and_show, args.until)
        except KeyboardInterrupt:
            raise Stopped(f"Stopped while strengths were tried: the eraser in {run.path} is as it was made.") from None
    scale_run(run, scaling)
    return scaling


def _record(scaling: Scaling) -> dict[str, Any]:
    """What --json says of the search."""
    tries = [asdict(one) for one in scaling.tries]
    return {"goal": scaling.goal, "reached": scaling.reached, **asdict(scaling.chosen), "tries": tries}


def _probe(args: argparse.Namespace, model: str, erased: Sequence[Concept]) -> Probe | None:
    """What --until judges by; None without it. Raises AgeError where there is none, or it lacks an erased concept."""
    if args.until is None:
        return None
    probe = open_probe(args, model)
    for concept in erased:
        probe.rows(concept.labels)
    return probe


def _start(args: argparse.Namespace) -> Erasure:
    if not args.concept:
        raise AgeError("Name a concept to erase, or a run to go on with: --run FOLDER --resume.")
    method, word = method_of(args)
    changes = {"preview_every": 0} | changes_of(args)
    beside = args.out.parent if args.out else Path("runs")
    root, name = (args.run.parent, args.run.name) if args.run else (beside, "")
    pipe, concepts = open_pipeline(args), concepts_of(args)
    model = args.model or DEFAULT
    request = plan(method, args.concept, concepts, args.preset, word, **changes)
    probe = _probe(args, model, request.concepts)
    run, events = start_planned(pipe, root, request, concepts, model, name)
    return Erasure(pipe, concepts, run, events, probe)


def _resume(args: argparse.Namespace) -> Erasure:
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
    model, concepts = run.config.model or DEFAULT, concepts_of(args, run.config.world)
    probe = _probe(args, model, [resolve(concepts, name) for name in run.config.concepts])
    pipe = open_pipeline(args, model)
    return Erasure(pipe, concepts, run, resume_run(pipe, run, concepts), probe)
