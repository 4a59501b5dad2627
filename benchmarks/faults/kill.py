"""Runs that are killed (SIGKILL) at random moments and gone on with, against the same run uninterrupted, bit for bit.

    python -m benchmarks.faults.kill --kills 50

A tiny random Stable Diffusion, opened from its folder as any model is; the moments are spread over loading, drawing the
latents, training, writing a checkpoint and writing the eraser, and over number formats. Kill n has a random generator
of its own: a restart goes on after the last row. Where a run stands is read off its folder by whoever kills it; the
process that dies knows nothing. Rows: faults-kills.csv.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import sys
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from age_core.runs.run import list_runs
from benchmarks.faults.common import RESULTS, add_row, read_rows
from benchmarks.faults.victim import FORMATS, NAME, forked
from benchmarks.tiny import build_tiny_sd

STAGES = ("loading", "latents", "steps", "checkpoint", "eraser")
TRIES = 20  # of one kill: a moment may come after the run's end
PATIENCE_S = 120.0


def stage_of(runs: Path) -> str:
    """Where the run in a folder stands, as its files tell."""
    run = runs / NAME
    if list(run.glob("eraser.safetensors*")):
        return "eraser"
    if (run / "checkpoint.safetensors.partial").exists():
        return "checkpoint"
    try:
        return "steps" if b'"step": 1,' in (run / "events.jsonl").read_bytes() else "latents"
    except OSError:
        return "loading"


def uninterrupted(model: Path, runs: Path, kind: str) -> tuple[dict[str, str], dict[str, float]]:
    """The digests of a run that nobody kills, and how many seconds of it were seen in each stage."""
    lengths = dict.fromkeys(STAGES, 0.0)
    process, since = forked(model, runs, kind), time.monotonic()
    while process.is_alive():
        stage, now = stage_of(runs), time.monotonic()
        lengths[stage] += now - since
        since = now
        time.sleep(0.0005)
    finish(process)
    return digest(runs), lengths


def finish(process: BaseProcess) -> None:
    """Wait for the end of a run that must end well."""
    process.join(PATIENCE_S)
    if process.exitcode != 0:
        process.kill()
        raise RuntimeError(f"A run that nobody killed ended with {process.exitcode}.")


def digest(runs: Path) -> dict[str, str]:
    """A hash of each part of what a finished run leaves: eraser, pictures, and events without their times."""
    run = list_runs(runs)[0]
    pictures = b"".join(picture.name.encode() + picture.read_bytes() for picture in run.pictures())
    lines = (run.path / "events.jsonl").read_text(encoding="utf-8").splitlines()
    # those before the first step tell of work that is not done twice
    events = [
        {k: v for k, v in event.items() if not k.endswith("_s")} for event in map(json.loads, lines) if event["step"]
    ]
    parts = {
        "eraser": eraser_content(run.path / "eraser.safetensors"),
        "pictures": pictures,
        "events": json.dumps(events).encode(),
        "left over": " ".join(path.name for path in run.path.rglob("*.partial*")).encode(),
    }
    return {part: hashlib.sha256(content).hexdigest() for part, content in parts.items()}


def eraser_content(path: Path) -> bytes:
    """All of an eraser but the order of its file's metadata, which safetensors draws anew in every process."""
    with safe_open(path, "pt") as file:
        tensors = [(key, file.get_tensor(key)) for key in sorted(file.keys())]
        named = [json.dumps(sorted((file.metadata() or {}).items())).encode(), *(key.encode() for key, _ in tensors)]
        return b"".join([*named, *(tensor.numpy().tobytes() for _, tensor in tensors)])


def killed(model: Path, runs: Path, kind: str, stage: str, lengths: dict[str, float], chance: random.Random) -> bool:
    """Kill a run some moment after it was first seen in a stage; whether that came before its end."""
    process = forked(model, runs, kind)
    if stage == "checkpoint":  # any of them, not the first alone
        wait_for(process, runs, "steps")
        time.sleep(chance.uniform(0, 0.8 * lengths["steps"]))
    wait_for(process, runs, stage)
    time.sleep(chance.uniform(0, lengths[stage]))
    process.kill()
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"A run ended by itself, with {process.exitcode}.")
    return process.exitcode == -signal.SIGKILL


def wait_for(process: BaseProcess, runs: Path, stage: str) -> None:
    while process.is_alive() and stage_of(runs) != stage:
        time.sleep(0.0002)


def left_by(runs: Path) -> str:
    """What a kill left, in words. Raises AssertionError where it is more than one run, or one that cannot be read."""
    begun = list_runs(runs)
    assert len(begun) <= 1, begun
    if not begun:
        return "no run"
    run = begun[0]
    assert run.status in ("stopped", "finished"), run.status
    half = [path.name.removesuffix(".partial") for path in run.path.rglob("*.partial")]
    steps = [event.step for event in run.events() if event.step]
    assert steps == list(range(1, len(steps) + 1)), steps
    return f"{run.status} at step {len(steps)}" + (f", {half[0]} half written" if half else "")


def one_kill(number: int, model: Path, kind: str, bits: dict[str, str], lengths: dict[str, float]) -> dict[str, Any]:
    """The row of kill `number`: when it came, what it left, and whether going on ended in the same bits."""
    chance, stage = random.Random(number), STAGES[number % len(STAGES)]
    for _ in range(TRIES):
        with tempfile.TemporaryDirectory() as folder:
            runs = Path(folder)
            if not killed(model, runs, kind, stage, lengths, chance):
                continue
            left = left_by(runs)
            if not left.startswith("finished"):  # else the last file was written, and nothing is left to be done
                finish(forked(model, runs, kind))
            differ = [part for part, content in digest(runs).items() if content != bits[part]]
            if left.startswith("finished") and differ == ["left over"]:
                differ = []  # nobody opened it since
            row = {"kill": number, "format": kind, "stage": stage, "left": left}
            return row | {"same": not differ, "differ": " ".join(differ)}
    raise RuntimeError(f"No kill came before the end of the run in {TRIES} tries ({stage}).")


def main() -> int:
    args = make_parser().parse_args()
    done = {int(row["kill"]) for row in read_rows(args.out)}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        torch.set_num_threads(1)
        build_tiny_sd(Path(folder), "epsilon").save_pretrained(model)
        for place, kind in enumerate(args.formats):
            numbers = [number for number in range(place, args.kills, len(args.formats)) if number not in done]
            if not numbers:
                continue
            bits, lengths = uninterrupted(model, Path(folder) / f"whole-{place}", kind)
            print(f"{kind}: {', '.join(f'{stage} {1000 * s:.0f} ms' for stage, s in lengths.items())}", flush=True)
            for number in numbers:
                add_row(args.out, row := one_kill(number, model, kind, bits, lengths))
                print(row, flush=True)
    rows = read_rows(args.out)
    same = sum(row["same"] == "True" for row in rows)
    print(f"{same} of {len(rows)} killed runs ended in the same bits.")
    return 0 if same == len(rows) else 1


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.kill", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--out", type=Path, default=RESULTS / "faults-kills.csv")
    return parser


if __name__ == "__main__":
    sys.exit(main())
