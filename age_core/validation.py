"""What comes from outside becomes typed, or one sentence: pydantic checks, and this file words what it found."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
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
