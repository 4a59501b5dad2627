"""The sentence that counts an erasure's side effects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from age_core.study.counting import UNJUDGED, counting_sentence


def table(**rows):
    """By concept: distance, before, recognised."""
    return pd.DataFrame.from_dict(rows, orient="index", columns=["distance", "before", "recognised"])


def world(moved, near, lost=0, total=20):
    """`total` others beside dog, c00 the nearest: `near` of them and some far ones moved, so many in all; who is lost
    moved farthest."""
    names = [f"c{row:02d}" for row in range(total)]
    movers = names[:near] + names[total - (moved - near) :][: moved - near]
    far = {name: 0.9 - row / 100 for row, name in enumerate(movers)}
    rows = {name: (far.get(name, 0.1), True, name not in movers[:lost]) for name in names}
    return table(dog=(2.0, True, False), **rows), names[:10]


@pytest.mark.parametrize(
    ("moved", "near", "counted"),
    [
        (5, 3, "5 of 20 other concepts, 3 of them among its 10 nearest in words."),
        (3, 3, "3 of 20 other concepts, all of them among its 10 nearest in words."),
        (2, 0, "2 of 20 other concepts, none of them among its 10 nearest in words."),
        (1, 1, "1 of 20 other concepts, which is among its 10 nearest in words."),
        (1, 0, "1 of 20 other concepts, which is not among its 10 nearest in words."),
        (0, 0, "none of 20 other concepts."),
    ],
)
def test_what_changed_is_counted_without_the_erased_one(moved, near, counted):
    rows, nearest = world(moved, near)
    said = counting_sentence(rows, ["dog"], "ESD", 0.2, nearest)
    assert said == f"Erasing dog by ESD visibly changed {counted} Every one that was recognised still is."


def test_who_is_lost_is_named_the_farthest_first_and_at_most_a_dozen():
    def ends(lost):
        rows, nearest = world(14, 10, lost)
        return counting_sentence(rows.sample(frac=1, random_state=1), ["dog"], "ESD", 0.2, nearest).split(" words. ")[1]

    assert ends(1) == "1 is no longer recognised: c00."
    assert ends(3) == "3 are no longer recognised: c00, c01, c02."
    twelve = "c00, c01, c02, c03, c04, c05, c06, c07, c08, c09, c16, c17"
    assert ends(12) == f"12 are no longer recognised: {twelve}."
    assert ends(14) == f"14 are no longer recognised: {twelve} and 2 more."


def test_only_what_was_recognised_before_can_be_lost_also_where_its_picture_hardly_moved():
    rows = table(wolf=(0.1, True, False), rat=(0.5, False, False), owl=(0.3, False, True))
    said = counting_sentence(rows, ["dog"], "AGE", 0.2, [])
    assert said == "Erasing dog by AGE visibly changed 2 of 3 other concepts. 1 is no longer recognised: wolf."


def test_several_erased_concepts_and_a_world_of_two():
    rows = table(dog=(1.0, True, False), cat=(1.0, True, False), owl=(1.0, True, False), rat=(0.0, True, True))
    said = counting_sentence(rows, ["dog", "cat", "owl"], "UCE", 0.2, ["rat", "owl"])
    assert said.startswith("Erasing dog, cat and owl by UCE visibly changed none of 1 other concept. Every one")
    rows.loc["rat", "distance"] = 0.5
    said = counting_sentence(rows, ["dog", "cat"], "UCE", 0.2, ["rat", "owl"])
    assert "2 of 2 other concepts, all of them among their 2 nearest in words" in said


def test_without_a_probe_nothing_is_counted():
    nothing = table(dog=(np.nan, None, None), wolf=(np.nan, None, None))
    assert counting_sentence(nothing, ["dog"], "UCE", 0.2, ["wolf"]) == UNJUDGED
    assert counting_sentence(nothing, ["dog", "wolf"], "UCE", 0.2, []) == ""
    unjudged = table(wolf=(0.5, None, None))
    assert counting_sentence(unjudged, ["dog"], "UCE", 0.2, []).endswith("visibly changed 1 of 1 other concept.")
