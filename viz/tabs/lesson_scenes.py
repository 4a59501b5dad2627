"""What the atlas is told to show while a lesson asks, and when it answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from viz.atlas.atlas import arrows_json
from viz.charts.lesson import Scene
from viz.tabs.map_data import MapData

NOTHING = {"edited": "", "arrows": "[]", "overview": "[]", "lit": "{}"}


def atlas_of(data: MapData, scene: Scene) -> Any:
    """The atlas with a scene: the original pictures or those after a recorded erasure, its arrows, and who glows."""
    arrows = arrows_json(scene.arrows) if scene.arrows is not None else "[]"
    changed = {"edited": edited_of(data, scene), "arrows": arrows, "lit": glow(scene.lit)}
    return gr.update(value=scene.picked, **NOTHING | changed)


def edited_of(data: MapData, scene: Scene) -> str:
    """A recorded erasure as the atlas plays it; "" where the scene has none, or it is not there."""
    face = data.recorded_face(scene.method, scene.erased)
    if face is None:
        return ""
    table = face.table.loc[list(scene.only)] if scene.only else face.table
    key = f"lesson {scene.method} {scene.erased} {' '.join(scene.only)}"
    return replace(face, key=key, table=table).as_json(play=True)


def guesses_on_atlas(scene: Scene, guesses: Sequence[str]) -> Any:
    """The atlas with what was guessed outlined; the pick stays what the question is about."""
    return gr.update(value=scene.picked, lit=glow([*scene.lit, *guesses]))


def glow(names: Iterable[str]) -> str:
    """Concepts that glow, as JSON."""
    return json.dumps(dict.fromkeys(names, 1))
