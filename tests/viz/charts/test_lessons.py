"""Lessons say what the tables say, whichever way they point."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from viz.charts import lessons


def summary(**damage):
    rows = {
        name: {
            "esr1": 100.0,
            "esr5": 90.0,
            "esr5_low": 80.0,
            "esr5_high": 95.0,
            "distance_near": value,
            "distance_near_low": value - 1,
            "distance_near_high": value + 1,
            "back_completion": 60 - value,
        }
        for name, value in damage.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def test_lessons_are_filled_in_from_the_tables_whichever_way_they_point():
    table = summary(age=20.0, random=30.0, empty=40.0, synonym=5.0, unrelated=50.0, **{"in-class": 25.0})
    assert lessons.why_targets_matter(table).right == ("adaptive (AGE)",)
    table.loc["age", "distance_near"] = 45.0
    assert lessons.why_targets_matter(table).right == ("one of its kind",)
    assert lessons.synonym_trap(table).right[0].startswith("yes")
    table.loc["synonym", "esr1"] = 30.0
    assert lessons.synonym_trap(table).right[0].startswith("no: it hardly")
    assert "30 %" in lessons.synonym_trap(table).answer
    assert lessons.synonym_trap(summary(age=1.0)) is None and lessons.why_targets_matter(summary(age=1.0)) is None
    wrong = lessons.what_can_go_wrong(table)
    assert wrong.right == ("a picture begun by the original",) and "40 %" in wrong.answer

    both = pd.DataFrame(
        {"a": ["x", "y"], "b": ["y", "z"], "there": [0.1, 0.2], "back": [0.4, 0.2], "one_way": [True, False]}
    )
    lesson = lessons.one_way(both, 0.3)
    assert "Erasing “y” moves “x” by 0.400" in lesson.question and lesson.answer.startswith("0.100")
    assert "1 differ" in lesson.answer and lessons.one_way(both.head(0), 0.3) is None

    ranked = [f"c{row}" for row in range(60)]
    damage = pd.Series([1.0 / (1 + row) for row in range(60)], ranked)
    damage["c50"] = 2.0
    local = lessons.locality("dog", damage, ranked, go.Figure)
    assert len(local.choices) == 12 and set(local.right) <= set(local.choices) and "c50" in local.answer


def test_each_act_shows_what_it_says():
    table = summary(age=20.0, random=30.0, empty=40.0, synonym=5.0, unrelated=50.0, **{"in-class": 25.0})
    slide = lessons.synonym_trap(table)
    assert slide.ordered and [act.title for act in slide.acts] == [
        "a synonym",
        "one of its kind",
        "a random neighbour",
        "an unrelated word",
        "the empty prompt",
    ]
    for act, (name, value) in zip(slide.acts, (("synonym", 5), ("in-class", 25)), strict=False):
        shown = [trace for trace in act.draw().data if trace.opacity == 1.0]
        assert [trace.y for trace in shown] == [(value,)] and f"moved by {value}" in act.said, name
    ranks = {act.title: act for act in lessons.why_targets_matter(table).acts}
    damage, back = (
        ranks["Damage: distance of near concepts, × 1000"],
        ranks["Comes back when a picture is completed, %"],
    )
    assert list(damage.draw().data[0].x) == [20.0, 25.0, 30.0, 40.0] and "adaptive (AGE) (20.0)" in damage.said
    assert "the empty prompt (20.0)" in back.said and back.draw().data[0].error_x.array is None
    both = pd.DataFrame({"a": ["<x>"], "b": ["y"], "there": [0.1], "back": [0.4], "one_way": [True]})
    (flip,) = lessons.one_way(both, 0.3).acts
    assert list(flip.draw().data[0].x) == [0.1, 0.4] and "4.0 times" in flip.said and "<x>" not in flip.draw().to_json()
