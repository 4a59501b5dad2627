"""The map's scripts share nothing but what they hand each other."""

from __future__ import annotations

import re

import pytest

from viz.atlas import concept_map

FUNCTION = r"^function (\w+)\(([^)]*)\) \{$"


def outer_lines(name: str) -> list[str]:
    """The lines of a script that stand outside of everything, without comments."""
    lines = (concept_map.SCRIPTS / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith((" ", "//"))]


def test_every_script_is_joined_once():
    assert sorted(concept_map.SCRIPT_ORDER) == sorted(path.name for path in concept_map.SCRIPTS.iterdir())
    text = concept_map.script()
    assert all(text.count((concept_map.SCRIPTS / name).read_text()) == 1 for name in concept_map.SCRIPT_ORDER)
    assert text.endswith("\nconceptMap(element, props, trigger, watch);")


@pytest.mark.parametrize("name", concept_map.SCRIPT_ORDER)
def test_a_script_is_one_function_and_no_variable(name):
    first, last = outer_lines(name)
    assert re.match(FUNCTION, first) and last == "}"


def test_parts_take_the_state_first_and_are_called_by_the_last_script_alone():
    parameters = dict(re.match(FUNCTION, outer_lines(name)[0]).groups() for name in concept_map.SCRIPT_ORDER)
    _, *parts, _ = parameters
    assert len(parameters) == len(concept_map.SCRIPT_ORDER)
    assert all(parameters[part].startswith("state") for part in parts)
    for name in concept_map.SCRIPT_ORDER[:-1]:
        text = (concept_map.SCRIPTS / name).read_text(encoding="utf-8")
        assert not [other for other in parameters if re.search(rf"(?<!function ){other}\(", text)], name
