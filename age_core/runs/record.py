"""Start and resume runs: a named method, a run folder, and the events between them."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from age_core.concepts.concept_set import ConceptSet
from age_core.erasure.by_method import erase_by, plan
from age_core.erasure.events import EraseEvent
from age_core.erasure.target_words import POOL
from age_core.files import plain
from age_core.models.eraser import trained_parameters, weights_hash
from age_core.models.pipelines import device_of
from age_core.runs.config import RunConfig
from age_core.runs.run import Run

CHECKPOINTS = 10  # in a run, unless asked otherwise: a kill then costs a tenth of the work
LIBRARIES = ("torch", "diffusers", "transformers", "safetensors", "numpy")


def model_identity(pipe: DiffusionPipeline) -> str:
    """A hash of the UNet's and the scheduler's configuration and of all weights: equal for equal models; 16 digits.

    Reads every weight, about a second for each 2 GB.
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in (pipe.unet, pipe.scheduler):
        digest.update(repr(sorted((k, str(v)) for k, v in part.config.items() if not k.startswith("_"))).encode())
    for part in (pipe.unet, pipe.text_encoder, getattr(pipe, "text_encoder_2", None), pipe.vae):
        digest.update(weights_hash(part).encode() if part is not None else b"")
    return digest.hexdigest()


def vocabulary_hash(concepts: ConceptSet) -> str:
    """A hash of a concept set's words and of everything it says about them; 16 digits."""
    return hashlib.blake2b(repr(concepts).encode(), digest_size=8).hexdigest()


def make_config(
    pipe: DiffusionPipeline,
    method: str,
    names: str | Sequence[str],
    concepts: ConceptSet,
    model: str = "",
    preset: str = "balanced",
    target: str | None = None,
    pool: int = POOL,
    identity: str = "",
    **changes: Any,
) -> RunConfig:
    """Everything that `erase_by` with these arguments depends on. Raises AgeError on bad ones.

    identity: the pipeline's `model_identity`, where the caller knows it; else all weights are read for it.
    """
    changes = {name: value for name, value in changes.items() if value is not None}
    erased, options = plan(method, names, concepts, preset, target, **changes)
    changes.setdefault("checkpoint_every", max(1, options.steps // CHECKPOINTS))
    options = replace(options, checkpoint_every=changes["checkpoint_every"])
    request = {"preset": preset, "target": target, "pool": pool, **changes}
    trained = trained_parameters(pipe.unet, options.train)
    return RunConfig(
        method=method,
        concepts=tuple(concept.name for concept in erased),
        options=plain(asdict(options)),
        request=plain(request),
        seed=options.seed,
        vocabulary=vocabulary_hash(concepts),
        world=concepts.name,
        model=model,
        model_class=type(pipe).__name__,
        model_identity=identity or model_identity(pipe),
        trained_parameters=sum(weight.numel() for weight in trained.values()),
        versions={"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        machine={"device": str(device_of(pipe)), "threads": str(torch.get_num_threads())},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def start_run(
    pipe: DiffusionPipeline,
    root: str | Path,
    method: str,
    names: str | Sequence[str],
    concepts: ConceptSet,
    model: str = "",
    name: str = "",
    **asked: Any,
) -> tuple[Run, Generator[EraseEvent, None, None]]:
    """Make a run folder in `root` and the recorded events of `erase_by`; bad input raises AgeError and leaves none.

    asked: as for `make_config`.
    """
    config = make_config(pipe, method, names, concepts, model, **asked)
    events = erase_by(pipe, method, config.concepts, concepts, **_typed(config.request))
    run = Run.create(root, config, name)
    return run, run.record(events)


def resume_run(pipe: DiffusionPipeline, run: Run, concepts: ConceptSet) -> Generator[EraseEvent, None, None]:
    """The events of a stopped run from its last checkpoint, or from its start, to the same bits as uninterrupted.

    Sums in another order end in other last bits, so torch uses the run's own number of CPU threads between the first
    event and the last; the device must be the run's own (`run.config.machine`). Raises AgeError when the model or the
    vocabulary is another, or the run is finished.
    """
    asked = _typed(run.config.request)
    config = make_config(pipe, run.config.method, run.config.concepts, concepts, run.config.model, **asked)
    state = run.resume_state(config)
    events = erase_by(pipe, run.config.method, run.config.concepts, concepts, resume=state, **asked)
    threads = run.config.machine.get("threads", "")
    known = threads.isdecimal() and 0 < int(threads) < 1000  # the folder may come from anywhere
    return run.record(_on_threads(int(threads), events) if known else events, state)


def _on_threads(count: int, events: Iterator[EraseEvent]) -> Iterator[EraseEvent]:
    mine = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield from events
    finally:
        torch.set_num_threads(mine)


def _typed(request: Any) -> dict[str, Any]:
    """JSON has no tuples; the options do."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in request.items()}
