"""Concept files: the CSV that anyone may write with any program, checked row by row before it is believed."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from age_core.errors import AgeError
from age_core.validation import as_word, control_character, word_key

NEEDED = ("name", "group", "general")  # in every row
REQUIRED = (*NEEDED, "synonyms")
MOST_ROWS, MOST_CHARACTERS, MOST_BYTES = 10_000, 100, 10_000_000
SHOWN = 5  # bad rows that are named; the rest are counted
SEPARATORS = (",", ";", "\t")
ESCAPED = re.compile("_x000([9ad])_", re.IGNORECASE)  # how Excel spells a tab or a line end in a cell


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a concept file, stripped. Raises AgeError naming each bad row by its line in the file.

    What spreadsheets and editors leave is read as it is meant: semicolons or tabs, a first line that names the
    separator, UTF-16, a header with capitals or spaces, and columns and rows with nothing in them.
    """
    what = f"The concept file {path.name!r}"
    try:
        (_, header), *numbered = list(_rows(_text(path))) or [(1, [])]
    except AgeError:
        raise
    except csv.Error as error:
        raise AgeError(f"{what} cannot be read, {error}: look at its quotation marks.") from error
    except ValueError as error:
        raise AgeError(f"{what} is no CSV file in UTF-8: {error}; save it as 'CSV UTF-8'.") from error
    columns = [_column(text) for text in header]
    missing = [word for word in REQUIRED if word not in columns]
    if missing:
        raise AgeError(f"{what} lacks the columns {', '.join(missing)}: it begins with {', '.join(header)[:100]!r}.")
    twice = [word for place, word in enumerate(columns) if word and word in columns[:place]]
    if twice:
        raise AgeError(f"{what} has the column {twice[0]!r} twice.")
    if not 0 < len(numbered) <= MOST_ROWS:
        raise AgeError(f"{what} has {len(numbered) or 'no'} rows; {MOST_ROWS} are allowed.")
    rows, faults, taken = list[dict[str, str]](), list[str](), dict[str, int]()
    for line, fields in numbered:
        fault = _fault(columns, fields)
        if not fault:
            row = _row(columns, fields)
            words = {word_key(word): word for word in (row["name"], *split(row["synonyms"]))}
            again = [f"{word.lower()!r} is in line {taken[key]} already" for key, word in words.items() if key in taken]
            fault = again[0] if again else ""
            taken = dict.fromkeys(words, line) | taken
            rows.append(row)
        if fault:
            faults.append(f"line {line}: {fault}")
    if faults:
        more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise AgeError(f"{what} cannot be used: {'; '.join(faults[:SHOWN])}{more}.")
    return rows


def split(text: str | None) -> tuple[str, ...]:
    """The words of a field, "|" between them."""
    return tuple(word.strip() for word in (text or "").split("|") if word.strip())


def _text(path: Path) -> str:
    """The file's text. Raises AgeError where it cannot be read, ValueError where it is none in UTF-8 or UTF-16."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise AgeError(f"The concept file {path.name!r} is larger than {MOST_BYTES // 1_000_000} MB.")
        data = path.read_bytes()
    except OSError as error:
        why = "" if isinstance(error, FileNotFoundError) else f" that can be read: {error.strerror}"
        raise AgeError(f"There is no concept file {path.name!r}{why}.") from error
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + len(re.findall(rb"\r\n|\r|\n", data[: error.start]))
        raise ValueError(f"line {line} holds letters in another encoding, such as Windows-1252") from error
    if "\0" in text:
        raise ValueError("it holds bytes that are no text, as spreadsheets and pictures do")
    return text


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Every row that holds anything, the header first, each with the line in which it begins."""
    sep_line = re.match(r'"?sep=(.)"?[ ,;\t]*(\r\n|\r|\n)', text, re.IGNORECASE)
    text, line = (text[sep_line.end() :], 2) if sep_line else (text, 1)
    header = next((part for part in text.splitlines() if part.strip()), "")
    separator = sep_line.group(1) if sep_line else max(SEPARATORS, key=lambda mark: _known_columns(header, mark))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        begins = line + reader.line_num
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise csv.Error(f"line {begins}: {error}") from error
        if fields is None:
            break
        if any(as_word(field) for field in fields):
            yield begins, fields


def _known_columns(header: str, separator: str) -> int:
    """How many of the columns that are needed a separator finds in the header."""
    return sum(_column(text) in REQUIRED for text in next(csv.reader([header], delimiter=separator), []))


def _column(text: str) -> str:
    """A column's name, however it is written: "Target in class" is target_in_class."""
    return re.sub(r"[\s_-]+", "_", as_word(text).lower())


def _row(columns: list[str], fields: list[str]) -> dict[str, str]:
    """Fields by their columns; those at the end that a program left out are empty."""
    filled = [*fields, *[""] * (len(columns) - len(fields))]
    return {column: as_word(_unescaped(field)) for column, field in zip(columns, filled, strict=False) if column}


def _unescaped(field: str) -> str:
    return ESCAPED.sub(lambda found: chr(int(found.group(1), 16)), field).strip()


def _fault(columns: list[str], fields: list[str]) -> str:
    """What is wrong with a row, or ""."""
    if len(fields) <= max(columns.index(word) for word in NEEDED):
        return "there are fewer fields than columns"
    if any(as_word(field) for place, field in enumerate(fields) if place >= len(columns) or not columns[place]):
        return "there are more fields than columns that have a name"
    bad = "".join(control_character(_unescaped(field)) for field in fields)
    if bad:
        return "a field holds " + ("a line break" if bad[0] in "\r\n" else "characters that cannot be printed")
    row = _row(columns, fields)
    empty = [word for word in NEEDED if not row[word]]
    if empty:
        return f"the field {empty[0]!r} is empty"
    long = [word for value in row.values() for word in split(value) if len(word) > MOST_CHARACTERS]
    return f"{long[0][:20]!r}... is longer than {MOST_CHARACTERS} characters" if long else ""
