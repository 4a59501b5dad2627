"""Concepts and sets of concepts: names, synonyms, groups, and the prompts that ask for them."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from age_core.assets import ASSETS
from age_core.concepts.articles import Article, by_letter, by_sound
from age_core.concepts.csv_file import read_rows, split
from age_core.errors import AgeError
from age_core.validation import word_key


def fill(template: str, noun: str, article: Article = by_sound) -> str:
    """Put a noun into a template: `{noun}` as it is, `{a_noun}` with its article, if it takes one ('an owl')."""
    return template.format(noun=noun, a_noun=f"{article(noun)} {noun}".strip())


@dataclass(frozen=True)
class Concept:
    """One nameable thing. `synonyms` should vanish with it; `general` and `group` name what it is a kind of.

    `labels` are the probe's labels that count as this concept, its own name unless given: a picture shows the concept
    when any of them is among the probe's first k. `targets` are words to erase it to by kind ("in-class", "unrelated"),
    where its set names them; `splits` the experiments in which it is erased.
    """

    name: str
    group: str
    general: str
    synonyms: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    targets: Mapping[str, str] = field(default_factory=dict, hash=False)
    splits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", self.labels or (self.name,))


@dataclass(frozen=True)
class ConceptSet:
    """Concepts in a fixed order, with the template of the prompt that is used to judge them.

    Where one prompt would not do, because a style shows in many things, `contents` are the templates that the judged
    pictures of a concept go through in turn.
    """

    name: str
    concepts: tuple[Concept, ...]
    template: str
    contents: tuple[str, ...] = ()
    erase_templates: tuple[str, ...] = ()  # the prompts to erase in, where they are not those of any noun (styles)

    @staticmethod
    def load(name: str) -> ConceptSet:
        """Load a bundled set, or a CSV file of one's own. Raises AgeError listing the sets there are."""
        if Path(name).suffix.lower() in FILES:
            return ConceptSet.read(Path(name), OWN_TEMPLATE)
        if name not in TEMPLATES:
            raise AgeError(
                f"There is no concept set named {Path(name).name!r}; choose one of {', '.join(TEMPLATES)}, or a .csv "
                "file."
            )
        read = ConceptSet.read(ASSETS / "concepts" / f"{name}.csv", TEMPLATES[name])
        return replace(read, contents=JUDGED_IN.get(name, ()), erase_templates=ERASED_IN.get(name, ()))

    @staticmethod
    def read(path: Path, template: str) -> ConceptSet:
        """Read a CSV file with the columns name, group, general, synonyms ("|" between words).

        Optional columns: labels and splits, words likewise; target_KIND, a target's word. Raises AgeError when the file
        is missing or lacks a column, and names every row that cannot be used.
        """
        return ConceptSet(path.stem, tuple(_concept(row) for row in read_rows(path)), template)

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
        word = word_key(text)
        if not word:
            raise AgeError("A concept is needed: type a name such as " + repr(self.names[0]) + ".")
        if word not in self._by_word:
            raise AgeError(f"The {self.name} set has no concept {text.strip()[:100]!r}; {self._hint(word)}")
        return self._by_word[word]

    @cached_property
    def _by_word(self) -> dict[str, Concept]:
        synonyms = {word_key(synonym): concept for concept in self for synonym in concept.synonyms}
        return synonyms | {word_key(concept.name): concept for concept in self}

    def _hint(self, word: str) -> str:
        parts = [part for part in re.split(r"\s*[,;|/&+]\s*|\s+and\s+", word) if part in self._by_word]
        if len(parts) > 1:
            return f"several concepts are given one by one, such as {parts[0]!r} and {parts[1]!r}, not as one text."
        near = difflib.get_close_matches(word, self._by_word, n=3, cutoff=0.5)
        known = f"it knows {len(self)} concepts, such as {self.names[0]!r}."
        return f"did you mean {' or '.join(near)}?" if near else known

    def split(self, name: str) -> tuple[str, ...]:
        """The names that an experiment of the set's erases together. Raises AgeError with the splits there are."""
        members = tuple(concept.name for concept in self if name in concept.splits)
        if not members:
            splits = sorted({split for concept in self for split in concept.splits})
            raise AgeError(f"The {self.name} set has no split {name!r}; it has {', '.join(splits) or 'none'}.")
        return members

    def of_general(self, word: str) -> Concept:
        """The concept that `word` names in general: it is seen where any concept of that kind or group is seen.

        With it one judges the erasure of what no caption names directly, "weapon" or "fruit". Raises AgeError with the
        words there are.
        """
        kind = word.strip().lower()
        members = [c for c in self if kind in (c.general.lower(), c.group.lower())]
        if not members:
            words = sorted({c.general for c in self} | {c.group for c in self})
            raise AgeError(f"The {self.name} set has no kind or group {word!r}; choose one of {', '.join(words)}.")
        return Concept(kind, kind, kind, labels=tuple(dict.fromkeys(x for c in members for x in c.labels)))

    def named_in(self, text: str) -> tuple[str, ...]:
        """The set's words that stand in `text`, in singular or plural: names, synonyms, kinds and groups, as listed."""
        words = dict.fromkeys(w for c in self for w in (c.name, *c.synonyms, c.general, c.group))
        return tuple(w for w in words if re.search(rf"(?<!\w){re.escape(w)}(e?s)?(?!\w)", text, re.IGNORECASE))

    def prompt(self, noun: str, picture: int = 0) -> str:
        """The prompt by which a concept's n-th picture is judged, 'an emoji of a dog'."""
        template = self.contents[picture % len(self.contents)] if self.contents else self.template
        # the emoji model was trained, and its world recorded, with such prompts
        return fill(template, noun, by_letter if self.template == TEMPLATES["emoji"] else by_sound)


def vocabulary_hash(concepts: ConceptSet) -> str:
    """A hash of a concept set's words and of everything it says about them; 16 digits."""
    return hashlib.blake2b(repr(concepts).encode(), digest_size=8).hexdigest()


def _concept(row: dict[str, str]) -> Concept:
    synonyms, labels, splits = (split(row.get(key)) for key in ("synonyms", "labels", "splits"))
    prefix = "target_"
    targets = {
        key.removeprefix(prefix).replace("_", "-"): word for key, word in row.items() if key.startswith(prefix) and word
    }
    return Concept(row["name"], row["group"], row["general"], synonyms, labels, targets, splits)


FILES = (".csv", ".tsv", ".txt")
OWN_TEMPLATE = "a picture of {a_noun}"
TEMPLATES = {
    "emoji": "an emoji of {a_noun}",
    "emoji-netfive": "an emoji of {a_noun}",
    "emoji-attributes": "an emoji of {a_noun}",
    "emoji-styles": "a cat in the {noun} style",
    "sd-netfive": "a photo of {noun}",
    "sd-imagenette": "Image of {noun}",
    "sd-artists": "a painting in the style of {noun}",
}


def _in_styles(*things: str) -> tuple[str, ...]:
    return tuple(f"{thing} in the {{noun}} style" for thing in things)


# A style is erased in what it is drawn with: several contents, so that none of them is erased instead; and it is
# judged in others, so that the style is gone and not just those pictures.
ERASED_IN = {
    "emoji-styles": _in_styles(
        "an owl", "a pizza", "a car", "a rose", "a guitar", "a fish", "a house", "a cat", "a crown", "a tree"
    )
}
JUDGED_IN = {
    "emoji-styles": _in_styles(
        "a dog", "a bus", "an apple", "a castle", "a rocket", "a butterfly", "a skull", "an umbrella"
    )
}
