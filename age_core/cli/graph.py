"""graph and statistics: the side effects of many erasures, and what they say."""

from __future__ import annotations

import argparse

import pandas as pd

from age_core.cli.common import (
    DEFAULT,
    Answer,
    Commands,
    add_command,
    add_method_arguments,
    add_probe_argument,
    changes_of,
    check_place,
    method_of,
    path,
    place_of,
    probe_name,
    progress_bar,
    whole,
)
from age_core.concepts.concept_set import ConceptSet
from age_core.errors import AgeError
from age_core.files import disk_errors, plain
from age_core.models.same_model import same_model
from age_core.study.build import Source
from age_core.study.graph import concept_graph, write_graphml
from age_core.study.labels import label_of
from age_core.study.labels import method_of as method_key
from age_core.study.parallel import BACKENDS, build_in_parallel
from age_core.study.report import side_effect_report
from age_core.study.tables import SideEffects, gather, read_table
from age_core.study.task import METRICS, Task
from age_core.validation import as_source


def add_commands(commands: Commands) -> None:
    about = "side effects of many erasures; a restart goes on where it stopped"
    graph = add_command(commands, "graph", run_graph, about)
    graph.add_argument("--erase", nargs="*", default=[], help="concepts to erase (all watched ones when left out)")
    graph.add_argument("--images", type=whole, default=4, help="pictures of each concept")
    graph.add_argument("--erased-images", type=whole, default=16, help="pictures of the erased concept")
    graph.add_argument("--metrics", nargs="+", default=list(METRICS), help=f"what to measure ({', '.join(METRICS)})")
    graph.add_argument("--seeds", type=whole, nargs="*", default=[], help="erase each concept once for each (--seed)")
    graph.add_argument("--workers", type=whole, default=1, help="erasures at once, each in a process of its own")
    graph.add_argument("--backend", choices=BACKENDS, default="processes")
    graph.add_argument("--scheduler", help="address of the cluster for --backend dask, such as tcp://host:8786")
    graph.add_argument("--devices", nargs="*", default=[], help="one for each worker, in turn, such as cuda:0 cuda:1")
    graph.add_argument("--parts", type=path, required=True, help="folder for finished erasures")
    graph.add_argument("--out", type=path, required=True, help="parquet file to write")
    add_method_arguments(graph)
    about = "what tables of side effects say, beside shuffled labels"
    statistics = add_command(commands, "statistics", run_statistics, about)
    statistics.add_argument("tables", type=path, nargs="+", help="parquet files that `graph` wrote")
    statistics.add_argument("--metric", choices=METRICS, default="noise-shift")
    statistics.add_argument("--methods", nargs="*", default=[], help="keys or labels (all that the tables hold)")
    statistics.add_argument("--nearest", type=whole, default=5, help="how many count as near")
    statistics.add_argument("--graphml", type=path, help="file for the graph of one method, for Gephi or networkx")
    statistics.add_argument("--predict", action="store_true", help="also how well the damage was told before training")
    for parser in (graph, statistics):
        parser.add_argument(
            "--watched", type=as_source, help="a concept set that the damage is measured on (--concepts)"
        )
        add_probe_argument(parser)


def source_of(args: argparse.Namespace, model: str = DEFAULT) -> Source:
    """What a graph is built and read with, by names that a worker can open; of --model, or else `model`."""
    concepts = args.concepts or DEFAULT
    return Source(
        args.model or model,
        concepts,
        args.watched or concepts,
        probe_name(args, model),
        *place_of(args, next(iter(getattr(args, "devices", [])), "cpu")),
        args.low_memory,
    )


def run_graph(args: argparse.Namespace) -> Answer:
    check_place(args.out)
    check_place(args.parts, folder=True)
    source = source_of(args)
    concepts = ConceptSet.load(source.watched)
    erased = list(dict.fromkeys(concepts.find(name).name for name in args.erase or concepts.names))
    method, word = method_of(args)
    changes = {"preview_every": 0} | changes_of(args)
    seeds = list(dict.fromkeys(args.seeds or [changes["seed"]]))
    del changes["seed"]
    task = Task.of(
        method,
        changes,
        preset=args.preset,
        target=word,
        images=args.images,
        erased_images=args.erased_images,
        metrics=tuple(args.metrics),
        floor=True,
    )
    with progress_bar(args, total=len(erased) * len(seeds), unit="erasure") as bar:
        for job in build_in_parallel(
            source, task, erased, args.parts, seeds, args.workers, args.backend, args.scheduler, args.devices
        ):
            bar.update()
            bar.set_postfix_str(job.erased)
    with disk_errors(f"The table {args.out.name!r}"):
        args.out.parent.mkdir(parents=True, exist_ok=True)
        table = gather(args.parts)
        table.to_parquet(args.out, index=False)
    return {"erased": erased, "rows": len(table), "table": str(args.out)}, f"{len(table)} side effects in {args.out}"


def run_statistics(args: argparse.Namespace) -> Answer:
    if args.nearest < 1:
        raise AgeError(f"At least one concept must count as near, not {args.nearest}.")
    check_place(args.graphml)
    tables = [gather(table) if table.is_dir() else read_table(table) for table in args.tables]
    effects = SideEffects(pd.concat(tables, ignore_index=True))
    methods = [method_key(text) for text in args.methods] or effects.methods
    if args.graphml and len(methods) > 1:
        raise AgeError(f"--graphml takes the graph of one method: choose one of {', '.join(methods)} by --methods.")
    model, identity = effects.model
    setup = source_of(args, model).open()
    if identity and not same_model(identity, setup.identity):
        raise AgeError(
            f"These side effects are of the model {model!r} ({identity}), and {setup.model!r} has other weights "
            f"({setup.identity}): name theirs by --model, in its number format (--dtype)."
        )
    document, lines = {}, []
    for method, parts in side_effect_report(setup, effects, args.metric, methods, args.nearest, args.predict).items():
        document[method] = {name: plain(part.to_dict("records")) for name, part in parts.items()}
        lines.append(f"{args.metric} by {label_of(method)}")
        lines += [f"{name}:\n{part.round(3).to_string(index=False)}" for name, part in parts.items()] + [""]
    if args.graphml:
        write_graphml(concept_graph(effects, (methods[0], args.metric), setup.watched), args.graphml)
        lines.append(f"graph in {args.graphml}")
    return {"metric": args.metric, "methods": document}, "\n".join(lines).strip()
