"""Abnormal concepts: hurt by more erasures than chance allows. One definition, for the map's dots and for reports."""

from __future__ import annotations

import numpy as np
import pandas as pd


def hurt_counts(hurt: pd.DataFrame) -> pd.DataFrame:
    """How many erasures hurt each concept, and how many would by chance; columns concept, hurt_by, expected.

    `hurt` says who is clearly hurt by whose erasure (bool; erased by affected). Chance: every erasure hurts as many
    concepts as it does, but any of them alike.
    """
    values, others = _hurt_and_others(hurt)
    share = values.sum(axis=1) / np.maximum(others.sum(axis=1), 1)
    expected = (others * share[:, None]).sum(axis=0)
    return pd.DataFrame({"concept": hurt.columns, "hurt_by": values.sum(axis=0), "expected": expected})


def abnormal(hurt: pd.DataFrame, rounds: int = 2000, seed: int = 0) -> pd.DataFrame:
    """`hurt_counts` with p, the most hurt first.

    p is the share of `rounds` worlds of chance in which the most hurt concept of all was hurt by at least as many, so
    that it holds for all concepts at once.
    """
    values, others = _hurt_and_others(hurt)
    rng = np.random.default_rng(seed)
    counts = values.sum(axis=1)
    most = np.empty(rounds)
    for turn in range(rounds):
        draws = rng.random(values.shape)
        draws[~others] = np.inf
        order = np.sort(draws, axis=1)
        cut = np.where(counts > 0, order[np.arange(len(order)), np.maximum(counts - 1, 0)], -1.0)
        most[turn] = (draws <= cut[:, None]).sum(axis=0).max()
    table = hurt_counts(hurt)
    table["p"] = [(1 + (most >= count).sum()) / (1 + rounds) for count in table["hurt_by"]]
    return table.sort_values(["hurt_by", "expected"], ascending=[False, True], kind="stable", ignore_index=True)


def _hurt_and_others(hurt: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Both bool, of the shape of `hurt`: who is hurt, and who is another concept than the erased one."""
    others = np.not_equal.outer(hurt.index.to_numpy(), hurt.columns.to_numpy())
    return hurt.to_numpy(bool) & others, others
