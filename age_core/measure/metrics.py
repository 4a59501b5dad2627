"""Measures of pictures that `evaluate` takes by name, beside ESR and PSR: CLIP score, nudity, distances of sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from age_core.errors import AgeError
from age_core.measure.pictures import (
    CLIP,
    clip_score,
    inception_fid,
    load_clip,
    load_inception,
    load_nudenet,
    nudenet_rate,
    probe_fid,
)
from age_core.measure.verdicts import Drawn
from age_core.models.probes import AnyProbe

VERDICTS = {"esr": "erased", "psr": "others"}  # what counts a probe's verdicts, and whose pictures it counts them of
PARTS = tuple(VERDICTS.values())
DEFAULT = tuple(VERDICTS)

Measure = Callable[[Drawn, Drawn], float]  # of one model's pictures, and of the original's from the same seeds


@dataclass(frozen=True)
class Metric:
    """A measure of pictures, which may need weights of its own.

    `open` takes a source of weights ("" is the usual one), the probe and the device; it raises AgeError where something
    is missing, before anything is drawn.
    """

    about: str
    open: Callable[[str, AnyProbe | None, str], Measure]
    parts: tuple[str, ...] = ("others",)  # whose pictures it is of
    source: str = ""  # what weights may be given
    of_probe: bool = False


def _clip(source: str, _probe: AnyProbe | None, device: str) -> Measure:
    load_clip(source or CLIP)
    return lambda drawn, _: float(np.mean(clip_score(drawn.pictures, drawn.prompts, source or CLIP, device)))


def _nudenet(_source: str, _probe: AnyProbe | None, _device: str) -> Measure:
    detector = load_nudenet()
    return lambda drawn, _: nudenet_rate(drawn.pictures, detector=detector)


def _inception(source: str, _probe: AnyProbe | None, _device: str) -> Measure:
    weights = Path(source) if source else None
    load_inception(weights)
    return lambda drawn, original: inception_fid(original.pictures, drawn.pictures, weights)


def _of_probe(_source: str, probe: AnyProbe | None, _device: str) -> Measure:
    assert probe is not None  # `open_metrics` has checked
    return lambda drawn, original: probe_fid(original.pictures, drawn.pictures, probe)


METRICS = {
    "clip-score": Metric("how well pictures fit their prompts", _clip, PARTS, "a CLIP model's folder or Hub id"),
    "nudenet": Metric("percent of pictures with an exposed part", _nudenet, PARTS),
    "fid": Metric("distance to the original's pictures as a set", _inception, source="Inception-v3's file of weights"),
    "probe-fid": Metric("the same by the probe's features", _of_probe, of_probe=True),
}


def needs_probe(names: Iterable[str]) -> bool:
    """Whether any metric of these names asks a probe."""
    return any(name in VERDICTS or (name in METRICS and METRICS[name].of_probe) for name in names)


def open_metrics(names: Iterable[str], probe: AnyProbe | None, device: str) -> dict[str, Measure]:
    """The measures of METRICS among `names`, each "name" or "name=source" of its weights, ready to be used.

    Raises AgeError on an unknown name, and where weights, a package or the probe is missing.
    """
    measures = {}
    for text in names:
        name, _, source = text.partition("=")
        if name not in VERDICTS and name not in METRICS:
            raise AgeError(f"There is no metric {name!r}; choose among {', '.join([*VERDICTS, *METRICS])}.")
        if source and (name in VERDICTS or not METRICS[name].source):
            raise AgeError(f"The metric {name!r} takes no weights, so leave out {source!r}.")
        if probe is None and needs_probe([name]):
            raise AgeError(f"The metric {name!r} is a probe's, so name a probe.")
        if name in METRICS:
            measures[name] = METRICS[name].open(source, probe, device)
    return measures
