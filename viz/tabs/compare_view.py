"""What the Compare tab shows of edited models: its prompts, the cards of their pictures, the prediction's chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go
from PIL import Image

from viz.charts import panels, plots
from viz.charts.recorded_grid import Cell, Line, recorded_grid
from viz.tabs.faces import Face
from viz.tabs.map_data import FIRST, MapData
from viz.tabs.session import EditedModel

if TYPE_CHECKING:
    from age_core import Eraser, Pair
    from age_core.serve.comparison import Row


def rows_of(data: MapData, models: Mapping[str, EditedModel], prompts: str) -> list[Row]:
    """A person's own prompts or, where there is none, the concepts around what was erased."""
    from age_core.serve import comparison  # it takes Torch, which the page is served before

    if prompts.strip():
        return comparison.own_rows(data.explorer, prompts)
    rows, first = [], next(iter(models.values()))
    for name in dict.fromkeys(name for model in models.values() for name in model.names):
        damage = data.explorer.measure(name, first.eraser)
        rows += comparison.rows_for(data.explorer, name, damage.to_dict())
    return rows


def by_names(models: Mapping[str, EditedModel]) -> dict[tuple[str, ...], dict[str, Eraser]]:
    """Erasers by title, by what they erase: those that erase the same share the original's pictures."""
    groups: dict[tuple[str, ...], dict[str, Eraser]] = {}
    for title, model in models.items():
        groups.setdefault(tuple(model.names), {})[title] = model.eraser
    return groups


def with_strength(title: str, strengths: Mapping[str, float]) -> str:
    """A model's title, with its column's strength where that is not as the model was made."""
    strength = strengths.get(title, 1.0)
    return title if strength == 1 else f"{title}, strength {strength:g}"


def draw_cards(
    data: MapData,
    models: Mapping[str, EditedModel],
    rows: Sequence[Row],
    seed: int,
    count: int,
    strengths: Mapping[str, float],
) -> list[panels.Card]:
    """Every row and seed by the original and by each edited model, each at its strength."""
    from age_core.serve import comparison

    erasers = {title: model.eraser for title, model in models.items()}
    pairs_by_title = comparison.draw_pairs(data.explorer, rows, erasers, seed, count, strengths)
    columns = [with_strength(title, strengths) for title in models]
    drawn = (dict(zip(columns, pairs, strict=True)) for pairs in zip(*pairs_by_title.values(), strict=True))
    return [card_of(rows[place // count], pairs) for place, pairs in enumerate(drawn)]


def card_of(row: Row, pairs: Mapping[str, Pair]) -> panels.Card:
    """A row and one seed of it by the original and by each edited model, by what that is called."""
    first = next(iter(pairs.values()))
    edited = tuple(panels.Drawn(by, pair.edited, pair.edited_verdict, pair.distance) for by, pair in pairs.items())
    original, seen = first.original, first.original_verdict
    return panels.Card(row.kind, row.title, row.note, row.prompt, first.seed, row.expected, original, seen, edited)


def enlarged(pair: tuple[Image.Image, Image.Image]) -> tuple[Image.Image, ...]:
    """Small pictures in a size in which they can be looked at, each pixel as it is."""
    return tuple(one.resize((320, 320), Image.Resampling.NEAREST) if one.width < 320 else one for one in pair)


def prediction_figure(name: str, predicted: pd.Series, measured: pd.Series) -> go.Figure:
    """Predicted damage, scaled to the same total, against what was measured."""
    rho = predicted.rank().corr(measured.rank())
    return plots.scatter_with_diagonal(
        predicted.tolist(),
        measured.tolist(),
        list(measured.index),
        6,
        f"{name}: predicted and measured damage, rank correlation {rho:.2f}",
        "predicted before training (scaled to the same total)",
        "measured (noise shift)",
    )


NEAR, FAR, PICTURE = 6, 2, 72  # rows, rows, and pixels across


def recorded(data: MapData, name: str) -> str:
    """What was recorded of erasing a concept, or FIRST: the original, every method, itself, near ones and far ones."""
    world = data.world
    if world is None:
        return ""
    name = name if any(name in world.erased(method) for method in world.methods) else FIRST
    faces = [face for method in world.methods if (face := data.recorded_face(method, name))]
    if not faces:
        return ""
    distance = faces[0].table["distance"].drop(index=name).sort_values(ascending=False, kind="stable")
    rows = [("erased", name), *(("near", other) for other in distance.index[:NEAR])]
    rows += [("far", other) for other in distance.index[-FAR:]]
    lines = [Line(kind, other, tuple(cells_of(data, faces, other))) for kind, other in rows]
    return recorded_grid(f"Erasing {name}, as it was recorded", ["original", *(face.by for face in faces)], lines)


def cells_of(data: MapData, faces: Sequence[Face], name: str) -> list[Cell]:
    """A concept's pictures: the original's, and after each erasure its own where it moved, else the original's."""
    original = data.originals.tile(name, f"{name} as the original model draws it", PICTURE)
    before = bool(faces[0].table["before"].get(name, False))
    cells = [Cell(original, float("nan"), before)]
    for face in faces:
        row = face.table.loc[name]
        after = face.tile(data.originals, name, PICTURE)
        cells.append(Cell(after, float(row["distance"]), bool(row["recognised"])))
    return cells
