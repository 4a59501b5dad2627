"""The palette is the one place for each colour, and the style sheets know no other."""

from __future__ import annotations

import re

import pytest

from viz.components import theme

SHEETS = [path.read_text(encoding="utf-8") for path in theme.SHEETS]


@pytest.mark.parametrize("sheet", SHEETS)
def test_a_style_sheet_names_colours_and_holds_none(sheet):
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b(?![^{]*\{)", sheet)
    assert sheet in theme.CSS and sheet.count("{") == sheet.count("}")


@pytest.mark.parametrize("sheet", SHEETS)
def test_every_colour_that_the_style_sheet_uses_is_defined_in_light_and_dark(sheet):
    light, dark = theme.CSS.split("\n")[:2]
    assert light.startswith(":root {") and dark.startswith(".dark {")
    used = set(re.findall(r"var\((--[\w-]+)\)", sheet)) - {"--c-light", "--c-dark"}  # the legend brings these itself
    for rule in (light, dark):
        assert used <= set(re.findall(r"(--[\w-]+): #[0-9a-fA-F]{6};", rule))


def test_each_light_colour_has_a_twin_for_the_dark():
    assert theme.LIGHT.keys() == theme.DARK.keys()
    assert len(theme.DARK_OF) == len(theme.LIGHT), "two names of one colour could not be told apart"
    assert set(theme.SERIES) <= set(theme.DARK_OF) and len(set(theme.SERIES)) == len(theme.SERIES)
