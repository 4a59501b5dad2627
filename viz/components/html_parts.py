"""Pieces of HTML in which every text is escaped, since `Markup.format` and `Markup.join` escape all that is no Markup.

So HTML is written as `Markup("<p>{}</p>").format(text)`, never as an f-string: a text can be put in without escaping it
only by calling it Markup.
"""

from collections.abc import Iterable

from markupsafe import Markup

__all__ = ["Markup", "heading", "join", "region", "soft"]


def join(parts: Iterable[str]) -> Markup:
    return Markup("").join(parts)


def region(*parts: str, kind: str = "") -> Markup:
    """A block in the style of the page; `kind` names further classes of the style sheet."""
    return Markup('<div class="{}">{}</div>').format(f"age {kind}".rstrip(), join(parts))


def heading(text: str) -> Markup:
    return Markup("<h3>{}</h3>").format(text)


def soft(text: str) -> Markup:
    """A paragraph that explains, in a quieter colour."""
    return Markup('<p class="soft">{}</p>').format(text)
