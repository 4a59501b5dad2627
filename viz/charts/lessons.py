"""Seven short lessons: a question, a guess, and an answer that is filled in from what was measured.

Each maker takes tables and pictures and returns a Lesson, or None where what it needs was not measured. Where an effect
is absent, the answer says so.
"""

from viz.charts.attack_lesson import what_can_go_wrong
from viz.charts.damage_lessons import erasing, locality, one_way
from viz.charts.gold_lesson import gold
from viz.charts.lesson import Act, Drawing, Lesson, Option, Scene
from viz.charts.target_lessons import esd_or_age, synonym_trap, why_targets_matter

__all__ = [
    "Act",
    "Drawing",
    "Lesson",
    "Option",
    "Scene",
    "erasing",
    "esd_or_age",
    "gold",
    "locality",
    "one_way",
    "synonym_trap",
    "what_can_go_wrong",
    "why_targets_matter",
]
