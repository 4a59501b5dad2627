"""What the page asks without opening a model: what came with the package, what was measured here, who may have runs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from age_core.assets import ASSETS, MODELS, PROBES
from age_core.concepts.concept_set import TEMPLATES
from age_core.erasure.methods import METHODS
from age_core.errors import AgeError
from age_core.files import OWNER
from age_core.study import statistics
from age_core.study.tables import gather, load_side_effects, read_table

if TYPE_CHECKING:
    from age_core.serve.explorer import Explorer

ABLATION = ASSETS / "ablation.csv"  # the summary that benchmarks/evidence/ablation.py writes
NETFIVE = ASSETS / "graphs" / "emoji-netfive.parquet"  # and benchmarks/evidence/graphs.py that


def bundled_models() -> list[str]:
    """The models that come with the package."""
    return list(MODELS)


def bundled_probes() -> list[str]:
    """The probes that come with the package."""
    return list(PROBES)


def concept_sets() -> list[str]:
    """The sets that come with the package."""
    return list(TEMPLATES)


def shipped_runs() -> Path | None:
    """The folder of runs that came with the bundled model; None where there is none."""
    folder = ASSETS / "runs"
    return folder if folder.is_dir() else None


def shipped_layouts(model: str) -> Path:
    """The file of layouts that came with a bundled model."""
    return ASSETS / "graphs" / f"{model}-layout.csv"


def measured_layouts(explorer: Explorer) -> Path:
    """The file of layouts that were made here for a model and its concepts."""
    return explorer.measured / "layout.csv"


def shipped_side_effects(model: str, concepts: str) -> pd.DataFrame | None:
    """What came with a bundled model and set of concepts; None where nothing did."""
    if model in MODELS and concepts in TEMPLATES:
        with suppress(AgeError):
            return load_side_effects(concepts)
    return None


def measured_side_effects(explorer: Explorer) -> pd.DataFrame | None:
    """What was measured here of a model and its concepts; None where nothing was."""
    with suppress(AgeError):
        return gather(explorer.measured)
    return None


def ablation() -> pd.DataFrame | None:
    """The ablation of targets, a row a method (the index); None where it did not come with the package."""
    return pd.read_csv(ABLATION).set_index("method") if ABLATION.exists() else None


def both_ways(table: pd.DataFrame, method: str, metric: str) -> tuple[pd.DataFrame, float]:
    """Pairs erased both ways (see `statistics.both_ways`), and the share of all damage that is one-way.

    By trained erasures where the evidence holds them, else by the `method` and `metric` of `table`.
    """
    try:
        pairs = statistics.pairs(read_table(NETFIVE), "noise-shift", METHODS["age"].label)
    except AgeError:
        pairs = statistics.pairs(table, metric, method)
    return statistics.both_ways(pairs), statistics.asymmetry(statistics.damage_of(pairs))


def is_owner(token: str) -> bool:
    """Whether a token is one that the app gave out: it names the folder of a person's runs."""
    return bool(OWNER.fullmatch(token or ""))
