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
    lost: bool  # the probe recognised it before and no longer does


def victim_list(title: str, victims: Sequence[Victim], none: str, more: int = 0) -> Markup:
    """A list of pictures; `none` is said where it is empty, and `more` how many are not shown."""
    rows = join(_row(victim) for victim in victims)
    body = Markup('<ol class="victims">{}</ol>').format(rows) if victims else soft(none)
    return Markup("<div>{}{}{}</div>").format(heading(title), body, soft(f"and {more} more") if more else "")


def _row(victim: Victim) -> Markup:
    pictures = join(picture or Markup('<span class="tile none"></span>') for picture in (victim.before, victim.after))
    interval = "" if math.isnan(victim.low) else f"({victim.low:.2f}–{victim.high:.2f})"
    verdict = Markup('<b class="damage">✗ lost</b>') if victim.lost else Markup("✓ recognised")
    return Markup(
        '<li data-concept="{name}"><span class="pair-of-tiles">{pictures}</span><span><b>{name}</b>'
        '<span class="verdict">{verdict}</span><span class="moved">moved {distance:.2f} {interval}</span></span></li>'
    ).format(name=victim.name, pictures=pictures, distance=victim.distance, interval=interval, verdict=verdict)
