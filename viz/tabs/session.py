"""One person's page: who it belongs to, the run it watches, and the edited models it may compare."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PIL import Image

from age_core import AgeError
from viz.charts.live_view import Recording
from viz.tabs.faces import Face

if TYPE_CHECKING:
    from age_core import Eraser, Run
    from age_core.serve.duel import Duel
    from age_core.serve.queue import QueuedRun
    from viz.tabs.map_data import MapData
    from viz.tabs.map_view import ConceptView

MOST_ERASERS = 4
MOST_FACES = 6
FLOOR = 0.2  # the distance from which a picture has visibly moved, where no world was recorded to measure it in


@dataclass(frozen=True, eq=False)
class EditedModel:
    """An edited model that a session may compare with the original."""

    names: tuple[str, ...]
    eraser: Eraser


@dataclass(eq=False)  # gr.State hashes its value
class Session:
    """One person's page: nobody else sees it."""

    owner: str = ""
    queued: QueuedRun | None = None
    recording: Recording | None = None
    edited: dict[str, EditedModel] = field(default_factory=dict)  # by title, the latest last
    pairs: dict[str, tuple[Image.Image, Image.Image]] = field(default_factory=dict)
    picked: str = ""  # the concept that was picked last
    view: ConceptView | None = None  # what its pick was answered with
    run_in_address: str = ""  # the run that the page's address named
    strength_in_address: float | None = None  # of the closed form that it had the concept erased by, if it did
    faces: dict[str, Face] = field(default_factory=dict)  # what the person's own erasures made of all pictures, by key
    painting: Face | None = None  # the one that is being drawn: another one ends it
    to_delete: str = ""  # the run whose deletion the page asks to be sure of
    duel: Duel | None = None  # what two people at this page play
    lesson_open: bool = False  # whether Learn is what is shown beside the atlas
    lesson_told: bool = False  # whether its lesson was answered
    lesson_asks: bool = False  # whether a click on the atlas is a guess

    def new_face(self, data: MapData, by: str, eraser: Eraser) -> Face:
        """The pictures of an erasure, none of them drawn yet; the oldest of many are forgotten."""
        floor = data.world.floor.value if data.world else FLOOR
        before = sum(face.names == eraser.concepts and face.by.startswith(by) for face in self.faces.values())
        face = Face.drawn(uuid.uuid4().hex, f"{by}, again {before}" if before else by, eraser, floor)
        self.faces[face.key] = face
        for old in list(self.faces)[:-MOST_FACES]:
            del self.faces[old]
        return face

    def add(self, run: Run, eraser: Eraser | None = None) -> str:
        """Make a finished run comparable; answers its title. `eraser`: the run's own, where it is in memory."""
        self.edited.pop(run.path.name, None)
        self.edited[run.path.name] = EditedModel(run.config.concepts, eraser or run.eraser())
        for old in list(self.edited)[:-MOST_ERASERS]:
            del self.edited[old]
        return run.path.name


def ready(session: Session | None) -> Session:
    """The session, where there is one. Raises AgeError while the page is still loading."""
    if session is None or not session.owner:
        raise AgeError("The page is still loading: try again in a moment.")
    return session
