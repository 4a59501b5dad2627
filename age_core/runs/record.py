"""Start and resume runs: a named method, a run folder, and the events between them."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from age_core.concepts.concept_set import ConceptSet, vocabulary_hash
from age_core.erasure.by_method import Request, carry_out, plan
from age_core.erasure.events import EraseEvent
from age_core.files import disk_errors, plain, write_json
from age_core.models.families import device_of, dtype_of, editable, family_of
from age_core.models.identity import model_identity
from age_core.models.pipelines import DTYPES
from age_core.runs.config import RunConfig
from age_core.runs.run import Run
from age_core.versions import library_versions

CHECKPOINTS = 10  # in a run, unless asked otherwise: a kill then costs a tenth of the work


def make_config(
    pipe: DiffusionPipeline, request: Request, concepts: ConceptSet, model: str = "", identity: str = ""
) -> RunConfig:
    """Everything that carrying out a request depends on. `identity`: that of the model, where it is known already."""
    trained = editable(pipe).trained(pipe, request.options.train)
    return RunConfig(
        method=request.method,
        concepts=tuple(concept.name for concept in request.concepts),
        options=plain(asdict(request.options)),
        request=plain(request.arguments),
        seed=request.options.seed,
        vocabulary=vocabulary_hash(concepts),
        world=concepts.name,
        model=model,
        model_class=type(pipe).__name__,
        model_identity=identity or model_identity(pipe),
        trained_parameters=sum(weight.numel() for weight in trained.values()),
        versions={"python": platform.python_version()} | library_versions(),
        machine=_machine(pipe),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _machine(pipe: DiffusionPipeline) -> dict[str, str]:
    """Where a run computes and how: what another eraser's last bits may come from."""
    device, denoiser = device_of(pipe), family_of(pipe).denoiser(pipe)
    facts = {
        "device": str(device),
        "dtype": str(dtype_of(pipe)).removeprefix("torch."),
        "low_memory": "yes" if getattr(denoiser, "is_gradient_checkpointing", False) else "no",
        "threads": str(torch.get_num_threads()),
    }
    if device.type == "cuda":
        facts["card"] = torch.cuda.get_device_name(device)
        facts["tf32"] = "yes" if torch.backends.cuda.matmul.allow_tf32 else "no"
        facts["cublas_workspace"] = os.environ.get("CUBLAS_WORKSPACE_CONFIG", "")
    return facts


@dataclass(frozen=True)
class Place:
    """Where a run was begun, as far as it says so in words of ours: it may come from anywhere. "": it does not say."""

    device: str
    dtype: str
    low_memory: bool

    @staticmethod
    def of(run: Run) -> Place:
        machine = run.config.machine
        device, dtype = machine.get("device", ""), machine.get("dtype", "float32")  # earlier versions' default
        return Place(
            device if re.fullmatch(r"cpu|mps|cuda(:[0-9]{1,2})?", device) else "",
            dtype if dtype in DTYPES else "float32",
            machine.get("low_memory") == "yes",
        )


def start_run(
    pipe: DiffusionPipeline,
    root: str | Path,
    method: str,
    names: str | Sequence[str],
    concepts: ConceptSet,
    model: str = "",
    name: str = "",
    identity: str = "",
    **arguments: Any,
) -> tuple[Run, Generator[EraseEvent, None, None]]:
    """Make a run folder in `root` and the recorded events of `erase_by`; bad input raises AgeError and leaves none.

    `arguments` as for `erase_by`. `identity`: what `model_identity` says of the pipeline, where it is known already.
    """
    return start_planned(pipe, root, plan(method, names, concepts, **arguments), concepts, model, name, identity)


def start_planned(
    pipe: DiffusionPipeline,
    root: str | Path,
    request: Request,
    concepts: ConceptSet,
    model: str = "",
    name: str = "",
    identity: str = "",
) -> tuple[Run, Generator[EraseEvent, None, None]]:
    """The same of a request that is planned already."""
    request = _with_checkpoints(request)
    config = make_config(pipe, request, concepts, model, identity)
    events = carry_out(pipe, request, concepts)
    run = Run.create(root, config, name)
    return run, run.record(events)


def _with_checkpoints(request: Request) -> Request:
    """A request that says how often the run's state is kept."""
    if "checkpoint_every" in request.arguments:
        return request
    every = max(1, request.options.steps // CHECKPOINTS)
    options = replace(request.options, checkpoint_every=every)
    return replace(request, options=options, arguments={**request.arguments, "checkpoint_every": every})


def moved(run: Run, pipe: DiffusionPipeline) -> Run:
    """The run, which says from now on that it computes where `pipe` is; no other process may be recording it."""
    machine = _machine(pipe)
    if machine == run.config.machine:
        return run
    moved = replace(run, config=replace(run.config, machine=machine))
    with disk_errors(f"The run {run.path.name!r}"), run.alone():
        write_json(run.path / "config.json", asdict(moved.config))
    return moved


def resume_run(pipe: DiffusionPipeline, run: Run, concepts: ConceptSet) -> Generator[EraseEvent, None, None]:
    """The events of a stopped run from its last checkpoint, or from its start, to the same bits as uninterrupted.

    Sums in another order end in other last bits, so torch uses the run's own number of CPU threads between the first
    event and the last; the device must be the run's own (`run.config.machine`). Raises AgeError when the model or the
    vocabulary is another, or the run is finished.
    """
    request = plan(run.config.method, run.config.concepts, concepts, **{**run.config.request, **run.config.planned()})
    state = run.resume_state(make_config(pipe, request, concepts, run.config.model))
    events = carry_out(pipe, request, concepts, state)
    threads = run.config.machine.get("threads", "")
    usable = threads.isdecimal() and 0 < int(threads) < 1000  # the folder may come from anywhere
    return run.record(_on_threads(int(threads), events) if usable else events, state)


def _on_threads(count: int, events: Iterator[EraseEvent]) -> Iterator[EraseEvent]:
    mine = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield from events
    finally:
        torch.set_num_threads(mine)
