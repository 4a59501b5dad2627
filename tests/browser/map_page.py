"""A page with the atlas and a chart alone, of made-up concepts: `python tests/browser/map_page.py`."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
sys.path.insert(0, str(Path(__file__).parents[2]))

import viz.gradio_tuning  # noqa: F401, I001  # before anything that imports Gradio
import gradio as gr
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from viz.atlas import atlas, sheets
from viz.atlas.layout import in_rows, spread_apart
from viz.charts import plots
from viz.components import theme
from viz.components.chart import PLOTLY_JS, Chart

DOTS, EDGES = 500, 5000
NAMES = ["<b>grue</b>", *(f"concept {row}" for row in range(1, DOTS))]
GROUPS = [f"group {row % 12}" for row in range(DOTS)]

SIDE, COLUMNS = 64, 25
BARE = NAMES[9]  # the one concept without a picture
ERASED, LOST, MOVED, STILL = "concept 5", ["concept 17", "concept 29"], ["concept 6", "concept 41"], "concept 30"
FOLDER = Path(tempfile.mkdtemp(prefix="sheets-"))


def colour(name: str, edited: bool = False) -> tuple[int, int, int]:
    """What the middle of a concept's picture is: no two concepts, and no two models, agree."""
    row = NAMES.index(name)
    return (20 + row % 10 * 20, 20 + row // 10 % 10 * 20, 30 + row // 100 * 30 + (15 if edited else 0))


class Tiles:
    """A made-up sheet: a disc on white for each of `names`."""

    side, columns = SIDE, COLUMNS

    def __init__(self, names: list[str], edited: bool = False):
        self.places = {name: place for place, name in enumerate(names)}
        rows = -(-len(names) // COLUMNS)
        self.image = Image.new("RGB", (COLUMNS * SIDE, rows * SIDE), "white")
        pen = ImageDraw.Draw(self.image)
        for name, place in self.places.items():
            x, y = place % COLUMNS * SIDE, place // COLUMNS * SIDE
            pen.ellipse((x + 6, y + 6, x + SIDE - 7, y + SIDE - 7), fill=colour(name, edited))

    def json(self, name: str, share: float = 1) -> dict:
        """As the browser is told of it; `share` of the file is there."""
        path = FOLDER / f"{name}.png"
        self.image.save(path)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        return sheets.sheet_json(self, f"gradio_api/file={path}")


def edition(key: str = "one", play: bool = False, live: bool = False, copies: int = 0) -> str:
    """What a made-up erasure did: two lost, two moved, one hardly at all; `live`: only the first of it is known.

    copies: as many more sheets, each of an address of its own.
    """
    looks = dict.fromkeys(NAMES[40:60], (0.01, False))
    looks |= {ERASED: (1.1, True), LOST[0]: (0.9, True), MOVED[0]: (0.5, False), STILL: (0.19, False)}
    drawn = [ERASED, LOST[0], MOVED[0], STILL]
    parts = [Tiles(drawn, edited=True).json("first")]
    if not live:
        looks |= {LOST[1]: (0.6, True), MOVED[1]: (0.21, False)}
        parts.append(Tiles([LOST[1], MOVED[1]], edited=True).json("second"))
    parts += [parts[0] | {"url": f"{parts[0]['url']}?{key}{row}"} for row in range(copies)]
    title = f"{ERASED} erased by hand" + f", {key}" * (copies > 0)
    return sheets.edited_json(key, title, [ERASED], 0.2, looks, parts, play)


def originals(kind: str) -> str:
    """The whole sheet; or one cut short, one that is missing, and one that holds no image."""
    drawn = [name for name in NAMES if name != BARE]
    if kind == "cut":
        return sheets.original_json(Tiles(drawn).json("cut", 0.4))
    if kind == "missing":
        return sheets.original_json(Tiles(drawn).json("whole") | {"url": f"gradio_api/file={FOLDER}/none.png"})
    if kind == "broken":
        return sheets.original_json(Tiles(drawn).json("whole") | {"url": "data:image/png;base64,AAAA"})
    return sheets.original_json(Tiles(drawn[:300]).json("whole"), Tiles(drawn[300:]).json("more"))


@cache
def places(seed: int, gap: float | None = 0.05) -> pd.DataFrame:
    """Twelve clusters of dots: where they lie depends on the seed; with `gap` None, so far apart as pictures need."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-0.85, 0.85, (12, 2))
    points = spread_apart(centres[np.arange(DOTS) % 12] + rng.normal(0, 0.13, (DOTS, 2)), gap)
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


def draw(kind: str) -> dict:
    return gr.update(original="" if kind == "bare" else originals(kind))


def erase(how: dict | None) -> dict:
    return gr.update(edited="" if how is None else edition(**how))


def build() -> gr.Blocks:
    gr.set_static_paths([PLOTLY_JS, FOLDER])
    layouts = {"meaning": places(0), "effects": places(1), "apart": places(0, None), "rows": in_rows(NAMES, GROUPS)}
    figure = atlas.map_figure(layouts["meaning"], GROUPS, np.linspace(1, 0, DOTS)).to_json()
    every = atlas.overview_json(effects(), NAMES)
    assert len(json.loads(every)) == EDGES

    def light_up() -> Iterator[dict]:
        for step in range(1, 11):
            probabilities = np.random.default_rng(step).dirichlet(np.full(20, 0.3))
            yield gr.update(lit=json.dumps({NAMES[40 + k]: float(share) for k, share in enumerate(probabilities)}))
            time.sleep(0.1)

    with gr.Blocks(title="Map") as demo:
        switch = gr.Radio(list(layouts), value="meaning", label="Layout", elem_id="layout")
        graph = atlas.Atlas(
            value="concept 5",
            figure=figure,
            arrows=arrows_of("concept 5"),
            label_order=atlas.label_order_json(layouts["meaning"], GROUPS),
            layouts=atlas.layouts_json(layouts, GROUPS),
            layout="meaning",
            elem_id="concept-map",
        )
        picked = gr.Textbox(label="Picked", elem_id="picked")
        with gr.Row():
            buttons = {
                text: gr.Button(text, elem_id=text)
                for text in ("every", "none", "light", "dim", "far", "heat", "heat2", "curve", "clear")
            }
        with gr.Row():
            pictures = [gr.Button(kind, elem_id=kind) for kind in ("whole", "cut", "missing", "broken", "bare")]
            erasures = {
                "play": {"play": True},
                "still": {},
                "live": {"key": "live", "live": True},
                "more": {"key": "live"},
                "over": None,
            } | {f"many{turn}": {"key": f"many{turn}", "copies": 70} for turn in range(4)}
            editions = [gr.Button(text, elem_id=text) for text in erasures]
        chart = Chart(label="Damage of each pair", elem_id="chart")
        pair = gr.Textbox(label="Pair", elem_id="pair")
        quick = {"queue": False, "show_progress": "hidden"}
        graph.select(lambda name: (gr.update(arrows=arrows_of(name)), name), graph, [graph, picked], **quick)
        switch.input(lambda name: gr.update(layout=name), switch, graph, **quick)
        for button in pictures:
            kind = str(button.value)
            button.click(partial(draw, kind), None, graph, **quick)
        for button, how in zip(editions, erasures.values(), strict=True):
            button.click(partial(erase, how), None, graph, **quick)
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
