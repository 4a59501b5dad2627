"""The least strength that erases enough: the search, on stand-ins for the judge and on the bundled model."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from age_core import AgeError, ConceptSet, Eraser, erase_by, scaled_until
from age_core.measure.strength import (
    MOST_TRIES,
    PARTS,
    STRONGEST_TRIED,
    AtStrength,
    Scaling,
    least_strength,
)
from age_core.measure.verdicts import hits

MOST = round(STRONGEST_TRIED * PARTS)


def erases_from(least: float):
    """A judge whose pictures show the concept below a strength, and never from it on."""
    return lambda strength: AtStrength(strength, 100.0 if strength >= least else 0.0, 0.0, 100.0)


@pytest.mark.parametrize("part", range(1, MOST + 1))
def test_the_least_strength_is_found_in_a_few_tries(part):
    scaling = least_strength(erases_from(part / PARTS), 95)
    assert scaling.reached and scaling.chosen.strength == part / PARTS
    assert len(scaling.tries) <= MOST_TRIES and scaling.tries[0].strength == 1
    assert len({one.strength for one in scaling.tries}) == len(scaling.tries)
    assert str(scaling) == f"scaled for ESR-1 95: ESR-1 100.0 (0.0 to 100.0) at strength {part / PARTS:g}"


def test_between_two_strengths_that_are_tried_the_stronger_is_taken():
    assert least_strength(erases_from(0.42), 95).chosen.strength == 0.45
    assert least_strength(erases_from(1.01), 95).chosen.strength == 1.05


def test_the_goal_may_lie_anywhere_on_the_way():
    def gradual(strength):
        return AtStrength(strength, min(100.0, 80 * strength), 0.0, 100.0)

    assert {goal: least_strength(gradual, goal).chosen.strength for goal in (4, 50, 80, 96, 100)} == {
        4: 0.05,
        50: 0.65,
        80: 1.0,
        96: 1.2,
        100: 1.25,
    }


def test_what_is_out_of_reach_stays_as_it_was_made_and_is_said():
    scaling = least_strength(lambda strength: AtStrength(strength, 40 * strength, 0.0, 100.0), 95)
    assert not scaling.reached and scaling.chosen.strength == 1 and len(scaling.tries) == 2
    assert str(scaling) == (
        "left as it was made, since ESR-1 95 is not reached: ESR-1 60.0 (0.0 to 100.0) at strength 1.5, the largest "
        "that is tried"
    )


def test_what_the_original_model_never_drew_needs_no_eraser():
    scaling = least_strength(erases_from(0), 95)
    assert scaling.reached and scaling.chosen.strength == 1
    assert "takes no eraser: ESR-1 100.0 (0.0 to 100.0) at strength 0, the original model" in str(scaling)


def test_where_more_is_not_always_more_the_strength_that_is_taken_reaches_it_all_the_same():
    def wavy(strength):
        return AtStrength(strength, 100.0 if 0.2 <= strength <= 0.3 or strength >= 0.8 else 0.0, 0.0, 100.0)

    scaling = least_strength(wavy, 95)
    assert scaling.reached and wavy(scaling.chosen.strength).esr1 == 100


@pytest.mark.parametrize("goal", [0, -5, 0.95, 100.5, math.nan, math.inf, "all", None])
def test_what_is_no_goal_is_one_sentence_before_anything_is_judged(goal):
    with pytest.raises(AgeError, match=r"^The ESR to reach must be a number from 1 to 100, not '.*'\.$"):
        least_strength(pytest.fail, goal)


def test_what_cannot_be_judged_is_refused(emoji_pipe, emoji_probe):
    concepts = ConceptSet.load("emoji")
    for eraser, images in ((Eraser({}), 1), (Eraser({}, {"concept": "dog"}), 0)):
        with pytest.raises(AgeError, match="name the erased concept and draw at least one picture"):
            scaled_until(emoji_pipe, emoji_probe, concepts, eraser, images=images)
    with pytest.raises(AgeError, match="no concept 'grue'"):
        scaled_until(emoji_pipe, emoji_probe, concepts, Eraser({}, {"concept": "grue"}))


def test_uce_is_scaled_to_the_least_strength_that_erases_a_car(emoji_pipe, emoji_probe):
    everyone = ConceptSet.load("emoji")
    concepts = replace(everyone, concepts=(everyone["car"], *everyone.concepts[::20]))
    *_, last = erase_by(emoji_pipe, "uce", "car", concepts)
    eraser, scaling = scaled_until(emoji_pipe, emoji_probe, concepts, last.eraser, 100, images=1)
    assert isinstance(scaling, Scaling) and scaling.reached and 0 < scaling.chosen.strength < 1
    below = {one.strength: one.esr1 for one in scaling.tries}[(round(PARTS * scaling.chosen.strength) - 1) / PARTS]
    assert below < 100 == scaling.chosen.esr1 and scaling.chosen.esr1_low < 100 == scaling.chosen.esr1_high
    assert eraser.info["strength"] == scaling.chosen.strength and eraser.concepts == ("car",)
    name, change = next(iter(last.eraser.delta.items()))
    assert torch.equal(eraser.delta[name], scaling.chosen.strength * change)
    assert not hits(emoji_pipe, emoji_probe, concepts, ["car"], 1, eraser)["top1"].any()
