"""Side effects: the table of what erasing one concept does to every other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from diffusers import DiffusionPipeline

from age_core.concepts import ASSETS, ConceptSet
from age_core.errors import AgeError
from age_core.evaluation import Reference, hits, noise_reference, noise_shift
from age_core.files import plain, read_json, replacing, write_json
from age_core.intervals import bootstrap
from age_core.methods import erase_by, method_label, plan
from age_core.probes import Probe

COLUMNS = (
    "model", "method", "target", "erased", "affected", "seed", "metric", "before", "after", "delta", "low", "high",
)  # fmt: skip


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
    pipe: DiffusionPipeline,
    probe: Probe,
    concepts: ConceptSet,
    erased: Sequence[str],
    method: str,
    folder: Path,
    images: int = 4,
    erased_images: int = 16,
    model: str = "emoji",
    preset: str = "balanced",
    target: str | None = None,
    **changes: Any,
) -> Iterator[str]:
    """Erase each of `erased` alone by a named method and measure every concept; yields a name as its table is written.

    method, preset, target, changes: as for `erase_by`; the table's column "target" holds the word that was erased to,
    "" for the empty prompt, or the method's way to choose ("adaptive", "random").
    `images` pictures of each concept, `erased_images` of the erased one (the diagonal: its erasure).
    Metrics: DS-1 and DS-5 (share of pictures whose label is the probe's first, or among its five) and noise-shift
    (before: 1, after: what is left of the original noise prediction). One parquet file an erasure in `folder`, and
    beside it its eraser and a JSON file with its seconds, options and probe; a restart goes on where it stopped.
    Raises AgeError on bad input, and on a folder that holds another method's erasures.
    """
    plan(method, list(erased), concepts, preset, target, **changes)
    asked = plain({"method": method, "preset": preset, "target": target, "changes": changes, "images": images})
    folder.mkdir(parents=True, exist_ok=True)
    everyone: pd.DataFrame | None = None
    reference: Reference | None = None
    for name in erased:
        path = folder / f"{name.replace(' ', '_')}.parquet"
        if path.exists():
            found = read_json(path.with_suffix(".json")).get("asked")
            if found != asked:
                raise AgeError(f"{folder.name!r} holds an erasure of {name!r} by {found}, not {asked}: name another.")
            yield name
            continue
        if everyone is None or reference is None:
            everyone = hits(pipe, probe, concepts, concepts.names, images)
            reference = noise_reference(pipe, concepts, images)
        *_, last = erase_by(pipe, method, name, concepts, preset, target, **changes)
        eraser = last.eraser
        assert eraser is not None  # the last event carries it
        others = [other for other in concepts.names if other != name]
        own, kept = (hits(pipe, probe, concepts, [name], erased_images, one) for one in (None, eraser))
        before = pd.concat([everyone[everyone["concept"] != name], own], ignore_index=True)
        after = pd.concat([hits(pipe, probe, concepts, others, images, eraser), kept], ignore_index=True)
        labels: dict[str, object] = {"model": model, "method": method_label(method, target)}
        labels |= {"target": eraser.info["target"], "erased": name, "seed": eraser.info.get("seed", 0)}
        parts = [side_effect_rows(before, after, f"DS-{k}", f"top{k}", **labels) for k in (1, 5)]
        shift = noise_shift(pipe, reference, eraser)
        parts.append(side_effect_rows(shift.assign(kept=1.0), shift, "noise-shift", "kept", **labels))
        eraser.save(path.with_suffix(".safetensors"))
        judge = {"name": probe.name, "version": probe.version}
        seconds, options = round(last.elapsed_s, 2), eraser.info.get("options", {})
        provenance = {"asked": asked, "seconds": seconds, "options": options, "probe": judge}
        write_json(path.with_suffix(".json"), provenance)
        with replacing(path) as temporary:
            pd.concat(parts).to_parquet(temporary, index=False)
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
