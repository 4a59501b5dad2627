"""What the map shows of a concept, worked out of the tables alone except where it says that it takes the model."""

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go

from age_core.serve.stored import Direction, SideEffects, Source, source_title
from viz.atlas import atlas, layout
from viz.charts import effects, panels, plots, victims
from viz.components.html_parts import Markup, region, soft
from viz.tabs.faces import Face
from viz.tabs.map_data import MapData
from viz.tabs.session import Session

DIRECTIONS: dict[str, Direction] = {"Whom it hurts": "hurts", "Who hurts it": "hurt by", "Both": "both"}
USUAL = next(iter(DIRECTIONS))
SIDES: tuple[Literal["hurts", "hurt by"], ...] = ("hurts", "hurt by")
AS_SHOWN = -1  # the place of a source that is none: the arrows of the pictures that the atlas shows
LISTED = 8  # effects of each side
SMALL = 44  # pixels across of a picture in a list


@dataclass(frozen=True)
class How:
    """Which arrows are shown: by whom erased, measured with what (a place in the sources), which way, and how many."""

    by: str | None = None
    source: int | None = AS_SHOWN
    direction: str = USUAL
    count: float = 8
    unclear: bool = False


@dataclass(frozen=True)
class ConceptView:
    """A picked concept: its face if there is one, its arrows as JSON, its panel and the atlas's sentences as HTML."""

    name: str
    face: Face | None
    faces: tuple[tuple[str, str], ...]  # titles and keys of all that erased it
    arrows: str
    panel: str
    caption: str
    counting: str


def concept_view(data: MapData, session: Session, text: str, how: How = How()) -> ConceptView:
    """The concept that `text` names. Raises AgeError where there is none."""
    name = data.concepts.find(text or "").name
    faces = faces_of(data, session, name)
    face = face_of(data, session, name, how.by)
    return ConceptView(
        name,
        face,
        tuple((title, key) for key, title in faces.items()),
        atlas.arrows_json(arrows_of(data, face, name, how)),
        panel_of(data, face, name, how),
        caption_of(data, face, how),
        counting_of(data, face, name),
    )


def faces_of(data: MapData, session: Session, name: str) -> dict[str, str]:
    """The titles of all that erased a concept, by key: recorded ones first, then the person's own."""
    world = data.world
    recorded = (
        {method: world.title(method) for method in world.methods if name in world.erased(method)} if world else {}
    )
    own = {key: face.by for key, face in session.faces.items() if face.names == (name,)}
    return recorded | own


def face_of(data: MapData, session: Session, name: str, by: str | None = None) -> Face | None:
    """What `by`, or the first that there is, made of all pictures by erasing `name`; None where nobody did."""
    keys = faces_of(data, session, name)
    key = by if by in keys else next(iter(keys), None)
    if key is None:
        return None
    if key in session.faces:
        return session.faces[key]
    return data.recorded_face(key, name)


def source_of(data: MapData, face: Face | None, how: How) -> Source | None:
    """What the arrows are measured with where it is not the pictures shown: what was chosen, or all that there is."""
    if how.source is not None and how.source >= 0:
        return data.source(how.source)
    without_pictures = face is None and data.world is None and data.effects is not None
    return data.source(0) if without_pictures else None


def arrows_of(data: MapData, face: Face | None, name: str, how: How) -> pd.DataFrame:
    """The strongest arrows, as rows of side effects."""
    way, count, source = DIRECTIONS[how.direction], int(how.count), source_of(data, face, how)
    if source is not None and data.effects is not None:
        rows = [data.effects.strongest(source, name, way, count)]
        rows += [data.effects.strongest(source, name, way, count, clear=False)] if how.unclear else []
        return pd.concat(rows, ignore_index=True)
    rows = []
    if face is not None and way != "hurt by":
        rows.append(face.arrows(count))
    if face is not None and data.world is not None and way != "hurts":
        rows.append(hurt_by(data, method_of(data, face), name).head(count))
    rows = [table for table in rows if len(table)]
    empty = pd.DataFrame(columns=["erased", "affected", "delta"])
    return pd.concat(rows, ignore_index=True).nlargest(count, "delta") if rows else empty


def caption_of(data: MapData, face: Face | None, how: How) -> str:
    """What an arrow means."""
    source = source_of(data, face, how)
    if source is not None and data.effects is not None:
        floor = data.effects.floor(source)
        value = f"{floor.value:.{effects.decimals(floor.value)}f}"
        return (
            f"An arrow from A to B means: erasing A made B worse. {effects.describe(source_title(source))} "
            f"Shown are effects beyond the noise floor of {value} ({floor.how})."
        )
    if face is not None:
        return (
            "An arrow from A to B means: erasing A visibly changed B's picture. The wider, the further it moved, as a "
            f"separately trained classifier (the probe) sees it; visibly is beyond {face.floor:.2f}"
            + (f" ({data.world.floor.how})." if data.world else ".")
        )
    return "No arrows: what erasing this concept does to others was not recorded yet."


def counting_of(data: MapData, face: Face | None, name: str) -> str:
    """The atlas in one sentence."""
    if face is None:
        text = f"What erasing {name} does to the other pictures was not recorded. “Erase it now” shows it in a minute."
        return region(soft(text))
    return region(Markup("<p>{}</p>").format(data.counting(face)))


def panel_of(data: MapData, face: Face | None, name: str, how: How) -> str:
    """The picked concept with whom its erasure hurts and whose erasure hurts it, in pictures where there are any."""
    concept, known, source = data.concepts[name], data.effects, source_of(data, face, how)
    if source is not None and known is not None:
        sides = [side(known, source, name, ask) for ask in SIDES]
        return panels.selection(name, concept.group, concept.synonyms, sides)
    lists = [hurts_list(data, face, name)]
    if data.world is not None:
        lists.append(hurt_by_list(data, method_of(data, face), name))
    return panels.concept(name, concept.group, concept.synonyms, lists)


def hurts_list(data: MapData, face: Face | None, name: str) -> Markup:
    """Whom erasing `name` hurts, the worst first."""
    none = "Not recorded yet: erase it to see." if face is None else "No other picture that is drawn moved visibly."
    rows, itself = face.damaged if face is not None else pd.DataFrame(), None
    if face is not None and name in face.table.index:
        row = face.table.loc[name]
        gone = None if row["recognised"] is None else not row["recognised"]
        itself = victim(data, face, row, name, gone)
    shown = (
        [victim(data, face, row, str(other), bool(row["lost"])) for other, row in rows.head(LISTED).iterrows()]
        if face is not None
        else []
    )
    return victims.victim_list(f"Erasing {name} hurts", shown, none, max(len(rows) - LISTED, 0), itself)


def method_of(data: MapData, face: Face | None) -> str:
    """The recorded method of a face; the first where the face is not recorded."""
    assert data.world is not None  # whoever asks has looked
    return face.method if face and face.method else data.world.methods[0]


def hurt_by(data: MapData, method: str, name: str) -> pd.DataFrame:
    """The recorded erasures that visibly moved the picture of `name`, as rows of side effects, the worst first."""
    if data.world is None or data.effects is None:
        return pd.DataFrame(columns=["erased", "affected", "delta", "low", "high"])
    return data.effects.strongest(data.world.source(method), name, "hurt by", len(data.concepts))


def hurt_by_list(data: MapData, method: str, name: str) -> Markup:
    """Whose erasure hurts `name`: its own picture before and after each."""
    assert data.world is not None  # whoever asks has looked
    shown = []
    rows = hurt_by(data, method, name)
    for row in rows.head(LISTED).to_dict("records"):
        face = data.recorded_face(method, row["erased"])
        if face is not None:
            before = data.originals.tile(name, f"{name} as the original model draws it", SMALL)
            after = face.tile(data.originals, name, SMALL)
            lost = bool(face.table.at[name, "before"] and not face.table.at[name, "recognised"])
            numbers = (row["delta"], row["low"], row["high"])
            shown.append(victims.Victim(str(row["erased"]), before, after, *numbers, lost))
    none = f"No recorded erasure moved its picture visibly (of {len(data.world.erased(method))})."
    title = f"{name} is hurt by erasing ({data.world.title(method)})"
    return victims.victim_list(title, shown, none, max(len(rows) - LISTED, 0))


def victim(data: MapData, face: Face, row: pd.Series, name: str, lost: bool | None) -> victims.Victim:
    """A row of a face's table with its pictures."""
    before = data.originals.tile(name, f"{name} as the original model draws it", SMALL)
    numbers = (float(row["distance"]), float(row["low"]), float(row["high"]))
    return victims.Victim(name, before, face.tile(data.originals, name, SMALL), *numbers, lost)


def side(known: SideEffects, origin: Source, name: str, direction: Literal["hurts", "hurt by"]) -> panels.Side:
    """What is known of a concept in one direction."""
    strongest = known.strongest(origin, name, direction, LISTED)
    return panels.Side(
        direction, strongest, known.unclear(origin, name, direction), known.measured(origin, name, direction)
    )


def graph_values(data: MapData, view: ConceptView, play: bool = False) -> dict[str, Any]:
    """What the atlas is given when it shows another model, or more of one, with one concept picked."""
    meaning = data.layouts[layout.MEANING]
    names = list(meaning["name"])
    # dots, where there are no pictures, tell by their size who is hurt by more erasures than chance allows
    sizes = data.effects.abnormality(data.source(0), names) if data.effects is not None and not data.world else None
    return {
        "value": view.name,
        "figure": atlas.map_figure(meaning, data.groups, sizes).to_json(),
        "arrows": view.arrows,
        "label_order": atlas.label_order_json(meaning, data.groups),
        "layouts": atlas.layouts_json(data.layouts, data.groups),
        "layout": layout.MEANING,
        "original": data.originals.as_json(),
        "edited": view.face.as_json(play) if view.face else "",
    }


def locality(data: MapData, name: str, source: int | None, by: str | None = None) -> go.Figure | None:
    """How the damage of erasing `name` falls with nearness; None where it was not measured. It takes the model.

    Measured with what was chosen, else with the pictures after the recorded erasure `by`.
    """
    if data.effects is None:
        return None
    origin = data.source(max(source or 0, 0))
    if source == AS_SHOWN and data.world is not None and by in data.world.methods:
        origin = data.world.source(str(by))
    pairs = data.effects.pairs(origin)
    damage = pairs[pairs["erased"] == name].set_index("affected")["delta"]
    if damage.empty:
        return None
    curve = data.explorer.damage_by_nearness(name, damage)
    title = f"Erasing {name}: damage by nearness"
    return plots.locality_figure({name: curve}, title, origin[1])
