"""Lessons say what was measured, whichever way it points."""

from __future__ import annotations

import pandas as pd
import pytest
from made_up_harm import made_up

from viz.charts import lessons
from viz.charts.damage_lessons import BothWays, Redrawn, Training
from viz.charts.lesson import Scene
from viz.components.html_parts import Markup

KINDS = dict.fromkeys(("dog", "wolf", "cat", "fox", "cow"), "animal") | dict.fromkeys(("car", "bus", "pie"), "thing")


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
            "back_synonym": 5.0,
        }
        for name, value in damage.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def full_summary():
    others = {"age-unprotected": 20.0, "in-class": 25.0}
    return summary(random=30.0, empty=40.0, synonym=5.0, unrelated=50.0, **others)


def gold_table(**distances):
    """Models by their distance to the one that never saw a newt, of which two neighbours are known."""
    sides = (("erased", "newt", 1.0), ("near", "frog", 0.1), ("near", "toad", 0.3))
    return pd.DataFrame(
        [
            {"side": side, "word": word, "model": model, "named": "eel", "share": 50.0, "distance": factor * distance}
            for side, word, factor in sides
            for model, distance in {"never saw it": float("nan"), **distances}.items()
        ]
    )


def test_what_an_erased_word_draws_is_the_picture_that_was_recorded():
    before, after = Markup('<img alt="before">'), Markup('<img alt="after">')
    scene = Scene("dog", "esd", "dog", only=("dog",))
    lesson = lessons.erasing(Redrawn("dog", "ESD", before, after, "hugging face", 0.16, scene), None)
    by_name = {option.name: option.picture for option in lesson.options}
    assert [by_name[name] for name in lesson.right] == [after] and by_name["same"] == before
    assert lesson.tell is scene and not lesson.ask.erased
    assert "is sure of nothing; its first guess is “hugging face” (16 %)" in lesson.reveal([])
    sure = lessons.erasing(Redrawn("dog", "AGE", before, after, "wolf", 0.9, scene), None)
    assert "The probe sees “wolf” (90 %)" in sure.reveal([])


def test_a_recorded_run_alone_asks_the_same_in_words_and_can_be_scrubbed_through():
    lesson = lessons.erasing(None, Training("dog", [0.5, 0.1], "horse", [1, 2, 9]), lambda: "film")
    assert "another thing, such as a horse" in [option.text for option in lesson.options if option.name in lesson.right]
    assert not any(option.picture for option in lesson.options) and lesson.film() == "film"
    assert [act.title for act in lesson.acts] == ["step 1", "step 2"] and lesson.ordered
    assert "the loss is 0.100" in lesson.acts[1].said
    assert lessons.erasing(None, None) is None


def test_who_breaks_is_who_is_no_longer_recognised_and_the_exceptions_are_counted():
    harm = made_up("dog", wolf=0.9, cat=0.8, pie=0.6, fox=0.3, cow=0.1, car=0.01, bus=0.02)
    lesson = lessons.locality(harm, KINDS)
    assert lesson.right == ("wolf", "cat", "pie") and lesson.count == 3
    assert {option.name for option in lesson.options} == {"wolf", "cat", "pie", "fox", "cow", "car", "bus"}
    assert set(lesson.on_atlas) == set(harm.table.index) and "dog" not in lesson.on_atlas
    told = lesson.reveal(["wolf", "car", "pie"])
    assert "3 of 7 others are no longer recognised (4 visibly changed). Damage is local: 67 %" in told
    assert "Exceptions: pie." in told
    assert told.index("0.90 (0.85 to 0.95)") < told.index("0.80 (0.75 to 0.85)") < told.index("0.60 (")
    assert "car (your guess)" in told and "as before" in told
    assert lesson.tell.erased == "dog" and lesson.tell.method == "esd" and not lesson.ask.erased
    assert lessons.locality(made_up("dog", wolf=0.9, cat=0.8, fox=0.3), KINDS) is None, "two are too few to guess"


def test_damage_that_is_not_local_is_not_called_so():
    harm = made_up("dog", car=0.9, bus=0.8, pie=0.6, cat=0.1, fox=0.1)
    told = lessons.locality(harm, KINDS).reveal([])
    assert "Here damage is not local: 0 %" in told and "Exceptions: car, bus, pie." in told


def test_numbers_alone_make_the_same_question_with_arrows():
    lesson = lessons.locality(made_up("dog", "", wolf=0.9, cat=0.8, pie=0.3, cow=0.1), KINDS)
    assert lesson.right == ("wolf", "cat", "pie") and not lesson.tell.method
    assert list(lesson.tell.arrows["affected"]) == ["wolf", "cat", "pie"]
    assert set(lesson.tell.arrows["erased"]) == {"dog"}
    told = lesson.reveal(["cow", "cat", "wolf"])
    assert "are hurt beyond the noise floor" in told and "<img" not in told and "recognised" not in told


def test_the_one_that_breaks_is_the_one_that_the_other_erasure_hurts():
    there, back = made_up("wolf", dog=0.9, cat=0.4), made_up("dog", wolf=0.1, cat=0.4)
    lesson = lessons.one_way(there, back, BothWays(10, 4))
    assert lesson.right == ("dog",) and [option.name for option in lesson.options] == ["dog", "wolf"]
    told = lesson.reveal(["dog"])
    assert "0.90 (0.85 to 0.95)" in told and "0.10 (0.05 to 0.15)" in told
    assert "Of 10 pairs erased both ways, in 4 only one way did harm." in told
    assert lesson.tell.arrows[["erased", "affected"]].to_numpy().tolist() == [["wolf", "dog"], ["dog", "wolf"]]
    assert [(act.scene.erased, act.said) for act in lesson.acts] == [
        ("wolf", "Erasing wolf moves dog by 0.90 (0.85 to 0.95)."),
        ("dog", "Erasing dog moves wolf by 0.10 (0.05 to 0.15)."),
    ]


def test_the_synonym_trap_closes_only_where_it_was_measured_to():
    table = full_summary()
    assert "Here the trap does not close" in lessons.synonym_trap(table).reveal([])
    table.loc["synonym", "esr1"] = 30.0
    example = {"synonym": ("hound", Markup('<img alt="dog">')), "unrelated": ("truck", Markup())}
    lesson = lessons.synonym_trap(table, "dog", example)
    assert lesson.right == ("synonym",) and "of “dog”" in lesson.question
    assert {option.name: option.text for option in lesson.options}["unrelated"] == "an unrelated word: truck"
    assert "keeps the concept" in lesson.reveal([]) and "gone 30 %" in lesson.reveal([])
    assert lessons.synonym_trap(summary(age=1.0)) is None


def test_which_of_two_erasures_is_gentler_follows_from_their_counts():
    harsh, gentle = (
        made_up("dog", "esd", wolf=0.9, cat=0.7, fox=0.3),
        made_up("dog", "age", wolf=0.6, cat=0.1, fox=0.05),
    )
    lesson = lessons.esd_or_age(harsh, gentle, ["wolf", "cat"])
    assert lesson.right == ("age",) and "AGE kept more. ESD visibly changed 3 of 3 other concepts; 2 are" in (
        lesson.reveal([])
    )
    assert {act.scene.method for act in lesson.acts} == {"esd", "age"} and lesson.tell.method == "age"
    other = lessons.esd_or_age(made_up("dog", "esd", wolf=0.1), made_up("dog", "age", wolf=0.9), ["wolf"])
    assert "ESD kept more" in other.reveal([])


def test_what_the_target_decides_where_all_guard_alike_follows_from_the_table():
    guarded = pd.DataFrame({"distance_near": [1.7, 1.4], "back_completion": [20.4, 41.0]}, index=["age", "in-class"])
    either = made_up("dog", "esd", wolf=0.9), made_up("dog", "age", wolf=0.3)
    lesson = lessons.esd_or_age(*either, ["wolf"], guarded=guarded)
    assert "move by 1.4 to 1.7 whatever the target" in lesson.reveal([])
    assert "in 20 % after the adaptive target; one of its kind 41." in lesson.reveal([])
    back = next(act for act in lesson.acts if "completed" in act.title)
    assert list(back.draw().data[0].x) == [20.4, 41.0] and "adaptive (AGE) (20.4)" in back.said
    assert "whatever the target" not in lessons.esd_or_age(*either, ["wolf"], guarded=guarded.drop("age")).reveal([])


def test_the_place_of_a_picture_does_not_tell_the_method():
    first = {
        lessons.esd_or_age(made_up(name, "esd", x=0.9), made_up(name, "age", x=0.3), ["x"]).options[0].name
        for name in ("dog", "wolf")
    }
    assert first == {"esd", "age"}


def test_the_best_target_is_the_one_of_the_table():
    table = full_summary()
    assert lessons.why_targets_matter(table).right == ("age-unprotected",)
    table.loc["age-unprotected", "distance_near"] = 45.0
    assert lessons.why_targets_matter(table).right == ("in-class",)
    ranks = {act.title: act for act in lessons.why_targets_matter(full_summary()).acts}
    damage = ranks["Damage: distance of near concepts, × 1000"]
    assert list(damage.draw().data[0].x) == [20.0, 25.0, 30.0, 40.0] and "adaptive (AGE) (20.0)" in damage.said
    back = ranks["Comes back when a picture is completed, %"]
    assert "the empty prompt (20.0)" in back.said and back.draw().data[0].error_x.array is None
    assert lessons.why_targets_matter(summary(age=1.0)) is None


def test_the_strongest_attack_is_the_one_of_the_table():
    lesson = lessons.what_can_go_wrong(full_summary())
    assert lesson.right == ("back_completion",) and "Shown again in 40 % of pictures" in lesson.reveal([])
    table = full_summary().assign(back_synonym=70.0)
    assert lessons.what_can_go_wrong(table).right == ("back_synonym",)
    nothing = full_summary().assign(back_synonym=0.0, back_completion=0.0)
    assert "Here none brings it back." in lessons.what_can_go_wrong(nothing).reveal([])
    assert lessons.what_can_go_wrong(full_summary().drop("age-unprotected")) is None


def test_where_probe_and_eye_disagree_two_pictures_are_shown():
    harm = made_up("dog", wolf=0.9, cat=0.45, fox=0.55, cow=0.3, pie=0.1)
    told = lessons.what_can_go_wrong(full_summary(), {}, harm).reveal([])
    shown = told[told.index("Probe or eye?") :]
    assert "cat" in shown and "fox" in shown and "wolf" not in shown and "cow" not in shown
    agree = lessons.what_can_go_wrong(full_summary(), {}, made_up("dog", wolf=0.9, pie=0.1)).reveal([])
    assert "Probe or eye?" not in agree


def test_the_gold_reference_is_found_by_name_and_the_order_is_that_of_the_distances():
    drawn = lambda model, number, size: Markup('<img alt="{} {}">').format(model, number)  # noqa: E731
    lesson = lessons.gold(gold_table(original=6.0, uce=4.0, age=9.0, somebody=1.0), drawn)
    assert lesson.right == ("never saw it",) and "somebody" not in {option.name for option in lesson.options}
    told = lesson.reveal([])
    assert "Closest to it comes UCE, farthest is AGE, as it was then." in told
    assert told.index("reference") < told.index("4.0") < told.index("6.0") < told.index("9.0")
    assert "Near concepts lie 1.20 from those of the original, and 0.80 to 1.80" in told
    bare = lessons.gold(gold_table(original=6.0, uce=4.0), lambda *_: Markup())
    assert not any(option.picture for option in bare.options)
    assert lessons.gold(gold_table(original=6.0), drawn) is None
    assert lessons.gold(gold_table().head(0), drawn) is None


@pytest.mark.parametrize("name", ["synonym", "in-class"])
def test_each_act_shows_what_it_says(name):
    slide = lessons.synonym_trap(full_summary())
    titles = [act.title for act in slide.acts]
    assert slide.ordered and titles == [
        "a synonym",
        "one of its kind",
        "a random neighbour",
        "an unrelated word",
        "the empty prompt",
    ]
    act = slide.acts[{"synonym": 0, "in-class": 1}[name]]
    value = full_summary().loc[name, "distance_near"]
    shown = [trace for trace in act.draw().data if trace.opacity == 1.0]
    assert [trace.y for trace in shown] == [(value,)] and f"moved by {value:.0f}" in act.said
