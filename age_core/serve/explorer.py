"""What the explorer asks of a model: pictures, predictions, side effects, and runs as a person's form asks for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from diffusers import DiffusionPipeline
from PIL import Image

from age_core.assets import ASSETS
from age_core.concepts.candidates import Vocabulary, near_and_far, rank_others
from age_core.concepts.concept_set import ConceptSet, vocabulary_hash
from age_core.erasure.by_method import erase_by, plan
from age_core.erasure.closed_form.methods import uce
from age_core.erasure.closed_form.preserved import Preserved
from age_core.erasure.closed_form.problem import ErasureProblem
from age_core.erasure.methods import find_method
from age_core.erasure.outcome import last_eraser
from age_core.erasure.target_words import neighbours, resolve
from age_core.errors import AgeError
from age_core.measure.noise_shift import Reference, noise_reference, noise_shift
from age_core.measure.verdicts import GUIDANCE, STEPS, seeds_of
from age_core.models.eraser import Eraser
from age_core.models.families import dtype_of
from age_core.models.probes import Probe
from age_core.models.same_model import first_part
from age_core.models.sampling import generate
from age_core.runs.record import model_identity
from age_core.runs.run import Run
from age_core.serve.library import Library
from age_core.serve.originals import Maker, Originals
from age_core.serve.queue import QueuedRun, RunQueue
from age_core.study import statistics
from age_core.study.build import Job, MeasureSetup, Task, build_side_effects
from age_core.validation import field_seed

T = TypeVar("T")
MOST_STEPS = 2000  # of a run on a machine that others wait for
EMPTY_WORD = '""'


@dataclass(frozen=True)
class Explorer:
    """A model with its judge, if it has one, and its words. Whatever takes the model is done by `compute`."""

    pipe: DiffusionPipeline
    probe: Probe | None
    concepts: ConceptSet
    queue: RunQueue  # the trainings of its device
    library: Library
    model: str = ""  # its name, folder or Hub id
    _pictures: dict[str, list[Image.Image]] = field(default_factory=dict, repr=False)

    def compute(self, function: Callable[[], T]) -> T:
        """What `function` answers, computed by the one thread of the device when it is its turn."""
        return self.queue.worker.run(function)

    @cached_property
    def identity(self) -> str:
        """What `model_identity` says of the model. It reads every weight, and so is asked once for all runs.

        It is asked in the thread that trains: between two steps all weights are the model's own.
        """
        return self.compute(lambda: model_identity(self.pipe))

    @property
    def number_format(self) -> str:
        """In which the model computes, such as "float32"."""
        return str(dtype_of(self.pipe)).removeprefix("torch.")

    def fitting(self, run: Run) -> Run:
        """The run itself if it edited this model. Raises AgeError where it edited another."""
        return self.library.fitting(run, self.identity, self.number_format)

    def to_watch(self, owner: str) -> QueuedRun | None:
        """The owner's run of this model that goes on, or ended while nobody watched; None where there is none."""
        return self.queue.to_watch(
            owner, lambda run: run.config.edited(self.library.model, self.identity, self.number_format)
        )

    def pictures(self, name: str, count: int = 4) -> list[Image.Image]:
        """What the original model draws of a concept: the first `count` pictures, the same each time, drawn once."""
        concept = self.concepts.find(name)
        drawn = self._pictures.get(concept.name, [])
        if len(drawn) < count:
            prompts = [self.concepts.prompt(concept.name, row) for row in range(len(drawn), count)]
            seeds = seeds_of(concept.name, count)[len(drawn) :]
            drawn = self._pictures[concept.name] = drawn + self.compute(lambda: generate(self.pipe, prompts, seeds))
        return drawn[:count]

    def ranked(self, name: str) -> tuple[str, ...]:
        """All other concepts, the nearest in words first, without those that should vanish along."""
        concept, vectors = resolve(self.concepts, name), self.vectors
        if concept.name in self.concepts.names:
            return rank_others(self.pipe, self.concepts, concept, vectors)
        return self.compute(lambda: rank_others(self.pipe, self.concepts, concept, vectors))  # reads its name

    def watched(self, name: str) -> tuple[str, ...]:
        """Whose damage is predicted, and measured to compare: the nearest concepts, and some spread over the rest."""
        near, far = near_and_far(self.ranked(name))
        return near + far

    def damage_by_nearness(self, name: str, damage: pd.Series) -> pd.DataFrame:
        """How the damage of erasing `name`, by concept, falls with nearness (see `statistics.by_nearness`)."""
        rank = {other: place for place, other in enumerate(self.ranked(name))}
        ranks = pd.Series({other: rank[other] for other in damage.index if other in rank}, dtype=float)
        return statistics.by_nearness(damage.reindex(ranks.index).to_frame().T, ranks.to_frame().T.set_axis(["delta"]))

    def predict(self, name: str, method: str = "age") -> tuple[str, pd.Series]:
        """The damage to expect of erasing `name`, by concept: noise shift under a closed-form edit; nothing is trained.

        A closed form is tried itself. For methods that train, the edit is UCE's to the nearest word, with nobody
        preserved: whatever the target, its order agrees best with what they do (rank correlation 0.7 to 0.8 on dog and
        guitar, 0.6 to 0.7 with the method's own fixed word, 0.3 to 0.6 with UCE as it is used, everybody preserved).
        Answers the target word as well.
        """
        concept = resolve(self.concepts, name)
        watched = self.watched(concept.name)

        def edit() -> tuple[str, pd.Series]:
            reference = self._reference(watched)
            if find_method(method).kind == "closed":
                eraser = last_eraser(erase_by(self.pipe, method, concept.name, self.concepts))
                return str(eraser.info["target"]), _shift(self.pipe, reference, eraser)
            word = neighbours(self.pipe, concept, self.concepts, 1).names[0]
            eraser = uce(ErasureProblem.of(self.pipe, (concept.name,)), {concept.name: word})
            return word, _shift(self.pipe, reference, eraser)

        return self.compute(edit)

    def measure(self, name: str, eraser: Eraser) -> pd.Series:
        """The noise shift that an eraser of `name` really does to the concepts of `predict`."""
        watched = self.watched(resolve(self.concepts, name).name)
        return self.compute(lambda: _shift(self.pipe, self._reference(watched), eraser))

    @property
    def vectors(self) -> np.ndarray:
        """A unit vector for each concept's name (see `embed_concepts`)."""
        try:
            return self.read_names.result()
        except Exception:
            self.__dict__.pop("read_names", None)  # whoever asks again has them read anew
            raise

    @cached_property
    def read_names(self) -> Future[np.ndarray]:
        """The same, begun as soon as anybody looks, and not waited for."""
        return self.queue.worker.begin(lambda: Vocabulary.of(self.concepts.names).vectors(self.pipe))

    @cached_property
    def _reference(self) -> Callable[[tuple[str, ...]], Reference]:
        """What the original model predicts for some concepts."""

        def reference(names: tuple[str, ...]) -> Reference:
            watched = replace(self.concepts, concepts=tuple(self.concepts[name] for name in names))
            return noise_reference(self.pipe, watched, 1)

        return lru_cache(maxsize=16)(reference)

    def ask(
        self,
        owner: str,
        names: Sequence[str],
        method: str,
        keep: bool,
        word: str = "",
        preset: str = "balanced",
        steps: str = "",
        rate: str = "",
        preserve: str = "",
        seed: float | None = None,
    ) -> QueuedRun:
        """A run in the queue, as a person fills in a form: what is blank is the method's or the preset's own.

        A blank `word` must not silently become the empty prompt, which is a choice of its own, written EMPTY_WORD.
        Raises AgeError on what cannot work, before anything is written.
        """
        word = (word or "").strip()
        target = None if find_method(method).word is None or not word else "" if word == EMPTY_WORD else word
        options: dict[str, Any] = {"seed": field_seed(seed), "steps": _number("number of steps", steps, int)}
        options |= {"lr": _number("learning rate", rate), "preserve_weight": _number("weight of preserving", preserve)}
        if (options["steps"] or 0) > MOST_STEPS:
            raise AgeError(f"{options['steps']} steps are too many for one run here: {MOST_STEPS} at most.")
        return self.start(owner, list(names), method, keep, preset=preset, target=target, **options)

    def start(
        self, owner: str, names: str | Sequence[str], method: str, keep: bool = False, **request: Any
    ) -> QueuedRun:
        """A run in the queue; `request` as for `plan`, which refuses bad input before anything waits or is written."""
        folder, planned = self.library.folder(owner), plan(method, names, self.concepts, **request)
        return self.queue.start(self.pipe, self.concepts, folder, planned, owner, keep, self.model, self.identity)

    def resume(self, owner: str, run: Run, keep: bool = False) -> QueuedRun:
        """A stopped run in the queue again. Raises AgeError when it cannot go on, or waits or trains already."""
        return self.queue.resume(self.pipe, self.concepts, run, owner, keep)

    @cached_property
    def measured(self) -> Path:
        """Where side effects that were measured here are kept, for everybody who opens the same model and concepts."""
        words, graphs = vocabulary_hash(self.concepts), self.library.root / "graphs"
        place, earlier = graphs / f"{self.identity}-{words}", graphs / f"{first_part(self.identity)}-{words}"
        if earlier.is_dir() and not place.exists():  # of a version that knew of no second part: who first asks has it
            try:
                os.rename(earlier, place)
            except OSError:  # where nothing may be changed it serves as it lies
                return earlier
        return place

    @cached_property
    def preserved(self) -> Preserved:
        """What UCE needs of all concepts; read in the device's thread, where it is asked for."""
        return self.compute(lambda: Preserved.of(self.pipe, self.concepts.names))

    @cached_property
    def originals(self) -> Originals:
        """What the original model draws for the atlas. Ask for it by `compute`: then there is one for everybody."""
        judge = self.probe.version if self.probe else ""
        words = vocabulary_hash(self.concepts)
        maker = Maker(model=self.identity, vocabulary=words, probe=judge, steps=STEPS, guidance=GUIDANCE)
        return Originals(self.measured / "atlas", maker, ASSETS / "atlas")

    def side_effects(self, images: int = 2) -> Iterator[Job]:
        """Erase every concept by UCE and measure the noise shift of all; yields each erasure, finished ones first.

        Others can draw between two jobs; what is finished stays, also for the next start.
        """
        setup = MeasureSetup(self.pipe, self.probe, self.concepts, self.concepts, self.model)
        task = Task.of("uce", images=images, metrics=("noise-shift",))
        jobs = build_side_effects(setup, task, self.concepts.names, self.measured)
        while (job := self.compute(lambda: next(jobs, None))) is not None:
            yield job


def _number(what: str, text: str, kind: type = float) -> Any:
    """What a person typed; None where it is blank."""
    if not (text or "").strip():
        return None
    try:
        value = kind(text)
    except ValueError:
        raise AgeError(f"The {what} must be a number or blank, not {text.strip()[:30]!r}.") from None
    if not np.isfinite(value):
        raise AgeError(f"The {what} must be finite, not {text.strip()!r}.")
    return value


def _shift(pipe: DiffusionPipeline, reference: Reference, eraser: Eraser) -> pd.Series:
    return noise_shift(pipe, reference, eraser).groupby("concept", sort=False)["shift"].mean()
