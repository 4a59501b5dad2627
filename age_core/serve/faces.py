"""The pictures that the atlas is made of: one a concept, by the original and by an edited model, nearest first.

Prompt, seed and sampler are those of the first picture that `verdicts` judges of a concept, and so those of the
recorded world: a picture drawn here and a recorded one differ in the last bits at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from age_core.erasure.by_method import plan
from age_core.erasure.target_words import banned, resolve
from age_core.measure.pictures import pair_distance
from age_core.measure.verdicts import Drawn, draw, judge
from age_core.models.eraser import Eraser
from age_core.serve.explorer import Explorer
from age_core.serve.originals import Look as Look  # for the tabs

FIRST, BATCH = 8, 24  # pictures at once: few at first, so that something is to be seen after a second


def nearest_first(explorer: Explorer, first: str) -> list[str]:
    """Every concept: `first` itself, what should vanish along with it, and the others as `Explorer.ranked` has them.

    `first` may be a synonym, a kind or a group. Raises AgeError where it is none.
    """
    concept, others = resolve(explorer.concepts, first), explorer.ranked(first)
    along = sorted(set(explorer.concepts.names) - {concept.name, *others})
    own = [concept.name] if concept.name in explorer.concepts.names else []
    return [*own, *along, *others]


def original_faces(explorer: Explorer, first: str) -> Iterator[list[Look]]:
    """The original model's picture of every concept, in batches, nearest to `first` first.

    What was drawn before, also at an earlier start, comes without waiting for the device. Closing it stops after the
    present batch; what is drawn stays.
    """
    names, originals = nearest_first(explorer, first), explorer.compute(lambda: explorer.originals)

    def look(batch: Sequence[str]) -> list[Look]:
        looks_there = [one for name in batch if (one := originals.get(name))]
        if len(looks_there) == len(batch):
            return looks_there
        looks = explorer.compute(lambda: _originals_of(explorer, batch))
        originals.write()
        return looks

    return _by_batch(names, look)


def edited_faces(
    explorer: Explorer, eraser: Eraser, first: str, most: int | None = None, strength: float = 1.0
) -> Iterator[list[Look]]:
    """The pictures of the model with `eraser` applied, in batches, nearest to `first` first, itself included.

    most: of them, all when left out. strength: as for `Eraser.scaled`. Distances are to the original's pictures of the
    same seeds, which are drawn along where they are not there yet; without a probe there is no measure of them, and
    they are nan. Each batch has its turn on the device, so that others have theirs in between. Raises AgeError on an
    unknown concept here, and on another model's eraser with the first batch.
    """
    names, originals = nearest_first(explorer, first)[:most], explorer.compute(lambda: explorer.originals)
    edit = eraser.scaled(strength)

    def look(batch: Sequence[str]) -> list[Look]:
        looks = explorer.compute(lambda: _edited(explorer, edit, batch))
        originals.write()
        return looks

    return _by_batch(names, look)


def erase_now(explorer: Explorer, names: str | Sequence[str]) -> Eraser:
    """Erase by the closed form UCE to the empty prompt, all others preserved: a second the first time, then a tenth.

    Raises AgeError on what cannot be erased.
    """
    erased = plan("uce", names, explorer.concepts).concepts
    words = [concept.name for concept in erased]
    return explorer.compute(lambda: explorer.preserved.uce(explorer.pipe, words, banned(erased)))


def _by_batch(names: Sequence[str], look: Callable[[Sequence[str]], list[Look]]) -> Iterator[list[Look]]:
    for start, end in pairwise(sorted({0, *range(FIRST, len(names), BATCH), len(names)})):
        yield look(names[start:end])


def _originals_of(explorer: Explorer, names: Sequence[str]) -> list[Look]:
    """What the original model draws of each; what is not there yet is drawn now, in the device's thread."""
    originals = explorer.originals
    missing = [explorer.concepts[name] for name in names if originals.get(name) is None]
    if missing:
        drawn = draw(explorer.pipe, explorer.concepts, missing, 1)
        columns = zip(missing, drawn.pictures, _recognised(explorer, drawn), strict=True)
        originals.add([Look(concept.name, picture, 0.0, seen, seen) for concept, picture, seen in columns])
    return [one for name in names if (one := originals.get(name))]


def _edited(explorer: Explorer, eraser: Eraser, names: Sequence[str]) -> list[Look]:
    """What the edited model draws of each, beside what the original does; in the device's thread."""
    originals = _originals_of(explorer, names)
    drawn = draw(explorer.pipe, explorer.concepts, [explorer.concepts[name] for name in names], 1, eraser)
    distances = [float("nan")] * len(names)
    if explorer.probe:
        distances = pair_distance(explorer.probe, [one.image for one in originals], drawn.pictures).tolist()
    columns = zip(originals, drawn.pictures, distances, _recognised(explorer, drawn), strict=True)
    return [Look(one.name, picture, far, seen, one.recognised) for one, picture, far, seen in columns]


def _recognised(explorer: Explorer, drawn: Drawn) -> list[bool | None]:
    """Whether the probe's first guess of each picture is its concept."""
    if explorer.probe is None:
        return [None] * len(drawn.pictures)
    return judge(explorer.probe, drawn)["top1"].tolist()
