"""The duel's board: who is ahead, and what was asked."""

from __future__ import annotations

from collections.abc import Sequence

from viz.charts.panels import Card, compare_grid
from viz.components.html_parts import Markup, heading, region


def board(title: str, erasing: int, asking: int, left: int, cards: Sequence[Card], end: str = "") -> Markup:
    """The points of both, how many questions are left, and each question as a card, the latest first.

    end: what is told after the last question.
    """
    questions = f"{left} questions left" if left > 1 else "One question left" if left else "No question left"
    score = Markup(
        '<p class="duel-score">Erasing <b data-points="erasing">{}</b> : <b data-points="asking">{}</b> asking</p>'
        '<p class="soft">{}</p>'
    ).format(erasing, asking, questions)
    told = Markup('<p class="hint">{}</p>').format(end) if end else Markup()
    asked = compare_grid(list(reversed(cards)), "What was asked") if cards else Markup()
    return region(heading(title), score, told) + asked
