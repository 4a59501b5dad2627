"""How much a measure grows with time, read from the rows of `soak`; without a browser or a model."""

from __future__ import annotations

import pandas as pd
from scipy import stats

WARM_MIN = 2  # minutes that are left out: caches fill, and the model's first pictures are drawn
MEASURED = ("server_mb", "heap_mb", "elements", "listeners")


def slopes(rows: pd.DataFrame) -> pd.DataFrame:
    """By how much each measure grows in an hour after the first minutes, with a 95 % interval of the straight line."""
    late = rows[rows["minute"] >= WARM_MIN]
    table = []
    for name in MEASURED:
        line = stats.linregress(late["minute"] / 60, late[name])
        reach = stats.t.ppf(0.975, len(late) - 2) * line.stderr if len(late) > 2 else float("nan")
        bounds = {"an_hour_low": line.slope - reach, "an_hour_high": line.slope + reach}
        table.append(
            {"measure": name, "first": late[name].iloc[0], "last": late[name].iloc[-1], "an_hour": line.slope} | bounds
        )
    return pd.DataFrame(table)
