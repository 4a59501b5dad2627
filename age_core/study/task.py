"""What side effects are measured with, and how: the setup, and the task that all erasures of a graph share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from diffusers import DiffusionPipeline

from age_core.concepts.concept_set import Concept, ConceptSet, vocabulary_hash
from age_core.erasure.methods import find_method
from age_core.errors import AgeError
from age_core.files import plain
from age_core.models.identity import model_identity
from age_core.models.probes import Probe
from age_core.models.same_model import same_model
from age_core.versions import library_versions

METRICS = ("DS-1", "DS-5", "distance", "noise-shift")


@dataclass(frozen=True)
class MeasureSetup:
    """What erasures are made and measured with. Candidates come from `concepts`, damage is measured on `watched`.

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

    @cached_property
    def identity(self) -> str:
        """What `model_identity` says of the model. It reads every weight, and so is asked once."""
        return model_identity(self.pipe)


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
    floor: bool = False  # whether DS is also measured between two sets of seeds of the original model, once a folder

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

    def record(self, setup: MeasureSetup) -> dict[str, Any]:
        """What an erasure and its numbers depend on, as it is written beside them.

        "asked"; "setup", of whom; and "versions" of the libraries, which are only told (see `other_versions`): they
        move numbers by little, if at all.
        """
        fields = ("method", "preset", "target", "images", "erased_images", "metrics")
        asked = plain({field: getattr(self, field) for field in fields} | {"changes": dict(self.changes)})
        probe = self.judge_of(setup)
        words = {"concepts": vocabulary_hash(setup.concepts), "watched": vocabulary_hash(setup.watched)}
        of_whom = {"model": setup.identity, **words, "probe": probe.version if probe else None}
        return {"asked": asked, "setup": of_whom, "versions": library_versions()}


def difference(recorded: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """In what a recorded erasure was made otherwise than `record` says, such as "model (12ab, not 34cd)"; or "".

    Earlier versions recorded no setup; then only what was asked is compared.
    """
    for part in ("asked", "setup") if "setup" in recorded else ("asked",):
        before = recorded.get(part)
        for name, value in record[part].items():
            other = before.get(name) if isinstance(before, Mapping) else None
            same = same_model(str(other), value) if name == "model" else other == value
            if not same:
                return f"{name.replace('_', ' ')} ({other}, not {value})"
    return ""


def other_versions(recorded: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """The libraries that a recorded erasure was computed with in other versions, such as "torch 2.8.0 (now 2.9.1)".

    "" where they are the same, or not recorded, as by earlier versions.
    """
    before = recorded.get("versions")
    if not isinstance(before, Mapping):
        return ""
    return ", ".join(
        f"{name} {before[name]} (now {now})" for name, now in record["versions"].items() if before.get(name, now) != now
    )
