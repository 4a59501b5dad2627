"""The oracle and the regret of a choice."""

from __future__ import annotations

import pandas as pd
import pytest

from age_core import AgeError, Candidates, ConceptSet
from age_core.study.oracle import oracle
from age_core.study.regret import regrets


def test_the_oracle_measures_every_candidate_on_pictures(emoji_pipe, emoji_probe):
    """A synonym as the target erases nothing, and another thing erases."""
    concepts, pool = ConceptSet.load("emoji"), Candidates(("kitty", "pizza"), (0.05, 0.9))
    table = oracle(emoji_pipe, emoji_probe, concepts, "cat", pool, ["dog", "cat", "bus"], 2, 4).set_index("candidate")
    assert table.loc["pizza", "esr1"] == 100 > table.loc["kitty", "esr1"]
    assert (table["balance"] == (table["esr1"] + table["psr1"]) / 2).all()


def test_regret_is_what_a_choice_gives_away():
    table = pd.DataFrame(
        {"candidate": ["a", "b"], "esr1": [100.0, 50.0], "psr1": [90.0, 90.0], "balance": [95.0, 70.0]}
    )
    rows = regrets(table, {"first": {"a": 1}, "worst": {"b": 1}, "random": {"a": 0.5, "b": 0.5}}).set_index("selector")
    assert rows["regret"].to_dict() == {"oracle": 0.0, "first": 0.0, "worst": 25.0, "random": 12.5}
    with pytest.raises(AgeError, match="did not try 'c'"):
        regrets(table, {"x": {"c": 1}})
