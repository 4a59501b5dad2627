"""Folders of runs on other people's machines: odd paths, other programs' files, and what cannot be read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from support import QUICK, WORLD, build_tiny_sd

from age_core import AgeError, Run, export_bundle, import_bundle, list_runs, start_run
from age_core.files import why_not_writable
from age_core.study.tables import gather

ODD = ("a b", "ünï 世界", "100% #1 [x]?&'", "~home", "-dash", "a" * 200, "$HOME; echo", "C:\\runs")
LEFT = (".DS_Store", "Thumbs.db", "desktop.ini", "._config.json", "config.json~", ".config.json.swp", "~$config.json")


@pytest.fixture(scope="module")
def pipe(tmp_path_factory):
    return build_tiny_sd(tmp_path_factory.mktemp("tokenizer"), "epsilon")


@pytest.fixture(scope="module")
def finished(pipe, tmp_path_factory):
    """A folder with one finished run."""
    root = tmp_path_factory.mktemp("runs")
    run, events = start_run(pipe, root, "random", "dog", WORLD, **QUICK | {"preview_every": 1})
    for _ in events:
        pass
    return root, run.path.name


@pytest.fixture
def runs(finished, tmp_path):
    root, name = finished
    shutil.copytree(root, tmp_path / "runs")
    return tmp_path / "runs", name


@pytest.mark.parametrize("name", ODD)
def test_a_run_lives_in_a_folder_of_any_name(pipe, tmp_path, name):
    root = tmp_path / name / "runs"
    run, events = start_run(pipe, root, "uce", "dog", WORLD)
    assert [event.step for event in events] == [1]
    assert export_bundle(run, root / "dog.zip").exists() and run.eraser().concepts == ("dog",)
    again = import_bundle(root / "dog.zip", root, "again")
    assert {found.path.name for found in list_runs(root)} == {run.path.name, "again"}
    again.rename("once more").delete()
    assert [found.path for found in list_runs(root)] == [run.path] and run.status == "finished"


def test_a_folder_of_runs_may_be_a_link(runs, tmp_path):
    root, name = runs
    (tmp_path / "link").symlink_to(root, target_is_directory=True)
    (run,) = list_runs(tmp_path / "link")
    assert run.path == tmp_path / "link" / name and run.rename("moved").status == "finished"


def test_what_other_programs_leave_is_passed_over(runs):
    root, name = runs
    run = Run.open(root / name)
    pictures = run.pictures()
    for folder in (root, run.path, run.path / "pictures"):
        for left in LEFT:
            (folder / left).write_bytes(b"\0\5\26\7")
    first = pictures[0].name
    for left in (f"._{first}", f"{first}~", first.replace(".png", ".sync-conflict-20240101-101010-ABCDEF.png")):
        (run.path / "pictures" / left).write_bytes(b"no picture")
    shutil.copy(run.path / "events.jsonl", run.path / "events.sync-conflict-20240101-101010-ABCDEF.jsonl")
    (root / "a file").write_text("where a run would be")
    (found,) = list_runs(root)
    assert found.path.name == name and found.pictures() == pictures and found.status == "finished"
    assert import_bundle(export_bundle(found, root / "x.zip"), root).pictures()


def test_a_picture_s_folder_that_is_a_file_holds_no_pictures(runs):
    root, name = runs
    shutil.rmtree(root / name / "pictures")
    (root / name / "pictures").write_text("a file")
    (run,) = list_runs(root)
    assert run.pictures() == [] and run.events()


def test_where_a_folder_should_be_a_file_is_no_folder_of_runs(tmp_path):
    (tmp_path / "runs").write_text("a file")
    assert list_runs(tmp_path / "runs") == [] == list_runs(tmp_path / "runs" / "deeper")
    assert why_not_writable(tmp_path / "runs") and not why_not_writable(tmp_path / "new" / "runs")


def test_a_start_where_nothing_can_be_written_is_one_sentence(pipe, tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(AgeError, match="could not be written"):
        start_run(pipe, tmp_path / "runs", "uce", "dog", WORLD)


STRANGER = 65533  # a user who owns nothing; files are given to the next


def look_as_a_stranger(root: Path) -> None:
    os.chdir(root)  # the folders above may be closed to strangers
    os.setgroups([])
    os.setresgid(STRANGER, STRANGER, STRANGER)
    os.setresuid(STRANGER, STRANGER, STRANGER)
    assert [run.status for run in list_runs(Path())] == ["finished"]
    assert why_not_writable(Path()) and list_runs(Path("lost+found")) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_what_may_not_be_read_or_written_is_passed_over(runs, context):
    root, name = runs
    (root / "lost+found").mkdir(mode=0o700)
    # as a kill at the very end leaves it; no lock can be made
    (root / name / "status.json").write_text('{"status": "running"}')
    (root / name / "lock").unlink(missing_ok=True)
    root.chmod(0o755)
    for path in (root / "lost+found", root / name, root):
        os.chown(path, STRANGER + 1, STRANGER + 1)
    process = context.Process(target=look_as_a_stranger, args=(root,))
    process.start()
    process.join(120)
    assert process.exitcode == 0  # what it has said otherwise is shown


def test_tables_that_other_programs_left_are_no_tables(tmp_path):
    old = Path(__file__).parent / "e28eaab" / "parts"
    shutil.copytree(old, tmp_path / "parts")
    rows = len(gather(tmp_path / "parts"))
    (tmp_path / "parts" / "._cat-0.parquet").write_bytes(b"\0\5\26\7")
    shutil.copy(old / "cat-0.parquet", tmp_path / "parts" / "cat-0.sync-conflict-20240101-101010-ABCDEF.parquet")
    shutil.copy(old / "cat-0.parquet", tmp_path / "parts" / "cat-0 (conflicted copy).parquet")
    assert len(gather(tmp_path / "parts")) == rows
    (tmp_path / "parts" / "cow-0.parquet").write_bytes(b"half")
    with pytest.raises(AgeError, match="cannot be read"):
        gather(tmp_path / "parts")
