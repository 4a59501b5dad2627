"""ESR-1 and PSR-1 of erasures that `python -m age_core graph` measured, as a Markdown table.

    python -m benchmarks.evidence.erasures build/graph-adaptive build/graph-empty

One row an erased concept; for each folder of finished erasures: seconds, ESR-1 (share of the erased concept's pictures
that the probe no longer names), PSR-1 over all other concepts, and the original model's PSR-1 on the same seeds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd


def summarise(folder: Path) -> pd.DataFrame:
    """erased, seconds, esr1, psr1, original_psr1 (percent), one row a finished erasure."""
    rows = []
    for path in sorted(folder.glob("*.parquet")):
        table = pd.read_parquet(path)
        table = table[table["metric"] == "DS-1"]
        own = table["affected"] == table["erased"]
        rows.append(
            {
                "erased": table["erased"].iloc[0],
                "seconds": json.loads(path.with_suffix(".json").read_text())["seconds"],
                "esr1": 100 * (1 - table.loc[own, "after"].mean()),
                "psr1": 100 * table.loc[~own, "after"].mean(),
                "original_psr1": 100 * table.loc[~own, "before"].mean(),
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    tables = []
    for folder in map(Path, sys.argv[1:]):
        table = summarise(folder).set_index("erased")
        table.loc["mean"] = table.mean()
        tables.append(table.round(1).add_suffix(f" ({folder.name})"))
    joined = pd.concat(tables, axis=1).reset_index()
    print("| " + " | ".join(map(str, joined.columns)) + " |")
    print("|" + "---|" * len(joined.columns))
    for row in joined.itertuples(index=False):
        print("| " + " | ".join(map(str, row)) + " |")


if __name__ == "__main__":
    main()
