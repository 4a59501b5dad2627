"""The map of each model that is open: where its concepts lie, and what erasing one does to the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import pandas as pd

from age_core import ConceptSet
from age_core.serve import stored
from age_core.serve.registry import Choice, OpenModels
from age_core.serve.stored import RecordedWorld, SideEffects, Source
from viz.atlas import layout
from viz.tabs.faces import Face, Pictures, ServedSheet

if TYPE_CHECKING:
    from age_core.serve.explorer import Explorer

LAYOUTS = {"By meaning": "meaning", "By looks": "looks", "By side effects": "effects", "In rows by group": layout.ROWS}
FIRST = "dog"  # the concept that the page opens with, if its erasure was measured
KEPT = 128  # recorded faces that are kept ready
NEAREST = 50  # concepts in whose damage the sentence under the atlas sees that damage is local


@dataclass(frozen=True, eq=False)
class MapData:
    """The map of a model and its concepts, which everybody who chose them shares.

    Nobody changes it but by drawing: `originals` grows while what the model draws of each concept is not known yet.
    """

    models: OpenModels
    choice: Choice
    concepts: ConceptSet
    layouts: dict[str, pd.DataFrame]
    effects: SideEffects | None
    world: RecordedWorld | None = None
    originals: Pictures = field(default_factory=Pictures)
    instead: bool = False  # of the one that pages still show, which was made of what came with other weights

    @property
    def explorer(self) -> Explorer:
        """The model itself, which whoever asks first waits for until it is open. Raises AgeError where it cannot be."""
        return self.models.explorer(self.choice)

    @property
    def sources(self) -> list[Source]:
        """How side effects were measured: method and metric."""
        return self.effects.sources if self.effects is not None else []

    def source(self, place: int | None) -> Source:
        """The one at a place of the list, the first unless one was chosen."""
        return self.sources[place or 0]

    @cached_property
    def arrangements(self) -> list[str]:
        """The titles of its layouts."""
        return [title for title, name in LAYOUTS.items() if name in self.layouts]

    @cached_property
    def groups(self) -> list[str]:
        """The kind of each dot."""
        return [self.concepts[name].general for name in self.layouts[layout.MEANING]["name"]]

    @cached_property
    def unmeasured(self) -> int:
        """How many concepts nobody has erased to see whom it hurts."""
        return len(self.effects.missing(self.concepts)) if self.effects is not None else len(self.concepts)

    def recorded_face(self, method: str, name: str) -> Face | None:
        """What a recorded erasure made of all pictures; None where there is none."""
        return self._recorded_faces(method, name)

    @cached_property
    def _recorded_faces(self) -> Callable[[str, str], Face | None]:
        def read(method: str, name: str) -> Face | None:
            erasure = self.world.erasure(method, name) if self.world else None
            return Face.recorded(self.world, erasure) if self.world and erasure else None

        return lru_cache(KEPT)(read)

    def nearest(self, name: str) -> tuple[str, ...]:
        """The NEAREST concepts in words; none as long as the model, which knows, is not open."""
        if not self.models.has(self.choice) or name not in self.concepts.names:
            return ()
        return self.explorer.ranked(name)[:NEAREST]

    def counting(self, face: Face) -> str:
        """How much an erasure visibly changed, in one sentence."""
        by = face.by if face.strength == 1 else f"{face.by} at strength {face.strength:g}"
        return stored.counting_sentence(
            face.table.assign(distance=face.table["shown"]), face.names, by, face.floor, self.nearest(face.names[0])
        )

    @cached_property
    def first(self) -> str:
        """The concept that the map opens with: FIRST or the one whose erasure does most, if that is known."""
        if self.world is not None and FIRST in self.world.erased(self.world.methods[0]):
            return FIRST
        if self.effects is None:
            return self.concepts.names[0]
        if FIRST in self.concepts.names and self.effects.measured(self.source(0), FIRST, "hurts"):
            return FIRST
        return self.effects.most_damaging(self.source(0)) or self.concepts.names[0]

    @cached_property
    def names_to_type(self) -> list[str]:
        """Every name for a list that one types into, each before those that hold it: Enter takes the first that fits.

        Otherwise "apple" would pick the pineapple.
        """
        names: list[str] = []
        for name in self.concepts.names:
            holding = (place for place, other in enumerate(names) if name.lower() in other.lower())
            names.insert(next(holding, len(names)), name)
        return names


class MapCache:
    """The map of each choice, made once for every model that is open."""

    def __init__(self, models: OpenModels):
        self.models = models
        self.measuring: set[Choice] = set()  # whose side effects are being measured
        self._maps: dict[Choice, MapData] = {}
        self._unproven: set[Choice] = set()  # whose maps were made of what came with the package, by the model's name

    def of(self, choice: Choice) -> MapData:
        """The map of a choice; once its model is open, made of nothing that came with other weights.

        Raises AgeError where the model must be opened for its map, and cannot be.
        """
        if choice in self._unproven and self.models.has(choice):
            if not stored.is_recorded(choice.model, identity_of(self.models, choice)):
                self._maps[choice] = replace(make_map(self.models, choice), instead=True)
            self._unproven.discard(choice)
        if choice not in self._maps:
            if not needs_model(choice) and not self.models.has(choice):
                self._unproven.add(choice)
            data = make_map(self.models, choice)
            # of the others, only those of models that are open: anybody can bring any number of concept files
            still = {old: map_ for old, map_ in self._maps.items() if old == Choice() or self.models.has(old)}
            self._maps = still | {choice: data}
        return self._maps[choice]

    def reread(self, choice: Choice) -> MapData:
        """The map with the side effects that were measured meanwhile."""
        data = self.of(choice)
        self._maps[choice] = replace(data, effects=read_effects(self.models, choice, data.concepts))
        return self._maps[choice]


def needs_model(choice: Choice) -> bool:
    """Whether a model is opened for its map: not the bundled one, whose map is seen meanwhile."""
    return choice != Choice()


def identity_of(models: OpenModels, choice: Choice) -> str | None:
    """The identity by which a model's recordings are told (`stored.is_recorded`); None while it need not be open."""
    known = needs_model(choice) or models.has(choice)
    return stored.compared_identity(models.explorer(choice)) if known else None


def make_map(models: OpenModels, choice: Choice) -> MapData:
    """Lay a model's concepts out and read what is known of its side effects; without any the map has no arrows."""
    identity = identity_of(models, choice)
    if not needs_model(choice) and stored.is_recorded(choice.model, identity):
        concepts, path = ConceptSet.load(choice.concepts), stored.shipped_layouts(choice.model)
    else:
        explorer = models.explorer(choice)
        concepts, path = explorer.concepts, stored.measured_layouts(explorer)
    layouts = layout.read_layouts(path, concepts.names)
    if layout.MEANING not in layouts:
        points = layout.umap_layout(models.explorer(choice).vectors)
        layouts = {layout.MEANING: layout.write_layout(path, concepts.names, points)}
    names = list(layouts[layout.MEANING]["name"])
    layouts[layout.ROWS] = layout.in_rows(names, [concepts[name].general for name in names])
    world = stored.recorded_world(choice.model, concepts, identity)
    originals = Pictures([ServedSheet.of(world.original)] if world else [])
    return MapData(models, choice, concepts, layouts, read_effects(models, choice, concepts), world, originals)


def read_effects(models: OpenModels, choice: Choice, concepts: ConceptSet) -> SideEffects | None:
    """What is known of the side effects of a model's erasures; it is opened only where not all came with it."""
    identity = identity_of(models, choice)
    return stored.side_effects(choice.model, concepts, choice.concepts, lambda: models.explorer(choice), identity)
