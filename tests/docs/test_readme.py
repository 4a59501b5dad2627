"""The README's example runs as it stands, in a folder of its own, with a training that is short."""

from __future__ import annotations

import re
from pathlib import Path

from age_core import Eraser
from age_core.erasure import options, target_words

PAGE = Path(__file__).parents[2] / "README.md"


def test_the_example_erases_and_evaluates(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    short = {"steps": 3, "batch": 2, "samples": 2, "candidate_samples": 1, "sample_steps": 2, "preview_every": 0}
    monkeypatch.setitem(options.PRESETS, "fast", short)
    monkeypatch.setitem(target_words.POOLS, "fast", 6)  # candidates, each of which a look-ahead tries
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    said = capsys.readouterr().out
    assert re.search(r"\bAGE\b", said) and "original" in said
    eraser = Eraser.load(tmp_path / "runs" / "dog.safetensors")
    assert eraser.concepts == ("dog",) and any(change.any() for change in eraser.delta.values())
