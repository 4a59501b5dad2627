"""What comes from outside becomes typed, or one sentence: pydantic checks, and this file words what it found."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field, ValidationError

from age_core.errors import AgeError

T = TypeVar("T")
Texts = Annotated[tuple[str, ...], Field(strict=False)]  # a list will do: JSON has no tuples
NO_WORDS: Mapping[str, str] = MappingProxyType({})


def strict(what: str, *, finite: bool = True) -> ConfigDict:
    """The settings of a pydantic dataclass: no other types, no other fields. `what`: what people call a field of it."""
    return ConfigDict(strict=True, extra="forbid", title=what, allow_inf_nan=not finite)


def in_one_sentence(words: Mapping[str, str] = NO_WORDS) -> Callable[[type[T]], type[T]]:
    """Let a pydantic dataclass raise AgeError on bad values; `words`: what to say of some fields, whatever is wrong."""

    def decorate(kind: type[T]) -> type[T]:
        checked_init: Callable[..., None] = kind.__init__

        @functools.wraps(checked_init)
        def init(*args: Any, **values: Any) -> None:
            try:
                checked_init(*args, **values)
            except ValidationError as error:
                raise AgeError(one_sentence(error, words)) from error

        setattr(kind, "__init__", init)  # noqa: B010 - mypy forbids the plain assignment
        return kind

    return decorate


def one_sentence(error: ValidationError, words: Mapping[str, str] = NO_WORDS) -> str:
    """The first thing that pydantic found, for a person."""
    fault = error.errors(include_url=False)[0]
    where, value, limits = fault["loc"], fault["input"], fault.get("ctx", {})
    name, option = str(where[0]) if where else "", f"The {error.title} {str(where[0])!r}" if where else ""
    if name in words:
        return words[name]
    if fault["type"] == "value_error":  # a check of our own
        return str(limits["error"])
    if fault["type"] == "missing":
        return f"{option} is missing."
    if fault["type"] == "unexpected_keyword_argument":
        return f"There is no {error.title} {name[:40]!r}."
    if fault["type"] == "unexpected_positional_argument":
        return f"Each {error.title} is given by its name."
    if fault["type"] == "literal_error":
        allowed = ", ".join(re.findall("'([^']*)'", limits["expected"]))
        return f"Unknown {name.replace('_', ' ')} {_short(value)}; choose one of {allowed}."
    if fault["type"] == "greater_than_equal":
        least = f"at least {limits['ge']}" if limits["ge"] else "0 or more"
        return f"{option} must be {least}, not {value}."
    if fault["type"] == "greater_than":
        return f"{option} must be above {limits['gt']:g}, not {value}."
    if fault["type"] == "less_than":
        return f"{option} must be below {limits['lt']}, not {value}."
    if fault["type"] == "finite_number":
        return f"{option} must be finite, not {value}."
    return f"{option or 'It'} cannot be {_short(value)}."


def fault_of(error: AgeError) -> str:
    """What pydantic calls the fault that an AgeError words, such as "missing"; "" where it found none."""
    return error.__cause__.errors()[0]["type"] if isinstance(error.__cause__, ValidationError) else ""


def _short(value: object) -> str:
    return repr(str(value)[:40])


# --- numbers and names that people type -----------------------------------------------------------------------------

EXACT = 2**53  # up to which a browser's numbers, which are floats, are whole
DIGITS = 30  # of a number: enough for what anything here takes, and no time is lost on 1e999999999
HUB_PAGE = re.compile(
    r"(https?://)?(www\.)?(huggingface\.co|hf\.co)/(?!datasets/|spaces/|docs/)([\w.-]+/[\w.-]+?)(\.git)?(/.*|\?.*|#.*)?"
)
QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019", "\u00ab": "\u00bb"}


def whole_number(value: object, what: str = "number") -> int:
    """A whole number as people write it: "7", " 7 ", "1e3" or 7.0. Raises AgeError on anything else."""
    try:
        number = Decimal(str(value).strip())
        if number.is_finite() and number == number.to_integral_value() and number.adjusted() < DIGITS:
            return int(number)
    except InvalidOperation:
        pass
    raise AgeError(f"The {what} must be a whole number, not {_short(value)}.")


def number_between(value: object, least: float, most: float, what: str = "number") -> float:
    """A number as people write it: "0.5", " .5 ", "5e-1" or 0.5. Raises AgeError unless it lies in the range."""
    try:
        number = Decimal(str(value).strip())
        if number.is_finite() and least <= number <= most:
            return float(number) + 0.0  # "-0" is 0
    except InvalidOperation:
        pass
    raise AgeError(f"The {what} must be a number from {least:g} to {most:g}, not {_short(value)}.")


def field_seed(value: float | None) -> int:
    """The seed in a number field of the page; 0 where that is blank. Raises AgeError on what a field cannot hold."""
    seed = whole_number(0 if value is None else value, "seed")
    if not 0 <= seed <= EXACT:
        raise AgeError(f"A seed on this page is a whole number from 0 to {EXACT}, not {seed}.")
    return seed


def as_source(text: str) -> str:
    """The name of a model, probe or file of concepts as it is meant.

    Quotation marks around it are taken away, "~" is the home folder, and a page of the Hugging Face Hub its id.
    """
    text = text.strip()
    if len(text) > 1 and QUOTES.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    page = HUB_PAGE.fullmatch(text)
    if page:
        return page.group(4)
    if text.startswith("~"):
        with suppress(RuntimeError):  # a user without a home
            text = str(Path(text).expanduser())
    return re.sub(r"(?<=[^:/\\])[/\\]+$", "", text)


# --- words ------------------------------------------------------------------------------------------------------------

CONTROLS = ("Cc", "Cf", "Cs", "Zl", "Zp")  # categories of characters that are none
JOINERS = "\u200c\u200d"  # which emoji and some scripts need
INVISIBLE = "\u00ad\u200b\u200e\u200f\u2060\u061c\ufeff"  # soft hyphens and marks: they neither show nor mean anything


def control_character(text: str) -> str:
    """The first character of a text that breaks lines, turns the letters around it or has no place in one; or ""."""
    return next((c for c in text if unicodedata.category(c) in CONTROLS and c not in JOINERS + INVISIBLE), "")


def as_word(text: str) -> str:
    """A word as it is meant: plain spaces, none at its ends, its letters composed, without what does not show."""
    visible_text = "".join(c for c in text if c not in INVISIBLE)
    return unicodedata.normalize("NFC", " ".join(visible_text.split()))


def word_key(text: str) -> str:
    """The same for words that differ by case, width or the form of their letters alone."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", as_word(text)).casefold())
