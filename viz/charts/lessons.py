"""Six short lessons: a question, a guess, and an answer that is filled in from what was measured.

Each maker takes tables and returns a Lesson, or None where a table lacks what the lesson needs. Where an effect is
absent, the answer says so.
"""

from viz.charts.damage_lessons import erasing, locality, one_way
from viz.charts.lesson import Act, Drawing, Lesson
from viz.charts.target_lessons import synonym_trap, what_can_go_wrong, why_targets_matter

__all__ = [
    "Act",
    "Drawing",
    "Lesson",
    "erasing",
    "locality",
    "one_way",
    "synonym_trap",
    "what_can_go_wrong",
    "why_targets_matter",
]
