"""How strong an eraser has to be: the least strength at which enough is erased, found on judged pictures.

Bisection, which assumes that a stronger eraser erases no less. Where that fails it still ends at a strength whose
pictures were judged and reach what was asked, but perhaps not at the least one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from diffusers import DiffusionPipeline

from age_core.concepts.concept_set import Concept, ConceptSet
from age_core.errors import AgeError
from age_core.measure.intervals import share_interval
from age_core.measure.verdicts import hits
from age_core.models.eraser import Eraser
from age_core.models.probes import AnyProbe
from age_core.validation import number_between

PARTS = 20  # strengths are tried in steps of 0.05, as the page's sliders go
STRONGEST_TRIED = 1.5  # beyond, most erasures draw noise, which a probe takes for erased
MOST_TRIES = 7  # until the least strength is known
IMAGES = 16  # of each erased concept: the same that `evaluate` draws


@dataclass(frozen=True)
class AtStrength:
    """What is erased at one strength: ESR-1 in percent, and the ends of its 95 % interval."""

    strength: float
    esr1: float
    esr1_low: float
    esr1_high: float

    def __str__(self) -> str:
        return f"ESR-1 {self.esr1:.1f} ({self.esr1_low:.1f} to {self.esr1_high:.1f}) at strength {self.strength:g}"


@dataclass(frozen=True)
class Scaling:
    """The search for the least strength that erases enough; `str` says how it ended."""

    goal: float  # ESR-1 in percent
    tries: tuple[AtStrength, ...]  # in order; the first is at strength 1

    @property
    def chosen(self) -> AtStrength:
        """The least that reaches the goal; strength 1 where none does, and where the original model does."""
        enough = [one for one in self.tries if one.esr1 >= self.goal]
        least = min(enough, key=lambda one: one.strength, default=self.tries[0])
        return least if least.strength else self.tries[0]

    @property
    def reached(self) -> bool:
        return self.chosen.esr1 >= self.goal

    def __str__(self) -> str:
        if not self.reached:
            last = f"{self.tries[-1]}, the largest that is tried"
            return f"left as it was made, since ESR-1 {self.goal:g} is not reached: {last}"
        original = next((one for one in self.tries if not one.strength and one.esr1 >= self.goal), None)
        if original:
            return f"left as it was made, since ESR-1 {self.goal:g} takes no eraser: {original}, the original model"
        return f"scaled for ESR-1 {self.goal:g}: {self.chosen}"


def least_strength(judge: Callable[[float], AtStrength], goal: float) -> Scaling:
    """Find the least strength, to 1 / PARTS, at which `judge` sees an ESR-1 of `goal` percent.

    It is asked about 1, then about 0 or STRONGEST_TRIED, then about one middle after another: MOST_TRIES times at most.
    Raises AgeError unless `goal` is from 1 to 100.
    """
    goal, tries = number_between(goal, 1, 100, "ESR to reach"), list[AtStrength]()

    def enough(part: int) -> bool:
        tries.append(judge(part / PARTS))
        return tries[-1].esr1 >= goal

    most = round(STRONGEST_TRIED * PARTS)
    if enough(PARTS):
        if not enough(0):
            bisect_left(range(1, PARTS), True, key=enough)
    elif enough(most):
        bisect_left(range(PARTS + 1, most), True, key=enough)
    return Scaling(goal, tuple(tries))


def judge_of(
    pipe: DiffusionPipeline,
    probe: AnyProbe,
    concepts: ConceptSet,
    eraser: Eraser,
    erased: Sequence[str | Concept],
    images: int = IMAGES,
) -> Callable[[float], AtStrength]:
    """What `least_strength` asks: draws `images` of each erased concept at a strength, and has the probe judge them.

    Seeds and sampler are those of `evaluate`. What it returns raises AgeError on a concept that the probe lacks.
    """

    def judge(strength: float) -> AtStrength:
        verdicts = hits(pipe, probe, concepts, erased, images, eraser.scaled(strength))
        gone = 1 - verdicts["top1"].to_numpy(float).reshape(len(erased), images)
        low, high = share_interval(gone)
        return AtStrength(strength, 100 * float(gone.mean()), 100 * low, 100 * high)

    return judge


def scaled_until(
    pipe: DiffusionPipeline,
    probe: AnyProbe,
    concepts: ConceptSet,
    eraser: Eraser,
    goal: float = 95.0,
    erased: Sequence[str | Concept] = (),
    images: int = IMAGES,
) -> tuple[Eraser, Scaling]:
    """The eraser at the least strength that reaches an ESR-1 of `goal` percent, and how that was found.

    It is left as it was made where that is out of reach (`Scaling.reached`) or takes no eraser. erased: the concepts to
    judge, by default those that the eraser names. The interval is of the pictures by which the strength was chosen: on
    new ones a little less may be erased. Raises AgeError on a `goal` that is not from 1 to 100, without a concept or a
    picture, and on a concept that the probe lacks.
    """
    erased = erased or eraser.concepts
    if not erased or images < 1:
        raise AgeError("To find a strength, name the erased concept and draw at least one picture of it.")
    scaling = least_strength(judge_of(pipe, probe, concepts, eraser, erased, images), goal)
    return eraser.scaled(scaling.chosen.strength), scaling
