"""The models that the explorer has open: each is opened once, and shared by everybody who chose it.

What opens and computes is imported as late as that: it takes seconds, in which the page can be seen already.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from age_core.assets import MODELS, PROBES
from age_core.concepts.concept_set import TEMPLATES, ConceptSet
from age_core.errors import AgeError
from age_core.serve import lent
from age_core.validation import as_source

if TYPE_CHECKING:
    from age_core.serve.explorer import Explorer
    from age_core.serve.queue import RunQueue

T = TypeVar("T")
HUB_MODELS = ("CompVis/stable-diffusion-v1-4", "stable-diffusion-v1-5/stable-diffusion-v1-5")
IMAGENET_PROBE = "microsoft/resnet-50"
MOST_MODELS = 2  # open beside the first, which stays
MOST_SETS = 50  # of concepts that are remembered
LONGEST_S = 900.0  # that a run may train at a stretch where strangers wait for it
LEAST, MOST_CONCEPTS = 4, 2000  # that a map can show
# Two threads that import packages which import each other would get half of one: Python rather breaks its own locks
# than wait for ever. Whoever imports what takes seconds holds this, or waits for an open model first.
IMPORTING = threading.Lock()


@dataclass(frozen=True)
class Choice:
    """What a person opens: a bundled model, a Hub id or a folder; a set of concepts, or a CSV file; probe "": none.

    Each as `as_source` reads it, so that the same thing is opened once.
    """

    model: str = "emoji"
    concepts: str = "emoji"
    probe: str = "emoji"
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("model", "concepts", "probe"):
            object.__setattr__(self, name, as_source(getattr(self, name)))


def _apart(load: Callable[[], T]) -> T:
    """What `load` answers, in a thread that ends with it, so that it leaves no team of OpenMP's (see `DeviceWorker`).

    Not in the device's own thread: loading may take minutes, in which a training goes on.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(load).result()


def devices() -> list[str]:
    """Where a model can run on this machine, the fastest first."""
    if lent.LENDS:  # cards are for `lent.train` alone; here `torch` only behaves as if there were one
        return ["cpu"]
    with IMPORTING:
        import torch

    cards = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return [*cards, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def quick_format(device: str) -> str:
    """bfloat16 where a card computes in it; where it would be emulated (before Ampere), or on no card, float32."""
    import torch

    if not device.startswith("cuda"):
        return "float32"
    with torch.cuda.device(device):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"


class OpenModels:
    """Explorers by choice. The bundled model is always there; of others, the MOST_MODELS that were asked for last.

    One training at a time on a device, whatever it trains. `others`: whether anything but the bundled models may be
    opened, which on a machine that strangers use would let them read folders and fill the disk.
    """

    def __init__(self, runs: Path, shipped: Path | None = None, others: bool = True):
        self._runs, self._shipped, self._others = runs, shipped, others
        self._elsewhere = lent.trainer() if lent.LENDS else None
        self._open: OrderedDict[Choice, Explorer] = OrderedDict()
        self._queues: dict[str, RunQueue] = {}
        self._read: dict[str, ConceptSet] = {}
        self._opening = threading.Lock()

    def explorer(self, choice: Choice) -> Explorer:
        """An open one, at once even while another is being opened; else it is opened now."""
        while (explorer := self._open.get(choice)) is None:
            for _ in self.opening(choice):
                pass
        return explorer

    def has(self, choice: Choice) -> bool:
        """Whether a model is open."""
        return choice in self._open

    def opening(self, choice: Choice) -> Iterator[str]:
        """Open a model if it is not open yet, and say what comes next; one at a time. Raises AgeError on bad input."""
        bundled = choice.model in MODELS and choice.concepts in TEMPLATES and choice.probe in ("", *PROBES)
        if not (self._others or bundled):
            raise AgeError(
                "This shared explorer opens its bundled models, probes and concept sets only: run it on a machine of "
                "your own to open others."
            )
        if choice.device not in devices():
            raise AgeError(f"There is no device {choice.device!r} here; choose one of {', '.join(devices())}.")
        with IMPORTING:
            from age_core.models.pipelines import load_pipeline
            from age_core.models.probes import load_probe
            from age_core.serve.explorer import Explorer
            from age_core.serve.library import Library
            from age_core.serve.queue import RunQueue

        if self._opening.locked():
            yield "Another model is being opened; waiting for it"
        with self._opening:
            if choice in self._open:
                self._open.move_to_end(choice)
                return
            yield f"Reading the concepts {Path(choice.concepts).name}"
            concepts = self._concepts(choice.concepts)
            if not LEAST <= len(concepts) <= MOST_CONCEPTS:
                raise AgeError(
                    f"A map needs {LEAST} to {MOST_CONCEPTS} concepts; {concepts.name!r} has {len(concepts)}."
                )
            yield f"Loading the weights of {choice.model}"
            pipe = _apart(lambda: load_pipeline(choice.model, choice.device, quick_format(choice.device)))
            probe = None
            if choice.probe:
                yield f"Loading the probe {choice.probe}"
                probe = _apart(lambda: load_probe(choice.probe, choice.device))
                probe.rows(label for concept in concepts for label in concept.labels)
            if choice.device not in self._queues:  # each has a thread of its own
                longest_s = math.inf if self._others else LONGEST_S
                self._queues[choice.device] = RunQueue(elsewhere=self._elsewhere, longest_s=longest_s)
            shipped = self._shipped if choice == Choice() else None
            self._make_room()
            library = Library(self._runs, shipped, choice.model)
            explorer = Explorer(pipe, probe, concepts, self._queues[choice.device], library, choice.model)
            _ = explorer.identity  # by which the page knows whether what came with the package is of this model
            self._open[choice] = explorer
            _ = explorer.read_names  # every map needs them: they are read while the page is laid out

    def _concepts(self, name: str) -> ConceptSet:
        """A set of concepts; of a file that is gone what was read last, since uploads are swept away after an hour."""
        if name not in self._read or Path(name).exists():
            self._read[name] = ConceptSet.load(name)
            for oldest in list(self._read)[:-MOST_SETS]:
                del self._read[oldest]
        return self._read[name]

    def _make_room(self) -> None:
        """Close the model that was longest not asked for, unless it trains."""
        others = [choice for choice in self._open if choice != Choice()]
        for choice in others[: max(len(others) + 1 - MOST_MODELS, 0)]:
            explorer = self._open[choice]
            if not explorer.queue.uses(explorer.pipe):
                from age_core.models.pipelines import release_memory

                del self._open[choice], explorer
                release_memory()
