"""What each selector of targets gives away to the oracle, and what the oracle found of the bundled world."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from age_core.assets import ASSETS
from age_core.errors import AgeError

MEASURED = ("candidate", "esr1", "psr1", "balance")


def recorded_oracle(path: Path = ASSETS / "oracle.parquet") -> pd.DataFrame:
    """What the oracle found of concepts of the bundled world: concept, then the columns of `oracle`, the nearest first.

    Raises AgeError where the file cannot be read.
    """
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise AgeError(f"The oracle's table {path.name!r} cannot be read: {error}.") from error
    if list(table.columns) != ["concept", *MEASURED]:
        raise AgeError(
            f"{path.name!r} is no table of an oracle: it has the columns {', '.join(map(str, table.columns))}."
        )
    return table


def regrets(table: pd.DataFrame, choices: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """How much balance each selector gives away to the oracle; one row a selector.

    choices: for each selector the share of each candidate it uses (a fixed choice: {word: 1}); the expected balance
    is weighed by it. Raises AgeError on a candidate that the oracle did not try.
    """
    balance = table.set_index("candidate")["balance"]
    best = balance.idxmax()
    rows = [{"selector": "oracle", "target": best, "balance": balance[best], "regret": 0.0}]
    for selector, shares in choices.items():
        unknown = [word for word in shares if word not in balance.index]
        if unknown:
            raise AgeError(f"The oracle did not try {unknown[0]!r}; it tried {', '.join(balance.index)}.")
        expected = sum(share * balance[word] for word, share in shares.items()) / sum(shares.values())
        top = max(shares, key=lambda word: shares[word])
        rows.append({"selector": selector, "target": top, "balance": expected, "regret": balance[best] - expected})
    return pd.DataFrame(rows)
