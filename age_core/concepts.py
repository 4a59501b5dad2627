"""Concepts and sets of concepts: names, synonyms, groups, and the prompts that ask for them."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from age_core.errors import AgeError

ASSETS = Path(__file__).parents[1] / "assets"


def fill(template: str, noun: str) -> str:
    """Put a noun into a template: `{noun}` as it is, `{a_noun}` with its article ('an owl')."""
    article = "an" if noun[:1].lower() in "aeiou" else "a"
    return template.format(noun=noun, a_noun=f"{article} {noun}")


@dataclass(frozen=True)
class Concept:
    """One nameable thing. `synonyms` should vanish with it; `general` and `group` name what it is a kind of."""

    name: str
    group: str
    general: str
    synonyms: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The probe's label of this concept."""
        return self.name


@dataclass(frozen=True)
class ConceptSet:
    """Concepts in a fixed order, with the template of the prompt that is used to judge them."""

    name: str
    concepts: tuple[Concept, ...]
    template: str

    @staticmethod
    def load(name: str) -> ConceptSet:
        """Load a bundled set. Raises AgeError listing the sets there are."""
        if name not in TEMPLATES:
            raise AgeError(f"There is no concept set named {name!r}; choose one of {', '.join(TEMPLATES)}.")
        with (ASSETS / "concepts" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        concepts = tuple(
            Concept(row["name"], row["group"], row["general"], tuple(filter(None, row["synonyms"].split("|"))))
            for row in rows
        )
        return ConceptSet(name, concepts, TEMPLATES[name])

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(concept.name for concept in self.concepts)

    def __iter__(self) -> Iterator[Concept]:
        return iter(self.concepts)

    def __len__(self) -> int:
        return len(self.concepts)

    def __getitem__(self, name: str) -> Concept:
        return self.find(name)

    def find(self, text: str) -> Concept:
        """The concept that `text` names or is a synonym of, whatever its case. Raises AgeError with near names."""
        wanted = text.strip().lower()
        if not wanted:
            raise AgeError("A concept is needed: type a name such as " + repr(self.names[0]) + ".")
        known = {synonym.lower(): concept for concept in self for synonym in concept.synonyms}
        known |= {concept.name.lower(): concept for concept in self}
        if wanted not in known:
            near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it knows {len(self)} concepts, dog among others."
            raise AgeError(f"The {self.name} set has no concept {text.strip()!r}; {hint}")
        return known[wanted]

    def prompt(self, noun: str) -> str:
        """The prompt by which a concept is judged, 'an emoji of a dog'."""
        return fill(self.template, noun)


TEMPLATES = {"emoji": "an emoji of {a_noun}"}
