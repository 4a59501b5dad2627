"""Components that draw with Plotly, as Gradio sees them."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

from viz.atlas.atlas import Atlas
from viz.components.chart import PLOTLY_JS, Chart


def test_components_that_draw_hand_the_page_plain_values_alone():
    """Gradio copies them at every visit; a handler among them would lead to the models."""
    for component in (Chart(figure="{}"), Atlas(figure="{}")):
        config = component.get_config()
        assert config["component_class_name"] == type(component).__name__ and json.dumps(config)
        assert component.props["figure"] == "{}" and not callable(config.get("figure"))
        assert callable(component.figure)  # the trap is still there: else `get_config` has done its service


def test_plotly_s_address_is_one_that_the_page_can_ask_for():
    (address,) = re.findall('<script src="([^"]+)"></script>', Chart(figure="{}").get_config()["head"])
    assert address.count("gradio_api/file=") == 1 and unquote(address).endswith(str(PLOTLY_JS))
