"""Tables of side effects on disk: those that were just measured, and those that came with the package."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from age_core.assets import ASSETS
from age_core.errors import AgeError

COLUMNS = (
    "model",
    "method",
    "target",
    "erased",
    "affected",
    "seed",
    "metric",
    "before",
    "after",
    "delta",
    "low",
    "high",
)


def gather(folder: Path) -> pd.DataFrame:
    """All finished tables of a folder as one. Raises AgeError where there is none."""
    tables = [pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))]
    if not tables:
        raise AgeError(f"No erasure is finished in {folder.name!r} yet.")
    return pd.concat(tables, ignore_index=True)


def read_table(path: Path) -> pd.DataFrame:
    """A table of side effects that `gather` made. Raises AgeError where it is missing, broken or something else."""
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise AgeError(f"The table {path.name!r} cannot be read: {str(error).splitlines()[0]}") from error
    lacking = [column for column in COLUMNS if column not in table.columns]
    if lacking:
        raise AgeError(f"The table {path.name!r} holds no side effects: it lacks the columns {', '.join(lacking)}.")
    return table


def load_side_effects(concepts: str = "emoji") -> pd.DataFrame:
    """The tables shipped for the bundled model and one of its sets of concepts: by training, and of all of it by UCE.

    Raises AgeError when there is none.
    """
    paths = [ASSETS / "graphs" / f"{name}.parquet" for name in (concepts, f"{concepts}-uce")]
    tables = [read_table(path) for path in paths if path.exists()]
    if not tables:
        raise AgeError(f"No side effects came with the concepts {concepts!r}.")
    return pd.concat(tables, ignore_index=True)
