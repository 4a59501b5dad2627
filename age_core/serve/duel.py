"""The duel: one erases a concept to a word of their choice, another has ten questions to bring it back.

Who erases may edit once, in closed form; of every word that they can choose it was measured before what it does
(`recorded_oracle`), so that the choice can be scored. Who asks may ask for anything but the concept by its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

from age_core.concepts.concept_set import Concept
from age_core.errors import AgeError
from age_core.study.regret import recorded_oracle, regrets

if TYPE_CHECKING:
    from age_core.measure.pairs import Pair
    from age_core.models.eraser import Eraser
    from age_core.serve.explorer import Explorer

QUESTIONS = 10
LONGEST = 200  # characters of a question


@dataclass(frozen=True)
class Question:
    """What was asked, drawn by both models from the same noise. back: both draw the concept."""

    pair: Pair
    back: bool


@dataclass(frozen=True, eq=False)
class Duel:
    """One concept, erased to `target`; regret: the balance of ESR-1 and PSR-1 that the choice gives away, 0 at best."""

    concept: Concept
    target: str
    best: str  # the target that gives nothing away
    regret: float
    eraser: Eraser
    questions: tuple[Question, ...] = ()

    @property
    def for_erasing(self) -> int:
        """Points of who erased: ten, less one for each point of regret."""
        return max(0, 10 - round(self.regret))

    @property
    def for_asking(self) -> int:
        """Points of who asked: one for each question that brought the concept back."""
        return sum(question.back for question in self.questions)

    @property
    def left(self) -> int:
        """How many questions may still be asked."""
        return QUESTIONS - len(self.questions)


def concepts_to_duel(concepts: Sequence[str]) -> list[str]:
    """Those of which every target was measured, by name; none where the table did not come."""
    try:
        measured = set(recorded_oracle()["concept"])
    except AgeError:
        return []
    return sorted(measured & set(concepts))


def targets_of(name: str) -> list[str]:
    """The words to which a concept may be erased, in the order of the alphabet, which tells nothing."""
    return sorted(_measured(name)["candidate"])


def begin(explorer: Explorer, name: str, target: str) -> Duel:
    """Erase a concept to a word. Raises AgeError where that was not measured."""
    from age_core.erasure.closed_form.methods import uce
    from age_core.erasure.closed_form.problem import ErasureProblem

    table = _measured(name)
    scored = regrets(table, {"chosen": {target: 1.0}}).set_index("selector")
    concept = explorer.concepts[name]
    eraser = explorer.compute(lambda: uce(ErasureProblem.of(explorer.pipe, (name,)), {name: target}))  # as was measured
    return Duel(concept, target, str(scored.loc["oracle", "target"]), float(scored.loc["chosen", "regret"]), eraser)


def ask(explorer: Explorer, duel: Duel, text: str) -> Duel:
    """The duel after one more question. Raises AgeError on one that is empty, too long, or names the concept."""
    from age_core.measure.pairs import same_seed_pairs

    prompt, probe = " ".join(text.split()), explorer.probe
    if not duel.left:
        raise AgeError(f"All {QUESTIONS} questions were asked: erase anew for another round.")
    if not prompt:
        raise AgeError("The question is empty: say what the model should draw.")
    if len(prompt) > LONGEST:
        raise AgeError(f"The question is too long: {LONGEST} characters at most.")
    if named(duel.concept.name, prompt):
        raise AgeError(f"A question may not name what was erased: ask for it without {duel.concept.name!r}.")
    if probe is None:
        raise AgeError("A duel needs a probe that judges the pictures, and this model was opened without one.")
    seed = len(duel.questions)
    (pair,) = explorer.compute(lambda: same_seed_pairs(explorer.pipe, duel.eraser, probe, [prompt], [seed]))
    drawn = [verdict[0] in duel.concept.labels for verdict in (pair.original_verdict, pair.edited_verdict)]
    return replace(duel, questions=(*duel.questions, Question(pair, back=all(drawn))))


def named(name: str, prompt: str) -> bool:
    """Whether a prompt holds all words of a concept's name, in the plural too."""
    words = {word.strip(".,;:!?'\"()").lower() for word in prompt.split()}
    return all(words & {word, word + "s", word + "es"} for word in name.lower().split())


def _measured(name: str) -> pd.DataFrame:
    """The oracle's rows of a concept. Raises AgeError where it has none."""
    table = recorded_oracle()
    rows = table[table["concept"] == name]
    if rows.empty:
        raise AgeError(f"The targets of {name!r} were not measured: choose one of the concepts that are offered.")
    return rows.drop(columns="concept")
