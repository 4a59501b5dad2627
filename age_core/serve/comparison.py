"""Original beside edited: which prompts to compare, the pairs of pictures, and the scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import pandas as pd

from age_core.erasure.target_words import outside, resolve
from age_core.errors import AgeError
from age_core.measure.evaluation import evaluate
from age_core.measure.pairs import Pair, compare_pairs
from age_core.models.eraser import Eraser
from age_core.serve.explorer import Explorer

Kind = Literal["erased", "synonym", "general", "near", "far", "own"]
NOTHING = "(nothing asked)"  # the title of an empty prompt's pictures
MOST_PROMPTS = 8  # of a person's own at once
MOST_COLUMNS = 4  # edited models side by side
AS_MADE: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class Row:
    """One line of a comparison: what is asked for, and the labels by which the probe should know it (none: its own)."""

    kind: Kind
    title: str
    prompt: str
    expected: tuple[str, ...] = ()
    note: str = ""


def rows_for(
    explorer: Explorer, erased: str, damage: Mapping[str, float] | None = None, near: int = 4, far: int = 2
) -> list[Row]:
    """What to compare for an erased concept: itself, its other words, near concepts (worst first) and far ones."""
    concepts = explorer.concepts
    concept = resolve(concepts, erased)

    def row(kind: Kind, word: str, note: str, expected: Sequence[str]) -> Row:
        return Row(kind, word, concepts.prompt(word), tuple(expected), note)

    rows = [row("erased", concept.name, "erased", concept.labels)]
    rows += [row("synonym", word, "synonym", concept.labels) for word in concept.synonyms[:2]]
    ranked = explorer.ranked(erased)
    nearest = list(ranked[:12])
    if damage:
        nearest.sort(key=lambda name: -damage.get(name, 0.0))
    rows += [row("near", name, "near", concepts[name].labels) for name in nearest[:near]]
    return rows + [row("far", name, "far away", concepts[name].labels) for name in ranked[-far:]]


def own_rows(explorer: Explorer, text: str) -> list[Row]:
    """A person's prompts, one a line; "" asks for nothing. A prompt that names no concept of the model says so."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    if len(lines) > MOST_PROMPTS:
        raise AgeError(f"{len(lines)} prompts are too many at once: give at most {MOST_PROMPTS} lines.")
    notes = explorer.compute(lambda: [outside(explorer.pipe, line, explorer.concepts) for line in lines])
    return [Row("own", line or NOTHING, line, note=note) for line, note in zip(lines, notes, strict=True)]


def draw_pairs(
    explorer: Explorer,
    rows: Sequence[Row],
    erasers: Mapping[str, Eraser],
    first_seed: int,
    count: int,
    strengths: Mapping[str, float] = AS_MADE,
) -> dict[str, list[Pair]]:
    """By each eraser `count` pairs of each row, row by row, on seeds from `first_seed` on.

    The original draws once for all of them. `strengths`: as for `Eraser.scaled`, of the erasers that are not to be as
    they were made, so that one eraser can be two columns. Raises AgeError on more than MOST_COLUMNS.
    """
    if len(erasers) > MOST_COLUMNS:
        raise AgeError(f"{len(erasers)} edited models are too many side by side: choose at most {MOST_COLUMNS}.")
    columns = _scaled(erasers, strengths)
    prompts = [row.prompt for row in rows for _ in range(count)]
    seeds = [first_seed + picture for _ in rows for picture in range(count)]
    return explorer.compute(lambda: compare_pairs(explorer.pipe, columns, explorer.probe, prompts, seeds))


def scores(
    explorer: Explorer, erased: Sequence[str], erasers: Mapping[str, Eraser], strengths: Mapping[str, float] = AS_MADE
) -> pd.DataFrame:
    """ESR and PSR with intervals, a row for the original and for each eraser of the same concepts.

    16 pictures of each erased concept, 2 of each near and far one. `strengths` as for `draw_pairs`.
    """
    concepts, probe = explorer.concepts, explorer.probe
    if probe is None:
        raise AgeError("ESR and PSR need a probe that knows the concepts, and this model was opened without one.")
    names = [resolve(concepts, name) for name in erased]
    columns = _scaled(erasers, strengths)
    return explorer.compute(lambda: evaluate(explorer.pipe, probe, concepts, names, columns, images=2))


def _scaled(erasers: Mapping[str, Eraser], strengths: Mapping[str, float]) -> dict[str, Eraser]:
    return {title: eraser.scaled(strengths.get(title, 1.0)) for title, eraser in erasers.items()}
