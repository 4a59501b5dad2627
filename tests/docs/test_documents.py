"""The documents tell of what is there: paths, links, commands, citations from the code, and the fields of files."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shlex
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from age_core.erasure.events import EraseEvent
from age_core.erasure.methods import METHODS
from age_core.runs.config import RunConfig
from age_core.study.tables import COLUMNS
from age_core.study.world_files import NUMBERS, VERDICT_COLUMNS, Manifest, RecordedMethod

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PATH = re.compile(r"(?<![\w/.-])(?:age_core|viz|docs|assets|benchmarks|tests)/[\w./*-]*|(?<![\w/.-])app\.py\b")
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"python -m ((?:age_core|benchmarks)[\w.]*)([^\n`]*)")
PLACE = re.compile(r"sections? ([A-H])\b(?:,? (?:points?|steps?) (\d+))?")
CODE = [path for room in ("age_core", "viz", "benchmarks", "tests") for path in (ROOT / room).rglob("*.py")]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def anchors(page: str) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page, flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_paths_exist(document):
    paths = {path.rstrip(".") for path in PATH.findall(read(document))}
    assert [path for path in sorted(paths) if not list(ROOT.glob(path))] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_links_lead_somewhere(document):
    broken = []
    for link in LINK.findall(read(document)):
        place, _, anchor = link.partition("#")
        target = (document.parent / place).resolve() if place else document
        if not link.startswith("https://") and (
            not target.exists() or (anchor and anchor not in anchors(read(target)))
        ):
            broken.append(link)
    assert broken == []


def commands() -> dict[str, list[str]]:
    """Every command of ours that a document gives, and its module with the arguments; text in brackets is a remark."""
    found = {}
    for document in DOCUMENTS:
        text = re.sub(r"\\\n\s*", " ", read(document))
        for module, rest in COMMAND.findall(text):
            words = [word for word in shlex.split(rest, comments=True) if not word.startswith("$")]
            found[" ".join([module, *words])] = [module, *words]
    return found


@pytest.mark.parametrize("command", commands())
def test_commands_parse(command, monkeypatch, capsys):
    name, *words = commands()[command]
    package = importlib.util.find_spec(name).submodule_search_locations
    module = importlib.import_module(f"{name}.__main__" if package else name)
    if not words and name == "age_core":  # the command line as such
        return

    class Parsed(Exception):
        """The arguments were read; nothing is run."""

    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser, arguments=None, namespace=None):
        parse(parser, arguments, namespace)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.setattr(sys, "argv", [name, *words])
    if "ArgumentParser" not in read(Path(module.__file__)) and name.startswith("benchmarks"):
        assert callable(module.main) and words  # it takes folders and nothing else
        return
    try:
        module.main()
    except Parsed:
        return
    except SystemExit:
        pytest.fail(capsys.readouterr().err)
    pytest.fail("it read no arguments")


def citations() -> list[tuple[str, str, str]]:
    """(file, section, point or "") for every place of docs/method.md that the code names."""
    found = []
    for path in CODE:
        text = re.sub(r"\s*\n\s*(?:# ?)?", " ", read(path))
        if "method.md" in text and path != Path(__file__):
            found += [(named(path), section, point) for section, point in PLACE.findall(text)]
    return found


def test_the_code_cites_sections_and_points_that_exist():
    parts = re.split(r"^## ([A-H])\. ", read(ROOT / "docs" / "method.md"), flags=re.M)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert list(sections) == list("ABCDEFGH") and len(citations()) > 15
    for path, section, point in citations():
        assert not point or re.search(rf"^{point}\. ", sections[section], re.M), (path, section, point)


def test_documents_that_the_code_names_exist():
    for path in [*CODE, ROOT / "app.py"]:
        for page in re.findall(r"docs/[\w.-]+\.(?:md|png)", read(path)):
            assert (ROOT / page).exists(), (named(path), page)


def test_names_of_the_architecture_exist():
    """What stands in backticks or in the drawing of generators, and is no file and no room, is defined somewhere."""
    page = read(ROOT / "docs" / "architecture.md")
    names = set(re.findall(r"`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?)`", page)) | set(re.findall(r"[└├] ([\w.]+) ", page))
    names = {name.split(".")[-1] for name in names if not name.endswith(".py")} - {"age_core", "graph"}
    names -= {path.name for path in (ROOT / "age_core").iterdir()}
    defined = "\n".join(read(path) for path in CODE)
    assert [name for name in sorted(names) if not re.search(rf"^ *(?:def |class )?{name}\b", defined, re.M)] == []


def test_the_readme_is_short_and_has_every_method():
    page = read(ROOT / "README.md")
    assert len(page.splitlines()) <= 130
    rows = "".join(line for line in page.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`([\w-]+)`", rows)) == set(METHODS)


def test_formats_name_every_field():
    page = read(ROOT / "docs" / "formats.md")
    events = {field.name for field in fields(EraseEvent)} - {"previews", "state", "eraser"}
    written = {field.name for kind in (RunConfig, Manifest, RecordedMethod) for field in fields(kind)}
    for name in events | written | {*COLUMNS, *NUMBERS, *VERDICT_COLUMNS}:
        assert f"`{name}`" in page, name


def test_new_names_of_the_changelog_exist():
    rows = re.findall(r"^\| .+? \| (.+) \|$", read(ROOT / "CHANGELOG.md"), re.M)
    modules = {name for row in rows for name in re.findall(r"`(age_core\.[\w.]+)`", row)}
    assert len(modules) > 30
    for name in modules:
        assert (ROOT / (name.replace(".", "/") + ".py")).exists(), name
