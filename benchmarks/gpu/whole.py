"""Checks 9 and 10: an erasure and a graph's job from end to end, by phases; and graphs by several workers on a card."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from transformers import ConvNextImageProcessor, ResNetConfig, ResNetForImageClassification

from age_core import ConceptSet, start_run
from age_core.assets import ASSETS
from age_core.models.identity import model_identity
from age_core.models.probes import Probe
from age_core.study.build import MeasureSetup, Source, Task, build_side_effects
from age_core.study.parallel import build_in_parallel
from age_core.study.tables import gather
from benchmarks.gpu.bench import Bench, Figures, attempt, rounded
from benchmarks.gpu.models import CHEAP, stable_diffusion

CONCEPTS = 24


def whole(bench: Bench) -> Iterator[Figures]:
    pipe = stable_diffusion(bench, "bfloat16")
    everyone = ConceptSet.load("sd-netfive")
    concepts = replace(everyone, concepts=everyone.concepts[::8] if bench.small else everyone.concepts[:CONCEPTS])
    yield attempt({"what": "erasure in a run folder"}, by_phase, bench, pipe, concepts)
    yield attempt({"what": "a graph's job by UCE, with DS"}, job, bench, pipe, concepts)


def by_phase(bench: Bench, pipe: DiffusionPipeline, concepts: ConceptSet) -> Figures:
    """Seconds of hashing the weights, looking ahead, drawing samples, and the loop; of a step with a checkpoint."""
    began = time.perf_counter()
    identity = model_identity(pipe)
    seconds = {"hashing_s": time.perf_counter() - began}
    options: dict[str, Any] = {"preview_every": 0} | ({"steps": 3, "batch": 1, "grid": 4} if bench.small else {})
    options |= CHEAP | {"pool": 2} if bench.small else {}
    name = concepts.names[0]
    _, events = start_run(pipe, bench.folder / "runs", "age", name, concepts, identity=identity, **options)
    steps: dict[str, list[float]] = {"plain": [], "kept": []}
    before = time.perf_counter()
    for event in events:
        now = time.perf_counter()
        if event.step:
            steps["kept" if event.state is not None else "plain"].append(now - before)
        else:
            phase = "looking_ahead_s" if event.note.startswith("looking") else "drawing_s"
            seconds[phase] = seconds.get(phase, 0.0) + now - before
        before = now
    figures = {name: rounded(value) for name, value in seconds.items()}
    figures |= {f"{kind}_step_s": rounded(sum(times) / max(len(times), 1)) for kind, times in steps.items()}
    return figures | {"loop_s": rounded(sum(map(sum, steps.values())))}


def job(bench: Bench, pipe: DiffusionPipeline, concepts: ConceptSet) -> Figures:
    """One erasure of a graph and its measuring, what the original draws included; seconds by what was busy."""
    probe = random_resnet(bench, concepts)
    images = 1 if bench.small else 4
    task = Task.of("uce", images=images, erased_images=4 * images, metrics=("DS-1",))
    setup = MeasureSetup(pipe, probe, concepts, concepts, "random weights")
    parts = {
        "unet_s": (pipe.unet, "forward"),
        "decoding_s": (pipe.vae, "decode"),
        "to_pil_s": (pipe.image_processor, "postprocess"),
        "probe_reading_s": (probe.processor, "preprocess"),
        "probe_s": (probe.model, "forward"),
    }
    began = time.perf_counter()
    with timed(bench, parts) as seconds:
        list(build_side_effects(setup, task, concepts.names[:1], bench.folder / "graph"))
    total = time.perf_counter() - began
    figures = {name: rounded(value) for name, value in seconds.items()}
    pictures = 2 * (len(concepts) - 1) * images + images + 8 * images
    return figures | {"total_s": rounded(total), "pictures": pictures}


def random_resnet(bench: Bench, concepts: ConceptSet) -> Probe:
    """A ResNet-50 of random weights that has the concepts' labels; tiny in a small round."""
    labels = tuple(dict.fromkeys(label for concept in concepts for label in concept.labels))
    small: dict[str, Any] = {"embedding_size": 8, "hidden_sizes": [8, 8], "depths": [1, 1], "layer_type": "basic"}
    config = ResNetConfig(num_labels=len(labels), **(small if bench.small else {}))
    model = ResNetForImageClassification(config).eval().to(bench.device)
    return Probe(model, labels, ConvNextImageProcessor(), "random", "0")


@contextmanager
def timed(bench: Bench, parts: Mapping[str, tuple[Any, str]]) -> Iterator[dict[str, float]]:
    """Seconds inside some methods while it is open, the device's included; (owner, method) by name."""
    seconds = dict.fromkeys(parts, 0.0)

    def watched(name: str, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        bench.wait()
        began = time.perf_counter()
        answer = method(*arguments, **named)
        bench.wait()
        seconds[name] += time.perf_counter() - began
        return answer

    try:
        for name, (owner, method) in parts.items():
            setattr(owner, method, partial(watched, name, getattr(owner, method)))
        yield seconds
    finally:
        for owner, method in parts.values():
            owner.__dict__.pop(method, None)  # the class's own is seen again


def workers(bench: Bench) -> Iterator[Figures]:
    """The same graph of the emoji world by one, two and four processes on one device."""
    path = bench.folder / "first.csv"
    with (ASSETS / "concepts" / "emoji.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[: 3 if bench.small else CONCEPTS]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    source = Source(concepts=str(path), device=bench.device)
    names = [row["name"] for row in rows][: 1 if bench.small else CONCEPTS]
    for count in (1,) if bench.small else (1, 2, 4):
        yield attempt({"workers": count}, graph, bench, source, names, count)
        bench.free_memory()


def graph(bench: Bench, source: Source, names: list[str], count: int) -> Figures:
    """Seconds an erasure, the first not counted; how far the table is from one worker's; what the parent holds."""
    task = Task.of("uce", images=1 if bench.small else 2, metrics=("noise-shift",))
    folder = bench.folder / f"workers-{count}"
    times = [
        time.perf_counter()
        for _ in build_in_parallel(source, task, names, folder, workers=count, devices=(bench.device,))
    ]
    held = torch.cuda.memory_reserved() / 2**30 if bench.cuda else 0.0
    keys = ["erased", "affected"]
    tables = [gather(place).sort_values(keys) for place in (bench.folder / "workers-1", folder)]
    difference = np.abs(tables[0]["delta"].to_numpy() - tables[1]["delta"].to_numpy()).max()
    each = (times[-1] - times[0]) / max(len(times) - 1, 1)
    return {"seconds_an_erasure": rounded(each), "largest_difference": float(difference), "parent_gib": rounded(held)}
