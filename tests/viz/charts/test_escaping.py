"""No text becomes markup: whatever a concept, a label or an error is called, the page shows it letter by letter."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
from made_up_harm import made_up
from PIL import Image

from viz.atlas import atlas
from viz.charts import damage_lessons, duel, harm, lessons, live_charts, panels, plots, target_lessons, targets
from viz.charts.damage_lessons import BothWays, Redrawn, Training
from viz.charts.lesson import Lesson, Scene
from viz.components import blocks, html_parts, picks

EVIL = """<script>alert("1")</script>'&"""
PICTURE = Image.new("RGB", (8, 8))
PAIRS = pd.DataFrame(
    [("dog", EVIL, 0.5, 0.4, 0.6, True), (EVIL, "dog", -0.4, float("nan"), float("nan"), True)],
    columns=["erased", "affected", "delta", "low", "high", "clear"],
)
FACTS = {
    "damages": 1,
    "reciprocity": 0.5,
    "weighted_reciprocity": 0.4,
    "communities": 2,
    "adjusted_rand": 0.1,
}
STRENGTHS = pd.DataFrame({"concept": [EVIL], "harm": [0.5], "harms": [1], "hurt": [0.4], "hurt_by": [1]})
HARM = made_up(EVIL, wolf=0.9, cat=0.8, pie=0.7, **{EVIL + "2": 0.6, "cow": 0.1})
BOTH_WAYS = pd.DataFrame({"a": [EVIL], "b": ["dog"], "there": [0.4], "back": [0.1], "one_way": [True]})
ABLATION = pd.DataFrame(50.0, ["synonym", "in-class", "unrelated"], ["esr1", "distance_near"])
GOLD = pd.DataFrame(
    [
        {"side": "erased", "word": EVIL, "model": model, "named": EVIL, "share": 1.0, "distance": 1.0}
        for model in ("never saw it", "original", "uce")
    ]
)
PLAIN = html_parts.Markup('<img alt="">')
CURVE = pd.DataFrame({"first": [1], "last": [2], "damage": [0.5], "low": [0.4], "high": [0.7]})
POINTS = pd.DataFrame([{"name": EVIL, "x": 1, "x_low": 0, "x_high": 2, "y": 1, "y_low": 0, "y_high": 2}])


def card(kind: panels.Kind, *expected: str) -> panels.Card:
    edited = tuple(panels.Drawn(EVIL, PICTURE, (label, 0.5), 0.1) for label in (EVIL, "dog"))
    return panels.Card(kind, EVIL, EVIL, EVIL, 0, expected, PICTURE, (EVIL, 0.5), edited)


def shown(lesson: Lesson) -> str:
    """Every piece of HTML that a lesson makes, and what is made of its plain texts."""
    options = [(option.name, option.text, option.picture) for option in lesson.options]
    question = html_parts.region(html_parts.soft(lesson.question), picks.pick_buttons(options))
    return question + lesson.reveal([EVIL + "2"]) + html_parts.join(html_parts.soft(act.said) for act in lesson.acts)


def score_row() -> dict[str, float]:
    ends = ("", "_low", "_high")
    return {f"{name}{end}": 50.0 for name in ("esr1", "esr5", "psr1", "psr5") for end in ends} | {"distance": 0.1}


# Every public function that makes HTML, with texts that must not become markup.
HTML: dict[Callable[..., Any], Callable[[], str]] = {
    html_parts.join: lambda: html_parts.join([EVIL]),
    html_parts.region: lambda: html_parts.region(EVIL, kind=EVIL),
    html_parts.heading: lambda: html_parts.heading(EVIL),
    html_parts.soft: lambda: html_parts.soft(EVIL),
    blocks.note: lambda: blocks.note(EVIL),
    blocks.text_block: lambda: str(blocks.text_block(EVIL, EVIL).value),
    panels.message: lambda: panels.message(EVIL),
    panels.selection: lambda: panels.selection(EVIL, EVIL, [EVIL], [panels.Side("hurts", PAIRS, 1, True)]),
    panels.concept: lambda: panels.concept(EVIL, EVIL, [EVIL], []),
    panels.graph_facts: lambda: panels.graph_facts(FACTS, STRENGTHS, EVIL),
    panels.status: lambda: panels.status(EVIL, 1, 2),
    panels.picture: lambda: panels.picture(PICTURE, EVIL, EVIL, PICTURE),
    panels.previews: lambda: panels.previews([PICTURE], [EVIL], 1),
    panels.compare_grid: lambda: panels.compare_grid([card("near", EVIL), card("own"), card("erased", "x")], EVIL),
    duel.board: lambda: duel.board(EVIL, 10, 1, 9, [card("erased", "x")], EVIL),
    panels.scores: lambda: panels.scores([(EVIL, score_row())]),
    panels.runs: lambda: panels.runs([EVIL], [[EVIL]]),
    panels.predicted: lambda: panels.predicted(EVIL, PAIRS),
    panels.film: lambda: panels.film([(1, PICTURE)], EVIL),
    panels.gallery: lambda: panels.gallery([PICTURE], EVIL),
    live_charts.bars: lambda: live_charts.bars([EVIL], EVIL),
    live_charts.damage_bars: lambda: live_charts.damage_bars(PAIRS, "affected"),
    live_charts.target_bars: lambda: live_charts.target_bars([EVIL, "dog"], [0.7, 0.3], [1, 0], EVIL, [1, 0]),
    live_charts.share_history: lambda: live_charts.share_history([EVIL, "dog"], [[0.7, 0.3]], 4),
    live_charts.loss_curve: lambda: live_charts.loss_curve([0.1], [0.2], 4),
    atlas.legend: lambda: atlas.legend([EVIL]),
    harm.line: lambda: harm.line(html_parts.Markup(), EVIL, EVIL, EVIL, EVIL),
    harm.lines: lambda: harm.lines([harm.line(html_parts.Markup(), EVIL, EVIL, EVIL)]),
    picks.pick_buttons: lambda: picks.pick_buttons([(EVIL, EVIL, html_parts.Markup())], [EVIL], [EVIL], told=True),
    target_lessons.word_card: lambda: target_lessons.word_card(EVIL),
    lessons.erasing: lambda: shown(
        lessons.erasing(Redrawn(EVIL, EVIL, *2 * (PLAIN,), EVIL, 0.5, Scene()), Training(EVIL, [0.5], EVIL))
    ),
    lessons.locality: lambda: shown(lessons.locality(HARM, dict.fromkeys([EVIL, *HARM.table.index], EVIL))),
    lessons.one_way: lambda: shown(lessons.one_way(HARM, made_up("wolf", **{EVIL: 0.1}), BothWays(1, 1))),
    lessons.esd_or_age: lambda: shown(lessons.esd_or_age(HARM, HARM, [EVIL + "2"])),
    lessons.synonym_trap: lambda: shown(
        lessons.synonym_trap(ABLATION, EVIL, {"synonym": (EVIL, PLAIN), "unrelated": (EVIL, PLAIN)})
    ),
    lessons.gold: lambda: shown(lessons.gold(GOLD, lambda *_: PLAIN)),
}
# A class and a sentence, which `compare_grid` escapes; a region that takes HTML.
NO_HTML = {panels.judge, blocks.live_block, harm.no_picture, picks.toggled}
FIGURES: dict[Callable[..., Any], Callable[[], go.Figure]] = {
    plots.styled: lambda: plots.styled(go.Figure(go.Bar(x=[EVIL], y=[1], name=EVIL, text=EVIL)), EVIL, EVIL, EVIL),
    plots.heat_map: lambda: plots.heat_map(pd.DataFrame([[0.1]], [EVIL], [EVIL]), {EVIL: EVIL}, EVIL),
    plots.locality_figure: lambda: plots.locality_figure({EVIL: CURVE}, EVIL, EVIL),
    plots.scatter_with_diagonal: lambda: plots.scatter_with_diagonal([1], [0], [EVIL], 1, EVIL, EVIL, EVIL),
    plots.one_way_figure: lambda: plots.one_way_figure(BOTH_WAYS, EVIL, EVIL),
    plots.trade_off_figure: lambda: plots.trade_off_figure(POINTS, EVIL, EVIL, EVIL),
    plots.strength_figure: lambda: plots.strength_figure(POINTS, EVIL, EVIL, EVIL),
    atlas.map_figure: lambda: atlas.map_figure(POINTS, [EVIL], [0.5]),
    damage_lessons.erasing: lambda: damage_lessons.erasing(None, Training(EVIL, [0.5], EVIL, [1])).acts[0].draw(),
}
# No figure of their own, or names that are written in the module; no text from outside.
NO_FIGURE = {plots.profile_order, plots.name_places, damage_lessons.locality, damage_lessons.one_way} | {
    target_lessons.word_card,
    target_lessons.synonym_trap,
    target_lessons.esd_or_age,
    target_lessons.why_targets_matter,
    *(targets.plane, targets.five, targets.range_of, targets.ranking, targets.rankings),
    *(targets.guarded_alike, targets.guarded_rankings),
}


def public_functions(*modules: ModuleType) -> set[Callable[..., Any]]:
    return {
        function
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }


def texts_of(value: Any) -> Iterator[str]:
    """Every text that Plotly reads in a figure: `customdata` only where a template shows it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        hidden = {"meta"} | ({"customdata"} if "customdata" not in str(value.get("hovertemplate")) else set())
        for name, part in value.items():
            if name not in hidden:
                yield from texts_of(part)
    elif hasattr(value, "__iter__"):
        for part in value:
            yield from texts_of(part)


def test_every_public_function_that_takes_text_is_tried():
    assert public_functions(panels, live_charts, blocks, html_parts, harm, picks) <= HTML.keys() | NO_HTML
    assert public_functions(plots, damage_lessons, target_lessons, targets) <= FIGURES.keys() | NO_FIGURE


@pytest.mark.parametrize("make", HTML.values(), ids=[function.__qualname__ for function in HTML])
def test_html_shows_a_text_letter_by_letter(make):
    html = make()
    assert "<script" not in html and EVIL not in html
    assert not re.search(r"<[^>]*alert\(\"", html), "a quotation mark ends an attribute"
    assert "&amp;lt;" not in html, "escaped twice"


@pytest.mark.parametrize("make", FIGURES.values(), ids=[function.__qualname__ for function in FIGURES])
def test_a_figure_shows_a_text_letter_by_letter(make):
    texts = list(texts_of(make().to_dict()))
    assert any("&lt;script&gt;" in text for text in texts)
    assert not any("<script" in text or "&amp;lt;" in text for text in texts)


def test_no_f_string_holds_a_tag():
    """HTML is only made by Markup, which escapes (and ruff's S704 keeps Markup from what is no literal)."""
    folders = [Path(plots.__file__).parent, Path(atlas.__file__).parent, Path(blocks.__file__).parent]
    for path in (path for folder in folders for path in folder.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                fixed = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
                assert not re.search(r"</?[a-z]", fixed), f"{path}:{node.lineno}"


def test_a_text_that_is_escaped_already_is_not_escaped_again():
    inner = html_parts.soft("<b>")
    assert html_parts.region(inner) == '<div class="age"><p class="soft">&lt;b&gt;</p></div>'
    assert panels.picture(PICTURE, "", html_parts.Markup("a<br>b")).count("<br>") == 1
