"""What the atlas is told of pictures: tiles by name, and looks in which nothing unknown becomes a number."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd

from viz.atlas import sheets

SHEET = SimpleNamespace(side=64, columns=25, places={"dog": 0, "<b>van</b>": 7})


def test_a_sheet_says_whose_each_tile_is():
    told = sheets.sheet_json(SHEET, "gradio_api/file=/a.webp")
    assert told == {"url": "gradio_api/file=/a.webp", "side": 64, "columns": 25, "places": {"dog": 0, "<b>van</b>": 7}}
    assert json.loads(sheets.original_json(told, told)) == {"sheets": [told, told]}
    assert sheets.original_json() == ""


def test_what_was_recognised_and_is_no_longer_is_lost():
    table = pd.DataFrame(
        {"shown": [0.9, 0.1, np.nan], "recognised": [False, False, True], "before": [True, False, True]},
        index=["wolf", "fox", "cat"],
    )
    looks = sheets.looks_of(table)
    assert looks["wolf"] == (0.9, True) and looks["fox"] == (0.1, False) and not looks["cat"][1]
    told = json.loads(sheets.edited_json("1", "dog erased by ESD", ["dog"], 0.2, looks, [{"url": "x"}], play=True))
    assert told["looks"] == {"wolf": [0.9, 1], "fox": [0.1, 0], "cat": [None, 0]}
    assert (
        told["erased"] == ["dog"] and told["floor"] == 0.2 and told["play"] is True and told["sheets"] == [{"url": "x"}]
    )
