"""A component that shows any Plotly figure: in the page's theme, with its zoom kept, and with a click as an event."""

import json
from pathlib import Path
from typing import Any

import gradio as gr
import plotly

from viz.components.html_parts import Markup
from viz.components.theme import DARK_OF
from viz.components.tiles import file_url
from viz.gradio_tuning import plain_config

COLOURS = {light.lower(): dark for light, dark in DARK_OF.items()}
PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"


class Plotted(gr.HTML):
    """A component of our own that draws with Plotly; its value is a text."""

    def __init__(self, **kwargs: Any) -> None:
        script = Markup('<script src="{}"></script>').format(file_url(PLOTLY_JS))
        super().__init__(head=script, apply_default_css=False, **kwargs)

    def get_config(self) -> dict[str, Any]:  # type: ignore[override]
        return plain_config(super().get_config())

    def api_info(self) -> dict[str, str]:
        return {"type": "string"}


class Chart(Plotted):
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
            **kwargs,
        )
