"""Side effects: the table of what erasing one concept does to every other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from diffusers import StableDiffusionPipeline

from age_core.concepts import ASSETS, ConceptSet
from age_core.erasure import erase
from age_core.errors import AgeError
from age_core.evaluation import Reference, bootstrap, hits, noise_reference, noise_shift
from age_core.files import replacing, write_json
from age_core.methods import neighbours
from age_core.options import EraseOptions
from age_core.probes import Probe

COLUMNS = (
    "model", "method", "target", "erased", "affected", "seed", "metric", "before", "after", "delta", "low", "high",
)  # fmt: skip
LABELS = {"adaptive": "AGE", "fixed": "fixed target", "random": "random neighbour"}


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
    erased_images: int = 16,
    model: str = "emoji",
) -> Iterator[str]:
    """Erase each of `erased` alone and measure every concept; yields a name as its table is written.

    `images` pictures of each concept, `erased_images` of the erased one (the diagonal: its erasure).
    Metrics: DS-1 and DS-5 (share of pictures whose label is the probe's first, or among its five) and noise-shift
    (before: 1, after: what is left of the original noise prediction). One parquet file an erasure in `folder`, and
    beside it its eraser and a JSON file with its seconds, options and probe; a restart goes on where it stopped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    everyone: pd.DataFrame | None = None
    reference: Reference | None = None
    for name in erased:
        path = folder / f"{name.replace(' ', '_')}.parquet"
        if not path.exists():
            if everyone is None or reference is None:
                everyone = hits(pipe, probe, concepts, concepts.names, images)
                reference = noise_reference(pipe, concepts, images)
            *_, last = erase(pipe, name, neighbours(pipe, concepts[name], concepts), options)
            eraser = last.eraser
            assert eraser is not None  # the last event carries it
            others = [other for other in concepts.names if other != name]
            before = pd.concat(
                [everyone[everyone["concept"] != name], hits(pipe, probe, concepts, [name], erased_images)],
                ignore_index=True,
            )
            after = pd.concat(
                [
                    hits(pipe, probe, concepts, others, images, eraser),
                    hits(pipe, probe, concepts, [name], erased_images, eraser),
                ],
                ignore_index=True,
            )
            labels: dict[str, object] = {"model": model, "method": LABELS[options.target], "target": _target(options)}
            labels |= {"erased": name, "seed": options.seed}
            parts = [side_effect_rows(before, after, f"DS-{k}", f"top{k}", **labels) for k in (1, 5)]
            shift = noise_shift(pipe, reference, eraser)
            parts.append(side_effect_rows(shift.assign(kept=1.0), shift, "noise-shift", "kept", **labels))
            eraser.save(path.with_suffix(".safetensors"))
            judge = {"name": probe.name, "version": probe.version}
            provenance = {"seconds": round(last.elapsed_s, 2), "options": asdict(options), "probe": judge}
            write_json(path.with_suffix(".json"), provenance)
            with replacing(path) as temporary:
                pd.concat(parts).to_parquet(temporary, index=False)
        yield name


def _target(options: EraseOptions) -> str:
    return options.fixed_target if options.target == "fixed" else options.target


def gather(folder: Path) -> pd.DataFrame:
    """All finished tables of `build_side_effects` as one."""
    return pd.concat([pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))], ignore_index=True)


def load_side_effects(model: str = "emoji") -> pd.DataFrame:
    """The table shipped for a bundled model. Raises AgeError when there is none."""
    path = ASSETS / "graphs" / f"{model}.parquet"
    if not path.exists():
        raise AgeError(f"No side effects were computed for the model {model!r} yet.")
    return pd.read_parquet(path)
