"""A component that shows any Plotly figure: in the page's theme, with its zoom kept, and with a click as an event."""

import json
from pathlib import Path

import gradio as gr

from viz.concept_map import PLOTLY_SCRIPT
from viz.theme import DARK_OF

COLOURS = {light.lower(): dark for light, dark in DARK_OF.items()}


class Chart(gr.HTML):
    """Its value is the `customdata` of the point or cell clicked last, as JSON, and `select` fires at each click.

    `figure` is a Plotly figure as JSON; "" shows nothing. `label` says in words what it shows (default: its title).
    `gr.update` replays this constructor, so it must stay free of side effects.
    """

    def __init__(self, value: str | None = None, figure: str = "", **kwargs: object) -> None:
        script = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
        super().__init__(
            value=value,
            figure=figure,
            html_template="<div class='chart' role='img' hidden><div class='plot'></div></div>",
            js_on_load=f"const DARK_OF = {json.dumps(COLOURS)};\n{script}",
            head=PLOTLY_SCRIPT,
            apply_default_css=False,
            **kwargs,
        )

    def api_info(self) -> dict[str, str]:
        return {"type": "string"}
