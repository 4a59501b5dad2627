"""Imports flow one way: app -> viz.tabs -> age_core.serve, and inside viz and age_core down their tables."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Each room of age_core and the rooms that it may import from; all may use the files outside of rooms.
ROOMS: dict[str, set[str]] = {
    "models": set(),
    "concepts": {"models"},
    "measure": {"models", "concepts"},
    "erasure": {"models", "concepts", "measure"},
    "study": {"models", "concepts", "measure", "erasure"},
    "runs": {"models", "concepts", "measure", "erasure"},
    "serve": {"models", "concepts", "measure", "erasure", "study", "runs"},
    "cli": {"models", "concepts", "measure", "erasure", "study", "runs"},
    "emoji": {"models", "concepts", "measure"},
}
ROOT_FILES = {"errors", "files", "assets", "validation", "environment", "versions"}
# Each part of viz and the parts that it may import from; all may use gradio_tuning.
VIZ: dict[str, set[str]] = {
    "components": set(),
    "charts": {"components"},
    "atlas": {"components", "charts"},
    "tabs": {"components", "charts", "atlas"},
}
# What the tabs, and nothing else of viz, may know of age_core: what explorers are asked, and its public names.
TABS_KNOW = {"serve", "errors"}


def imported(path: Path) -> set[str]:
    """Every module name that a file imports, at any depth."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # of `from age_core.study import tables` the module meant is age_core.study.tables
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def tops(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


def test_the_method_knows_no_screen():
    for path in (ROOT / "age_core").rglob("*.py"):
        assert not tops(path) & {"viz", "app", "gradio", "plotly"}, path


def rooms_of(path: Path) -> set[str]:
    """The rooms of age_core, or its files outside of rooms, that a file imports from."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("age_core.")}


def public_names() -> set[str]:
    """What `from age_core import` may take: the names of `__init__.pyi`."""
    tree = ast.parse((ROOT / "age_core" / "__init__.pyi").read_text(encoding="utf-8"))
    return {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}


@pytest.mark.parametrize("part", VIZ)
def test_imports_go_one_way_between_parts_of_the_page(part):
    allowed = VIZ[part] | {part, "gradio_tuning"}
    paths = list((ROOT / "viz" / part).rglob("*.py"))
    assert paths
    for path in paths:
        assert {name.split(".")[1] for name in imported(path) if name.startswith("viz.")} <= allowed, path
        assert not tops(path) & {"app", "torch", "diffusers", "transformers"}, path


def test_the_parts_of_the_page_are_all_named():
    assert {path.parent.name for path in (ROOT / "viz").glob("*/__init__.py")} == set(VIZ)
    assert {path.stem for path in (ROOT / "viz").glob("[!_]*.py")} == {"environment", "gradio_tuning"}
    for name in ("environment", "gradio_tuning"):
        assert not tops(ROOT / "viz" / f"{name}.py") & {"viz", "age_core", "app", "torch"}


def test_only_the_tabs_know_the_method_and_only_by_what_explorers_are_asked():
    names = public_names()
    for path in (ROOT / "viz").rglob("*.py"):
        if path.parent.name != "tabs":
            assert "age_core" not in tops(path), path
        assert rooms_of(path) - names <= TABS_KNOW, path


def test_the_start_knows_no_more_than_the_tabs():
    assert rooms_of(ROOT / "app.py") - public_names() <= TABS_KNOW
    assert len((ROOT / "app.py").read_text(encoding="utf-8").splitlines()) < 150


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_one_way_between_rooms(room):
    allowed = ROOMS[room] | ROOT_FILES | {room}
    paths = list((ROOT / "age_core" / room).rglob("*.py"))
    assert paths
    for path in paths:
        assert rooms_of(path) <= allowed, path


def test_the_rooms_have_an_order():
    position = {room: row for row, room in enumerate(ROOMS)}
    assert all(position[below] < position[room] for room, allowed in ROOMS.items() for below in allowed)


def test_every_file_is_in_a_room():
    assert {path.parent.name for path in (ROOT / "age_core").glob("*/__init__.py")} == set(ROOMS)
    assert {path.stem for path in (ROOT / "age_core").glob("[!_]*.py")} == ROOT_FILES
    assert all(not rooms_of(ROOT / "age_core" / f"{name}.py") - ROOT_FILES for name in ROOT_FILES)


def test_inside_a_room_nothing_goes_round_in_circles():
    for room in ROOMS:
        folder = ROOT / "age_core" / room
        modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in folder.rglob("[!_]*.py")}
        below = {name: imported(path) & set(modules) for name, path in modules.items()}
        list(TopologicalSorter(below).static_order())  # raises CycleError


def test_the_page_is_laid_out_before_what_computes_is_imported(tmp_path):
    told = """
import sys
from pathlib import Path
import app
made = app.page.build(app.MapCache(app.OpenModels(Path(sys.argv[1]), app.stored.shipped_runs())))
shown = {block.elem_id for event in made.fns.values() for block in event.show_progress_on or made.blocks.values()}
assert sys.modules["gradio.component_meta"].create_or_modify_pyi.__module__ == "viz.gradio_tuning"
print(len(made.blocks), *shown, *({"torch", "diffusers", "transformers", "scipy.cluster", "umap"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", told, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    blocks, shown, *heavy = done.stdout.split()
    # where progress could be shown, the browser copies the component at every message of a run
    assert int(blocks) > 50 and shown == "messages" and not heavy


def test_no_two_test_files_share_a_name():
    """Pytest takes one for the other where both are collected at once."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names)), sorted(name for name in set(names) if names.count(name) > 1)
