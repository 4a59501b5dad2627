"""What the map shows of a concept, worked out of the tables alone except where it says that it takes the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from viz.atlas import concept_map, layout
from viz.charts import effects, panels, plots
from viz.charts.effects import Direction
from viz.tabs.map_data import MapData

DIRECTIONS: dict[str, Direction] = {"Whom it hurts": "hurts", "Who hurts it": "hurt by", "Both": "both"}
USUAL = next(iter(DIRECTIONS))
MOST_CELLS = 60  # rows or columns of the heat map: more cannot be told apart


@dataclass(frozen=True)
class ConceptView:
    """A picked concept: its name, its arrows as JSON, its panel as HTML, and what the arrows mean."""

    name: str
    arrows: str
    panel: str
    caption: str


def concept_view(
    data: MapData,
    text: str,
    source: int | None = 0,
    direction: str = USUAL,
    count: float = 8,
    unclear: bool = False,
) -> ConceptView:
    """The concept that `text` names, with its `count` strongest arrows. Raises AgeError where there is none."""
    concept = data.concepts.find(text or "")
    pairs = data.pairs(source)
    panel = panels.selection(concept.name, concept.group, concept.synonyms, pairs)
    if pairs is None:
        caption = "No arrows: what erasing a concept of this model does to others was not measured yet."
        return ConceptView(concept.name, "[]", panel, caption)
    arrows = effects.strongest(pairs, concept.name, DIRECTIONS[direction], int(count))
    if unclear:
        more = effects.strongest(pairs, concept.name, DIRECTIONS[direction], int(count), clear=False)
        arrows = pd.concat([arrows, more], ignore_index=True)
    origin = data.sources[source or 0]
    caption = f"An arrow from A to B means: erasing A made B worse. {effects.describe(origin)}"
    return ConceptView(concept.name, concept_map.arrows_json(arrows), panel, caption)


def graph_values(data: MapData, view: ConceptView) -> dict[str, Any]:
    """What the map is given when it shows another model, or more of one, with one concept picked."""
    meaning, pairs = data.layouts[layout.MEANING], data.pairs(0)
    sizes = effects.mean_damage_received(pairs, list(meaning["name"])) if pairs is not None else None
    return {
        "value": view.name,
        "figure": concept_map.map_figure(meaning, data.groups, sizes).to_json(),
        "arrows": view.arrows,
        "label_order": concept_map.label_order_json(meaning, data.groups),
        "layouts": concept_map.layouts_json(data.layouts),
        "layout": layout.MEANING,
    }


def locality(data: MapData, name: str, source: int | None) -> go.Figure | None:
    """How the damage of erasing `name` falls with nearness; None where it was not measured. It takes the model."""
    pairs = data.pairs(source)
    if pairs is None:
        return None
    damage = pairs[pairs["erased"] == name].set_index("affected")["delta"]
    if damage.empty:
        return None
    curve = data.explorer.damage_by_nearness(name, damage)
    title = f"Erasing {name}: damage by nearness"
    return plots.locality_figure({name: curve}, title, data.sources[source or 0][1])


def heat_map(data: MapData, pairs: pd.DataFrame) -> go.Figure:
    """The strongest side effects as a table of colours, a row an erased concept."""
    damage = pairs.pivot(index="erased", columns="affected", values="delta")
    erased, affected = (list(damage.abs().max(axis=axis).nlargest(MOST_CELLS).index) for axis in (1, 0))
    groups = {concept.name: concept.group for concept in data.concepts}
    which = "Every erasure that was measured" if len(erased) == len(damage) else f"The {MOST_CELLS} strongest erasures"
    title = f"{which}, on the {len(affected)} concepts that any erasure moves most"
    return plots.heat_map(damage.loc[erased, affected], groups, title, clustered=True)


def overview(data: MapData, pairs: pd.DataFrame, share: float) -> str:
    """The strongest `share` percent of all clear arrows, as JSON."""
    clear = pairs[pairs["clear"]]
    above = float(clear["delta"].abs().quantile(1 - share / 100)) if len(clear) else 0.0
    return concept_map.overview_json(clear, list(data.layouts[layout.MEANING]["name"]), above)


def source_choices(sources: Sequence[tuple[str, str]]) -> list[tuple[str, int]]:
    """What the arrows may be measured with, as the choices of a dropdown."""
    return [(f"{how}, {metric}", row) for row, (how, metric) in enumerate(sources)]


def key_of(groups: Sequence[str]) -> str:
    """The legend of the map."""
    return f'<div class="age">{concept_map.legend(groups)}</div>'
