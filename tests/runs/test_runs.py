"""Run folders survive what happens to long runs: kills at any point, full disks, divergence, other models."""

from __future__ import annotations

import errno
import json
import math
import os
import pickle
import signal
import subprocess
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from support import SMALL as FEWER_STEPS
from support import WORDS, build_tiny_sd

from age_core import AgeError, Vocabulary, erase, files
from age_core.erasure import events as event_lines
from age_core.errors import RunFailed
from age_core.files import plain
from age_core.models import eraser as weights
from age_core.runs import checkpoint
from age_core.runs import status as statuses
from age_core.runs.config import RunConfig
from age_core.runs.run import Run, list_runs, load_eraser

SMALL = replace(FEWER_STEPS, steps=7, checkpoint_every=2)


def config(options=SMALL, **changes) -> RunConfig:
    wanted = {
        "method": "age",
        "concepts": ("dog",),
        "options": plain(asdict(options)),
        "request": {"pool": 4},
        "seed": 0,
        "vocabulary": "v1",
        "world": "tiny",
        "model": "tiny",
        "model_class": "StableDiffusionPipeline",
        "model_identity": "m1",
        "trained_parameters": 1000,
        "versions": {},
        "machine": {},
        "created": "2025-01-01T00:00:00",
    }
    return RunConfig(**wanted | changes)


def events(pipe, options=SMALL, resume=None):
    return erase(pipe, "dog", Vocabulary(WORDS).near(pipe, "dog", 4), options, resume)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return build_tiny_sd(tmp_path_factory.mktemp("tokenizer"), "epsilon")


@pytest.fixture(scope="module")
def uninterrupted(tiny):
    return list(events(tiny))


@pytest.fixture(scope="module")
def states(uninterrupted):
    """The states that a checkpoint can hold, by their steps."""
    return {event.step: event.state for event in uninterrupted[:-1] if event.state}


@pytest.fixture(scope="module")
def rest(tiny, uninterrupted, states):
    """What is trained from each of these states on, by its step: to the same bits as without an interruption."""
    trained = {step: list(events(tiny, resume=state)) for step, state in states.items()}
    assert trained and all(same_eraser(rest[-1].eraser, uninterrupted[-1].eraser) for rest in trained.values())
    return {0: uninterrupted} | trained


@pytest.fixture
def go_on(states, rest):
    """Go on with a run from its checkpoint, which must hold its state bit for bit; returns its step and the events."""

    def recorded(run):
        state = run.resume_state(run.config)
        step = state.step if state else 0
        assert state is None or same_tensors(state.tensors, states[step].tensors)
        return step, list(run.record(rest[step], state))

    return recorded


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "runs", config())


def same_tensors(one, other):
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def same_eraser(one, other):
    return same_tensors(one.delta, other.delta)


def test_a_run_tells_everything_that_happened(tiny, run, uninterrupted):
    passed = list(run.record(events(tiny)))
    assert [event.step for event in passed] == [event.step for event in uninterrupted]
    again = Run.open(run.path)
    assert again.config == run.config and again.status == "finished"
    recorded = again.events()
    assert recorded == [replace(event, previews=(), state=None, eraser=None) for event in passed]
    assert [event.step for event in recorded] == [event.step for event in uninterrupted]
    assert math.isnan(recorded[0].loss_erase) and "NaN" not in (run.path / "events.jsonl").read_text()
    names = [path.name for path in again.pictures()]
    assert list(recorded[-1].pictures) == names[-len(passed[-1].previews) :] == list(passed[-1].pictures)
    assert same_eraser(again.eraser(), uninterrupted[-1].eraser) and same_eraser(
        load_eraser(run.path), passed[-1].eraser
    )
    assert not run.checkpoint.exists()
    with pytest.raises(AgeError, match="finished"):
        again.resume_state(again.config)


# --- kills: each takes the process down by SIGKILL at the named point -------------------------------------------------


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def half_then_die(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content[: len(content) // 2])
        file.flush()
    die()


def on_call(number: int, act, original):
    """`original`, but its call of that number is `act` instead."""
    calls = iter(range(1, 10_000))
    return lambda *args, **named: (act if next(calls) == number else original)(*args, **named)


def spoil(point: str) -> int:
    """Arrange a death at `point`; returns the step after which to die, if any."""
    name, _, number = point.partition(":")
    if name == "after step":
        return int(number)
    if name == "inside checkpoint":
        act = lambda tensors, path, **_: half_then_die(path, b"x" * 5000)  # noqa: E731
        checkpoint.save_file = on_call(int(number), act, checkpoint.save_file)
    if name == "before replacing":
        files.os = type(
            "os", (), {**vars(os), "replace": staticmethod(on_call(int(number), lambda *_: die(), os.replace))}
        )
    if name == "inside eraser":
        weights.save_file = lambda tensors, path, **_: half_then_die(path, b"x" * 5000)
    if name == "before status":
        write = statuses.write_json
        statuses.write_json = lambda path, value: die() if value.get("status") == "finished" else write(path, value)
    if name == "inside line":

        def dumps(value, **options):
            text = json.dumps(value, **options)
            if value.get("step") != int(number):
                return text
            with Path(os.environ["RUN_PATH"], "events.jsonl").open("a") as file:
                file.write(text[: len(text) // 2])
            die()

        event_lines.json = type("json", (), {"dumps": staticmethod(dumps), "loads": staticmethod(json.loads)})
    return -1


def record_and_die(path: Path, trained: bytes, point: str) -> None:
    """Record what was `trained` already: a kill meets what is written, and the training knows of no file."""
    os.environ["RUN_PATH"] = str(path)
    last = spoil(point)
    for event in Run.open(path).record(pickle.loads(trained)):
        if event.step == last:
            die()


def train_and_record(path: Path, tokenizer: Path, threads: int) -> None:
    torch.set_num_threads(threads)
    pipe, run = build_tiny_sd(tokenizer, "epsilon"), Run.open(path)
    state = run.resume_state(run.config)
    list(run.record(events(pipe, resume=state), state))


@pytest.fixture(scope="module")
def trained(uninterrupted) -> bytes:
    """For other processes, which are handed bytes."""
    return pickle.dumps(uninterrupted)


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ("after step:0", 0),
        ("after step:1", 0),
        ("after step:2", 2),
        ("after step:5", 4),
        ("inside line:1", 0),
        ("inside line:4", 2),
        ("inside checkpoint:1", 0),
        ("inside checkpoint:2", 2),
        ("inside checkpoint:3", 4),
        *((f"before replacing:{number}", None) for number in range(1, 26, 2)),
        ("inside eraser", 6),
        ("before status", None),
    ],
)
def test_killed_anywhere_a_run_is_readable_and_ends_in_the_same_bits(
    uninterrupted, trained, run, go_on, context, point, expected
):
    process = context.Process(target=record_and_die, args=(run.path, trained, point))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL  # so the point was reached
    again = Run.open(run.path)
    assert again.status in ("stopped", "finished") and again.config == run.config
    steps = [event.step for event in again.events() if event.step]
    assert steps == list(range(1, len(steps) + 1))
    for picture in again.pictures():
        assert picture.read_bytes().endswith(b"IEND\xaeB`\x82")
    if (run.path / "eraser.safetensors").exists():  # killed after the work was done
        assert again.status == "finished" and same_eraser(again.eraser(), uninterrupted[-1].eraser)
        return
    step, _ = go_on(again)
    assert step == expected or expected is None
    assert len(steps) >= step  # a checkpoint never outruns the events
    assert again.status == "finished" and same_eraser(again.eraser(), uninterrupted[-1].eraser)
    assert [event.step for event in again.events() if event.step] == list(range(1, SMALL.steps + 1))
    assert not list(run.path.rglob("*.partial*"))


def test_killed_at_any_moment_and_again_while_resuming(uninterrupted, run, go_on, tmp_path, context):
    """Kills from outside, at moments nobody chose, one after another on the same folder."""
    died = 0
    for wait in (0.3, 0.8, 0.1, 0.5, 1.2):
        process = context.Process(target=train_and_record, args=(run.path, tmp_path, torch.get_num_threads()))
        process.start()
        while process.is_alive() and Run.open(run.path).status != "running":
            time.sleep(0.005)
        time.sleep(wait * 0.2)
        process.kill()
        process.join(60)
        died += process.exitcode == -signal.SIGKILL
        if Run.open(run.path).status == "finished":
            break
        run.resume_state(run.config)
    assert died
    if run.status != "finished":
        go_on(run)
    assert same_eraser(run.eraser(), uninterrupted[-1].eraser)


# --- stopping, divergence, full disks ---------------------------------------------------------------------------------


def test_closing_stops_and_the_run_goes_on_later(tiny, run, go_on, uninterrupted):
    stream = run.record(events(tiny))
    for event in stream:
        if event.step == 3:
            assert run.status == "running"
            with pytest.raises(AgeError, match="another process"):
                next(run.record(events(tiny)))
            stream.close()
    assert run.status == "stopped" and run.resume_state(run.config).step == 2
    with pytest.raises(AgeError, match="no eraser: it is stopped"):
        run.eraser()
    _, more = go_on(run)
    assert more[0].step == 3
    assert same_eraser(run.eraser(), uninterrupted[-1].eraser)


def test_interrupted_by_the_keyboard(run):
    def stream(source):
        yield from source
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run.record(stream(())))
    assert run.status == "stopped"


def test_divergence_leaves_the_last_good_checkpoint_and_says_so(uninterrupted, run):
    def poisoned():
        """As if Adam had overflowed at step 6: the loop's own loss is not yet NaN."""
        for event in uninterrupted:
            if event.step == 6:
                bad = {k: v * torch.nan if k.startswith("student/") else v for k, v in event.state.tensors.items()}
                event = replace(event, state=replace(event.state, tensors=bad))
            yield event

    with pytest.raises(RunFailed, match=r"diverged at step 6.*checkpoint, of step 4, is in 'dog-age-001'"):
        list(run.record(poisoned()))
    assert run.status.startswith("failed: The training diverged at step 6")
    state = run.resume_state(run.config)
    assert state.step == 4 and all(torch.isfinite(v).all() for k, v in state.tensors.items() if k[:7] == "student")


def test_divergence_that_the_loop_finds_is_recorded(tiny, tmp_path):
    run = Run.create(tmp_path, config())
    with pytest.raises(RunFailed, match="diverged at step"):
        list(run.record(events(tiny, replace(SMALL, lr=1e30, checkpoint_every=0))))
    assert run.status.startswith("failed: The training diverged") and not (run.path / "eraser.safetensors").exists()


def test_an_unexpected_error_is_recorded_and_not_swallowed(run):
    def broken():
        yield from ()
        raise ZeroDivisionError("oops")

    with pytest.raises(ZeroDivisionError):
        list(run.record(broken()))
    assert run.status == "failed: ZeroDivisionError: oops"


@pytest.mark.parametrize(("target", "step"), [("checkpoint.safetensors", 4), ("eraser.safetensors", 7)])
def test_a_disk_that_fills_up_keeps_the_older_checkpoint(run, go_on, uninterrupted, monkeypatch, target, step):
    def full(path):
        if path.name.startswith(target) and seen[0] >= step:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path)

    seen, real = [0], files.sync
    with monkeypatch.context() as patch:
        patch.setattr(files, "sync", full)

        def counted():
            for event in uninterrupted:
                seen[0] = event.step
                yield event

        with pytest.raises(RunFailed, match=rf"Step {step} .*disk is full.*checkpoint, of step {(step - 1) // 2 * 2},"):
            list(run.record(counted()))
    assert run.status.startswith("failed: Step") and "disk is full" in run.status
    assert run.resume_state(run.config).step == (step - 1) // 2 * 2
    go_on(run)
    assert same_eraser(run.eraser(), uninterrupted[-1].eraser)


def mounted(folder: Path, size: int):
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if done.returncode:
        pytest.skip("a small disk cannot be mounted here")


def test_on_a_real_small_disk(tmp_path, uninterrupted, states):
    disk = tmp_path / "disk"
    state = next(event.state for event in uninterrupted if event.state)
    size = sum(value.numel() * value.element_size() for value in state.tensors.values())
    mounted(disk, int(size * 1.6))  # one checkpoint fits, a second beside it does not
    try:
        run = Run.create(disk, config())
        with pytest.raises(RunFailed, match=r"Step 4 .*disk is full.*checkpoint, of step 2"):
            list(run.record(uninterrupted))
        assert run.status in ("stopped",) or run.status.startswith("failed")
        state = run.resume_state(run.config)
        assert state.step == 2 and same_tensors(state.tensors, states[2].tensors)
        with pytest.raises(AgeError, match=r"needs 28 MB .* MB are free"):
            Run.create(disk, config(trained_parameters=1_000_000), "large")
        assert not (disk / "large").exists()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_identity": "m2"}, r"another model \(weights of tiny m1, not m2\)"),
        ({"vocabulary": "v2"}, "another vocabulary"),
        ({"method": "random"}, r"another method \(age, not random\)"),
        ({"concepts": ("cat",)}, "another concepts"),
        ({"options": replace(SMALL, lr=0.5)}, r"another option lr \(0.001, not 0.5\)"),
        ({"request": {"pool": 5}}, "another pool"),
    ],
)
def test_going_on_with_something_else_is_refused(run, changes, words):
    with pytest.raises(AgeError, match=words):
        run.resume_state(config(**changes))


def test_options_that_change_no_bit_may_change(run):
    assert run.resume_state(config(replace(SMALL, preview_every=0, checkpoint_every=3))) is None


@pytest.mark.parametrize("damage", [b"", b"hello", None])
def test_a_damaged_checkpoint_is_explained(uninterrupted, run, damage):
    for event in run.record(uninterrupted):
        if event.step == 2:
            break
    whole = run.checkpoint.read_bytes()
    run.checkpoint.write_bytes(whole[:-50] if damage is None else damage)
    with pytest.raises(AgeError, match="damaged"):
        run.resume_state(run.config)


@pytest.mark.parametrize(
    "name",
    ["../x", "a/b", "/etc", "..", ".", ".hidden", "a" * 101, "é" * 60, "a\nb", "a\0b", "x.partial", " a", "a ", "-rf"],
)
def test_names_cannot_leave_their_folder(tmp_path, name):
    with pytest.raises(AgeError, match="cannot name"):
        Run.create(tmp_path / "runs", config(), name)
    assert [path.name for path in tmp_path.rglob("*")] in ([], ["runs"])


def test_hostile_concepts_make_harmless_names(tmp_path):
    run = Run.create(tmp_path, config(concepts=("../../etc/pass wd\n",)))
    assert run.path.parent == tmp_path and run.path.name == "etc-pass-wd-age-001"
    assert Run.create(tmp_path, config(concepts=("東京 / タワー" * 30,))).path.is_dir()


def test_runs_are_listed_newest_first_among_other_things(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text('{"method": ')
    (tmp_path / "text.txt").write_text("hello")
    for year in ("2024", "2026", "2025"):
        Run.create(tmp_path, config(created=f"{year}-01-01T00:00:00"))
    assert [run.config.created[:4] for run in list_runs(tmp_path)] == ["2026", "2025", "2024"]
    assert list_runs(tmp_path / "absent") == []
    with pytest.raises(AgeError, match="exists already"):
        Run.create(tmp_path, config(), "dog-age-001")
    with pytest.raises(AgeError, match="no run folder"):
        Run.open(tmp_path / "notes")
    with pytest.raises(AgeError, match="other fields"):
        (tmp_path / "broken" / "config.json").write_text('{"method": "age"}')
        Run.open(tmp_path / "broken")
