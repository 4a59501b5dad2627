"""The commands: each asks the library and returns a document for --json and a text for people."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from diffusers import DiffusionPipeline
from tqdm import tqdm

from age_core.assets import PROBES
from age_core.concepts.concept_set import ConceptSet
from age_core.erasure.events import EraseEvent
from age_core.erasure.options import EraseOptions
from age_core.erasure.target_words import resolve
from age_core.errors import AgeError
from age_core.files import disk_errors, plain
from age_core.measure.evaluation import evaluate
from age_core.measure.metrics import needs_probe
from age_core.measure.pairs import same_seed_pairs, save_comparison
from age_core.models.pipelines import load_pipeline
from age_core.models.probes import Probe, load_probe
from age_core.runs.bundle import export_bundle, import_bundle
from age_core.runs.export import export_eraser
from age_core.runs.info import describe
from age_core.runs.record import resume_run, start_run
from age_core.runs.run import Run, load_eraser
from age_core.study.build import Source, Task
from age_core.study.parallel import build_in_parallel
from age_core.study.report import read
from age_core.study.tables import gather, read_table

Answer = tuple[dict[str, Any], str]
DEFAULT = "emoji"
OF_TARGET = {"adaptive": "age", "fixed": "empty", "random": "random"}  # --target's words as methods


class Stopped(KeyboardInterrupt):
    """Ctrl-C, with what the person can do next."""


def opened(args: argparse.Namespace, model: str = DEFAULT) -> DiffusionPipeline:
    save = args.low_memory
    return load_pipeline(
        args.model or model,
        args.device,
        args.dtype,
        attention_slicing=save,
        gradient_checkpointing=save,
        offload=save,
    )


def concepts_of(args: argparse.Namespace, name: str = DEFAULT) -> ConceptSet:
    return ConceptSet.load(args.concepts or name)


def judge_name(args: argparse.Namespace) -> str:
    """--probe, or the one that belongs to the concepts or the model."""
    return args.probe or (args.concepts if args.concepts in PROBES else args.model or DEFAULT)


def judge(args: argparse.Namespace) -> Probe:
    return load_probe(judge_name(args), device=args.device)


def bar(args: argparse.Namespace, **named: Any) -> Any:
    """A progress bar on stderr: none where nobody watches."""
    return tqdm(disable=args.json or not sys.stderr.isatty(), file=sys.stderr, leave=False, **named)


def asked_changes(args: argparse.Namespace) -> dict[str, Any]:
    """--seed, --steps and every --set, as fields of EraseOptions."""
    changes: dict[str, Any] = {"seed": args.seed, "steps": args.steps}
    for text in args.set:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise AgeError(f"--set takes an option and its value, such as lr=0.001, not {text!r}.")
        changes[name] = _typed(name, value)
    return changes


def asked_method(args: argparse.Namespace) -> tuple[str, str | None]:
    """--method, or --target's word for one, and the target word."""
    return args.method or OF_TARGET[args.target], args.word


def _typed(name: str, text: str) -> Any:
    """A value for an option, of the type that the option has; an unknown option is left to the library to refuse."""
    default = getattr(EraseOptions(), name, text)
    if isinstance(default, str):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(default, tuple) and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if isinstance(default, float) and type(value) in (int, float):
        return float(value)
    if type(value) is not type(default):
        raise AgeError(f"The option {name!r} takes a value such as {json.dumps(default)}, not {text!r}.")
    return value


def run_erase(args: argparse.Namespace) -> Answer:
    if args.resume:
        run, events = _resumed(args)
    else:
        run, events = _started(args)
    last = None
    try:
        with bar(args, total=run.config.options["steps"], unit="step", desc=", ".join(run.config.world)) as shown:
            for last in events:
                shown.update(last.step - shown.n if last.step else 0)
                top = ", ".join(f"{name or '(empty)'} {share:.0%}" for name, share in last.top_targets(3))
                shown.set_postfix_str(last.note or top, refresh=False)
    except KeyboardInterrupt:
        events.close()  # type: ignore[attr-defined]
        again = f"python -m age_core erase --run {str(run.path)!r} --resume"
        raise Stopped(f"Stopped at step {last.step if last else 0}. Go on with: {again}") from None
    saved = run.path / "eraser.safetensors"
    if args.out:
        with disk_errors(f"The eraser {args.out.name!r}"):
            saved = run.eraser().save(args.out)
    seconds = last.elapsed_s if last else 0.0
    document = {"run": str(run.path), "eraser": str(saved), "status": run.status, "seconds": seconds}
    return document | {"config": asdict(run.config)}, f"saved {saved} after {seconds:.0f} s; the run is in {run.path}"


def _started(args: argparse.Namespace) -> tuple[Run, Iterator[EraseEvent]]:
    if not args.concept:
        raise AgeError("Name a concept to erase, or a run to go on with: --run FOLDER --resume.")
    method, word = asked_method(args)
    beside = args.out.parent if args.out else Path("runs")
    root, name = (args.run.parent, args.run.name) if args.run else (beside, "")
    pipe, concepts = opened(args), concepts_of(args)
    return start_run(
        pipe,
        root,
        method,
        args.concept,
        concepts,
        args.model or DEFAULT,
        name,
        preset=args.preset,
        target=word,
        **{"preview_every": 0} | asked_changes(args),
    )


def _resumed(args: argparse.Namespace) -> tuple[Run, Iterator[EraseEvent]]:
    if not args.run or args.concept:
        raise AgeError("--resume takes the run's folder and nothing else: erase --run FOLDER --resume.")
    run = Run.open(args.run)
    return run, resume_run(opened(args, run.config.model or DEFAULT), run, concepts_of(args, run.config.world))


def run_evaluate(args: argparse.Namespace) -> Answer:
    erasers = {path.stem: load_eraser(path) for path in args.erasers}
    concepts = concepts_of(args)
    erased = sorted({name for eraser in erasers.values() for name in eraser.concepts})
    names = [resolve(concepts, name) for name in erased]
    probe = judge(args) if needs_probe(args.metrics) else None
    others = "all" if args.others == "all" else None
    table = evaluate(opened(args), probe, concepts, names, erasers, args.images, others=others, metrics=args.metrics)
    return {"erased": erased, "table": plain(table.to_dict("records"))}, table.round(1).to_string(index=False)


def run_compare(args: argparse.Namespace) -> Answer:
    eraser, concepts = load_eraser(args.eraser), concepts_of(args)
    names = args.names or ([] if args.prompts else list(eraser.concepts))
    wanted = [*(concepts.prompt(name) for name in names), *args.prompts]
    if args.seeds < 1:
        raise AgeError(f"The number of seeds must be at least 1, not {args.seeds}.")
    prompts = [prompt for prompt in wanted for _ in range(args.seeds)]
    seeds = [args.seed + row for _ in wanted for row in range(args.seeds)]
    pairs = save_comparison(same_seed_pairs(opened(args), eraser, judge(args), prompts, seeds), args.out)
    lines = [
        f"{pair['prompt']}, seed {pair['seed']}: {pair['original']['label']} -> {pair['edited']['label']}"
        for pair in pairs
    ]
    return {"folder": str(args.out), "pairs": pairs}, "\n".join([*lines, f"drawn in {args.out / 'grid.png'}"])


def run_export(args: argparse.Namespace) -> Answer:
    done = export_eraser(opened(args), load_eraser(args.eraser), args.out, args.kind)
    text = f"exported {args.out}; opened again, its pictures differ by {done.picture_difference:.2g} levels of 255"
    return asdict(done) | {"path": str(done.path)}, text


def run_bundle(args: argparse.Namespace) -> Answer:
    out = export_bundle(Run.open(args.run), args.out)
    return {"run": str(args.run), "bundle": str(out), "bytes": out.stat().st_size}, f"bundled {args.run} in {out}"


def run_import(args: argparse.Namespace) -> Answer:
    run = import_bundle(args.bundle, args.root, args.name)
    found = {"run": str(run.path), "status": run.status, "config": asdict(run.config)}
    return found, f"imported {args.bundle} as {run.path}, {run.status}"


def run_info(args: argparse.Namespace) -> Answer:
    found = describe(args.what or args.model or DEFAULT, args.device, args.dtype)
    return plain(found), "\n".join(_queues(plain(found)))


def _queues(value: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, item in value.items():
        if isinstance(item, dict) and item:
            lines += [f"{indent}{name}:", *_queues(item, indent + "  ")]
        else:
            number = f"{item:,}" if isinstance(item, int) and not isinstance(item, bool) else item
            lines.append(f"{indent}{name}: {number}")
    return lines


def source_of(args: argparse.Namespace) -> Source:
    """What a graph is built and read with, by names that a worker can open."""
    named = args.concepts or DEFAULT
    return Source(
        args.model or DEFAULT, named, args.watched or named, judge_name(args), args.device, args.dtype, args.low_memory
    )


def run_statistics(args: argparse.Namespace) -> Answer:
    tables = [read_table(path) for path in args.tables]
    table = pd.concat(tables, ignore_index=True)
    setup = source_of(args).open()
    methods = args.methods or list(dict.fromkeys(table["method"]))
    document, lines = {}, []
    for method, parts in read(setup, table, args.metric, methods, args.nearest, args.predict).items():
        document[method] = {name: plain(part.to_dict("records")) for name, part in parts.items()}
        lines += [f"{args.metric} by {method}", *(part.round(3).to_string(index=False) for part in parts.values()), ""]
    return {"metric": args.metric, "methods": document}, "\n".join(lines).strip()


def run_graph(args: argparse.Namespace) -> Answer:
    source = source_of(args)
    concepts = ConceptSet.load(source.watched)
    erased = [concepts.find(name).name for name in args.erase] or list(concepts.names)
    method, word = asked_method(args)
    changes = {"preview_every": 0} | {k: v for k, v in asked_changes(args).items() if k != "seed" and v is not None}
    task = Task.of(
        method,
        changes,
        preset=args.preset,
        target=word,
        images=args.images,
        erased_images=args.erased_images,
        metrics=tuple(args.metrics),
    )
    seeds = args.seeds or [args.seed or 0]
    with bar(args, total=len(erased) * len(seeds), unit="erasure") as shown:
        for job in build_in_parallel(
            source, task, erased, args.parts, seeds, args.workers, args.backend, args.scheduler, args.devices
        ):
            shown.update()
            shown.set_postfix_str(job.erased)
    with disk_errors(f"The table {args.out.name!r}"):
        args.out.parent.mkdir(parents=True, exist_ok=True)
        table = gather(args.parts)
        table.to_parquet(args.out, index=False)
    return {"erased": erased, "rows": len(table), "table": str(args.out)}, f"{len(table)} side effects in {args.out}"
