"""export, bundle and import: runs and erasers on their way to elsewhere, and from there."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from age_core.cli.common import (
    Answer,
    Commands,
    add_command,
    add_strength_argument,
    check_place,
    open_edited,
    path,
)
from age_core.runs.bundle import export_bundle, import_bundle
from age_core.runs.export import KINDS, PRECISIONS, RANK, USES, export_eraser, summary
from age_core.runs.run import Run, load_eraser


def add_commands(commands: Commands) -> None:
    about = "write an eraser for other tools, reopened and compared before done"
    parser = add_command(commands, "export", run_export, about)
    parser.add_argument("eraser", type=path, help="an eraser file or a run folder")
    uses = "; ".join(f"{kind}: {use}" for kind, use in USES.items())
    parser.add_argument("--kind", choices=KINDS, default="pipeline", help=uses.replace("`", ""))
    parser.add_argument("--out", type=path, required=True, help="the folder or file to write; must not exist")
    parser.add_argument(
        "--rank", default=RANK, help=f"of --kind lora, where the change was not trained as one ({RANK})"
    )
    parser.add_argument(
        "--precision", choices=PRECISIONS, help="of lora, whole (both float16) and single-file (as the model is)"
    )
    add_strength_argument(parser)
    about = "write a run that has ended as one file, to keep or to send"
    parser = add_command(commands, "bundle", run_bundle, about)
    parser.add_argument("run", type=path, help="the run's folder")
    parser.add_argument("--out", type=path, required=True, help="zip file to write; must not exist")
    about = "make a bundle that anyone sent a run folder, after checking all of it"
    parser = add_command(commands, "import", run_import, about)
    parser.add_argument("bundle", type=path, help="a file that `bundle` wrote")
    parser.add_argument("--root", type=path, default=Path("runs"), help="folder of the runs (runs)")
    parser.add_argument("--name", default="", help="name of the run's folder (a new one from concept and method)")


def run_export(args: argparse.Namespace) -> Answer:
    eraser = load_eraser(args.eraser).scaled(args.strength)
    pipe = open_edited(args, [args.eraser])
    export = export_eraser(pipe, eraser, args.out, args.kind, args.rank, args.precision)
    return asdict(export) | {"path": str(export.path)}, summary(export)


def run_bundle(args: argparse.Namespace) -> Answer:
    out = export_bundle(Run.open(args.run), args.out)
    return {"run": str(args.run), "bundle": str(out), "bytes": out.stat().st_size}, f"bundled {args.run} in {out}"


def run_import(args: argparse.Namespace) -> Answer:
    check_place(args.root, folder=True)
    run = import_bundle(args.bundle, args.root, args.name)
    document = {"run": str(run.path), "status": run.status, "config": asdict(run.config)}
    return document, f"imported {args.bundle} as {run.path}, {run.status}"
