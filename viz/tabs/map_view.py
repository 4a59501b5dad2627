"""What the map shows of a concept, worked out of the tables alone except where it says that it takes the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go

from age_core.serve.stored import Direction, SideEffects, Source, graph_facts, source_title
from viz.atlas import atlas, layout
from viz.charts import effects, panels, plots
from viz.tabs.map_data import MapData

DIRECTIONS: dict[str, Direction] = {"Whom it hurts": "hurts", "Who hurts it": "hurt by", "Both": "both"}
USUAL = next(iter(DIRECTIONS))
SIDES: tuple[Literal["hurts", "hurt by"], ...] = ("hurts", "hurt by")
LISTED = 10  # effects of each side
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
    known = data.effects
    if known is None:
        panel = panels.selection(concept.name, concept.group, concept.synonyms, [])
        caption = "No arrows: what erasing a concept of this model does to others was not measured yet."
        return ConceptView(concept.name, "[]", panel, caption)
    origin, name, way = data.source(source), concept.name, DIRECTIONS[direction]
    panel = panels.selection(name, concept.group, concept.synonyms, [side(known, origin, name, ask) for ask in SIDES])
    arrows = known.strongest(origin, name, way, int(count))
    if unclear:
        more = known.strongest(origin, name, way, int(count), clear=False)
        arrows = pd.concat([arrows, more], ignore_index=True)
    floor = known.floor(origin)
    caption = (
        f"An arrow from A to B means: erasing A made B worse. {effects.describe(source_title(origin))} "
        f"Shown are effects beyond the noise floor of {floor.value:.{effects.decimals(floor.value)}f} ({floor.how})."
    )
    return ConceptView(concept.name, atlas.arrows_json(arrows), panel, caption)


def side(known: SideEffects, origin: Source, name: str, direction: Literal["hurts", "hurt by"]) -> panels.Side:
    """What is known of a concept in one direction."""
    strongest = known.strongest(origin, name, direction, LISTED)
    return panels.Side(
        direction, strongest, known.unclear(origin, name, direction), known.measured(origin, name, direction)
    )


def graph_values(data: MapData, view: ConceptView) -> dict[str, Any]:
    """What the map is given when it shows another model, or more of one, with one concept picked."""
    meaning = data.layouts[layout.MEANING]
    names = list(meaning["name"])
    sizes = data.effects.abnormality(data.source(0), names) if data.effects is not None else None
    return {
        "value": view.name,
        "figure": atlas.map_figure(meaning, data.groups, sizes).to_json(),
        "arrows": view.arrows,
        "label_order": atlas.label_order_json(meaning, data.groups),
        "layouts": atlas.layouts_json(data.layouts, data.groups),
        "layout": layout.MEANING,
    }


def locality(data: MapData, name: str, source: int | None) -> go.Figure | None:
    """How the damage of erasing `name` falls with nearness; None where it was not measured. It takes the model."""
    if data.effects is None:
        return None
    pairs = data.effects.pairs(data.source(source))
    damage = pairs[pairs["erased"] == name].set_index("affected")["delta"]
    if damage.empty:
        return None
    curve = data.explorer.damage_by_nearness(name, damage)
    title = f"Erasing {name}: damage by nearness"
    return plots.locality_figure({name: curve}, title, data.source(source)[1])


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
    return atlas.overview_json(clear, list(data.layouts[layout.MEANING]["name"]), above)


def graph_panel(data: MapData, source: int | None) -> str:
    """What the whole graph of clear side effects says, by networkx."""
    if data.effects is None:
        return panels.message("Nothing was measured yet, so there is no graph.")
    origin = data.source(source)
    facts, strengths = graph_facts(data.effects, origin, data.concepts)
    return panels.graph_facts(facts, strengths, ", ".join(source_title(origin)))


def source_choices(sources: Sequence[Source]) -> list[tuple[str, int]]:
    """What the arrows may be measured with, as the choices of a dropdown."""
    return [(", ".join(source_title(source)), row) for row, source in enumerate(sources)]


def key_of(groups: Sequence[str]) -> str:
    """The legend of the map."""
    return f'<div class="age">{atlas.legend(groups)}</div>'
