"""What the explorer asks of a model, apart from training: pictures, predictions, comparisons and a person's runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from diffusers import DiffusionPipeline
from PIL import Image

from age_core.concepts.candidates import Vocabulary
from age_core.concepts.concept_set import ConceptSet
from age_core.erasure.by_method import erase_by, plan
from age_core.erasure.closed_form.methods import uce
from age_core.erasure.closed_form.problem import ErasureProblem
from age_core.erasure.methods import find_method
from age_core.erasure.target_words import banned, neighbours, outside, resolve
from age_core.errors import AgeError
from age_core.files import OWNER
from age_core.measure.verdicts import Pair, Reference, evaluate, noise_reference, noise_shift, same_seed_pairs, seeds_of
from age_core.models.eraser import Eraser
from age_core.models.pipelines import embed_concepts, generate
from age_core.models.probes import Probe
from age_core.runs.record import model_identity, vocabulary_hash
from age_core.runs.run import Run, list_runs
from age_core.serve.queue import QueuedRun, Workbench
from age_core.study.build import Job, MeasureSetup, Task, build_side_effects

Kind = Literal["erased", "synonym", "general", "near", "far", "own"]
NEAR, FAR = 40, 40  # concepts whose damage is predicted, and measured to compare
MOST_STEPS = 2000  # of a run on a machine that others wait for
EMPTY_WORD = '""'
NOTHING = "(nothing asked)"  # the title of an empty prompt's pictures


@dataclass(frozen=True)
class Row:
    """One line of a comparison: what is asked for, and the labels by which the probe should know it (none: its own)."""

    kind: Kind
    title: str
    prompt: str
    expected: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Explorer:
    """A model with its judge, if it has one, and its words. Whatever takes the model is run by its workbench."""

    pipe: DiffusionPipeline
    probe: Probe | None
    concepts: ConceptSet
    bench: Workbench
    runs: Path  # a folder a person
    shipped: Path | None = None  # runs that came with the model, for everybody
    _drawn: dict[str, list[Image.Image]] = field(default_factory=dict, repr=False)

    def pictures(self, name: str, count: int = 4) -> list[Image.Image]:
        """What the original model draws of a concept; the same pictures each time, drawn once."""
        concept = self.concepts.find(name)
        if concept.name not in self._drawn:
            prompts = [self.concepts.prompt(concept.name, row) for row in range(count)]
            seeds = seeds_of(concept.name, count)
            self._drawn[concept.name] = self.bench.run(lambda: generate(self.pipe, prompts, seeds))
        return self._drawn[concept.name]

    def ranked(self, name: str) -> tuple[str, ...]:
        """All other concepts, the nearest in words first, without those that should vanish along."""
        concept, names = resolve(self.concepts, name), self.concepts.names
        # not Vocabulary.near: "hot dog" may be no target for "dog", but it is what erasing "dog" hurts most
        gone = {word.lower() for word in (*banned([concept]), concept.name)}
        if concept.name in names:
            own = self.vectors[names.index(concept.name)]
        else:
            own = self.bench.run(lambda: embed_concepts(self.pipe, [concept.name]))[0]
        order = np.argsort(-(self.vectors @ own), kind="stable")
        return tuple(names[row] for row in order if names[row].lower() not in gone)

    def watched(self, name: str) -> tuple[str, ...]:
        """The NEAR nearest concepts, and FAR spread over the rest."""
        ranked = self.ranked(name)
        rest = ranked[NEAR:]
        return ranked[:NEAR] + rest[:: max(len(rest) // FAR, 1)][:FAR]

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
                *_, last = erase_by(self.pipe, method, concept.name, self.concepts)
                assert last.eraser is not None  # the last event carries it
                return str(last.eraser.info["target"]), _shift(self.pipe, reference, last.eraser)
            word = neighbours(self.pipe, concept, self.concepts, 1).names[0]
            eraser = uce(ErasureProblem.of(self.pipe, (concept.name,)), {concept.name: word})
            return word, _shift(self.pipe, reference, eraser)

        return self.bench.run(edit)

    def measure(self, name: str, eraser: Eraser) -> pd.Series:
        """The noise shift that an eraser of `name` really does to the concepts of `predict`."""
        watched = self.watched(resolve(self.concepts, name).name)
        return self.bench.run(lambda: _shift(self.pipe, self._reference(watched), eraser))

    @property
    def vectors(self) -> np.ndarray:
        """A unit vector for each concept's name (see `embed_concepts`)."""
        return self.read_names.result()

    @cached_property
    def read_names(self) -> Future[np.ndarray]:
        """The same, begun as soon as anybody looks, and not waited for."""
        return self.bench.run_queue.model.begin(lambda: Vocabulary.of(self.concepts.names).vectors(self.pipe))

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
        asked: dict[str, Any] = {"seed": int(seed or 0), "steps": _number("number of steps", steps, int)}
        asked |= {"lr": _number("learning rate", rate), "preserve_weight": _number("weight of preserving", preserve)}
        if (asked["steps"] or 0) > MOST_STEPS:
            raise AgeError(f"{asked['steps']} steps are too many for one run here: {MOST_STEPS} at most.")
        concepts, _ = plan(method, list(names), self.concepts, preset, target, **asked)
        chosen = [concept.name for concept in concepts]
        root = self.folder(owner)
        return self.bench.start(root, method, chosen, owner, keep, preset=preset, target=target, **asked)

    def rows(self, erased: str, damage: Mapping[str, float] | None = None, near: int = 4, far: int = 2) -> list[Row]:
        """What to compare for an erased concept: itself, its other words, near concepts (worst first) and far ones."""
        concept = resolve(self.concepts, erased)

        def row(kind: Kind, word: str, note: str, expected: Sequence[str]) -> Row:
            return Row(kind, word, self.concepts.prompt(word), tuple(expected), note)

        found = [row("erased", concept.name, "erased", concept.labels)]
        found += [row("synonym", word, "synonym", concept.labels) for word in concept.synonyms[:2]]
        ranked = self.ranked(erased)
        nearest = list(ranked[:12])
        if damage:
            nearest.sort(key=lambda name: -damage.get(name, 0.0))
        found += [row("near", name, "near", self.concepts[name].labels) for name in nearest[:near]]
        return found + [row("far", name, "far away", self.concepts[name].labels) for name in ranked[-far:]]

    def own_rows(self, text: str) -> list[Row]:
        """A person's prompts, one a line; "" asks for nothing. What leaves the model's world says so."""
        lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
        if len(lines) > 8:
            raise AgeError(f"{len(lines)} prompts are too many at once: give at most 8 lines.")
        notes = self.bench.run(lambda: [outside(self.pipe, line, self.concepts) for line in lines])
        return [Row("own", line or NOTHING, line, note=note) for line, note in zip(lines, notes, strict=True)]

    def pairs(self, rows: Sequence[Row], eraser: Eraser, first_seed: int, count: int) -> list[Pair]:
        """`count` pairs of each row, row by row, on seeds from `first_seed` on."""
        prompts = [row.prompt for row in rows for _ in range(count)]
        seeds = [first_seed + picture for _ in rows for picture in range(count)]
        return self.bench.run(lambda: same_seed_pairs(self.pipe, eraser, self.probe, prompts, seeds))

    def scores(self, erased: Sequence[str], eraser: Eraser) -> pd.DataFrame:
        """ESR and PSR with intervals: 16 pictures of each erased concept, 2 of each of the 20 nearest and 20 others."""
        gone = [resolve(self.concepts, name) for name in erased]
        labels = {label for concept in gone for label in concept.labels}
        watched = dict.fromkeys(name for one in erased for name in self.watched(one)[:20] + self.watched(one)[-20:])
        kept = [name for name in watched if labels.isdisjoint(self.concepts[name].labels)]
        if self.probe is None:
            raise AgeError("ESR and PSR need a probe that knows the concepts, and this model was opened without one.")
        judge = self.probe
        return self.bench.run(
            lambda: evaluate(self.pipe, judge, self.concepts, gone, {"edited": eraser}, images=2, others=kept)
        )

    @cached_property
    def measured(self) -> Path:
        """Where side effects that were measured here are kept, for everybody who opens the same model and concepts."""
        return self.runs / "graphs" / f"{model_identity(self.pipe)}-{vocabulary_hash(self.concepts)}"

    def side_effects(self, images: int = 2) -> Iterator[Job]:
        """Erase every concept by UCE and measure the noise shift of all; yields each erasure, finished ones first.

        Others can draw between two jobs; what is finished stays, also for the next start.
        """
        bench = MeasureSetup(self.pipe, self.probe, self.concepts, self.concepts, self.bench.model)
        task = Task.of("uce", images=images, metrics=("noise-shift",))
        jobs = build_side_effects(bench, task, self.concepts.names, self.measured)
        while (job := self.bench.run(lambda: next(jobs, None))) is not None:
            yield job

    def folder(self, owner: str) -> Path:
        """Where a person's runs lie. Raises AgeError on anything but a token that the app gave out."""
        if not OWNER.fullmatch(owner):
            raise AgeError("This page has no token yet: reload it.")
        return self.runs / owner

    def runs_of(self, owner: str) -> list[Run]:
        """A person's runs, newest first, then those that everybody sees."""
        return list_runs(self.folder(owner)) + self.shipped_runs

    @property
    def shipped_runs(self) -> list[Run]:
        """Those that everybody sees."""
        return list_runs(self.shipped) if self.shipped else []

    def run(self, owner: str, name: str) -> Run:
        """One of them by its name. Raises AgeError where there is none."""
        for run in self.runs_of(owner):
            if run.path.name == name:
                return run
        raise AgeError(f"There is no run {name!r}." if name else "Choose a run first.")

    def fitting(self, run: Run) -> Run:
        """The run itself if it is one of the model that is open, whose weights its edit fits; else AgeError."""
        if run.config.model != self.bench.model:
            raise AgeError(f"The run {run.path.name!r} edited the model {run.config.model!r}: open that model first.")
        return run

    def own_run(self, owner: str, name: str) -> Run:
        """The same, but one that the person may change."""
        run = self.run(owner, name)
        if run.path.parent != self.folder(owner):
            raise AgeError(f"The run {name!r} came with the explorer: it can be opened and exported, not changed.")
        return run


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
