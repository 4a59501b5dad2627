"""The atlas: concepts as pictures at their places, and the component that turns a click on one into an event."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from viz.atlas.layout import EDGE, ROWS, group_styles, row_titles
from viz.charts.effects import decimals
from viz.components.chart import Plotted
from viz.components.html_parts import Markup, join
from viz.components.theme import GROUP_COLOURS

# Each defines one function; the last one calls the others.
SCRIPTS = Path(__file__).parent / "scripts"
SCRIPT_ORDER = (
    "state.js",
    "whole_graph.js",
    "sheets.js",
    "tiles.js",
    "bar.js",
    "faces.js",
    "tip.js",
    "arrows.js",
    "labels.js",
    "dots.js",
    "pointer.js",
    "zoom.js",
    "keyboard.js",
    "atlas.js",
)
WIDEST_ARROW = 11  # pixels
TEMPLATE = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
DOT, SMALLEST_DOT, LARGEST_DOT = 10, 8, 17  # pixels across


def map_figure(layout: pd.DataFrame, groups: Sequence[str], sizes: Sequence[float] | None = None) -> go.Figure:
    """Dots at `layout` (columns name, x, y), one group each. Both palettes travel along; the browser picks by theme.

    Plotly keeps them and draws none (`visible`): the page draws them or their pictures by itself, which spares Plotly
    hundreds of shapes at every zoom.

    `sizes`: how abnormal each concept is, from 0 to 1, shown as the dot's area; nan for one that is not known.
    """
    styles = group_styles(groups)
    names = layout["name"].tolist()
    texts = [Markup("{}<br>{}").format(name, group) for name, group in zip(names, groups, strict=True)]
    size: int | list[float] = DOT
    if sizes is not None:
        weights = np.asarray(sizes, dtype=float)
        areas = SMALLEST_DOT**2 + np.nan_to_num(weights).clip(0, 1) * (LARGEST_DOT**2 - SMALLEST_DOT**2)
        size = np.sqrt(areas).round(1).tolist()
        values = ["not measured" if np.isnan(weight) else f"{weight:.2f} (0 least, 1 most)" for weight in weights]
        texts = [text + Markup("<br>abnormality: {}").format(value) for text, value in zip(texts, values, strict=True)]
    figure = go.Figure(
        go.Scatter(
            x=layout["x"].tolist(),
            y=layout["y"].tolist(),
            customdata=names,
            text=[str(text) for text in texts],
            visible=False,
            mode="markers",
            marker={"size": size, "opacity": 1, "symbol": [styles[g][1] for g in groups], "line": {"width": 0}},
            meta={**GROUP_COLOURS, "colour": [styles[g][0] for g in groups]},
        )
    )
    hidden = {"visible": False, "range": [-1.13, 1.13]}
    figure.update_layout(
        xaxis=hidden,
        yaxis=hidden,
        margin={"l": 4, "r": 4, "t": 4, "b": 4},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        dragmode="pan",
        hovermode=False,
        template="none",
        uirevision="map",
    )
    return figure


def sentence(row: Mapping[str, Any]) -> str:
    """An effect in words, with its interval where there is one."""
    if row["delta"] == 0:
        change = f"left {row['affected']} as it was"
    else:
        change = f"made {row['affected']} {'worse' if row['delta'] > 0 else 'better'}"
    low, high, places = row.get("low", np.nan), row.get("high", np.nan), decimals(row["delta"])
    interval = f" (95 % interval {low:.{places}f} to {high:.{places}f})" if np.isfinite([low, high]).all() else ""
    doubt = "" if row.get("clear", True) else " It cannot be told from no effect."
    return f"Erasing {row['erased']} {change}: {row['delta']:+.{places}f}{interval}.{doubt}"


def arrows_json(effects: pd.DataFrame) -> str:
    """Rows (erased, affected, delta; low, high, clear if known) as arrows: width is the size, colour the sign."""
    effects = effects.dropna(subset="delta")
    largest = max(effects["delta"].abs().max(), 1e-9) if len(effects) else 1.0
    return json.dumps(
        [
            {
                "from": row["erased"],
                "to": row["affected"],
                "width": round(3 + (WIDEST_ARROW - 3) * abs(row["delta"]) / largest, 1),
                "sign": "damage" if row["delta"] > 0 else "gain",
                "text": f"{row['delta']:+.{decimals(row['delta'])}f}",
                "say": sentence(row),
                "clear": bool(row.get("clear", True)),
            }
            for row in effects.to_dict("records")
        ]
    )


def overview_json(effects: pd.DataFrame, names: Sequence[str], above: float = 0.0, most: int = 5000) -> str:
    """The whole graph for the map whose dots are `names`: the strongest effects larger than `above`, `most` at most."""
    place = {name: row for row, name in enumerate(names)}
    has_dots = effects["erased"].isin(place) & effects["affected"].isin(place)
    edges = effects[has_dots & (effects["delta"].abs() > above)]
    edges = edges.sort_values("delta", key=abs, ascending=False, kind="stable").head(most)
    largest = edges["delta"].abs().max()
    return json.dumps(
        [
            [place[a], place[b], round(abs(delta) / largest, 3), 1 if delta > 0 else -1]
            for a, b, delta in edges[["erased", "affected", "delta"]].itertuples(index=False)
        ]
    )


def layouts_json(layouts: Mapping[str, pd.DataFrame], groups: Sequence[str] = ()) -> str:
    """Layouts by name, each with its rows in the order of the figure's dots; one that is too wide for the map shrinks.

    A common factor keeps what an alignment achieved: nothing turns, and nothing moves to another side. Of the layout in
    rows, the names of the `groups` go along.
    """
    places: dict[str, list[Any]] = {}
    for name, table in layouts.items():
        points = table[["x", "y"]].to_numpy(float)
        points = points / max(np.abs(points).max(initial=0) / EDGE, 1)
        places[name] = points.T.round(4).tolist()
        if name == ROWS:
            places[name].append(row_titles(table, groups))
    return json.dumps(places)


def label_order_json(layout: pd.DataFrame, groups: Sequence[str]) -> str:
    """Names in the order in which they may claim a label: one of each group in turn, its most central member first."""
    table = layout.assign(group=list(groups))
    centre = table.groupby("group")[["x", "y"]].transform("median")
    table["far"] = (table[["x", "y"]] - centre).pow(2).sum(axis=1)
    table["turn"] = table.groupby("group")["far"].rank(method="first")
    return json.dumps(table.sort_values(["turn", "group"])["name"].tolist())


SHAPES = {
    "circle": Markup('<circle cx="6" cy="6" r="5"/>'),
    "square": Markup('<rect x="1" y="1" width="10" height="10"/>'),
    "triangle-up": Markup('<path d="M6 0L12 11H0Z"/>'),
    "triangle-down": Markup('<path d="M0 0H12L6 11Z"/>'),
    "diamond": Markup('<path d="M6 0L12 6L6 12L0 6Z"/>'),
}


def legend(groups: Sequence[str]) -> Markup:
    """What each colour and shape stands for."""
    entry = Markup(
        '<span><svg class="l" viewBox="0 0 12 12" aria-hidden="true" '
        'style="--c-light:{light};--c-dark:{dark}">{shape}</svg>{group}</span>'
    )
    return Markup('<div class="legend">{}</div>').format(
        join(
            entry.format(
                light=GROUP_COLOURS["light"][colour],
                dark=GROUP_COLOURS["dark"][colour],
                shape=SHAPES[shape],
                group=group,
            )
            for group, (colour, shape) in group_styles(groups).items()
        )
    )


def script() -> str:
    """The scripts in their order as the one text that Gradio takes, and the call that starts the map."""
    texts = [(SCRIPTS / name).read_text(encoding="utf-8") for name in SCRIPT_ORDER]
    return "\n".join([*texts, "atlas(element, props, trigger, watch);"])


class Atlas(Plotted):
    """The map as an input and an output: its value is the picked concept, and `select` fires when a dot is picked.

    Every other input is JSON, so that `gr.update` of one of them sends only that:
    `figure` (see `map_figure`), `arrows`, `label_order`, `layouts`, `overview` (see their makers above), `layout` (the
    name of the layout shown; another one moves the dots), `lit` ({name: share}: rings that grow with the share), and
    `original` and `edited` (see viz/atlas/sheets.py). `face` ("original", "edited" or "changed") turns the pictures as
    the buttons of the atlas do, when it changes; another edited model turns them to "changed".
    `label` says in words what the map shows.

    `gr.Plot` has no click event and rebuilds the figure at each update, which loses the zoom. `gr.update` replays this
    constructor, so it must stay free of side effects.
    """

    def __init__(
        self,
        value: str | None = None,
        figure: str = "",
        arrows: str = "[]",
        label_order: str = "[]",
        layouts: str = "{}",
        layout: str = "",
        overview: str = "[]",
        lit: str = "{}",
        original: str = "",
        edited: str = "",
        face: str = "original",
        **kwargs: object,
    ) -> None:
        super().__init__(
            value=value,
            figure=figure,
            arrows=arrows,
            label_order=label_order,
            layouts=layouts,
            layout=layout,
            overview=overview,
            lit=lit,
            original=original,
            edited=edited,
            face=face,
            html_template=TEMPLATE,
            js_on_load=script(),
            **kwargs,
        )
