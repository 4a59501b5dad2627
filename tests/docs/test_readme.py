"""The README's example runs as it stands, in a folder of its own, and does what the README says of an erasure."""

from __future__ import annotations

import contextlib
import io
import math
import re
from pathlib import Path
from typing import Any

import pytest

from age_core import ConceptSet, Eraser, Vocabulary
from age_core.erasure import target_words

PAGE = Path(__file__).parents[2] / "README.md"
EMOJI = ConceptSet.load("emoji")


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> tuple[dict[str, Any], str, Path]:
    """(All its names, what it printed, its folder); among half as many candidates as the preset looks at."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    names: dict[str, Any] = {}
    folder, said = tmp_path_factory.mktemp("example"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setitem(target_words.POOLS, "fast", 15)
        patch.chdir(folder)
        exec(compile(code, "README.md", "exec"), names)
    return names, said.getvalue(), folder


def test_the_example_erases_and_evaluates(example):
    names, said, folder = example
    assert re.search(r"\bAGE\b", said) and "original" in said and names["picture"].size == (64, 64)
    eraser = Eraser.load(folder / "runs" / "dog.safetensors")
    assert eraser.concepts == ("dog",) and any(change.any() for change in eraser.delta.values())


def test_erasing_removes_the_concept_and_keeps_the_rest(example):
    rows = example[0]["table"].set_index("method")
    original, edited = rows.loc["original"], rows.loc["AGE"]
    assert original["esr1"] <= 10  # the probe did see dogs before
    assert edited["esr1"] >= 95
    assert edited["psr1"] >= original["psr1"] - 5


def test_training_finds_targets_among_what_is_near_and_is_decided(example):
    pipe, last = example[0]["pipe"], example[0]["event"]
    candidates = Vocabulary(EMOJI.names).near(pipe, "dog", 30, exclude=EMOJI["dog"].synonyms)
    assert "dog" not in candidates.names and "wolf" in candidates.names
    assert set(last.candidates) <= set(candidates.names)
    assert last.entropy < 0.6 * math.log(len(last.candidates))  # pi is decisive
