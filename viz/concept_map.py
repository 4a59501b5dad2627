"""The concept map: a figure of labelled dots, and the component that turns a click on a dot into an event."""

import html
import json
from collections.abc import Sequence
from pathlib import Path

import gradio as gr
import pandas as pd
import plotly
import plotly.graph_objects as go

from viz.layout import group_styles
from viz.theme import GROUP_COLOURS

PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
WIDEST_ARROW = 11  # pixels


def map_figure(layout: pd.DataFrame, groups: Sequence[str]) -> go.Figure:
    """Dots at `layout` (columns name, x, y), one group each. Both palettes travel along; the browser picks by theme."""
    styles = group_styles(groups)
    names = layout["name"].tolist()
    figure = go.Figure(
        go.Scatter(
            x=layout["x"].tolist(),
            y=layout["y"].tolist(),
            customdata=names,
            text=[f"{html.escape(n)}<br>{html.escape(g)}" for n, g in zip(names, groups, strict=True)],
            hoverinfo="text",
            mode="markers",
            marker={"size": 10, "symbol": [styles[g][1] for g in groups], "line": {"width": 0}},
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
        hovermode="closest",
        template="none",
        uirevision="map",
    )
    return figure


def arrows_json(effects: pd.DataFrame) -> str:
    """Rows (erased, affected, delta) as arrows: width is the size of the effect, colour its sign."""
    largest = max(effects["delta"].abs().max(), 1e-9) if len(effects) else 1.0
    return json.dumps(
        [
            {
                "from": row.erased,
                "to": row.affected,
                "width": round(3 + (WIDEST_ARROW - 3) * abs(row.delta) / largest, 1),
                "sign": "damage" if row.delta > 0 else "gain",
                "text": f"{row.delta:+.2f}",
            }
            for row in effects.itertuples()
        ]
    )


def label_order_json(layout: pd.DataFrame, groups: Sequence[str]) -> str:
    """Names in the order in which they may claim a label: one of each group in turn, its most central member first."""
    table = layout.assign(group=list(groups))
    centre = table.groupby("group")[["x", "y"]].transform("median")
    table["far"] = (table[["x", "y"]] - centre).pow(2).sum(axis=1)
    table["turn"] = table.groupby("group")["far"].rank(method="first")
    return json.dumps(table.sort_values(["turn", "group"])["name"].tolist())


def legend(groups: Sequence[str]) -> str:
    """What each colour and shape stands for."""
    shapes = {
        "circle": '<circle cx="6" cy="6" r="5"/>',
        "square": '<rect x="1" y="1" width="10" height="10"/>',
        "triangle-up": '<path d="M6 0L12 11H0Z"/>',
        "triangle-down": '<path d="M0 0H12L6 11Z"/>',
        "diamond": '<path d="M6 0L12 6L6 12L0 6Z"/>',
    }
    items = [
        f'<span><svg class="l" viewBox="0 0 12 12" aria-hidden="true" '
        f'style="--c-light:{GROUP_COLOURS["light"][colour]};--c-dark:{GROUP_COLOURS["dark"][colour]}">'
        f"{shapes[shape]}</svg>{html.escape(group)}</span>"
        for group, (colour, shape) in group_styles(groups).items()
    ]
    return f'<div class="legend">{"".join(items)}</div>'


class ConceptGraph(gr.HTML):
    """The map as an input and an output: its value is the picked concept, and `select` fires when a dot is clicked.

    `gr.Plot` has no click event and rebuilds the figure at each update, which loses the zoom. `gr.update` replays this
    constructor, so it must stay free of side effects.
    """

    def __init__(
        self, value: str | None = None, figure: str = "", arrows: str = "[]", label_order: str = "[]", **kwargs: object
    ) -> None:
        super().__init__(
            value=value,
            figure=figure,
            arrows=arrows,
            label_order=label_order,
            html_template="<div class='cg'><div class='plot'></div><div class='over'></div></div>",
            js_on_load=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
            head=f'<script src="gradio_api/file={PLOTLY_JS}"></script>',
            apply_default_css=False,
            **kwargs,
        )

    def api_info(self) -> dict[str, str]:
        return {"type": "string"}
