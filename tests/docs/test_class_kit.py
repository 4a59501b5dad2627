"""The class kit: its notebook runs from above to below, and the answer key is what it finds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from age_core import AgeError, ConceptSet
from age_core.study.regret import recorded_oracle
from benchmarks import class_kit


def text_of(cell: dict[str, Any]) -> str:
    """What a cell printed, and the table or value it ends with."""
    printed = ["".join(output.get("text", output.get("data", {}).get("text/plain", ""))) for output in cell["outputs"]]
    return "\n".join(printed)


@pytest.fixture(scope="module")
def notebooks() -> tuple[dict[str, Any], dict[str, Any]]:
    """As it is handed out, and the answer key; each as its file holds it."""
    handed_out, answers = (json.loads(path.read_text("utf-8")) for path in (class_kit.NOTEBOOK, class_kit.ANSWERS))
    return handed_out, answers


@pytest.fixture(scope="module")
def ran(notebooks) -> list[dict[str, Any]]:
    """The code cells of the notebook as it is handed out, after they were run; attacked with fewer pictures."""
    cells = [
        {**cell, "source": [line.replace("images=8", "images=1") for line in cell["source"]]}
        for cell in notebooks[0]["cells"]
    ]
    assert cells != notebooks[0]["cells"]
    return [cell for cell in class_kit.run({**notebooks[0], "cells": cells})["cells"] if cell["cell_type"] == "code"]


def test_it_runs_as_it_is_handed_out_and_each_question_is_answered(ran):
    said = "\n".join(map(text_of, ran))
    assert "Right: " in said and " of 3." in said
    assert "regret" in said and "the farthest" in said
    assert all(word in said for word in ("completion", "revival", "synonym"))
    assert sum("image/png" in output.get("data", {}) for cell in ran for output in cell["outputs"]) >= 7


def test_the_key_is_the_same_notebook_with_answers_and_finds_what_it_says(notebooks, ran):
    handed_out, answers = notebooks
    assert [cell["source"] for cell in answers["cells"]] == [
        cell["source"] for cell in class_kit.answered(handed_out)["cells"]
    ], "python -m benchmarks.class_kit writes it anew"
    key = [cell for cell in answers["cells"] if cell["cell_type"] == "code"]
    same = ("candidates", "erasure.moved()", "oracle = recorded_oracle()", "mine.sort_values")  # what was recorded
    for cell, found in zip(key, ran, strict=True):
        source = "".join(cell["source"])
        if cell["source"] == found["source"] and any(part in source for part in same) and "regrets" not in source:
            assert text_of(cell) == text_of(found)
    said = "\n".join(map(text_of, key))
    assert "Right: 3 of 3." in said
    (table,) = [text_of(cell) for cell in key if "regrets(mine" in "".join(cell["source"])]
    assert [line.split()[-1] for line in table.splitlines() if " you " in line] == ["0.0"]  # nothing given away


def test_nothing_that_was_run_is_left_in_what_is_handed_out(notebooks):
    code = [cell for cell in notebooks[0]["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    assert sum("# Your turn" in "".join(cell["source"]) for cell in code) >= 4


def test_the_oracle_s_table_is_of_the_world_and_whole():
    table, world = recorded_oracle(), ConceptSet.load("emoji")
    assert set(table["concept"]) <= set(world.names) and set(ConceptSet.load("emoji-netfive").names) <= set(
        table["concept"]
    )
    assert (table.groupby("concept", sort=False).size() == 30).all()
    assert not (table["concept"] == table["candidate"]).any() and set(table["candidate"]) <= set(world.names)
    assert table[["esr1", "psr1"]].ge(0).all(axis=None) and table[["esr1", "psr1"]].le(100).all(axis=None)
    assert ((table["esr1"] + table["psr1"]) / 2 - table["balance"]).abs().max() < 1e-9


def test_a_table_that_is_missing_or_another_is_refused(tmp_path):
    with pytest.raises(AgeError, match="cannot be read"):
        recorded_oracle(tmp_path / "oracle.parquet")
    recorded_oracle().drop(columns="esr1").to_parquet(tmp_path / "oracle.parquet")
    with pytest.raises(AgeError, match="no table of an oracle"):
        recorded_oracle(tmp_path / "oracle.parquet")
