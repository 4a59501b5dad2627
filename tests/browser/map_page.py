"""A page with the map and a chart alone, of made-up concepts: `python tests/browser/map_page.py [port]`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
sys.path.insert(0, str(Path(__file__).parents[2]))

import viz.gradio_tuning  # noqa: F401, I001  # before anything that imports Gradio
import gradio as gr
import numpy as np
import pandas as pd

from viz.atlas import atlas
from viz.atlas.layout import spread_apart
from viz.charts import plots
from viz.components import theme
from viz.components.chart import PLOTLY_JS, Chart

DOTS, EDGES = 500, 5000
NAMES = ["<b>grue</b>", *(f"concept {row}" for row in range(1, DOTS))]
GROUPS = [f"group {row % 12}" for row in range(DOTS)]


@cache
def places(seed: int) -> pd.DataFrame:
    """Twelve clusters of dots: where they lie depends on the seed."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-0.85, 0.85, (12, 2))
    points = spread_apart(centres[np.arange(DOTS) % 12] + rng.normal(0, 0.13, (DOTS, 2)))
    return pd.DataFrame({"name": NAMES, "x": points[:, 0], "y": points[:, 1]})


def effects() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    pairs = pd.DataFrame(rng.integers(0, DOTS, (EDGES * 2, 2)), columns=["a", "b"]).drop_duplicates()
    pairs = pairs[pairs["a"] != pairs["b"]].head(EDGES)
    delta = rng.normal(0.08, 0.1, len(pairs))
    return pd.DataFrame(
        {
            "erased": [NAMES[a] for a in pairs["a"]],
            "affected": [NAMES[b] for b in pairs["b"]],
            "delta": delta,
            "low": delta - 0.05,
            "high": delta + 0.05,
            "clear": np.abs(delta) > 0.05,
        }
    )


def arrows_of(name: str) -> str:
    """Six effects of a concept, the last two of them unclear."""
    row = NAMES.index(name)
    delta = [0.3, 0.2, -0.15, 0.12, 0.03, 0.02]
    others = [NAMES[(row + step) % DOTS] for step in (12, 24, 7, 36, 101, 250)]
    table = pd.DataFrame({"erased": name, "affected": others, "delta": delta})
    table["low"], table["high"], table["clear"] = (
        table["delta"] - 0.06,
        table["delta"] + 0.06,
        table["delta"].abs() > 0.05,
    )
    return atlas.arrows_json(table)


def heat_figure(seed: int) -> str:
    names = NAMES[:16]
    values = np.random.default_rng(seed).normal(0.1, 0.1, (16, 16)) + np.where(np.eye(16), np.nan, 0)
    groups = dict(zip(NAMES, GROUPS, strict=True))
    title = "Damage stays inside the group, and a title that is a whole claim must not be cut off on a phone"
    return plots.heat_map(pd.DataFrame(values, names, names), groups, title).to_json()


def curve_figure() -> str:
    curve = pd.DataFrame({"first": [1, 2, 4, 8], "last": [1, 3, 7, 50], "damage": [0.5, 0.3, 0.2, 0.05]})
    curve["low"], curve["high"] = curve["damage"] - 0.04, curve["damage"] + 0.04
    curves = {"AGE": curve, "Empty prompt": curve.assign(damage=curve["damage"] * 0.6 + 0.1)}
    return plots.locality_figure(curves, "Damage falls with the distance in meaning", "damage").to_json()


def build() -> gr.Blocks:
    gr.set_static_paths([PLOTLY_JS])
    layouts = {"meaning": places(0), "effects": places(1)}
    figure = atlas.map_figure(layouts["meaning"], GROUPS, np.linspace(1, 0, DOTS)).to_json()
    every = atlas.overview_json(effects(), NAMES)
    assert len(json.loads(every)) == EDGES

    def light_up() -> Iterator[dict]:
        for step in range(1, 11):
            probabilities = np.random.default_rng(step).dirichlet(np.full(20, 0.3))
            yield gr.update(lit=json.dumps({NAMES[40 + k]: float(share) for k, share in enumerate(probabilities)}))
            time.sleep(0.1)

    with gr.Blocks(title="Map") as demo:
        switch = gr.Radio(["meaning", "effects"], value="meaning", label="Layout", elem_id="layout")
        graph = atlas.Atlas(
            value="concept 5",
            figure=figure,
            arrows=arrows_of("concept 5"),
            label_order=atlas.label_order_json(layouts["meaning"], GROUPS),
            layouts=atlas.layouts_json(layouts),
            layout="meaning",
            elem_id="concept-map",
        )
        picked = gr.Textbox(label="Picked", elem_id="picked")
        with gr.Row():
            buttons = {
                text: gr.Button(text, elem_id=text)
                for text in ("every", "none", "light", "dim", "far", "heat", "heat2", "curve", "clear")
            }
        chart = Chart(label="Damage of each pair", elem_id="chart")
        pair = gr.Textbox(label="Pair", elem_id="pair")
        quick = {"queue": False, "show_progress": "hidden"}
        graph.select(lambda name: (gr.update(arrows=arrows_of(name)), name), graph, [graph, picked], **quick)
        switch.input(lambda name: gr.update(layout=name), switch, graph, **quick)
        buttons["every"].click(lambda: gr.update(overview=every), None, graph, **quick)
        buttons["none"].click(lambda: gr.update(overview="[]"), None, graph, **quick)
        buttons["light"].click(light_up, None, graph, show_progress="hidden")
        buttons["dim"].click(lambda: gr.update(lit="{}"), None, graph, **quick)
        buttons["far"].click(lambda: gr.update(value="concept 200"), None, graph, **quick)
        buttons["heat"].click(lambda: gr.update(figure=heat_figure(0)), None, chart, **quick)
        buttons["heat2"].click(lambda: gr.update(figure=heat_figure(1)), None, chart, **quick)
        buttons["curve"].click(lambda: gr.update(figure=curve_figure()), None, chart, **quick)
        buttons["clear"].click(lambda: gr.update(figure=""), None, chart, **quick)
        chart.select(lambda value: value, chart, pair, **quick)
    return demo


def main() -> None:
    _, address, _ = build().launch(
        theme=theme.theme(), css=theme.CSS, ssr_mode=False, quiet=True, prevent_thread_lock=True, _frontend=False
    )
    print(f"open at {address}", flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
