"""What the page says and shows, on tables and events whose answer is plain."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pandas as pd
import pytest
from PIL import Image

from viz.atlas.concept_map import ConceptGraph
from viz.charts import effects, lessons, live_charts, panels
from viz.charts.live_view import LiveView, Recording
from viz.components.chart import Chart

RED, BLUE = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
PAIRS = pd.DataFrame(
    [("dog", "wolf", 0.5, True), ("dog", "cat", 0.3, True), ("dog", "car", 0.1, False), ("car", "dog", -0.4, True)],
    columns=["erased", "affected", "delta", "clear"],
)


def event(step, probabilities=(0.7, 0.3), **more):
    fields = {
        "step": step,
        "steps": 4,
        "note": "",
        "concept": "dog",
        "candidates": ("wolf", "<b>cat"),
        "probabilities": probabilities,
        "sampled": (1.0, 0.0),
        "logits": (1.0, 0.2),
        "loss_erase": 0.1 / (step or 1),
        "loss_preserve": 0.01,
        "elapsed_s": 1.0,
        "remaining_s": 3.0,
        "previews": (),
        "preview_prompts": (),
        "eraser": None,
    }
    return SimpleNamespace(**(fields | more))


def record(step, **more):
    return {key: value for key, value in vars(event(step, **more)).items() if key not in ("previews", "eraser")}


def test_the_strongest_effects_are_those_of_the_direction_that_is_asked_for():
    assert list(effects.strongest(PAIRS, "dog", "hurts")["affected"]) == ["wolf", "cat"]
    assert list(effects.strongest(PAIRS, "dog", "hurt by")["erased"]) == ["car"]
    assert list(effects.strongest(PAIRS, "dog", "both")["delta"]) == [0.5, -0.4, 0.3]
    assert list(effects.strongest(PAIRS, "dog", "hurts", clear=False)["affected"]) == ["car"]
    assert effects.unclear(PAIRS, "dog", "hurts") == 1 == effects.unclear(PAIRS, "dog", "both")
    sizes = effects.mean_damage_received(PAIRS, ["wolf", "cat", "car", "dog", "moon"])
    assert sizes[0] == 1 and sizes[3] == 0 and 0 < sizes[1] < 1 and math.isnan(sizes[4])


def test_components_that_draw_hand_the_page_plain_values_alone():
    """Gradio copies them at every visit; a handler among them would lead to the models."""
    for component in (Chart(figure="{}"), ConceptGraph(figure="{}")):
        config = component.get_config()
        assert config["component_class_name"] == type(component).__name__ and json.dumps(config)
        assert component.props["figure"] == "{}" and not callable(config.get("figure"))
        assert callable(component.figure)  # the trap is still there: else `get_config` has done its service


def test_every_event_counts_for_the_curves_and_the_last_one_is_shown(monkeypatch):
    clock = iter(range(0, 100, 10))
    monkeypatch.setattr("viz.charts.live_view.time.monotonic", lambda: next(clock))
    view = LiveView("dog")
    first = view.update([event(0, note="looking ahead: 3 of 30")])
    assert "looking ahead: 3 of 30" in first["status"] and "live_loss" not in first
    out = view.update(
        [event(1), event(2), event(3, probabilities=(0.9, 0.1), previews=(RED,), preview_prompts=("a dog",))]
    )
    assert "step 3 of 4" in out["status"] and len(view.erase) == 3
    assert out["live_previews"].count("<img") == 1 and "at step 3" in out["live_previews"]
    assert "90.0%" in out["live_targets"] and "&lt;b&gt;cat" in out["live_targets"] and "<b>cat" not in str(out)
    assert view.update([]) == {}
    monkeypatch.setattr("viz.charts.live_view.time.monotonic", lambda: 10.1)
    assert "status" not in view.update([event(4)])  # too soon
    done = view.update([event(4, eraser=object())])
    assert "Done: dog was erased in 4 steps" in done["status"] and "live_loss" in done
    assert json.loads(view.lit(event(4, probabilities=(0.995, 0.005)))) == {"wolf": 0.995}


def test_a_recording_is_seen_as_it_stood_at_each_step():
    pictures = {"a.png": RED, "b.png": BLUE}
    records = [record(0), record(1), record(2, probabilities=[0.2, 0.8], pictures=["a.png"], preview_prompts=["a dog"])]
    records += [
        record(3),
        record(4, probabilities=[None, 1.0], pictures=["b.png", "gone.png"], preview_prompts=["x", "y"]),
    ]
    run = Recording("dog", records, pictures)
    assert run.steps == 4
    early, middle, late = run.at(1), run.at(3), run.at(4)
    assert "live_previews" not in early and "step 1 of 4" in early["status"] and "wolf 70%" in early["status"]
    assert middle["live_previews"] == panels.previews([RED], ["a dog"], 2)
    assert late["live_previews"].count("<img") == 1 and "cat 100%" in late["status"]
    assert late["live_loss"].count(",") > early["live_loss"].count(",")
    assert run.film().count("<img") == 2
    assert Recording("dog", [record(0)], {}).at(1) == {}


def test_target_bars_keep_their_order_and_show_the_heaviest():
    names = [f"word {row}" for row in range(40)]
    probabilities = [1 / 64] * 40
    probabilities[3], probabilities[30] = 0.3, 0.09
    html = live_charts.target_bars(names, probabilities, [], "title", [math.log(share) for share in probabilities])
    assert html.count("data-share") == live_charts.SHOWN and html.index("word 3<") < html.index("word 30<")
    assert "30.0%" in html and "The other 25 are lighter" in html
    history = live_charts.share_history(["a", "b"], [[0.5, 0.5], [1.0, 0.0]], 4)
    assert history.count("<polyline") == 2 and "Effectively 1.0 words" in history
    assert live_charts.share_history(["only"], [[1.0]], 4) == "" == live_charts.share_history(["a", "b"], [], 4)


def test_a_card_tells_success_from_damage():
    def card(kind, expected, seen, *edited):
        drawn = tuple(panels.Drawn(f"m{row}", BLUE, (label, 0.9), 0.5) for row, label in enumerate(edited))
        return panels.Card(kind, "dog", "", "a dog", 0, expected, RED, (seen, 0.8), drawn)

    def verdicts(one):
        return [panels.judge(one, drawn)[0] for drawn in one.edited]

    assert verdicts(card("erased", ("dog",), "dog", "horse", "dog")) == ["erased", ""]
    assert verdicts(card("near", ("wolf",), "wolf", "horse", "wolf")) == ["damaged", ""]
    assert verdicts(card("near", ("wolf",), "cat", "horse")) == [""]
    assert verdicts(card("own", (), "cat", "horse", "cat")) == ["", ""]
    grid = panels.compare_grid([card("near", ("<i>",), "<i>", "<u>", "<i>")], "<h>")
    assert 'class="pair damaged"' in grid and "&lt;u&gt;" in grid and "<u>" not in grid and "<h>" not in grid
    assert grid.count("<img") == 5 and grid.count('class="hold"') == 2  # the original lies under each edited picture


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
    local = lessons.locality("dog", damage, ranked, lessons.go.Figure)
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


def test_scores_show_their_intervals():
    row = {
        f"{name}{end}": value
        for name in ("esr1", "esr5", "psr1", "psr5")
        for end, value in (("", 90.0), ("_low", 80.4), ("_high", 95.0))
    }
    html = panels.scores([("<m>", row | {"distance": 0.1234})])
    assert html.count("<b>90</b>") == 4 and "(80 to 95)" in html and "0.123" in html and "<m>" not in html
    assert panels.message("") == "" and "&lt;x" in panels.message("<x")


@pytest.mark.parametrize("value", [0.5, -0.5])
def test_a_prediction_has_no_interval(value):
    rows = pd.DataFrame({"affected": ["wolf"], "delta": [value]})
    html = panels.predicted("said", rows)
    assert "whisker" not in html and "hollow" in html and f"{value:+.2f}" in html
