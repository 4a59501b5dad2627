"""The committed page of results is what the measured files make."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from benchmarks.results import __main__ as results
from benchmarks.results import frames, tables


def test_the_page_is_made_of_the_files():
    assert results.PAGE.read_text(encoding="utf-8") == results.page(), "run python -m benchmarks.results"


def test_check_says_when_the_page_is_old(tmp_path, monkeypatch, capsys):
    old = tmp_path / "results.md"
    old.write_text("# Results\n")
    for path, code, said in ((old, 1, "older"), (results.PAGE, 0, "what the files make")):
        monkeypatch.setattr("sys.argv", ["results", "--check", "--out", str(path)])
        assert results.main() == code and said in capsys.readouterr().out
    assert old.read_text() == "# Results\n"


def test_no_number_is_typed_before_the_part_that_says_so():
    """Percentages and decimals of the template's prose; counts of what was drawn, and commands, are no results."""
    text = results.TEMPLATE.read_text(encoding="utf-8").split("## Measured once")[0]
    text = re.sub(r"```.*?```|`[^`]*`|\{\{.*?\}\}|\([^)]*arXiv[^)]*\)", "", text, flags=re.S)
    told = {"95", "94", "1.4"}  # intervals, the limit of what counts as erased, Stable Diffusion
    numbers = set(re.findall(r"\b\d+\.\d+\b|\b\d+(?= %)", text)) - told
    assert numbers <= {"99", "100", "50", "88", "0", "6", "38", "0.6", "0.03"}, numbers


def test_a_place_fills_from_one_row(monkeypatch):
    table = pd.DataFrame({"method": ["a", "b"], "x": [-0.0449, 12.0], "x_low": [-1.0, 11.0], "x_high": [1.0, 1300.0]})
    monkeypatch.setitem(frames.DERIVED, "tiny", lambda: table)
    frames.frame.cache_clear()

    def filled(place: str) -> str:
        return results.PLACE.sub(results.filled, place)

    assert filled("{{value tiny x method=a}} {{value tiny x method=b digits=0}}") == "0.0 12"
    assert filled("{{both tiny x method=a digits=2 times=-1}}") == "0.04 (−1.00 to 1.00)"
    assert filled("{{range tiny x method=b digits=0}}") == "11 to 1,300"
    wrong = {"value tiny x": "KEY", "value tiny x method=c": "0 rows", "sum tiny x method=a": "kind"}
    for place, message in wrong.items():
        with pytest.raises(ValueError, match=message):
            filled(f"{{{{{place}}}}}")
    with pytest.raises(KeyError, match="there are"):
        filled("{{value other x method=a}}")


def test_tables_name_every_method_that_was_compared():
    assert set(frames.frame("ablation")["method"]) == set(tables.LABELS)
    assert tables.number(float("nan")) == "" and tables.number(-0.04) == "0.0" and tables.number(-2.5) == "−2.5"
