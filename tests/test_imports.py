"""Imports flow one way: app -> {viz, age_core}, and inside age_core from the loop down to the data."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ORDER = [
    "errors", "files", "assets", "concept_csv", "concepts", "options", "methods", "side_effect_tables", "intervals",
    "graph", "pipeline", "vocabulary", "losses", "weights", "student", "scene", "targets", "objective", "events",
    "erasure", "probes", "metrics", "evaluation", "closed_form_math", "closed_form_problem", "closed_form", "lookahead",
    "robustness", "words", "by_name", "original", "side_effects", "jobs", "prediction", "reading",
    "checkpoints", "run_config", "runs", "foreign_files", "foreign_runs", "bundles",
    "runner", "workbench", "studio", "models", "export", "compare", "describe", "cli",
]  # fmt: skip


def imported(path: Path) -> set[str]:
    """Every module name that a file imports, at any depth."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"age_core.{a.name}" for a in node.names} if node.module == "age_core" else {node.module or ""}
    return names


def tops(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


def test_the_method_knows_no_screen():
    for path in (ROOT / "age_core").rglob("*.py"):
        assert not tops(path) & {"viz", "app", "gradio", "plotly"}, path


def test_pictures_know_no_model():
    for path in (ROOT / "viz").rglob("*.py"):
        assert not tops(path) & {"age_core", "app", "torch", "diffusers", "transformers"}, path


def test_inside_the_method_nothing_looks_up():
    for position, name in enumerate(ORDER):
        below = {f"age_core.{other}" for other in ORDER[:position]}
        used = {module for module in imported(ROOT / "age_core" / f"{name}.py") if module.startswith("age_core")}
        assert used <= below, name


def test_the_method_does_not_know_how_the_world_was_made():
    for path in (ROOT / "age_core").glob("*.py"):
        assert not any(module.startswith("age_core.emoji") for module in imported(path)), path


def test_every_module_has_its_place_in_the_order():
    assert {path.stem for path in (ROOT / "age_core").glob("[!_]*.py")} == set(ORDER)


def test_the_page_is_laid_out_before_what_computes_is_imported(tmp_path):
    told = """
import sys
from pathlib import Path
import app
made = app.build(app.Worlds(app.Models(Path(sys.argv[1]), app.ASSETS / "runs")))
shown = {block.elem_id for event in made.fns.values() for block in event.show_progress_on or made.blocks.values()}
assert sys.modules["gradio.component_meta"].create_or_modify_pyi.__module__ == "viz.without_stubs"
print(len(made.blocks), *shown, *({"torch", "diffusers", "transformers", "scipy.cluster", "umap"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", told, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    blocks, shown, *heavy = done.stdout.split()
    # where progress could be shown, the browser copies the component at every message of a run
    assert int(blocks) > 50 and shown == "messages" and not heavy


def test_no_stubs_are_written_beside_components(tmp_path):
    (tmp_path / "mine.py").write_text("import gradio as gr\n\n\nclass Mine(gr.HTML):\n    pass\n")
    told = "import viz.without_stubs, inspect, mine; mine.Mine(); print(inspect.getfile(mine.Mine))"
    command = [sys.executable, "-c", told]
    path = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "GRADIO_ANALYTICS_ENABLED": "False"}
    done = subprocess.run(command, env=os.environ | path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(tmp_path / "mine.py")] and not (tmp_path / "mine.pyi").exists()
