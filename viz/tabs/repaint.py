"""The atlas drawn anew by an edited model, the nearest pictures first, while one watches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING

import gradio as gr

from viz.atlas import atlas
from viz.charts import panels
from viz.components.blocks import note
from viz.tabs.events import Stream, Updates, settle, unchanged
from viz.tabs.faces import Face
from viz.tabs.map_data import MapData
from viz.tabs.map_view import AS_SHOWN, ConceptView, How, caption_of, counting_of, faces_of, panel_of
from viz.tabs.session import Session

if TYPE_CHECKING:
    from age_core.serve.faces import Look

PAINTED = ("graph", "by", "counting", "caption", "selection", "now_status", "strength", "source", "messages")
STRONGEST = 1.5  # of the sliders: beyond, most erasures draw noise
NEAREST = 24  # pictures that follow the slider of the strength
ARROWS = 8


def shown(data: MapData, ui: SimpleNamespace, session: Session, face: Face) -> Updates:
    """Everything that tells of a face, as far as it is drawn."""
    name, how = face.names[0], How(face.key)
    known = name in data.concepts.names
    updates: Updates = {
        ui.graph: gr.update(edited=face.as_json(), arrows=atlas.arrows_json(face.arrows(ARROWS)) if known else "[]"),
        ui.counting: counting_of(data, face, name),
        ui.caption: note(caption_of(data, face, how)),
    }
    return updates | ({ui.selection: panel_of(data, face, name, how)} if known else {})


def of_view(ui: SimpleNamespace, view: ConceptView) -> Updates:
    """Everything that tells of a picked concept, where a drawing may have told of another."""
    key = view.face.choice if view.face else None
    return {
        ui.graph: gr.update(arrows=view.arrows, edited=view.face.as_json() if view.face else ""),
        ui.by: gr.update(choices=list(view.faces), value=key, visible=bool(view.faces)),
        ui.counting: view.counting,
        ui.selection: view.panel,
        ui.caption: note(view.caption),
        ui.strength: gr.update(value=1, visible=bool(view.face and view.face.eraser)),
    }


def overtaken(ui: SimpleNamespace, session: Session) -> Stream:
    """The end of a drawing; if a pick ended it, its answer again, which the last pictures may have come after."""
    if session.painting is None and session.view is not None:
        settle()
        yield of_view(ui, session.view)


def chosen(data: MapData, ui: SimpleNamespace, session: Session, face: Face, strength: float = 1) -> Updates:
    """A face of the person's own among all that erased its concept, and how strong it is shown."""
    titles = [(title, key) for key, title in faces_of(data, session, face.names[0]).items()]
    return {
        ui.by: gr.update(choices=titles, value=face.key, visible=len(titles) > 0),
        ui.strength: gr.update(value=strength, visible=True),
    }


def paint(data: MapData, ui: SimpleNamespace, session: Session, face: Face, said: str) -> Stream:
    """Draw every concept by the edited model of `face`, unless the session turns to something else.

    `said`: how the erasure went, before the count of pictures.
    """
    from age_core.serve.faces import edited_faces  # it takes Torch, which the page is served before

    assert face.eraser is not None  # only what was recorded has none
    session.painting = face
    name, total = face.names[0], len(data.concepts)
    yield {
        ui.graph: gr.update(arrows="[]", lit="{}"),
        ui.source: AS_SHOWN,
        ui.now_status: panels.status(f"{said} Drawing what it changed …", 0, total),
        **chosen(data, ui, session, face),
    }
    for drawn in _drawing(session, face, edited_faces(data.explorer, face.eraser, name), time.monotonic()):
        text = f"{said} Drawn anew: {drawn} of {total} pictures, the nearest first."
        yield shown(data, ui, session, face) | {ui.now_status: panels.status(text, drawn, total)}
    settle()
    if session.painting is not face:
        yield from overtaken(ui, session)
        return
    yield shown(data, ui, session, face) | {
        ui.now_status: panels.status(f"{said} All {total} pictures are drawn anew.")
    }


def paint_strength(data: MapData, ui: SimpleNamespace, session: Session, by: str, strength: float) -> Stream:
    """The nearest pictures by the erasure `by` at another strength; the face itself stays as it was drawn."""
    whole = session.faces.get(by)
    if whole is None or whole.eraser is None:
        yield unchanged(ui)
        return
    from age_core.serve.faces import edited_faces  # as above

    session.painting = face = Face.drawn(f"{by}@{strength:g}", whole.by, whole.eraser, whole.floor, strength)
    if strength == 1:
        yield shown(data, ui, session, whole) | {ui.now_status: note(f"{whole.title}, as it was made.")}
        return
    for drawn in _drawing(session, face, edited_faces(data.explorer, whole.eraser, whole.names[0], NEAREST, strength)):
        text = f"{face.title}: {drawn} of the {NEAREST} nearest pictures are drawn anew, the others are not."
        yield shown(data, ui, session, face) | {ui.now_status: note(text)}
    if session.painting is not face:
        yield from overtaken(ui, session)


def _drawing(session: Session, face: Face, batches: Iterator[list[Look]], began: float = 0.0) -> Iterator[int]:
    """How many pictures a face has after each batch, for as long as the session draws it.

    Between two of them is the pause that the browser needs; the last update before was sent at `began`.
    """
    for looks in batches:
        settle(began)
        began = time.monotonic()
        if session.painting is not face:
            return
        face.add(looks)
        yield len(face.table)
