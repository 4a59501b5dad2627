"""Side effects: the table of what erasing one concept does to every other, a job an erasure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from diffusers import DiffusionPipeline

from age_core.concepts.concept_set import Concept, ConceptSet
from age_core.erasure.by_method import erase_by, plan
from age_core.erasure.methods import find_method, method_label
from age_core.erasure.outcome import finished
from age_core.errors import AgeError
from age_core.files import disk_errors, plain, read_json, replacing, write_json
from age_core.measure.intervals import bootstrap
from age_core.measure.noise_shift import noise_shift
from age_core.measure.pictures import pair_distance
from age_core.measure.verdicts import draw_and_judge
from age_core.models.eraser import Eraser
from age_core.models.pipelines import load_pipeline
from age_core.models.probes import Probe, load_probe
from age_core.study.baseline import Original
from age_core.study.tables import COLUMNS

METRICS = ("DS-1", "DS-5", "distance", "noise-shift")
LONGEST = 150  # characters of a name in a file's name; file systems allow 255


@dataclass(frozen=True)
class MeasureSetup:
    """What erasures are made and measured with. Candidates come from `world`, damage is measured on `watched`.

    Noise shift needs no probe; every other metric does.
    """

    pipe: DiffusionPipeline
    probe: Probe | None
    concepts: ConceptSet
    watched: ConceptSet
    model: str = "emoji"

    @property
    def judge(self) -> Probe:
        """The probe. Raises AgeError where there is none."""
        if self.probe is None:
            raise AgeError("Without a probe only noise-shift can be measured: name a probe, or that metric alone.")
        return self.probe


@dataclass(frozen=True)
class Source:
    """How a worker opens a Bench of its own: names, not objects, so that another process or machine can."""

    model: str = "emoji"
    concepts: str = "emoji"
    watched: str = ""  # the world itself
    probe: str = "emoji"
    device: str = "cpu"
    dtype: str = "float32"
    low_memory: bool = False

    def open(self) -> MeasureSetup:
        """Load everything. Raises AgeError on an unknown name."""
        save = self.low_memory
        pipe = load_pipeline(
            self.model, self.device, self.dtype, attention_slicing=save, gradient_checkpointing=save, offload=save
        )
        concepts = ConceptSet.load(self.concepts)
        watched = ConceptSet.load(self.watched) if self.watched else concepts
        return MeasureSetup(pipe, load_probe(self.probe, self.device), concepts, watched, self.model)


@dataclass(frozen=True, kw_only=True)
class Task:
    """How every erasure of a graph is made and how finely it is measured."""

    method: str
    preset: str = "balanced"
    target: str | None = None  # a word for methods with a fixed target
    changes: tuple[tuple[str, Any], ...] = ()  # options by hand
    images: int = 4  # of each concept
    erased_images: int = 16  # of the erased one: the diagonal, its erasure
    metrics: tuple[str, ...] = METRICS

    @staticmethod
    def of(method: str, changes: dict[str, Any] | None = None, **fields: Any) -> Task:
        """A task with options as a dictionary. Raises AgeError on unknown metrics and counts below 1."""
        task = Task(method=method, changes=tuple(sorted((changes or {}).items())), **fields)
        unknown = [metric for metric in task.metrics if metric not in METRICS]
        if unknown or not task.metrics:
            raise AgeError(f"There is no metric {(unknown or [''])[0]!r}; choose among {', '.join(METRICS)}.")
        if task.images < 1 or task.erased_images < 1:
            raise AgeError(f"Each concept needs at least one picture, not {min(task.images, task.erased_images)}.")
        return task

    def target_of(self, concept: Concept) -> str | None:
        """The word to erase a concept to: the task's, else the one its set names for the method's kind of target."""
        kind = find_method(self.method).word
        return self.target if self.target is not None else concept.targets.get(kind or "")

    @property
    def drawn(self) -> bool:
        """Whether pictures are drawn and judged: noise shift alone takes none."""
        return bool(set(self.metrics) - {"noise-shift"})

    def judge_of(self, setup: MeasureSetup) -> Probe | None:
        """The probe, where one is needed. Raises AgeError where that one is missing."""
        return setup.judge if self.drawn else None

    def asked(self) -> dict[str, Any]:
        """As it is written beside each erasure, and compared at a restart."""
        fields = ("method", "preset", "target", "images", "erased_images", "metrics")
        return plain({field: getattr(self, field) for field in fields} | {"changes": dict(self.changes)})


@dataclass(frozen=True)
class Job:
    """One erasure, and the files that it leaves in the graph's folder."""

    erased: str
    seed: int
    folder: Path

    @property
    def table(self) -> Path:
        """The parquet file, written last; beside it the eraser and a JSON file. Any name is one file's name."""
        name = quote(self.erased, safe=" ")
        if len(name) > LONGEST:
            name = f"{name[:LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        return self.folder / f"{name}-{self.seed}.parquet"

    def done(self, task: Task) -> bool:
        """Whether it is finished. Raises AgeError where another task left its files."""
        if not self.table.exists():
            return False
        found = read_json(self.table.with_suffix(".json")).get("asked")
        if found != task.asked():
            raise AgeError(f"{self.folder.name!r} holds an erasure of {self.erased!r} by {found}: name another folder.")
        return True


def side_effect_rows(
    before: pd.DataFrame, after: pd.DataFrame, metric: str, column: str, **labels: object
) -> pd.DataFrame:
    """One row an affected concept: means before and after, delta (positive is damage), 95 % interval.

    `before` and `after` hold the same pictures in the same order, so the interval is of paired differences. delta is
    before less after, for a distance after less before.
    """
    rows = []
    for name, group in before.groupby("concept", sort=False):
        first = group[column].to_numpy(float)
        second = after.loc[group.index, column].to_numpy(float)
        lost = second - first if metric == "distance" else first - second
        low, high = bootstrap(lost)
        rows.append(
            labels
            | {"affected": name, "metric": metric, "before": first.mean(), "after": second.mean()}
            | {"delta": float(np.mean(lost)), "low": low, "high": high}
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def measure(
    setup: MeasureSetup, original: Original, task: Task, eraser: Eraser, erased: str, **labels: object
) -> pd.DataFrame:
    """The rows of one eraser by the task's metrics, `labels` on each; `erased` "" where nothing was."""
    pipe, probe, concepts = setup.pipe, task.judge_of(setup), setup.watched
    labels = labels | {"model": setup.model, "erased": erased}
    tables = []
    if probe is not None:
        others, pictures = original.without(erased)
        everyone = [concept for concept in concepts if concept.name != erased]
        kept, drawn = draw_and_judge(pipe, probe, concepts, everyone, task.images, eraser)
        before, after = [others], [kept]
        if erased:  # the diagonal, on more pictures
            for table, one in ((before, None), (after, eraser)):
                table.append(draw_and_judge(pipe, probe, concepts, [concepts[erased]], task.erased_images, one)[0])
        both = pd.concat(before, ignore_index=True), pd.concat(after, ignore_index=True)
        for k in (1, 5):
            if f"DS-{k}" in task.metrics:
                tables.append(side_effect_rows(*both, metric=f"DS-{k}", column=f"top{k}", **labels))
        if "distance" in task.metrics:
            far = kept.assign(distance=pair_distance(probe, pictures, drawn))
            tables.append(side_effect_rows(others.assign(distance=0.0), far, "distance", "distance", **labels))
    if "noise-shift" in task.metrics:
        shift = noise_shift(pipe, original.reference, eraser)
        tables.append(side_effect_rows(shift.assign(kept=1.0), shift, "noise-shift", "kept", **labels))
    return pd.concat(tables, ignore_index=True)


def run_job(setup: MeasureSetup, original: Original, task: Task, job: Job) -> None:
    """Erase, measure every concept, and leave table, eraser and provenance in the job's folder."""
    name = job.erased
    changes = dict(task.changes) | {"seed": job.seed}
    target = task.target_of(setup.watched.find(name))
    last, eraser = finished(erase_by(setup.pipe, task.method, name, setup.concepts, task.preset, target, **changes))
    labels = {"method": method_label(task.method, task.target), "target": eraser.info["target"], "seed": job.seed}
    table = measure(setup, original, task, eraser, name, **labels)
    with disk_errors(f"The side effects of {name!r}"):
        eraser.save(job.table.with_suffix(".safetensors"))
        probe = task.judge_of(setup)
        judge = {"name": probe.name, "version": probe.version} if probe else None
        seconds, options = round(last.elapsed_s, 2), eraser.info.get("options", {})
        write_json(
            job.table.with_suffix(".json"),
            {"asked": task.asked(), "seconds": seconds, "options": options, "probe": judge},
        )
        with replacing(job.table) as temporary:
            table.to_parquet(temporary, index=False)


def build_side_effects(
    setup: MeasureSetup, task: Task, erased: Sequence[str], folder: Path, seeds: Sequence[int] = (0,)
) -> Iterator[Job]:
    """Run every job that is not finished yet, one after the other; yields each, finished ones first.

    `jobs.build_in_parallel` does the same with many workers. A restart recomputes nothing. Raises AgeError on bad
    input, and on a folder that holds another task's erasures.
    """
    done, left = check_jobs(setup, task, erased, folder, seeds)
    yield from done
    if not left:
        return
    original = Original.open(setup.pipe, task.judge_of(setup), setup.watched, task.images, folder)
    for job in left:
        run_job(setup, original, task, job)
        yield job


def check_jobs(
    setup: MeasureSetup, task: Task, erased: Sequence[str], folder: Path, seeds: Sequence[int]
) -> tuple[list[Job], list[Job]]:
    """The jobs that are finished and those that are left, before any work. Raises AgeError as above."""
    names = [setup.watched.find(name).name for name in erased]
    plan(task.method, names, setup.concepts, task.preset, task.target, **dict(task.changes))
    if (probe := task.judge_of(setup)) is not None:
        probe.rows(label for concept in setup.watched for label in concept.labels)
    with disk_errors(f"The folder {folder.name!r}"):
        folder.mkdir(parents=True, exist_ok=True)
    jobs = [Job(name, seed, folder) for seed in seeds for name in dict.fromkeys(names)]
    finished = [job.done(task) for job in jobs]
    return (
        [job for job, done in zip(jobs, finished, strict=True) if done],
        [job for job, done in zip(jobs, finished, strict=True) if not done],
    )
