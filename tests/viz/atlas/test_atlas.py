"""What the map is given: dots, arrows with their sentences, the whole graph, and layouts, all as plain JSON."""

from __future__ import annotations

import json

import gradio as gr
import numpy as np
import pandas as pd
import pytest

from viz.atlas import atlas, layout
from viz.atlas.layout import EDGE
from viz.components.chart import Chart

NAMES = ["dog", "wolf", "<b>van</b>"]
PLACES = pd.DataFrame({"name": NAMES, "x": [0.0, 1.0, -1.0], "y": [0.5, 0.0, 0.0]})
GROUPS = ["mammal", "mammal", "vehicle"]


def test_a_dot_grows_with_how_abnormal_its_concept_is_and_its_text_says_so():
    plain = atlas.map_figure(PLACES, GROUPS).data[0]
    assert plain.marker.size == 10 and plain.text[2] == "&lt;b&gt;van&lt;/b&gt;<br>vehicle"
    dots = atlas.map_figure(PLACES, GROUPS, [0, 1, np.nan]).data[0]
    assert list(dots.marker.size) == [8, 17, 8]
    assert dots.text[1] == "wolf<br>mammal<br>abnormality: 1.00 (0 least, 1 most)"
    assert dots.text[2].endswith("abnormality: not measured")


def test_an_arrow_says_what_was_measured_in_a_sentence():
    pairs = pd.DataFrame(
        {
            "erased": "dog",
            "affected": ["wolf", "<b>van</b>", "fox", "cat"],
            "delta": [0.12, -0.06, 0.0, np.nan],
            "low": [0.05, np.nan, 0.0, 0.0],
            "high": [0.19, np.nan, 0.0, 0.0],
            "clear": [True, False, False, True],
        }
    )
    arrows = json.loads(atlas.arrows_json(pairs))
    assert [arrow["say"] for arrow in arrows] == [
        "Erasing dog made wolf worse: +0.12 (95 % interval 0.05 to 0.19).",
        "Erasing dog made <b>van</b> better: -0.060. It cannot be told from no effect.",
        "Erasing dog left fox as it was: +0.000 (95 % interval 0.000 to 0.000). It cannot be told from no effect.",
    ]
    assert [arrow["clear"] for arrow in arrows] == [True, False, False]
    assert arrows[0] | {"say": ""} == {
        "from": "dog",
        "to": "wolf",
        "width": 11,
        "sign": "damage",
        "text": "+0.12",
        "say": "",
        "clear": True,
    }
    bare = json.loads(atlas.arrows_json(pairs[["erased", "affected", "delta"]].head(1)))
    assert bare[0]["say"] == "Erasing dog made wolf worse: +0.12." and bare[0]["clear"]
    assert atlas.arrows_json(pairs.head(0)) == "[]"


def test_the_whole_graph_holds_the_strongest_edges_between_known_dots():
    pairs = pd.DataFrame(
        {
            "erased": ["dog", "wolf", "dog", "cat"],
            "affected": ["wolf", "dog", "<b>van</b>", "dog"],
            "delta": [0.1, -0.4, 0.02, 9],
        }
    )
    assert json.loads(atlas.overview_json(pairs, NAMES)) == [[1, 0, 1, -1], [0, 1, 0.25, 1], [0, 2, 0.05, 1]]
    assert json.loads(atlas.overview_json(pairs, NAMES, above=0.05)) == [[1, 0, 1, -1], [0, 1, 0.25, 1]]
    assert json.loads(atlas.overview_json(pairs, NAMES, most=1)) == [[1, 0, 1, -1]]
    assert atlas.overview_json(pairs, []) == "[]"


def test_rows_bring_the_names_of_their_groups():
    rows = layout.in_rows(NAMES, GROUPS)
    told = json.loads(atlas.layouts_json({"meaning": PLACES, "rows": rows}, GROUPS))
    assert len(told["meaning"]) == 2 and len(told["rows"]) == 3
    assert [title for title, _, _ in told["rows"][2]] == ["mammal", "vehicle"]


def test_a_layout_that_is_too_wide_shrinks_evenly_and_others_stay():
    wide = PLACES.assign(x=[0, 2.1, 4.2])
    layouts = json.loads(atlas.layouts_json({"meaning": PLACES, "effects": wide}))
    assert layouts["meaning"] == [[0, 1, -1], [0.5, 0, 0]]
    assert layouts["effects"] == [pytest.approx([0, EDGE / 2, EDGE]), [0.125, 0, 0]]


@pytest.mark.parametrize("component", [atlas.Atlas, Chart])
def test_a_component_can_be_made_again_from_its_own_arguments(component):
    with gr.Blocks():
        first = component(value="a", figure="{}", label="What it shows", elem_id="x")
        again = component(**{name: first.constructor_args[name] for name in ("value", "figure", "label", "elem_id")})
    assert first.props == again.props and first.js_on_load == again.js_on_load and first.label == again.label
    assert first.api_info() == {"type": "string"}
