"""The measurements of faults themselves, each with a handful of what they do by the hundred."""

from __future__ import annotations

import os
import random

import pandas as pd
import pytest
from support import ONE_BLOCK, build_tiny_sd

from age_core.serve import registry
from age_core.serve.registry import Choice, OpenModels
from benchmarks.faults import common, fuzz, kill, reopen, slopes, values, visitor
from viz import gradio_tuning
from viz.tabs import page
from viz.tabs.map_data import MapCache


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model in a folder, as any is opened."""
    place = tmp_path_factory.mktemp("tiny")
    build_tiny_sd(place, "epsilon", **ONE_BLOCK).save_pretrained(place / "model")
    return place / "model"


def test_a_killed_run_goes_on_to_the_same_bits_whatever_its_times(folder, tmp_path):
    bits, lengths = kill.uninterrupted(folder, tmp_path, "bfloat16")
    assert all(lengths[stage] > 0 for stage in ("loading", "latents", "steps"))
    row = kill.one_kill(3, folder, "bfloat16", bits, lengths)
    assert row["same"] and row["stage"] == "checkpoint" and row["left"].startswith(("stopped", "finished"))
    events = tmp_path / kill.NAME / "events.jsonl"
    events.write_text(events.read_text().replace('"elapsed_s": 0', '"elapsed_s": 7'))
    assert kill.digest(tmp_path) == bits
    events.write_text(events.read_text().replace('"loss_erase": 0.', '"loss_erase": 1.', 1))
    assert kill.digest(tmp_path) != bits


def test_models_that_were_closed_are_let_go(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "MOST_MODELS", 1)
    choices = [Choice(str(folder), name, "") for name in ("sd-imagenette", "sd-netfive")]
    rows = list(reopen.reopened(OpenModels(tmp_path), choices, 3))
    assert [row["closed"] for row in rows] == [0, 1, 2] and not any(row["alive"] for row in rows)
    assert all(row["trimmed_mb"] <= row["rss_mb"] + 50 for row in rows)


def test_random_input_is_the_same_for_a_seed_and_can_be_sent():
    secrets = ("/etc/passwd", "http://127.0.0.1:9/x", "0" * 32)

    def drawn(seed):
        chance = random.Random(seed)
        makers = (values.file_request, values.upload_request)
        return [repr(values.nasty(chance, secrets)) for _ in range(300)] + [
            *(make(chance, secrets) for make in makers for _ in range(100)),
            *(values.odd_request(chance, (1, 2), secrets) for _ in range(100)),
        ]

    assert drawn(1) == drawn(1) != drawn(2)
    for request in drawn(3)[300:]:
        assert request.path.isascii() and isinstance(request.content, bytes)
    likely = values.likely(random.Random(0), {"choices": [["one", 1]], "value": 1})
    assert likely == 1 and values.likely(random.Random(1), {"value": "dog"}) == "dog"


class Here(common.App):
    """A page of this process."""

    @property
    def log(self) -> str:
        return ""  # it is the console, which is read afterwards


def test_a_page_stands_a_handful_of_random_inputs(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(visitor, "PATIENCE_S", 0.3)
    models = OpenModels(tmp_path / "runs")
    demo = page.build(MapCache(models)).queue()
    gradio_tuning.refuse_what_no_field_takes(demo)
    address = gradio_tuning.launch(demo, quiet=True, prevent_thread_lock=True, ssr_mode=False).rstrip("/")
    try:
        app = Here(address, os.getpid(), tmp_path)
        with fuzz.bait() as (lure, fetched):
            told = fuzz.throw(app, 0, 40, 60, fuzz.secrets_of(app, lure))
    finally:
        demo.close()
        with models._opening:  # while weights are loaded, networks that other tests make would get none
            pass
        for queue in models._queues.values():
            queue.close()  # what computes on at the end of a program ends it badly
    assert sum(row["inputs"] for row in told.rows()) == 40
    assert fuzz.TRACEBACK not in "".join(capfd.readouterr()) and not told.leaks and not fetched


def test_a_slope_is_that_of_the_line_and_its_interval_holds_none(tmp_path):
    minutes = range(20)
    flat = [100 + (-1) ** minute for minute in minutes]
    rows = pd.DataFrame(dict.fromkeys(slopes.MEASURED, flat) | {"minute": minutes})
    rows["server_mb"] = [500 if minute < slopes.WARM_MIN else 100 + minute for minute in minutes]
    table = slopes.slopes(rows).set_index("measure")
    assert table.loc["server_mb", "an_hour"] == pytest.approx(60)  # the first minutes left out
    assert table.loc["heap_mb", "an_hour_low"] < 0 < table.loc["heap_mb", "an_hour_high"]


def test_rows_are_there_after_a_restart(tmp_path):
    path = tmp_path / "new" / "rows.csv"
    assert common.read_rows(path) == []
    for number in range(2):
        common.add_row(path, {"kill": number, "same": True})
    assert [row["kill"] for row in common.read_rows(path)] == ["0", "1"]
    common.write_rows(path, [{"kill": 7}])
    assert common.read_rows(path) == [{"kill": "7"}]
