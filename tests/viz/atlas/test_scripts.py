"""The map's scripts share nothing but what they hand each other."""

from __future__ import annotations

import re

import pytest

from viz.atlas import atlas

FUNCTION = r"^function (\w+)\(([^)]*)\) \{$"


def outer_lines(name: str) -> list[str]:
    """The lines of a script that stand outside of everything, without comments."""
    lines = (atlas.SCRIPTS / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith((" ", "//"))]


def test_every_script_is_joined_once():
    assert sorted(atlas.SCRIPT_ORDER) == sorted(path.name for path in atlas.SCRIPTS.iterdir())
    text = atlas.script()
    assert all(text.count((atlas.SCRIPTS / name).read_text()) == 1 for name in atlas.SCRIPT_ORDER)
    assert text.endswith("\natlas(element, props, trigger, watch);")


@pytest.mark.parametrize("name", atlas.SCRIPT_ORDER)
def test_a_script_is_one_function_and_no_variable(name):
    first, last = outer_lines(name)
    assert re.match(FUNCTION, first) and last == "}"


def test_parts_take_the_state_first_and_are_called_by_the_last_script_alone():
    parameters = dict(re.match(FUNCTION, outer_lines(name)[0]).groups() for name in atlas.SCRIPT_ORDER)
    _, *parts, _ = parameters
    assert len(parameters) == len(atlas.SCRIPT_ORDER)
    assert all(parameters[part].startswith("state") for part in parts)
    for name in atlas.SCRIPT_ORDER[:-1]:
        text = (atlas.SCRIPTS / name).read_text(encoding="utf-8")
        assert not [other for other in parameters if re.search(rf"(?<!function ){other}\(", text)], name
