"""What a table of side effects says, as Plotly figures: heat map, locality, one-way streets, prediction.

Each takes DataFrames and returns a `go.Figure` in the light palette; `theme.DARK_OF` names each colour's dark twin, so
that a page can swap them. Plotly reads texts as markup: `styled`, through which every figure leaves, escapes them all.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from markupsafe import escape

from viz.components.theme import INK, LIGHT, SERIES, SOFT

BLANK = "rgba(0,0,0,0)"
LIFTS = {"top": 0.05, "bottom": -0.05, "middle": 0.0}  # of a name over its point


# Texts of a trace that Plotly reads as markup; `customdata`, which a click tells, stays as it is.
MARKUP_FIELDS = ("name", "text", "hovertext", "x", "y")


def _escaped(values: Any) -> Any:
    """Each text among `values`, or `values` itself if it is one, so that Plotly shows it letter by letter."""
    if isinstance(values, str):
        return str(escape(values))
    if np.asarray(values).dtype.kind not in "OU":
        return values
    return [_escaped(value) if isinstance(value, str) else value for value in values]


def styled(figure: go.Figure, title: str, x: str = "", y: str = "", height: int = 420) -> go.Figure:
    """The look that all figures share: a claim as the title, plain axes, no box. Call it once, after the last trace.

    Escapes what the traces and the titles hold, so that no text becomes markup; no hovertemplate may show `customdata`
    that holds texts, which stay as they are for a click to tell.
    """
    for trace in figure.data:
        for field in MARKUP_FIELDS:
            if field in trace and trace[field] is not None:
                trace[field] = _escaped(trace[field])
    axis = {"gridcolor": LIGHT["line"], "zerolinecolor": LIGHT["line"], "linecolor": LIGHT["line"], "automargin": True}
    figure.update_layout(
        template="none",
        title={"text": _escaped(title), "x": 0, "xref": "paper", "y": 0.98, "yanchor": "top", "font": {"size": 15}},
        font={"family": "system-ui, sans-serif", "size": 12, "color": INK},
        xaxis={"title": _escaped(x)} | axis,
        yaxis={"title": _escaped(y)} | axis,
        paper_bgcolor=BLANK,
        plot_bgcolor=BLANK,
        margin={"l": 60, "r": 16, "t": 70, "b": 48},
        height=height,
        hovermode="closest",
        legend={"orientation": "h", "y": 1.0, "x": 0, "yanchor": "bottom"},
    )
    return figure


def profile_order(damage: pd.DataFrame) -> list[str]:
    """The names of `damage`'s columns, ordered so that concepts which are hurt alike stand together.

    By average linkage of the columns' damages (a missing one counts as none); few columns keep their order.
    """
    # imported here: it takes as long as drawing the page, and only the heat map asks for it
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import pdist

    if len(damage.columns) < 3:
        return list(damage.columns)
    profiles = damage.fillna(0).to_numpy(float).T
    return [str(damage.columns[i]) for i in leaves_list(linkage(pdist(profiles), "average", optimal_ordering=True))]


def heat_map(damage: pd.DataFrame, groups: Mapping[str, str], title: str, clustered: bool = False) -> go.Figure:
    """Rows: erased; columns: affected; nan (the diagonal, and what was not measured) is left blank, never zero.

    Ordered by group, or clustered by how alike columns are hurt. `customdata` of a cell: erased, affected.
    """
    if clustered:
        columns = profile_order(damage)
    else:
        first = {group: row for row, group in enumerate(dict.fromkeys(groups[name] for name in damage.columns))}
        columns = sorted(damage.columns, key=lambda name: first[groups[name]])
    place = {name: row for row, name in enumerate(columns)}
    rows = sorted(damage.index, key=lambda name: place.get(name, len(place)))
    values = damage.loc[rows, columns].to_numpy(float)
    reach = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    cells = [[(a, b) for b in columns] for a in rows]
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=columns,
            y=rows,
            customdata=cells,
            zmin=-reach,
            zmax=reach,
            xgap=1,
            ygap=1,
            colorscale=[[0, LIGHT["gain"]], [0.5, LIGHT["panel"]], [1, LIGHT["damage"]]],
            colorbar={"thickness": 12, "title": {"text": "damage", "side": "right"}},
            hovertemplate="Erasing %{y} on %{x}: %{z:+.3f}<extra></extra>",
        )
    )
    styled(figure, title, "affected", "erased", height=max(320, 15 * len(rows) + 150))
    figure.update_xaxes(tickangle=-60, showgrid=False, tickfont={"size": 10})
    figure.update_yaxes(autorange="reversed", showgrid=False, tickfont={"size": 10})
    return figure


def locality_figure(curves: Mapping[str, pd.DataFrame], title: str, measure: str) -> go.Figure:
    """Damage against nearness: curves by name, each with columns first, last, damage, low, high (ranks)."""
    figure = go.Figure()
    for (name, curve), colour in zip(curves.items(), SERIES * len(curves), strict=False):
        middle = np.sqrt(curve["first"] * curve["last"])
        ranks = [f"{a}" if a == b else f"{a} to {b}" for a, b in zip(curve["first"], curve["last"], strict=True)]
        figure.add_scatter(
            x=middle,
            y=curve["damage"],
            name=name,
            mode="lines+markers",
            line={"color": colour},
            customdata=ranks,
            hovertemplate="neighbours %{customdata}: %{y:.3f}<extra></extra>",
            error_y={
                "type": "data",
                "symmetric": False,
                "array": curve["high"] - curve["damage"],
                "arrayminus": curve["damage"] - curve["low"],
                "thickness": 1.2,
                "width": 3,
            },
        )
    styled(figure, title, "rank of nearness (1: nearest)", measure)
    figure.update_xaxes(type="log", tickvals=[1, 2, 5, 10, 20, 50, 100, 200, 400])
    figure.update_yaxes(rangemode="tozero")
    return figure


def name_places(x: Sequence[float], y: Sequence[float], wide: float, high: float) -> list[str]:
    """Where each point's name goes, as Plotly's textposition: inwards, and clear of the names before it; "": nowhere.

    `wide`, `high`: what the axes span; a name is assumed to fill 30 % of the first and 6 % of the second.
    """
    middle = (min(x) + max(x)) / 2 if len(x) else 0.0
    taken: list[tuple[float, float]] = []
    positions = []
    for across, up in zip(x, y, strict=True):
        side = 1 if across <= middle else -1
        centres = {name: (across + 0.15 * side * wide, up + lift * high) for name, lift in LIFTS.items()}
        free = [
            name
            for name, (left, above) in centres.items()
            if all(abs(left - a) >= 0.3 * wide or abs(above - b) >= 0.06 * high for a, b in taken)
        ]
        taken += [centres[free[0]]] if free else []
        positions.append(f"{free[0]} {'right' if side > 0 else 'left'}" if free else "")
    return positions


def scatter_with_diagonal(
    x: Sequence[float], y: Sequence[float], names: Sequence[str], labelled: int, title: str, across: str, up: str
) -> go.Figure:
    """Points against y = x: the `labelled` farthest ones are named where there is room, the others when pointed at."""
    table = pd.DataFrame({"x": x, "y": y, "name": list(names)})
    off = (table["x"] - table["y"]).abs()
    reach = float(max(table["x"].max(), table["y"].max(), 1e-9)) * 1.05 if len(table) else 1.0
    low = float(min(table["x"].min(), table["y"].min(), 0.0)) * 1.05 if len(table) else 0.0
    labels = table.loc[off.nlargest(labelled).index]
    places = dict(zip(labels.index, name_places(labels["x"], labels["y"], reach - low, reach - low), strict=True))
    figure = go.Figure()
    figure.add_scatter(
        x=[low, reach],
        y=[low, reach],
        mode="lines",
        line={"color": SOFT, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_scatter(
        x=table["x"],
        y=table["y"],
        mode="markers+text",
        showlegend=False,
        textposition=[places.get(row) or "top center" for row in table.index],
        text=[name if places.get(row) else "" for row, name in table["name"].items()],
        textfont={"size": 10},
        hovertext=table["name"],
        hovertemplate="%{hovertext}: %{x:.3f}, %{y:.3f}<extra></extra>",
        marker={"size": 6, "color": LIGHT["gain"], "opacity": 0.65},
    )
    return styled(figure, title, across, up)


def one_way_figure(both: pd.DataFrame, title: str, measure: str) -> go.Figure:
    """Each pair that was erased both ways: a's erasure on b against b's on a; columns a, b, there, back, one_way."""
    names = [f"{a} → {b}" for a, b in zip(both["a"], both["b"], strict=True)]
    figure = scatter_with_diagonal(
        both["there"], both["back"], names, 6, title, f"{measure}, first on second", f"{measure}, second on first"
    )
    colours = np.where(both["one_way"], LIGHT["damage"], SOFT).tolist()
    figure.data[1].marker.color = colours
    return figure


def trade_off_figure(points: pd.DataFrame, title: str, across: str, up: str) -> go.Figure:
    """Methods as points with intervals both ways: columns name, x, x_low, x_high, y, y_low, y_high."""
    figure = go.Figure()
    wide, high = (float(points[f"{axis}_high"].max() - points[f"{axis}_low"].min()) for axis in ("x", "y"))
    places = name_places(points["x"], points["y"], wide, high)
    for row, place, colour in zip(points.to_dict("records"), places, SERIES * len(points), strict=False):
        bars = {
            f"error_{axis}": {
                "type": "data",
                "symmetric": False,
                "array": [row[f"{axis}_high"] - row[axis]],
                "arrayminus": [row[axis] - row[f"{axis}_low"]],
                "thickness": 1,
                "width": 3,
            }
            for axis in ("x", "y")
        }
        figure.add_scatter(
            x=[row["x"]],
            y=[row["y"]],
            mode="markers+text",
            text=[str(row["name"])],
            showlegend=False,
            textposition=place or "bottom center",
            marker={"size": 9, "color": colour},
            hoverinfo="text",
            **bars,
        )
    return styled(figure, title, across, up)


def strength_figure(curves: pd.DataFrame, title: str, across: str, up: str) -> go.Figure:
    """The erasure-damage plane: a line a method as its erasers grow stronger; columns name, x, y in order."""
    figure = go.Figure()
    names = list(dict.fromkeys(curves["name"]))
    for row, name in enumerate(names):
        line = curves[curves["name"] == name]
        figure.add_scatter(
            x=line["x"],
            y=line["y"],
            mode="lines+markers",
            name=name,
            line={"color": SERIES[row % len(SERIES)], "dash": ("solid", "dash", "dot")[row // len(SERIES) % 3]},
        )
    styled(figure, title, across, up)
    figure.update_layout(legend={"orientation": "v", "x": 1.02, "y": 1, "yanchor": "top"})
    return figure
