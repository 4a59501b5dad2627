"""Bundles of runs: the same bits again, and nothing from a stranger's file that is not a run; renaming and deleting."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import resource
import shutil
import signal
import struct
import threading
import zipfile
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image, PngImagePlugin
from safetensors.torch import save_file
from support import build_tiny_sd
from test_runs import SMALL, config, events, same_eraser

from age_core import AgeError, ConceptSet, Eraser, Run, RunFailed, export_bundle, files, import_bundle
from age_core.__main__ import main
from age_core.files import PARTIAL, plain
from age_core.models.eraser import FORMAT
from age_core.runs import bundle as bundles
from age_core.runs.info import describe
from age_core.runs.record import start_run
from age_core.runs.run import list_runs


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return build_tiny_sd(tmp_path_factory.mktemp("tokenizer"), "epsilon")


@pytest.fixture(scope="module")
def kept(tiny, tmp_path_factory) -> Path:
    """A finished run, never changed."""
    run = Run.create(tmp_path_factory.mktemp("kept"), config())
    list(run.record(events(tiny)))
    return run.path


@pytest.fixture
def run(kept, tmp_path) -> Run:
    """A copy of it, to do with as one likes."""
    return Run.open(shutil.copytree(kept, tmp_path / "mine" / "dog-age-001"))


@pytest.fixture(scope="module")
def contents(kept, tmp_path_factory) -> dict[str, bytes]:
    """What a bundle of it holds."""
    with zipfile.ZipFile(export_bundle(Run.open(kept), tmp_path_factory.mktemp("zip") / "dog.zip")) as bundle:
        return {entry.filename: bundle.read(entry) for entry in bundle.infolist()}


@pytest.fixture
def root(tmp_path) -> Path:
    """Where runs are taken in: beside it lies what must stay as it is."""
    (tmp_path / "outside").write_text("keep")
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def packed(contents: dict[str, bytes], path: Path, how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", how) as bundle:
        for name, data in contents.items():
            bundle.writestr(name, data)
    return path


def written(run: Run) -> dict[str, bytes]:
    return {file.relative_to(run.path).as_posix(): file.read_bytes() for file in run.path.rglob("*") if file.is_file()}


def nothing_came_of(path: Path, root: Path, words: str) -> str:
    """The bundle is refused in one sentence, and no file was made or changed, in `root` or beside it."""
    before = {file: file.stat().st_mtime_ns for file in root.parent.rglob("*") if file.is_file()}
    with pytest.raises(AgeError, match=words) as caught:
        import_bundle(path, root)
    said = str(caught.value)
    assert said.endswith(".") and len(said) < 400 and said.isprintable()
    assert {file: file.stat().st_mtime_ns for file in root.parent.rglob("*") if file.is_file()} == before
    assert not list(root.iterdir())
    return said


# --- there and back ---------------------------------------------------------------------------------------------------


def test_a_run_comes_back_to_the_same_bits(run, root, tmp_path):
    path = export_bundle(run, tmp_path / "deep" / "dog.zip")
    again = import_bundle(path, root)
    assert again.path == root / "dog-age-001" and again == Run.open(again.path) and again.config == run.config
    assert again.status == "finished" and same_eraser(again.eraser(), run.eraser())
    assert again.eraser().info == run.eraser().info and again.events() == run.events()
    assert [file.name for file in again.pictures()] == [file.name for file in run.pictures()] and again.pictures()
    assert written(again) == {name: data for name, data in written(run).items() if name != "lock"}
    assert describe(again.path) == describe(run.path)
    assert export_bundle(again, tmp_path / "again.zip").read_bytes() == path.read_bytes()
    assert [found.path for found in list_runs(root)] == [again.path] and len(list(root.iterdir())) == 1


def test_the_zip_holds_neither_the_checkpoint_nor_the_lock_nor_anything_else(tiny, root, tmp_path):
    run = Run.create(tmp_path / "mine", config())
    for event in run.record(events(tiny)):
        if event.step == 5:
            break
    (run.path / "pictures" / "holiday.png").write_bytes(b"mine")
    (run.path / "notes.txt").write_text("mine")
    assert run.checkpoint.exists() and (run.path / "lock").exists()
    with zipfile.ZipFile(export_bundle(run, tmp_path / "x.zip")) as bundle:
        names = bundle.namelist()
    drawn = sorted(f"pictures/{picture}" for event in run.events() for picture in event.pictures)
    assert drawn and names == ["config.json", "status.json", "events.jsonl", *drawn]
    again = import_bundle(tmp_path / "x.zip", root)
    assert (
        again.status == "stopped"
        and again.events() == run.events()
        and not (again.path / "eraser.safetensors").exists()
    )


def test_a_run_that_was_killed_or_failed_can_be_bundled(tiny, root, tmp_path):
    run = Run.create(tmp_path, config())
    for event in run.record(events(tiny)):
        if event.step == 3:
            break
    status = json.loads((run.path / "status.json").read_text())
    with (run.path / "events.jsonl").open("a") as file:
        file.write('{"step": 4, "no')  # as a kill leaves it
    (run.path / "status.json").write_text(json.dumps(status | {"status": "running"}))
    assert import_bundle(export_bundle(run, tmp_path / "killed.zip"), root).status == "stopped"
    (run.path / "status.json").write_text(json.dumps(status | {"status": "failed", "reason": "\x1b[31mCUDA:\n" * 999}))
    again = import_bundle(export_bundle(run, tmp_path / "failed.zip"), root)
    assert again.status.startswith("failed: [31mCUDA: [31mCUDA:") and len(again.status) < 600
    assert len(again.events()) == len(run.events()) and again.path.name == "dog-age-002"
    never = Run.create(tmp_path, config(), "never")
    assert import_bundle(export_bundle(never, tmp_path / "never.zip"), root).events() == []


def test_other_kinds_of_erasers_come_through(kept, contents, root, tmp_path, tiny):
    weight = next(name for name in Eraser.load(kept / "eraser.safetensors").delta if name.endswith("to_k.weight"))
    module = weight.removesuffix(".weight")
    out, wide = tiny.unet.get_parameter(weight).shape
    down, up = torch.randn(2, wide), torch.randn(out, 2)
    factors = {f"{module}.lora_A.weight": down, f"{module}.lora_B.weight": up}
    info = {"concepts": ["dog"], "sharpness": 20.0, "threshold": 0.7}
    erasers = [Eraser({weight: up @ down}, {}, factors), Eraser({}, info, {}, {module: up.T})]
    prompts = {side: torch.randn(2, 20, 32) for side in ("concept", "target")}
    for row, eraser in enumerate([*erasers, Eraser({}, {"concepts": ["dog"]}, prompts=prompts)]):
        eraser.save(tmp_path / "e")
        path = packed(contents | {"eraser.safetensors": (tmp_path / "e").read_bytes()}, tmp_path / f"{row}.zip")
        found = import_bundle(path, root).eraser()
        assert same_eraser(found, eraser) and found.lora.keys() == eraser.lora.keys()
        assert found.directions.keys() == eraser.directions.keys() and found.prompts.keys() == eraser.prompts.keys()


@pytest.mark.parametrize(
    ("method", "names", "asked"),
    [
        ("age", ["dog"], {"train": "lora", "preview_every": 1}),
        ("empty", ["dog", "cat"], {"templates": ("a {noun}",), "lr": 1e-3}),
        ("esd-x", ["dog"], {"target": "cat"}),
        ("uce", ["dog", "cat"], {}),
        ("adavd", ["dog"], {"target": ""}),
        ("casteer", ["dog"], {"target": "cat"}),
        ("dve", ["hot dog", "dog"], {}),
    ],
)
def test_what_the_program_records_it_takes_in(tiny, root, tmp_path, method, names, asked):
    """With the bundled concepts, real requests and closed forms: nothing of them is mistaken for an attack."""
    concepts = ConceptSet.load("emoji")
    small = {"steps": 2, "batch": 2, "pi_batch": 2, "samples": 2, "candidate_samples": 1, "sample_steps": 2, "pool": 3}
    run, stream = start_run(tiny, tmp_path / "mine", method, names, concepts, "tiny", **small, **asked)
    list(stream)
    again = import_bundle(export_bundle(run, tmp_path / "x.zip"), root)
    assert again.config == run.config and again.events() == run.events() and again.status == "finished"
    assert describe(again.path) == describe(run.path)


def test_an_imported_run_that_was_stopped_can_go_on(tiny, kept, root, tmp_path):
    run = Run.create(tmp_path / "mine", config())
    for event in run.record(events(tiny)):
        if event.step == 3:
            break
    again = import_bundle(export_bundle(run, tmp_path / "x.zip"), root)
    assert again.resume_state(again.config) is None  # the checkpoint stayed behind: from the start
    list(again.record(events(tiny)))
    assert again.status == "finished" and same_eraser(again.eraser(), Run.open(kept).eraser())


def test_names_of_imported_runs(contents, root, tmp_path):
    path = packed(contents, tmp_path / "x.zip")
    assert [import_bundle(path, root).path.name for _ in range(2)] == ["dog-age-001", "dog-age-002"]
    assert import_bundle(path, root, "my dog").path == root / "my dog"
    before = sorted(root.rglob("*"))
    for name, words in (("my dog", "exists already"), ("../x", "cannot name"), (".x", "cannot name")):
        with pytest.raises(AgeError, match=words):
            import_bundle(path, root, name)
    assert sorted(root.rglob("*")) == before and not (tmp_path / "x").exists()
    long = json.loads(contents["config.json"]) | {"concepts": ["\U00020000" * 40]}
    path = packed(contents | {"config.json": json.dumps(long).encode()}, tmp_path / "y.zip")
    assert import_bundle(path, root).path.is_dir()  # four bytes a letter


def test_an_existing_file_is_not_replaced(run, tmp_path):
    (tmp_path / "x.zip").write_text("keep")
    with pytest.raises(AgeError, match="exists already"):
        export_bundle(run, tmp_path / "x.zip")
    assert (tmp_path / "x.zip").read_text() == "keep"


def test_a_damaged_run_is_not_bundled(run, tmp_path):
    for name, words in (
        ("eraser.safetensors", "eraser of the run 'dog-age-001' cannot be used: it is damaged"),
        ("pictures/000002-00.png", "picture 000002-00.png of the run .*: it is damaged"),
        ("events.jsonl", "line 1: it is no JSON object"),
        ("status.json", "finished, stopped, failed"),
    ):
        whole = (run.path / name).read_bytes()
        (run.path / name).write_bytes({"events.jsonl": b"[]\n", "status.json": b"{}"}.get(name, whole[:-30]))
        with pytest.raises(AgeError, match=words):
            export_bundle(run, tmp_path / "x.zip")
        (run.path / name).write_bytes(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


# --- hostile zips -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../outside", "lie outside"),
        ("pictures/../../outside", "lie outside"),
        ("/etc/cron.d/x", "lie outside"),
        ("C:/x.png", "lie outside"),
        ("..\\outside", "lie outside"),
        ("pictures\\000001-00.png", "lie outside"),
        ("checkpoint.safetensors", "no run has"),
        ("lock", "no run has"),
        ("pictures/", "no file at all"),
        ("pictures/dog.png", "no run has"),
        ("pictures/000001-00.png.partial", "no run has"),
        ("pictures/000001-00.PNG", "no run has"),
        ("pictures/x/000001-00.png", "no run has"),
        ("pictures/٠٠٠٠٠١-٠٠.png", "no run has"),
        ("000001-00.png", "no run has"),
        ("eraser.pkl", "no run has"),
        ("Config.json", "no run has"),
        ("./config.json", "no run has"),
        ("config.json ", "no run has"),
        ("a" * 3000, "no run has"),
        ("evil\x1b[2J\u202e", "no run has"),
    ],
)
def test_entries_that_no_run_has(contents, root, tmp_path, name, words):
    nothing_came_of(packed(contents | {name: b"evil"}, tmp_path / "x.zip"), root, words)


def spoilt(contents: dict[str, bytes], path: Path, *changes: tuple[bytes, bytes]) -> Path:
    """A zip changed after it was written, the last place of each first."""
    data = packed(contents, path, zipfile.ZIP_STORED).read_bytes()
    for old, new in changes:
        head, found, tail = data.rpartition(old)
        assert found and len(old) == len(new)
        data = head + new + tail
    path.write_bytes(data)
    return path


def test_names_that_zipfile_would_read_otherwise(contents, root, tmp_path):
    name = b"config.json\0.exe"
    path = spoilt(contents | {"config.jsonX.exe": b""}, tmp_path / "x.zip", *[(name.replace(b"\0", b"X"), name)] * 2)
    nothing_came_of(path, root, "no run has")


@pytest.mark.parametrize("mode", [0o120777, 0o040755, 0o010644, 0o020644])
def test_links_and_devices(contents, root, tmp_path, mode):
    with zipfile.ZipFile(packed(contents, tmp_path / "x.zip"), "a") as bundle:
        link = zipfile.ZipInfo("pictures/000099-00.png")
        link.external_attr = mode << 16
        bundle.writestr(link, "../../../outside")
    nothing_came_of(tmp_path / "x.zip", root, "a link or no file")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_entry_twice(contents, root, tmp_path):
    with zipfile.ZipFile(packed(contents, tmp_path / "x.zip"), "a") as bundle:
        bundle.writestr("config.json", b"{}")
    nothing_came_of(tmp_path / "x.zip", root, "'config.json' twice")


@pytest.mark.parametrize(("at", "value", "words"), [(8, 1, "password"), (8, 0x2000, "password"), (10, 12, "unusual")])
def test_encrypted_and_strangely_packed_entries(contents, root, tmp_path, at, value, words):
    path = packed(contents, tmp_path / "x.zip")
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\1\2") + at  # in the list; the entries' own headers are read later
    data[place : place + 2] = struct.pack("<H", value)
    path.write_bytes(data)
    nothing_came_of(path, root, words)


def test_files_that_are_no_zip(contents, root, tmp_path):
    path = tmp_path / "x.zip"
    whole = packed(contents, path).read_bytes()
    for data in (b"", b"hello", b"PK\5\6", whole[:100], whole[: len(whole) // 2], whole[:-1], whole + b"x"):
        path.write_bytes(data)
        nothing_came_of(path, root, "no bundle, or cut short")
    for data in (whole[1000:], whole[:-16] + b"\xff\xff" * 8):
        path.write_bytes(data[:-2] + b"\0\0")  # the end says that nothing follows it
        nothing_came_of(path, root, "damaged|too large")
    nothing_came_of(tmp_path / "absent.zip", root, "no file 'absent.zip'")
    nothing_came_of(root, root, "no file")


def test_an_empty_zip_or_one_without_a_run(contents, root, tmp_path):
    nothing_came_of(packed({}, tmp_path / "x.zip"), root, "config.json is missing")
    for name in ("config.json", "status.json"):
        path = packed({k: v for k, v in contents.items() if k != name}, tmp_path / "y.zip")
        nothing_came_of(path, root, f"{name} is missing")


@pytest.mark.parametrize("name", ["config.json", "events.jsonl", "eraser.safetensors", "pictures/000002-00.png"])
@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_bit_is_found(contents, root, tmp_path, name, how):
    path = packed(contents, tmp_path / "x.zip", how)
    with zipfile.ZipFile(path) as bundle:
        entry = bundle.getinfo(name)
    data = bytearray(path.read_bytes())
    data[entry.header_offset + 30 + len(name) + entry.compress_size // 2] ^= 4
    path.write_bytes(data)
    nothing_came_of(path, root, f"damaged: {name} cannot be unpacked")


# --- too much ---------------------------------------------------------------------------------------------------------


def test_bombs_are_refused_by_what_they_say(contents, root, tmp_path):
    bomb = packed(contents | {"events.jsonl": bytes(40_000_000)}, tmp_path / "x.zip")
    assert bomb.stat().st_size < 2_000_000
    nothing_came_of(bomb, root, "too large: events.jsonl has 40.0 MB, 33.6 MB")
    nothing_came_of(packed(contents | {"config.json": bytes(70_000)}, bomb), root, "too large: config.json")


def test_bombs_that_lie_are_never_unpacked(contents, root, tmp_path):
    """The list says 100 bytes, the stream holds 40 million; and the other way round."""
    for said in (100, 2**25):
        path = packed(contents | {"events.jsonl": bytes(40_000_000 if said == 100 else 100)}, tmp_path / "x.zip")
        data = bytearray(path.read_bytes())
        for mark, size, name in ((b"PK\3\4", 22, 30), (b"PK\1\2", 24, 46)):
            at = data.index(mark)
            while data[at + name : at + name + 12] != b"events.jsonl":
                at = data.index(mark, at + 1)
            data[at + size : at + size + 4] = struct.pack("<I", said)
        path.write_bytes(data)
        nothing_came_of(path, root, "damaged: events.jsonl")


def test_all_together_may_not_be_too_much(run, contents, root, tmp_path, monkeypatch):
    path = packed(contents, tmp_path / "x.zip")
    monkeypatch.setattr(bundles, "MAX_BYTES", sum(map(len, contents.values())) - 1)
    nothing_came_of(path, root, "too large: all of it")
    with pytest.raises(AgeError, match="'dog-age-001' is too large: all of it"):
        export_bundle(run, tmp_path / "y.zip")
    monkeypatch.setattr(bundles, "MAX_BYTES", sum(map(len, contents.values())))
    assert import_bundle(path, root).status == "finished"


def test_too_many_entries(run, contents, root, tmp_path, monkeypatch):
    path = packed(contents, tmp_path / "x.zip")
    monkeypatch.setattr(bundles, "MAX_FILES", len(contents) - 1)
    nothing_came_of(path, root, f"holds {len(contents)} files")
    with pytest.raises(AgeError, match="may hold"):
        export_bundle(run, tmp_path / "y.zip")


def test_a_list_longer_than_memory_is_not_read(contents, root, tmp_path, monkeypatch):
    """Refused before zipfile makes an object of each entry."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as bundle:
        for row in range(bundles.MAX_FILES * bundles.LISTED // 76 + 100):
            bundle.writestr(f"pictures/{row:021d}", b"")
    monkeypatch.setattr(bundles, "ZipFile", None)
    nothing_came_of(path, root, "'x.zip' is too large")
    whole = packed(contents, path).read_bytes()  # and where the list is announced by a second, longer end
    path.write_bytes(whole[:-22] + struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1) + whole[-22:])
    nothing_came_of(path, root, "'x.zip' is too large")


def test_a_comment_at_the_end_of_a_bundle_is_passed_over(contents, root, tmp_path):
    path = packed(contents, tmp_path / "x.zip")
    for comment in (b"packed by ann", b"x" * (2**16 - 1), b"PK"):
        with zipfile.ZipFile(path, "a") as bundle:
            bundle.comment = comment
        assert import_bundle(path, root).status == "finished"
    data = path.read_bytes()
    for damaged in (data[:-1], data + b"x", data[:-2] + b"PK\5\6"):  # another length than is said; another end
        path.write_bytes(damaged)
        before = list_runs(root)
        with pytest.raises(AgeError, match="no bundle, or cut short"):
            import_bundle(path, root)
        assert list_runs(root) == before


# --- hostile contents -------------------------------------------------------------------------------------------------


def documents(contents: dict[str, bytes], name: str, change) -> dict[str, bytes]:
    """The bundle with a document changed; of the events the last."""
    *before, last = contents[name].strip().splitlines() if name == "events.jsonl" else [contents[name]]
    data = change(last) if callable(change) else json.dumps(json.loads(last) | change).encode()
    return contents | {name: b"".join(line + b"\n" for line in (*before, data))}


def inside(name: str, **changes) -> dict:
    return {name: json.loads(json.dumps(asdict(config())))[name] | changes}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _: b"", "Expecting value"),
        (lambda _: b"\xff\xfe", "can't decode"),
        (lambda _: b"[]", "no JSON object"),
        (lambda _: b"[" * 30_000, "nested too deeply"),
        (lambda data: data[:-1] + b', "more": 1}', "written by another version"),
        (lambda _: b"{}", "written by another version"),
        ({"concepts": "dog"}, "written by another version"),
        ({"options": []}, "written by another version"),
        ({"concepts": []}, "names no concept"),
        ({"concepts": [" "]}, "names no concept"),
        ({"concepts": ["dog", 3]}, "'concepts' cannot be"),
        ({"concepts": ["dog\n"]}, "control character"),
        ({"concepts": ["dog\x1b[2J"]}, "control character"),
        ({"concepts": ["dog\u202egod"]}, "control character"),
        ({"concepts": ["dog\ud800"]}, "control character"),
        ({"concepts": ["d" * 501]}, "longer than 500"),
        ({"method": "../../x"}, "names no method"),
        ({"method": 3}, "'method' cannot be"),
        ({"seed": 1.5}, "'seed' cannot be"),
        ({"seed": True}, "'seed' cannot be"),
        ({"seed": 2**63}, "too large"),
        (lambda data: data.replace(b'"seed": 0,', b'"seed": 1' + b"0" * 5000 + b",", 1), "digits"),
        ({"trained_parameters": "many"}, "'trained_parameters' cannot be"),
        ({"created": "tomorrow"}, "isoformat"),
        ({"machine": {"threads": 4}}, "'machine' cannot be"),
        ({"versions": {"torch\n": "2"}}, "control character"),
        ({"request": {"pipe": "x"}}, "nobody can ask for 'pipe'"),
        ({"request": {"pool": "4"}}, "preset, target or pool"),
        ({"request": {"target": ["x"]}}, "preset, target or pool"),
        ({"request": {"batch": "many"}}, "'batch' cannot be"),
        ({"request": {"templates": ["{noun}{noun:>999999999999}"]}}, "no other brace"),
        ({"options": {}}, "'steps' is missing"),
        (inside("options", steps=0), "at least 1"),
        (inside("options", lr="fast"), "'lr' cannot be"),
        (inside("options", target="elsewhere"), "Unknown target"),
        (inside("options", templates=["{noun.__class__}{noun}"]), "no other brace"),
        (inside("options", templates=["{noun}{noun!r}"]), "no other brace"),
        (inside("options", templates=["{noun}{"]), "no other brace"),
        (inside("options", new={"a": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}}), "nested too deeply"),
        (lambda data: data.replace(b"0.001", b"NaN"), "NaN is no number"),
        (lambda data: data.replace(b"0.001", b"-Infinity"), "-Infinity is no number"),
        (lambda data: data.replace(b"0.001", b"1e999"), "not finite"),
    ],
)
def test_configurations_that_are_none(contents, root, tmp_path, change, words):
    said = nothing_came_of(packed(documents(contents, "config.json", change), tmp_path / "x.zip"), root, words)
    assert "of the run 'x'" in said or "The run 'x'" in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _: b"null", "no JSON object"),
        ({"status": "running"}, "finished, stopped, failed"),
        ({"status": None}, "finished, stopped, failed"),
        ({"reason": 3}, "no text"),
        ({"reason": "a\rb"}, "control character"),
        ({"updated": []}, "no text"),
        ({"step": "last"}, "no numbers"),
    ],
)
def test_statuses_that_are_none(contents, root, tmp_path, change, words):
    nothing_came_of(packed(documents(contents, "status.json", change), tmp_path / "x.zip"), root, words)


def test_a_finished_run_has_an_eraser(contents, root, tmp_path):
    del (without := dict(contents))["eraser.safetensors"]
    nothing_came_of(packed(without, tmp_path / "x.zip"), root, "says finished, but there is no eraser")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _: b"", "line 8: Expecting value"),
        (lambda _: b"7", "line 8: it is no JSON object"),
        (lambda _: b"{}", "which step"),
        ({"step": "1"}, "which step"),
        ({"step": 1.0}, "which step"),
        ({"step": True}, "which step"),
        ({"step": -1}, "which step"),
        ({"steps": None}, "which step"),
        ({"entropy": float("nan")}, "NaN is no number"),
        (lambda data: data.replace(b'"entropy": ', b'"entropy": 1e999, "x": '), "not finite"),
        ({"entropy": "low"}, "'entropy' cannot be"),
        ({"candidates": "dog"}, "'candidates' cannot be"),
        ({"candidates": ["a\0"]}, "control character"),
        ({"shares": [0.5]}, "more or fewer"),
        ({"shares": ["a", "b", "c", "d"]}, "'probabilities' cannot be"),
        ({"note": "x" * 501}, "longer than 500"),
        ({"pictures": ["../../../etc/passwd"]}, "pictures that are not there"),
        ({"pictures": ["000099-00.png"]}, "pictures that are not there"),
        ({"pictures": "000002-00.png"}, "pictures that are not there"),
        ({"pictures": None}, "pictures that are not there"),
        ({"eraser": "x"}, "a file of its own"),
    ],
)
def test_events_that_are_none(contents, root, tmp_path, change, words):
    nothing_came_of(packed(documents(contents, "events.jsonl", change), tmp_path / "x.zip"), root, words)


def test_a_last_line_cut_short(contents, root, tmp_path):
    short = contents | {"events.jsonl": contents["events.jsonl"][:-1]}
    nothing_came_of(packed(short, tmp_path / "x.zip"), root, "last line is cut short")


def png(size=(8, 8), mode="RGB", **options) -> bytes:
    Image.new(mode, size, 3).save(file := io.BytesIO(), "PNG", **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zipfile.crc32(kind + data))


def noted() -> PngImagePlugin.PngInfo:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("comment", "hello " * 1000, zip=True)
    return notes


def claiming(width: int, height: int) -> bytes:
    whole = png()
    return whole[:8] + chunk(b"IHDR", struct.pack(">II", width, height) + whole[24:29]) + whole[33:]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: b"", "no PNG"),
        (lambda: b"GIF89a" + bytes(50), "no PNG"),
        (lambda: png()[:8], "damaged"),
        (lambda: png()[:-13], "damaged"),
        (lambda: png() + b"PK\5\6", "damaged"),
        (lambda: png()[:-12] + b"<script>alert(1)</script>", "damaged"),
        (lambda: png() + chunk(b"IDAT", b"more"), "besides one picture"),
        (lambda: png(pnginfo=noted()), "besides one picture"),
        (lambda: png(save_all=True, append_images=[Image.new("RGB", (8, 8))]), "besides one picture"),
        (lambda: png()[:8] + chunk(b"IEND", b""), "besides one picture"),
        (lambda: png()[:8] + chunk(b"IHDR", b"") + png()[33:], "pixels"),
        (lambda: png((1025, 1024)), "1025 x 1024 pixels"),
        (lambda: claiming(2**31 - 1, 2**31 - 1), "pixels"),
        (lambda: claiming(0, 8), "damaged"),
        (lambda: claiming(100, 100), "damaged"),
        (lambda: png()[:33] + chunk(b"IDAT", b"nothing packed") + chunk(b"IEND", b""), "damaged"),
    ],
)
def test_pictures_that_are_none(contents, root, tmp_path, make, words):
    path = packed(contents | {"pictures/000002-00.png": make()}, tmp_path / "x.zip")
    nothing_came_of(path, root, f"picture 000002-00.png of the run 'x' .*{words}")


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1"])
def test_pictures_of_every_kind_come_through(contents, root, tmp_path, mode):
    whole = png((9, 1024), mode)
    run = import_bundle(packed(contents | {"pictures/000002-00.png": whole}, tmp_path / "x.zip"), root)
    assert run.pictures()[0].read_bytes() == whole


def weights(tensors: dict[str, torch.Tensor], mark: str = FORMAT, info: str = "{}"):
    def make(path: Path) -> None:
        save_file(tensors, path, metadata={"format": mark, "info": info})

    return make


ONE, K, A, B = torch.ones(2, 2), "delta:a.to_k.weight", "lora:a.to_k.lora_A.weight", "lora:a.to_k.lora_B.weight"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.write_bytes(b"hello" * 100), "header is too long"),
        (lambda path: path.write_bytes(struct.pack("<Q", 2**40)), "header is too long"),
        (lambda path: path.write_bytes(struct.pack("<Q", 10) + b"{not json}"), "damaged"),
        (lambda path: torch.save({"a": ONE}, path), "header is too long|damaged"),
        (lambda path: save_file({K: ONE}, path), "damaged, or no eraser"),
        (weights({K: ONE}, "age-checkpoint-1"), "damaged, or no eraser"),
        (weights({"other:a": ONE}), "damaged, or no eraser"),
        (weights({"a": ONE}), "damaged, or no eraser"),
        (weights({K: ONE}, info="{"), "damaged, or no eraser"),
        (weights({K: ONE}, info="[" * 9999), "damaged, or no eraser"),
        (weights({K: ONE}, info="[]"), "where it came from"),
        (weights({K: ONE}, info='{"concept": "a\\u0007"}'), "control character"),
        (weights({K: ONE}, info='{"concepts": 3}'), "no words"),
        (weights({K: ONE}, info='{"concept": 3}'), "no words"),
        (weights({K: ONE}, info='{"strength": "1"}'), "how it acts"),
        (weights({K: ONE}, info='{"strength": NaN}'), "not finite"),
        (weights({}), "changes nothing"),
        (weights({K: ONE * torch.inf}), "is not finite"),
        (weights({K: ONE * torch.nan}), "is not finite"),
        (weights({K: ONE.long()}), "strange shape"),
        (weights({K: torch.ones(0, 2)}), "strange shape"),
        (weights({K: torch.tensor(1.0)}), "strange shape"),
        (weights({K: torch.ones(1, 1, 1, 1, 1)}), "strange shape"),
        (weights({"delta:../a": ONE}), "names no weight"),
        (weights({"delta:" + "a" * 501: ONE}), "names no weight"),
        (weights({"delta:": ONE}), "names no weight"),
        (weights({K: ONE, A: ONE.clone()}), "no low-rank factor"),
        (weights({A: ONE, B: ONE.clone(), "delta:b": ONE.clone()}), "no low-rank factor"),
        (weights({K: ONE, A: ONE[:1].clone(), B: ONE.clone()}), "shape of its change"),
        (weights({"directions:a.to_v": ONE}), "how it acts"),
        (weights({"directions:a.to_v": ONE[0].clone()}, info='{"sharpness": 1, "threshold": 0}'), "no directions"),
        (weights({"prompts:concept": torch.ones(1, 2, 2)}), "no pairs"),
        (weights({"prompts:concept": torch.ones(1, 2, 2), "prompts:other": torch.ones(1, 2, 2)}), "no pairs"),
        (weights({"prompts:concept": torch.ones(1, 2, 2), "prompts:target": torch.ones(2, 2, 2)}), "no pairs"),
        (weights({"prompts:concept": ONE, "prompts:target": ONE.clone()}), "no pairs"),
        (weights({"prompts:concept": torch.ones(1, 2, 2) * torch.nan}), "is not finite"),
    ],
)
def test_erasers_that_are_none(contents, root, tmp_path, make, words):
    make(tmp_path / "eraser")
    path = packed(contents | {"eraser.safetensors": (tmp_path / "eraser").read_bytes()}, tmp_path / "x.zip")
    (tmp_path / "eraser").unlink()
    nothing_came_of(path, root, f"eraser of the run 'x' cannot be used: .*{words}")


def test_whatever_is_changed_only_runs_come_out(contents, root, tmp_path):
    """Five hundred random changes, inside the documents and to the zip itself: a run that opens, or one sentence."""
    chance, taken, path = random.Random(0), 0, tmp_path / "x.zip"
    tokens = [
        b"null",
        b"-1",
        b"1e999",
        b"[]",
        b"{}",
        b'"\\ud800"',
        b"true",
        b'""',
        b"\n",
        b"\xff",
        b",",
        b'"',
        b"9" * 30,
    ]
    small = {name: data for name, data in contents.items() if "0000" not in name or "000002-00" in name}
    lines = [line for line in small["events.jsonl"].splitlines(True) if b".png" not in line]
    small["events.jsonl"] = b"".join(lines[-2:])
    for turn in range(500):
        changed, name = dict(small), chance.choice(["config.json", "status.json", "events.jsonl", "eraser.safetensors"])
        at = chance.randrange(min(len(changed[name]), 4000))
        end = at + chance.choice([0, 1, 1, 5])
        if turn % 2:
            changed[name] = changed[name][:at] + chance.choice(tokens) + changed[name][end:]
        data = bytearray(packed(changed, path, zipfile.ZIP_STORED).read_bytes())
        if not turn % 2:
            for _ in range(chance.choice([1, 2, 8])):  # mostly in the list and the last entries
                data[-chance.randrange(1, 1500)] = chance.randrange(256)
        path.write_bytes(data)
        try:
            run = import_bundle(path, root)
        except AgeError as error:
            assert len(str(error)) < 400 and str(error).isprintable(), error
            assert not list(root.iterdir())
            continue
        taken += 1
        assert describe(run.path)["status"] == run.status and run.path.parent == root
        assert list_runs(root) == [run] and all(event.step >= 0 for event in run.events())
        run.delete()
        assert not list(root.iterdir())
    assert 25 < taken < 475  # so both happened


# --- kills, full disks, two at once -----------------------------------------------------------------------------------


def take_in(path: Path, root: Path, point: str) -> None:
    """Import in a process that dies at `point`."""

    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    def dying(module, name: str, number: int) -> None:
        calls, original = iter(range(1, 1000)), getattr(module, name)
        setattr(module, name, lambda *args, **named: (die if next(calls) == number else original)(*args, **named))

    name, _, number = point.partition(":")
    if name == "rename":
        files.os = bundles.os = SimpleNamespace(**vars(os))
        dying(files.os, "rename", int(number))
    else:
        dying(files if name == "sync" else bundles, name, int(number))
    import_bundle(path, root)


@pytest.mark.parametrize(
    "point", ["_unpack:1", "_unpack:4", "check_documents:1", "check_eraser:1", "rename:1", "sync:3", "rename:2"]
)
def test_a_killed_import_leaves_no_run_and_the_next_one_works(contents, root, tmp_path, context, point):
    path = packed(contents, tmp_path / "x.zip")
    process = context.Process(target=take_in, args=(path, root, point))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL  # so the point was reached
    assert list_runs(root) == [] and all(left.name.startswith(".") for left in root.iterdir())
    run = import_bundle(path, root)
    assert run.path.name == "dog-age-001" and list_runs(root) == [run] and list(root.iterdir()) == [run.path]
    assert run.status == "finished"


def test_a_full_disk_leaves_nothing(run, contents, root, tmp_path, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = packed(contents, tmp_path / "x.zip")
    with monkeypatch.context() as patch:
        patch.setattr(files, "sync", full)
        with pytest.raises(RunFailed, match=r"'x.zip' could not be written: the disk is full"):
            import_bundle(path, root)
        with pytest.raises(RunFailed, match=r"bundle 'y.zip' could not be written: the disk is full"):
            export_bundle(run, tmp_path / "y.zip")
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(contents["eraser.safetensors"]) - 1, hard))  # a real one
        with pytest.raises(RunFailed, match="could not be written: File too large"):
            import_bundle(path, root)
        with pytest.raises(RunFailed, match="could not be written: File too large"):
            export_bundle(run, tmp_path / "y.zip")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))
    assert not list(root.iterdir()) and not list(tmp_path.glob("y.zip*"))
    import_bundle(export_bundle(run, tmp_path / "y.zip"), root)


def test_room_is_asked_for_before_anything_is_written(contents, root, tmp_path, monkeypatch):
    monkeypatch.setattr(bundles.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    monkeypatch.setattr(bundles, "_incoming", None)
    nothing_came_of(packed(contents, tmp_path / "x.zip"), root, r"needs \d+ MB in 'runs'; 0 MB are free")


def test_imports_at_once_do_not_mix(contents, root, tmp_path):
    """Strangers' files at the same time, some of them bad, into one folder."""
    good = packed(contents, tmp_path / "good.zip")
    bad = packed(contents | {"pictures/000006-00.png": b"evil"}, tmp_path / "bad.zip")
    said = []

    def take(path: Path) -> None:
        try:
            said.append(import_bundle(path, root).path.name)
        except AgeError as error:
            said.append(str(error)[:29])

    threads = [threading.Thread(target=take, args=(path,)) for path in (good, bad) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["The picture 000006-00.png of t"[:29]] * 4 + [f"dog-age-00{row}" for row in range(1, 5)]
    assert all(
        {n: d for n, d in written(run).items() if n != "status.json"}
        == {n: d for n, d in contents.items() if n != "status.json"}
        for run in list_runs(root)
    )
    assert len(list(root.iterdir())) == 4


def test_links_planted_where_it_will_be_unpacked_are_not_followed(contents, root, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (root / f".-import{PARTIAL}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunFailed, match="could not be written: File exists"):
        import_bundle(packed(contents, tmp_path / "x.zip"), root)
    assert not list((tmp_path / "elsewhere").iterdir())


# --- renaming and deleting --------------------------------------------------------------------------------------------


def test_renaming(run):
    renamed = run.rename("my dog")
    assert renamed.path == run.path.with_name("my dog") and Run.open(renamed.path) == renamed
    assert renamed.status == "finished" and not run.path.exists()
    assert [found.path.name for found in list_runs(run.path.parent)] == ["my dog"]
    other = Run.create(run.path.parent, config())
    (run.path.parent / "dangling").symlink_to("nowhere")
    for name, words in (
        ("my dog", "exists already"),
        ("dangling", "exists already"),
        ("../x", "cannot name"),
        ("", "cannot name"),
    ):
        with pytest.raises(AgeError, match=words):
            other.rename(name)
    assert Run.open(other.path) == other
    with pytest.raises(RunFailed, match="'dog-age-001' could not be renamed: No such file"):
        Run(run.path.parent / "gone" / "dog-age-001", run.config).rename("x")


def test_a_run_that_is_being_recorded_stays_as_it_is(tiny, tmp_path):
    run = Run.create(tmp_path / "runs", config())
    stream = run.record(events(tiny))
    next(stream)
    for act in (run.delete, lambda: run.rename("x"), lambda: export_bundle(run, tmp_path / "x.zip")):
        with pytest.raises(AgeError, match="being recorded by another process"):
            act()
    assert run.status == "running" and [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert [found.path for found in list_runs(tmp_path / "runs")] == [run.path]
    stream.close()
    run.rename("x").delete()
    assert not list((tmp_path / "runs").iterdir())


def test_deleting_follows_no_link(run, tmp_path):
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "file").write_text("keep")
    (run.path / "to-file").symlink_to(outside / "deep" / "file")
    (run.path / "to-folder").symlink_to(outside)
    shutil.rmtree(run.path / "pictures")
    (run.path / "pictures").symlink_to(outside / "deep")
    os.link(outside / "deep" / "file", run.path / "hard")
    linked = run.path.parent / "linked"
    linked.symlink_to(run.path)
    with pytest.raises(AgeError, match="'linked' is a link to another folder"):
        Run.open(linked).delete()
    run.delete()
    assert (outside / "deep" / "file").read_text() == "keep" and list(run.path.parent.iterdir()) == [linked]
    with pytest.raises(RunFailed, match="could not be deleted: No such file"):
        run.delete()


def test_a_lock_that_is_a_link_is_not_opened(run, tmp_path):
    (tmp_path / "outside").write_text("keep")
    (run.path / "lock").unlink()
    (run.path / "lock").symlink_to(tmp_path / "outside")
    for act in (run.delete, lambda: run.rename("x"), lambda: export_bundle(run, tmp_path / "x.zip")):
        with pytest.raises(RunFailed, match="could not be"):
            act()
    assert (tmp_path / "outside").read_text() == "keep" and run.path.exists()


def remove(path: Path) -> None:
    """Delete in a process that dies when half of it is gone."""

    def half(folder, **_):
        for file in sorted(Path(folder).rglob("*"))[::2]:
            if file.is_file():
                file.unlink()
        os.kill(os.getpid(), signal.SIGKILL)

    files.shutil = SimpleNamespace(rmtree=half)
    Run.open(path).delete()


def test_a_killed_deletion_leaves_no_run_and_the_next_one_finishes_it(run, context):
    other = Run.create(run.path.parent, config(), "other")
    process = context.Process(target=remove, args=(run.path,))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL and not run.path.exists()
    (left,) = [path for path in run.path.parent.iterdir() if path != other.path]
    assert left.name.startswith(".") and list(left.iterdir()) and list_runs(run.path.parent) == [other]
    again = Run.create(run.path.parent, config(), run.path.name)  # the name is free at once
    other.delete()
    assert list(run.path.parent.iterdir()) == [again.path]


def test_what_cannot_be_deleted_is_said(run, monkeypatch):
    def refuse(path, ignore_errors=False):
        if not ignore_errors:
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files.shutil, "rmtree", refuse)
    with pytest.raises(RunFailed, match="'dog-age-001' could not be deleted: Permission denied"):
        run.delete()
    assert list_runs(run.path.parent) == []


def test_hidden_folders_are_no_runs(run):
    shutil.copytree(run.path, run.path.parent / f".cat-age-001{PARTIAL}")
    shutil.copytree(run.path, run.path.parent / ".hidden")
    assert list_runs(run.path.parent) == [run]


# --- the command line -------------------------------------------------------------------------------------------------


def test_from_the_command_line(run, root, tmp_path, capsys):
    out = tmp_path / "dog.zip"
    assert main(["bundle", str(run.path), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"bundled {run.path} in {out}\n"
    assert main(["bundle", str(run.path), "--out", str(tmp_path / "b.zip"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"run": str(run.path), "bundle": str(tmp_path / "b.zip"), "bytes": out.stat().st_size}
    assert main(["import", str(out), "--root", str(root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["run"] == str(root / "dog-age-001") and found["status"] == "finished"
    assert found["config"] == plain(asdict(run.config))
    assert main(["import", str(out), "--root", str(root), "--name", "my dog"]) == 0
    assert capsys.readouterr().out == f"imported {out} as {root / 'my dog'}, finished\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bundle", "absent", "--out", "x.zip"], "no run folder"),
        (["bundle", "dog-age-001", "--out", "taken.zip"], "exists already"),
        (["import", "absent.zip"], "no file 'absent.zip'"),
        (["import", "taken.zip"], "no bundle, or cut short"),
        (["import", "taken.zip", "--name", "../x"], "cannot name"),
    ],
)
def test_bad_input_is_one_sentence_and_code_2(run, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(run.path.parent)
    Path("taken.zip").write_text("keep")
    assert main([*arguments, "--json"]) == 2
    captured = capsys.readouterr()
    assert words in json.loads(captured.out)["error"] and words in captured.err and "Traceback" not in captured.err
    assert sorted(path.name for path in Path().iterdir()) == ["dog-age-001", "taken.zip"]


def test_options_that_another_version_has_are_let_be(contents, root, tmp_path):
    changed = inside("options", quantum=[1, {"a": "b"}])
    del changed["options"]["pi_lr"]
    run = import_bundle(packed(documents(contents, "config.json", changed), tmp_path / "x.zip"), root)
    assert run.config.options["quantum"] and run.config.options["steps"] == SMALL.steps
