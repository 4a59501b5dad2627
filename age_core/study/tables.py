"""Tables of side effects: on disk, those that were just measured and those that came with the package; and as asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from age_core.assets import ASSETS
from age_core.concepts.concept_set import ConceptSet
from age_core.errors import AgeError
from age_core.models.same_model import distinct
from age_core.study.abnormal import abnormal, hurt_counts
from age_core.study.floor import UNEDITED, Floor, estimated_floor, is_clear, measured_floor
from age_core.study.labels import label_of, method_of, methods_of, with_keys
from age_core.study.pairs import matrix, pooled

# of an erasure and a seed, or the floor; what a synchroniser or a Mac leaves beside them is called otherwise
PART = re.compile(r"(?!\._).*-\d+\.parquet|floor\.parquet")

COLUMNS = (
    "model",
    "identity",  # of its weights, as a run's config.json has it; "" in tables of earlier versions
    "method",  # its key in METHODS
    "target",
    "erased",  # "" where nothing was: rows of the noise floor
    "affected",
    "seed",
    "metric",
    "before",
    "after",
    "delta",
    "low",
    "high",
)
# The finest first: a few pictures a concept decide little about DS, while noise shift sees every edit.
FINEST = ("noise-shift", "distance", "DS-1", "DS-5")
Source = tuple[str, str]  # by which method and metric side effects were measured
Direction = Literal["hurts", "hurt by", "both"]


@dataclass(frozen=True, eq=False)
class Recorded:
    """The side effects of one source, in a place of their own where they need not be read before they are asked for."""

    erased: tuple[str, ...]
    read: Callable[[], pd.DataFrame]  # COLUMNS
    floor: Floor | None = None  # from where on people see an effect, where there are pictures to see it in


@dataclass(frozen=True, eq=False)
class SideEffects:
    """The side effects of one model, of every method and metric that measured them; nothing of the table changes.

    Every question names a source, (method, metric); the method by its key or its label. Whoever wants to know of a pair
    of concepts gets it from `pairs`, where the seeds are pooled. Raises AgeError on a table of several models.
    """

    table: pd.DataFrame  # COLUMNS
    recorded: Mapping[Source, Recorded] = field(default_factory=dict)  # besides, of sources that the table lacks
    _pairs: dict[Source, pd.DataFrame] = field(default_factory=dict, init=False, repr=False)
    _rows_by: dict[tuple[str, str, str], dict[str, np.ndarray]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        _ = self.model

    @cached_property
    def model(self) -> tuple[str, str]:
        """The model's name and identity, as far as the table says. Raises AgeError where it is of several models."""
        rows = self.table.reindex(columns=["model", "identity"]).astype(object).fillna("").astype(str).drop_duplicates()
        pairs = list(rows.itertuples(index=False, name=None))
        known = {name: identity for name, identity in pairs if identity}
        # the weights tell models apart; the name only where the rows of an earlier version have nothing else
        models = {identity or known.get(name, name): name for name, identity in pairs}
        models = {key: models[key] for key in distinct(models)}
        if len(models) > 1:
            alike = len(set(models.values())) < len(models)
            words = [f"{name} ({key})" if alike else name for key, name in models.items()]
            raise AgeError(f"These side effects are of several models, {', '.join(words)}: read one model's at a time.")
        return next(((name, key if key in known.values() else "") for key, name in models.items()), ("", ""))

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The table without its floor, the method of each row by its key, and with the word where somebody named it."""
        table = with_keys(self.table[self.table["erased"] != ""])
        return table.assign(method=methods_of(table))

    @cached_property
    def sources(self) -> list[Source]:
        """What was measured: first what people see, then the finest metric first, and the methods that erased most."""
        counts = self.rows.groupby(["method", "metric"], sort=False)["erased"].nunique().to_dict()
        counts |= {source: len(one.erased) for source, one in self.recorded.items()}
        place = {metric: row for row, metric in enumerate(FINEST)}

        def rank(source: Source) -> tuple[bool, int, int]:
            seen = source in self.recorded and self.recorded[source].floor is not None
            return not seen, place.get(source[1], len(FINEST)), -counts[source]

        return sorted(counts, key=rank)

    @cached_property
    def methods(self) -> list[str]:
        """In the order of the table, those that are only recorded last."""
        return list(dict.fromkeys([*self.rows["method"].unique(), *(method for method, _ in self.recorded)]))

    def pairs(self, source: Source) -> pd.DataFrame:
        """Columns erased, affected, delta, low, high, runs, clear: the seeds of a pair together; never with itself.

        `pooled` says how seeds go together, `floor` and `is_clear` what is clear. Raises AgeError where the table holds
        nothing of the source.
        """
        source = (method_of(source[0]), source[1])
        if source not in self._pairs:
            rows = self._rows_of(source)
            pairs = pooled(rows[rows["erased"] != rows["affected"]])
            value = self._floor(source, pairs).value
            self._pairs[source] = pairs.assign(clear=is_clear(pairs, value, source[1]))
        return self._pairs[source]

    def by_seed(self, source: Source) -> list[pd.DataFrame]:
        """The matrix of damage of each seed alone."""
        rows = self._rows_of((method_of(source[0]), source[1]))
        rows = rows[rows["erased"] != rows["affected"]]
        return [matrix(pooled(of_seed), "delta") for _, of_seed in rows.groupby("seed")]

    def floor(self, source: Source) -> Floor:
        """From where on people see an effect, where that is known; else how large one may be by chance.

        That is as measured without an edit where the table holds it, else estimated. Only shares are measured so; see
        `floor` for why, and for the estimate.
        """
        return self._floor((method_of(source[0]), source[1]), self.pairs(source))

    def damage(self, source: Source, column: str = "delta") -> pd.DataFrame:
        """`pairs` as a matrix, a row an erased concept and a column an affected one; nan where nothing was measured."""
        return matrix(self.pairs(source), column)

    def strongest(
        self, source: Source, name: str, direction: Direction, k: int = 8, clear: bool = True
    ) -> pd.DataFrame:
        """The k largest clear effects of erasing `name` (hurts), on `name` of erasing others (hurt by), or of both.

        With clear=False the largest of those that are not clear.
        """
        touching = self._touching(source, name, direction)
        rows = touching[touching["clear"] == clear]
        return rows.sort_values("delta", key=abs, ascending=False, kind="stable").head(k)

    def unclear(self, source: Source, name: str, direction: Direction) -> int:
        """How many measured effects are not clear."""
        return int((~self._touching(source, name, direction)["clear"]).sum())

    def measured(self, source: Source, name: str, direction: Direction) -> bool:
        """Whether anything is known of a concept in that direction."""
        return not self._touching(source, name, direction).empty

    def mean_damage_received(self, source: Source) -> pd.Series:
        """Each affected concept's mean damage over the erasures of all others."""
        return self.pairs(source).groupby("affected", sort=False)["delta"].mean()

    def most_damaging(self, source: Source) -> str | None:
        """The concept whose erasure did the most clear damage in total; None where nothing is clear."""
        pairs = self.pairs(source)
        clear = pairs[pairs["clear"]]
        return None if clear.empty else str(clear.groupby("erased")["delta"].sum().idxmax())

    def hurt(self, source: Source) -> pd.DataFrame:
        """Who is clearly hurt by whose erasure; bool, erased by affected."""
        pairs = self.pairs(source)
        return matrix(pairs.assign(hurt=pairs["clear"] & (pairs["delta"] > 0)), "hurt").eq(True)

    def abnormal(self, source: Source, rounds: int = 2000) -> pd.DataFrame:
        """Concepts hurt by more erasures than chance allows: concept, hurt_by, expected, p; the most hurt first."""
        return abnormal(self.hurt(source), rounds)

    def abnormality(self, source: Source, names: Sequence[str]) -> list[float]:
        """How abnormal each of `names` is, 0 to 1: by how many erasures more than expected it is hurt, of the largest.

        nan where it was not measured.
        """
        counts = hurt_counts(self.hurt(source)).set_index("concept").reindex(names)
        above = (counts["hurt_by"] - counts["expected"]).clip(lower=0)
        return (above / max(float(above.max()), 1e-9)).tolist()

    def missing(self, concepts: ConceptSet) -> list[str]:
        """The concepts that nobody has erased."""
        return [name for name in concepts.names if name not in self._erased]

    @cached_property
    def _erased(self) -> set[str]:
        return set(self.rows["erased"].unique()).union(*(one.erased for one in self.recorded.values()))

    def _touching(self, source: Source, name: str, direction: Direction) -> pd.DataFrame:
        sides = {"hurts": ["erased"], "hurt by": ["affected"]}.get(direction, ["erased", "affected"])
        places = [self._places(source, side).get(name, np.empty(0, int)) for side in sides]
        return self.pairs(source).iloc[np.unique(np.concatenate(places))]

    def _places(self, source: Source, side: str) -> dict[str, np.ndarray]:
        """The rows of `pairs` by who was erased or affected; whoever picks asks again and again."""
        key = (method_of(source[0]), source[1], side)
        if key not in self._rows_by:
            self._rows_by[key] = self.pairs(source).groupby(side, sort=False, observed=True).indices
        return self._rows_by[key]

    def _rows_of(self, source: Source) -> pd.DataFrame:
        if source in self.recorded:
            return self.recorded[source].read()
        method, metric = source
        rows = self.rows[(self.rows["metric"] == metric) & (self.rows["method"] == method)]
        if rows.empty:
            sources_there = ", ".join(f"{metric} by {label_of(method)}" for method, metric in self.sources)
            raise AgeError(f"The table holds no {metric} by {label_of(method)}; it holds {sources_there or 'nothing'}.")
        return rows

    def _floor(self, source: Source, pairs: pd.DataFrame) -> Floor:
        if source in self.recorded and (seen := self.recorded[source].floor) is not None:
            return seen
        unedited = self.table[(self.table["method"] == UNEDITED) & (self.table["metric"] == source[1])]
        return estimated_floor(pairs["delta"], source[1]) if unedited.empty else measured_floor(unedited["delta"])


def gather(folder: Path) -> pd.DataFrame:
    """All finished tables of a folder as one. Raises AgeError where there is none, or one is damaged."""
    tables = [read_table(path) for path in sorted(folder.glob("*.parquet")) if PART.fullmatch(path.name)]
    if not any((table["erased"] != "").any() for table in tables):
        raise AgeError(f"No erasure is finished in {folder.name!r} yet.")
    return pd.concat(tables, ignore_index=True)


def read_table(path: Path) -> pd.DataFrame:
    """A table of side effects that `gather` made. Raises AgeError where it is missing, broken or something else."""
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise AgeError(f"The table {path.name!r} cannot be read: {str(error).splitlines()[0]}") from error
    lacking = [column for column in COLUMNS if column not in (*table.columns, "identity")]
    if lacking:
        raise AgeError(f"The table {path.name!r} holds no side effects: it lacks the columns {', '.join(lacking)}.")
    return _current(table)


def load_side_effects(concepts: str = "emoji") -> pd.DataFrame:
    """The tables shipped for the bundled model and one of its sets of concepts: by training, and of all of it by UCE.

    Raises AgeError when there is none.
    """
    paths = [ASSETS / "graphs" / f"{name}.parquet" for name in (concepts, f"{concepts}-uce")]
    tables = [read_table(path) for path in paths if path.exists()]
    if not tables:
        raise AgeError(f"No side effects came with the concepts {concepts!r}.")
    return pd.concat(tables, ignore_index=True)


def _current(table: pd.DataFrame) -> pd.DataFrame:
    """A table of an earlier version as one of this: with keys of methods, and with an identity, if an unknown one."""
    return with_keys(table).assign(identity=table["identity"].fillna("") if "identity" in table else "")
