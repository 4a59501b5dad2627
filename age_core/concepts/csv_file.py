"""Concept files: the CSV that anyone may write, checked row by row before it is believed."""

from __future__ import annotations

import csv
from pathlib import Path

from age_core.errors import AgeError

REQUIRED = ("name", "group", "general", "synonyms")
MOST_ROWS, MOST_CHARACTERS, MOST_BYTES = 10_000, 100, 10_000_000
SHOWN = 5  # bad rows that are named; the rest are counted


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a concept file, stripped. Raises AgeError naming each bad row by its line in the file."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise AgeError(f"The concept file {path.name!r} is larger than {MOST_BYTES // 1_000_000} MB.")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="")
            columns = reader.fieldnames or ()
            numbered = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise AgeError(f"There is no concept file {path.name!r}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise AgeError(f"The concept file {path.name!r} is no CSV file in UTF-8: {error}.") from error
    missing = [word for word in REQUIRED if word not in columns]
    if missing or not numbered:
        raise AgeError(f"The concept file {path.name!r} lacks the columns {', '.join(missing)}, or has no rows.")
    if len(numbered) > MOST_ROWS:
        raise AgeError(f"The concept file {path.name!r} has {len(numbered)} rows; {MOST_ROWS} are allowed.")
    faults, taken = [], dict[str, int]()
    for line, row in numbered:
        fault = _fault(row)
        words = [] if fault else [word.lower() for word in (row["name"].strip(), *split(row["synonyms"]))]
        for word in dict.fromkeys(words):
            if word in taken:
                fault = f"{word!r} is in line {taken[word]} already"
            taken.setdefault(word, line)
        if fault:
            faults.append(f"line {line}: {fault}")
    if faults:
        more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise AgeError(f"The concept file {path.name!r} cannot be used: {'; '.join(faults[:SHOWN])}{more}.")
    return [{key: (value or "").strip() for key, value in row.items()} for _, row in numbered]


def split(text: str | None) -> tuple[str, ...]:
    """The words of a field, "|" between them."""
    return tuple(word.strip() for word in (text or "").split("|") if word.strip())


def _fault(row: dict[str, str]) -> str:
    if "" in row:
        return "there are more fields than columns"
    if any(value is None for value in row.values()):
        return "there are fewer fields than columns"
    empty = [key for key in ("name", "group", "general") if not row[key].strip()]
    if empty:
        return f"the field {empty[0]!r} is empty"
    long = [value for value in row.values() if any(len(word) > MOST_CHARACTERS for word in split(value))]
    if long:
        return f"{long[0][:20]!r}... is longer than {MOST_CHARACTERS} characters"
    if any(not value.isprintable() for value in row.values()):
        return "a field holds characters that cannot be printed"
    return ""
