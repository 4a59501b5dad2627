"""Side effects: the table of what erasing one concept does to every other, a job an erasure."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd

from age_core.concepts.concept_set import ConceptSet
from age_core.erasure.by_method import erase_by, plan
from age_core.erasure.outcome import finished
from age_core.errors import AgeError
from age_core.files import DEVICE, disk_errors, read_json, replacing, write_json
from age_core.measure.intervals import mean_interval, share_change_interval
from age_core.measure.noise_shift import noise_shift
from age_core.measure.pictures import pair_distance
from age_core.measure.verdicts import draw_and_judge
from age_core.models.eraser import Eraser
from age_core.models.pipelines import load_pipeline
from age_core.models.probes import load_probe
from age_core.study.baseline import Original
from age_core.study.floor import NOT_NEGATIVE, UNEDITED
from age_core.study.labels import key_of_row
from age_core.study.tables import COLUMNS, SideEffects, read_table
from age_core.study.task import MeasureSetup, Task, difference, other_versions

log = logging.getLogger(__name__)
FLOOR_FILE = "floor.parquet"
LONGEST = 150  # characters of a name in a file's name; file systems allow 255


@dataclass(frozen=True)
class Source:
    """How a worker opens a MeasureSetup of its own: names, not objects, so that another process or machine can."""

    model: str = "emoji"
    concepts: str = "emoji"
    watched: str = ""  # the concepts themselves
    probe: str = "emoji"  # "": none
    device: str = "cpu"
    dtype: str = "float32"
    low_memory: bool = False

    def open(self) -> MeasureSetup:
        """Load everything. Raises AgeError on an unknown name."""
        save = self.low_memory
        pipe = load_pipeline(self.model, self.device, self.dtype, gradient_checkpointing=save, offload=save)
        concepts = ConceptSet.load(self.concepts)
        watched = ConceptSet.load(self.watched) if self.watched else concepts
        probe = load_probe(self.probe, self.device) if self.probe else None
        return MeasureSetup(pipe, probe, concepts, watched, self.model)


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
        if name.startswith(".") or DEVICE.fullmatch(f"{name}-"):  # which systems hide, or take for no file
            name = f"%{ord(name[0]):02X}{name[1:]}"
        if len(name) > LONGEST:
            name = f"{name[:LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        return self.folder / f"{name}-{self.seed}.parquet"

    @property
    def done(self) -> bool:
        """Whether it is finished."""
        return self.table.exists()


def side_effect_rows(
    before: pd.DataFrame, after: pd.DataFrame, metric: str, column: str, **labels: object
) -> pd.DataFrame:
    """One row an affected concept: means before and after, delta (positive is damage), 95 % interval.

    `before` and `after` hold the same pictures in the same order, so the interval is of paired differences; nan where
    one picture tells nothing of others. delta is before less after, for a distance after less before.
    """
    rows = []
    for name, group in before.groupby("concept", sort=False):
        first = group[column].to_numpy(float)
        second = after.loc[group.index, column].to_numpy(float)
        lost = second - first if metric == "distance" else first - second
        low, high = share_change_interval(first, second) if metric.startswith("DS") else mean_interval(lost)
        if metric in NOT_NEGATIVE:
            low = max(low, 0.0)
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
    labels = labels | {"model": setup.model, "identity": setup.identity, "erased": erased}
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


def unedited_rows(setup: MeasureSetup, original: Original, task: Task) -> pd.DataFrame:
    """DS between the pictures that `original` keeps and as many on other seeds, of every concept; erased is "".

    It is what a graph whose before and after came from different seeds would take for damage.
    """
    before, _ = original.without("")
    everyone = list(setup.watched)
    after, _ = draw_and_judge(setup.pipe, setup.judge, setup.watched, everyone, task.images, first=task.images)
    labels: dict[str, object] = {"model": setup.model, "identity": setup.identity, "method": UNEDITED}
    labels |= {"target": "", "erased": "", "seed": 0}
    tables = [side_effect_rows(before, after, f"DS-{k}", f"top{k}", **labels) for k in (1, 5)]
    return pd.concat(tables, ignore_index=True)


def keep_floor(setup: MeasureSetup, original: Original, task: Task, folder: Path) -> None:
    """Measure the noise floor of DS into the folder, where the task wants one and its own is not there yet."""
    path, record = folder / FLOOR_FILE, task.record(setup)
    if not task.floor or not {"DS-1", "DS-5"} & set(task.metrics):
        return
    about = path.with_suffix(".json")
    if path.exists() and (not about.exists() or not difference(read_json(about), record)):
        return
    table = unedited_rows(setup, original, task)
    with disk_errors(f"The noise floor in {folder.name!r}"):
        path.unlink(missing_ok=True)  # so that a kill leaves none rather than another's
        write_json(about, record)
        with replacing(path) as temporary:
            table[table["metric"].isin(task.metrics)].to_parquet(temporary, index=False)


def run_job(setup: MeasureSetup, original: Original, task: Task, job: Job) -> None:
    """Erase, measure every concept, and leave table, eraser and provenance in the job's folder."""
    name = job.erased
    changes = dict(task.changes) | {"seed": job.seed}
    target = task.target_of(setup.watched.find(name))
    last, eraser = finished(erase_by(setup.pipe, task.method, name, setup.concepts, task.preset, target, **changes))
    labels = {"method": key_of_row(task.method, task.target), "target": eraser.info["target"], "seed": job.seed}
    table = measure(setup, original, task, eraser, name, **labels)
    with disk_errors(f"The side effects of {name!r}"):
        eraser.save(job.table.with_suffix(".safetensors"))
        probe = task.judge_of(setup)
        judge = {"name": probe.name, "version": probe.version} if probe else None
        facts = {"seconds": round(last.elapsed_s, 2), "options": eraser.info.get("options", {}), "probe": judge}
        write_json(job.table.with_suffix(".json"), task.record(setup) | facts)
        with replacing(job.table) as temporary:
            table.to_parquet(temporary, index=False)


def build_side_effects(
    setup: MeasureSetup, task: Task, erased: Sequence[str], folder: Path, seeds: Sequence[int] = (0,)
) -> Iterator[Job]:
    """Run every job that is not finished yet, one after the other; yields each, finished ones first.

    `parallel.build_in_parallel` does the same with many workers. A restart recomputes nothing. Raises AgeError on bad
    input, and on a folder that holds another task's erasures.
    """
    done, left = check_jobs(setup, task, erased, folder, seeds)
    yield from done
    if not left:
        return
    original = Original.open(setup.pipe, task.judge_of(setup), setup.watched, task.images, folder)
    keep_floor(setup, original, task, folder)
    for job in left:
        run_job(setup, original, task, job)
        yield job


def check_jobs(
    setup: MeasureSetup, task: Task, erased: Sequence[str], folder: Path, seeds: Sequence[int]
) -> tuple[list[Job], list[Job]]:
    """The jobs that are finished and those that are left, before any work. Raises AgeError as above."""
    names = [setup.watched.find(name).name for name in erased]
    for seed in seeds:
        plan(task.method, names, setup.concepts, task.preset, task.target, **dict(task.changes) | {"seed": seed})
    if (probe := task.judge_of(setup)) is not None:
        probe.rows(label for concept in setup.watched for label in concept.labels)
    with disk_errors(f"The folder {folder.name!r}"):
        folder.mkdir(parents=True, exist_ok=True)
    check_folder(setup, task, folder)
    jobs = [Job(name, seed, folder) for seed in dict.fromkeys(seeds) for name in dict.fromkeys(names)]
    return [job for job in jobs if job.done], [job for job in jobs if not job.done]


def check_folder(setup: MeasureSetup, task: Task, folder: Path) -> None:
    """Raise AgeError where a finished erasure in the folder is of another model, or was made or measured otherwise.

    Those that other versions of the libraries computed are told in a warning, and stay.
    """
    record, versions = task.record(setup), dict[str, int]()
    for table in sorted(folder.glob("*.parquet")):
        if table.name == FLOOR_FILE:
            continue
        recorded = read_json(table.with_suffix(".json"))
        other = difference(recorded, record)
        if "setup" not in recorded:  # of an earlier version: of the model there is the name
            name, _ = SideEffects(read_table(table)).model
            other = other or ("" if name == setup.model else f"model ({name}, not {setup.model})")
        if other:
            raise AgeError(
                f"{folder.name!r} holds the erasure {table.stem!r} with another {other}: name another folder."
            )
        if before := other_versions(recorded, record):
            versions[before] = versions.get(before, 0) + 1
    for before, count in versions.items():
        log.warning(
            "%r holds %d that were computed with %s: they stay, and may differ a little from those that are added; "
            "name another folder to have all of one version.",
            folder.name,
            count,
            before,
        )
