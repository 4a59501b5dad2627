"""What a method is called in a table, where labels may be reworded and keys stay, and what people read.

A table's `method` holds the key ("age") and its `target` the word. Where somebody named the word, the two together are
a method of its own, written "naive to wolf".
"""

from __future__ import annotations

import pandas as pd

from age_core.erasure.methods import METHODS, method_label

LABELS = {method.label: key for key, method in METHODS.items()}
FIXED = "fixed target: "  # how the labels of all fixed targets begin
TO = " to "


def key_of_row(method: str, target: str | None) -> str:
    """The key to write beside a target. With a word that the caller named all fixed targets are one method."""
    return "empty" if target is not None and METHODS[method].label.startswith(FIXED) else method


def method_of(text: str) -> str:
    """The method that a key, a label, or either with " to word" names; a text of its own where it is none of ours."""
    key, word = _key_and_word(text)
    return f"{key}{TO}{word}" if word else key


def label_of(method: str) -> str:
    """What people call a method."""
    key, word = _key_and_word(method)
    return method_label(key, word or None) if key in METHODS else method


def with_keys(table: pd.DataFrame) -> pd.DataFrame:
    """The table with keys where tables of earlier versions hold labels. (Their `target` holds the word already.)"""
    keys = {text: _key_and_word(text)[0] for text in table["method"].unique()}
    return table.assign(method=table["method"].map(keys).astype("str"))  # also of an empty table


def methods_of(table: pd.DataFrame) -> pd.Series:
    """Each row's method, its word included where somebody named it.

    Only of methods whose own word is the empty prompt can a table tell; other words differ from concept to concept.
    """
    empty = {key for key, method in METHODS.items() if method.word == "empty"}
    target = table["target"].fillna("")
    return table["method"].where(~table["method"].isin(empty) | (target == ""), table["method"] + TO + target)


def _key_and_word(text: str) -> tuple[str, str]:
    for name, key in [*LABELS.items(), *zip(METHODS, METHODS, strict=True)]:
        if text == name:
            return key, ""
        if text.startswith(f"{name}{TO}"):
            word = text.removeprefix(f"{name}{TO}")
            return key, "" if word == "empty" else word
    if text.startswith(FIXED):
        return "empty", text.removeprefix(FIXED)
    return text, ""
