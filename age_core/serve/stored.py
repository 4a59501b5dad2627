"""What the page asks without opening a model: what came with the package, what was measured here, who may have runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from PIL import Image

from age_core.assets import ASSETS, MODELS, PROBES
from age_core.concepts.concept_set import TEMPLATES, ConceptSet
from age_core.errors import AgeError
from age_core.files import OWNER
from age_core.files import why_not_writable as why_not_writable  # for the app
from age_core.models.same_model import same_model
from age_core.serve.registry import IMPORTING
from age_core.study.counting import counting_sentence as counting_sentence  # for the tabs
from age_core.study.labels import label_of
from age_core.study.tables import COLUMNS, gather, load_side_effects
from age_core.study.tables import Direction as Direction  # for the tabs, as are the next two
from age_core.study.tables import SideEffects as SideEffects
from age_core.study.tables import Source as Source
from age_core.study.world import RecordedErasure as RecordedErasure
from age_core.study.world import RecordedWorld as RecordedWorld
from age_core.study.world import Sheet as Sheet
from age_core.study.world_files import read_manifest
from age_core.validation import field_seed as field_seed

if TYPE_CHECKING:
    from age_core.serve.explorer import Explorer

ABLATION = ASSETS / "ablation.csv"  # the summary that benchmarks/evidence/ablation.py writes
PROTECTION = ASSETS / "protection.csv"  # the same of targets under one protection
WORLD = ASSETS / "world"  # as benchmarks/evidence/world.py packs it
WORLD_FORMAT = "float32"  # the number format in which all that came with the package was computed
GOLD = ASSETS / "gold-squirrel.csv"  # and benchmarks/evidence/gold.py that, and the pictures beside it
GOLD_SIDE, GOLD_WORDS, GOLD_PICTURES = 64, 6, 3  # pixels of a tile; words, and pictures of each, in its rows


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


def compared_identity(explorer: Explorer) -> str | None:
    """The identity by which an open model is told from the one that the package's recordings are of.

    None in another number format, where the same weights have other bits, and the name has to do.
    """
    return explorer.identity if explorer.number_format == WORLD_FORMAT else None


def is_recorded(model: str, identity: str | None) -> bool:
    """Whether what came with the package is of a model: the weights say so, whatever it is called and wherever it lies.

    `identity`: as `compared_identity` has it; None also where the model is not open yet. Then its name has to do, and
    where the recorded world, which says of whom it is, did not come.
    """
    if identity is not None:
        with suppress(AgeError):
            return same_model(read_manifest(WORLD).identity, identity)
    return model in MODELS


def side_effects(
    model: str, concepts: ConceptSet, set_name: str, explorer: Callable[[], Explorer], identity: str | None = None
) -> SideEffects | None:
    """What came with a bundled model and set of concepts and, if that is not all, what was measured here; or None.

    What the recorded world shows comes first, and of its methods there is nothing else. `explorer` opens the model,
    which is needed only to find what was measured here; `identity` as for `is_recorded`.
    """
    world = recorded_world(model, concepts, identity)
    recorded = world.sources if world is not None else {}
    table = pd.DataFrame(columns=list(COLUMNS))
    if set_name in TEMPLATES and is_recorded(model, identity):
        with suppress(AgeError):
            table = load_side_effects(set_name)
            table = table[~table["method"].isin([method for method, _ in recorded])]
    effects = SideEffects(table, recorded)
    if effects.missing(concepts):
        with suppress(AgeError):
            measured = gather(explorer().measured)
            effects = SideEffects(measured if table.empty else pd.concat([table, measured]), recorded)
    return effects if effects.sources else None


@lru_cache(maxsize=4)
def recorded_world(model: str, concepts: ConceptSet, identity: str | None = None) -> RecordedWorld | None:
    """The recorded erasures of a model (`identity` as for `is_recorded`); None where there are none of these words."""
    if identity is None and model not in MODELS:
        return None
    with suppress(AgeError):
        return RecordedWorld.open(WORLD, concepts, identity)
    return None


def recorded_pictures() -> list[Path]:
    """The folders whose pictures the page may serve."""
    return [WORLD] if WORLD.is_dir() else []


def source_title(source: Source) -> tuple[str, str]:
    """What people call a method, and the metric."""
    return label_of(source[0]), source[1]


def ablation() -> pd.DataFrame | None:
    """The ablation of targets, a row a method (the index); None where it did not come with the package."""
    return pd.read_csv(ABLATION).set_index("method") if ABLATION.exists() else None


def protection() -> pd.DataFrame | None:
    """Targets that all guard the same words and train as long, a row each (the index: the method); None without any.

    Rows of what the default was before, of the default that goes on until a concept is gone, and without protection are
    left out.
    """
    if not PROTECTION.exists():
        return None
    rows = pd.read_csv(PROTECTION)
    options = rows["options"].map(json.loads)
    guarded = rows["named"].eq("age") | options.map(lambda told: "protect" in told)
    alike = options.map(lambda told: "protect_in" not in told and not told.get("most_left"))
    plain = rows["named"].ne("age") | options.map(lambda told: "most_left" in told)
    return rows[guarded & alike & plain].set_index("named")


def gold_reference() -> tuple[pd.DataFrame, Sheet | None] | None:
    """How models compare with one that never saw a concept, and what each draws of it; None where it did not come.

    The table as benchmarks/evidence/gold.py writes it. The sheet's tiles have the names of `gold_tile`; None where it
    is missing or of another form.
    """
    if not GOLD.exists():
        return None
    table, pictures = pd.read_csv(GOLD), GOLD.with_suffix(".png")
    models, columns = list(table["model"].unique()), GOLD_WORDS * GOLD_PICTURES
    try:
        with Image.open(pictures) as sheet:
            fits = sheet.size == (columns * GOLD_SIDE, len(models) * GOLD_SIDE)
    except OSError:
        fits = False
    places = {
        gold_tile(model, number): row * columns + number
        for row, model in enumerate(models)
        for number in range(GOLD_PICTURES)
    }
    return table, Sheet(pictures, GOLD_SIDE, columns, places) if fits else None


def gold_tile(model: str, number: int) -> str:
    """The name of a tile: the n-th picture that a model draws of the concept itself."""
    return f"{model} {number}"


def graph_facts(effects: SideEffects, source: Source, concepts: ConceptSet) -> tuple[dict[str, float], pd.DataFrame]:
    """What networkx reads from the graph of clear side effects: `graph_statistics` as a dictionary, and `strengths`."""
    with IMPORTING:
        from age_core.study import graph  # scikit-learn, which the page is served before

    side_effect_graph = graph.concept_graph(effects, source, concepts)
    return graph.graph_statistics(side_effect_graph).iloc[0].to_dict(), graph.strengths(side_effect_graph)


def is_owner(token: object) -> bool:
    """Whether a token is one that the app gave out: it names the folder of a person's runs."""
    return isinstance(token, str) and bool(OWNER.fullmatch(token))
