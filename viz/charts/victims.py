"""Who was hurt, in pictures: before and after, the number with its interval, the worst first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from viz.components.html_parts import Markup, heading, join, soft


@dataclass(frozen=True)
class Victim:
    """One concept before and after an erasure; a picture that nobody drew is None."""

    name: str
    before: Markup | None
    after: Markup | None
    distance: float
    low: float  # of the 95 % interval; nan where it rests on one picture
    high: float
    lost: bool | None  # the probe recognised it before and no longer does; None where nobody judged


def victim_list(
    title: str, victims: Sequence[Victim], none: str, more: int = 0, itself: Victim | None = None
) -> Markup:
    """A list of pictures; `none` is said where it is empty, and `more` how many are not shown.

    `itself`: the erased concept, whose loss is the aim and no damage.
    """
    first = _row(itself, "itself", *(("damage", "✗ still drawn") if itself.lost is False else AIM)) if itself else ""
    rows = join(_row(victim, "", *(DAMAGE if victim.lost else KEPT)) for victim in victims)
    body = Markup('<ol class="victims">{}{}</ol>').format(first, rows) if victims or itself else ""
    said = soft(f"and {more} more") if more else "" if victims else soft(none)
    return Markup("<div>{}{}{}</div>").format(heading(title), body, said)


AIM, DAMAGE, KEPT = ("gain", "✓ erased"), ("damage", "✗ lost"), ("", "✓ kept")  # a class and a verdict


def _row(victim: Victim, kind: str, colour: str, verdict: str) -> Markup:
    pictures = join(picture or Markup('<span class="tile none"></span>') for picture in (victim.before, victim.after))
    interval = "" if math.isnan(victim.low) else f"({victim.low:.2f}–{victim.high:.2f})"
    return Markup(
        '<li class="{kind}" data-concept="{name}"><span class="pair-of-tiles">{pictures}</span><span><b>{name}</b>'
        '<span class="verdict {colour}">{verdict}</span><span class="moved">moved {distance} {interval}</span></span>'
        "</li>"
    ).format(
        kind=kind,
        name=victim.name,
        pictures=pictures,
        distance="" if math.isnan(victim.distance) else f"{victim.distance:.2f}",
        interval=interval,
        colour=colour,
        verdict=verdict if victim.lost is not None else "",
    )
