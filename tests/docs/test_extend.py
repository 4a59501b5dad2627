"""Every block of docs/extend.md runs, one after the other, on a small random model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import WORLD, build_tiny_sd

import age_core
from age_core import ConceptSet, load_probe
from age_core.erasure import options
from age_core.erasure.closed_form.methods import CLOSED_FORMS
from age_core.erasure.methods import METHODS
from age_core.erasure.selectors import SELECTORS
from age_core.measure.metrics import METRICS

PAGE = (Path(__file__).parents[2] / "docs" / "extend.md").read_text(encoding="utf-8")
TABLES = (SELECTORS, METHODS, CLOSED_FORMS, METRICS)


@pytest.fixture
def tables():
    """The tables that the page adds to, as they were before."""
    before = [dict(table) for table in TABLES]
    yield
    for table, rows in zip(TABLES, before, strict=True):
        table.clear()
        table.update(rows)


@pytest.mark.usefixtures("tables")
def test_every_block_runs(tmp_path, monkeypatch):
    pipe, probe, load = build_tiny_sd(tmp_path, "epsilon"), load_probe("emoji"), ConceptSet.load
    monkeypatch.setattr(age_core, "load_pipeline", lambda name: pipe)
    monkeypatch.setattr(age_core, "load_probe", lambda name: probe)
    monkeypatch.setattr(ConceptSet, "load", staticmethod(lambda name: WORLD if name == "emoji" else load(name)))
    # alike means nothing where the weights are random, and a grid and samples of this size take no time
    quick = {"min_candidate_distance": 0.0, "samples": 2, "candidate_samples": 1, "sample_steps": 2, "batch": 2}
    monkeypatch.setitem(options.PRESETS, "balanced", quick)
    monkeypatch.chdir(tmp_path)
    session: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(compile(block, "docs/extend.md", "exec"), session)
    assert session["pets"].names == ("dog", "cat", "car")  # type: ignore[attr-defined]
    assert session["values"].delta and all(".to_v." in name for name in session["values"].delta)  # type: ignore[attr-defined]
    assert list(session["table"]["method"]) == ["original", "UCE on values"]  # type: ignore[index]
    assert session["table"]["colour"].iloc[0] == 0 < session["table"]["colour"].iloc[1]  # type: ignore[index]


def test_the_tables_are_as_before():
    assert "age-soft" not in METHODS and "colour" not in METRICS and "uce-values" not in CLOSED_FORMS
    assert SELECTORS["random"].__module__ == "age_core.erasure.selectors"
