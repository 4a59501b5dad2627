"""Side effects of pairs of concepts: the seeds of a pair together, and pairs as a matrix."""

from __future__ import annotations

import numpy as np
import pandas as pd

from age_core.measure.intervals import Z95


def pooled(rows: pd.DataFrame) -> pd.DataFrame:
    """Columns erased, affected, delta, low, high, runs: one row a pair of concepts.

    One seed keeps its own interval. Several: the mean, give or take 1.96 sqrt(w + b/n), with w the mean squared
    standard error of a seed (its pictures are the same in every run, so more runs do not lower it), b the variance
    between the n seeds.
    """
    rows = rows.assign(error=((rows["high"] - rows["low"]) / (2 * Z95)) ** 2)
    pairs = (
        rows.groupby(["erased", "affected"], sort=False)
        .agg(
            delta=("delta", "mean"),
            low=("low", "mean"),
            high=("high", "mean"),
            runs=("delta", "size"),
            error=("error", "mean"),
            between=("delta", "var"),
        )
        .reset_index()
    )
    many = pairs["runs"] > 1
    half = Z95 * np.sqrt(pairs["error"].fillna(0) + pairs["between"].fillna(0) / pairs["runs"])
    pairs.loc[many, "low"], pairs.loc[many, "high"] = pairs["delta"] - half, pairs["delta"] + half
    return pairs.drop(columns=["error", "between"])


def matrix(pairs: pd.DataFrame, column: str) -> pd.DataFrame:
    """One column of `pairs`, a row an erased concept and a column an affected one."""
    return pairs.pivot(index="erased", columns="affected", values=column)
