"""Side effects: the table of what erasing one concept does to every other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from diffusers import StableDiffusionPipeline

from age_core.concepts import ASSETS, ConceptSet
from age_core.erasure import erase
from age_core.errors import AgeError
from age_core.evaluation import bootstrap, hits
from age_core.options import EraseOptions
from age_core.probes import Probe
from age_core.vocabulary import Vocabulary

COLUMNS = (
    "model", "method", "target", "erased", "affected", "seed", "metric", "before", "after", "delta", "low", "high",
)  # fmt: skip
POOL = 30  # candidates of an adaptive target


def side_effect_rows(
    before: pd.DataFrame, after: pd.DataFrame, metric: str, column: str, **labels: object
) -> pd.DataFrame:
    """One row an affected concept: shares (0 to 1) before and after, delta (positive is damage), 95 % interval.

    `before` and `after` hold the same pictures in the same order, so the interval is of paired differences.
    """
    rows = []
    for name, group in before.groupby("concept", sort=False):
        first = group[column].to_numpy(float)
        second = after.loc[group.index, column].to_numpy(float)
        low, high = bootstrap(first - second)
        delta = float(np.mean(first - second))
        rows.append(
            labels
            | {"affected": name, "metric": metric, "before": first.mean(), "after": second.mean(), "delta": delta}
            | {"low": low, "high": high}
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def build_side_effects(
    pipe: StableDiffusionPipeline,
    probe: Probe,
    concepts: ConceptSet,
    erased: Sequence[str],
    options: EraseOptions,
    folder: Path,
    images: int = 4,
    model: str = "emoji",
) -> Iterator[str]:
    """Erase each of `erased` alone and measure every concept; yields a name as its table is written.

    One parquet file an erasure in `folder`, written whole or not at all; a restart goes on where it stopped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before: pd.DataFrame | None = None
    for name in erased:
        path = folder / f"{name.replace(' ', '_')}.parquet"
        if not path.exists():
            if before is None:
                before = hits(pipe, probe, concepts, concepts.names, images)
            concept = concepts[name]
            candidates = Vocabulary(concepts.names).near(pipe, name, POOL, exclude=concept.synonyms)
            *_, last = erase(pipe, name, candidates, options)
            after = hits(pipe, probe, concepts, concepts.names, images, last.eraser)
            target = options.fixed_target if options.target == "fixed" else options.target
            method = "AGE" if options.target == "adaptive" else f"{options.target} target"
            labels = {"model": model, "method": method, "target": target, "erased": name, "seed": options.seed}
            parts = [side_effect_rows(before, after, f"DS-{k}", f"top{k}", **labels) for k in (1, 5)]
            temporary = path.with_suffix(".partial")
            pd.concat(parts).to_parquet(temporary, index=False)
            temporary.replace(path)
        yield name


def gather(folder: Path) -> pd.DataFrame:
    """All finished tables of `build_side_effects` as one."""
    return pd.concat([pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))], ignore_index=True)


def load_side_effects(model: str = "emoji") -> pd.DataFrame:
    """The table shipped for a bundled model. Raises AgeError when there is none."""
    path = ASSETS / "graphs" / f"{model}.parquet"
    if not path.exists():
        raise AgeError(f"No side effects were computed for the model {model!r} yet.")
    return pd.read_parquet(path)
