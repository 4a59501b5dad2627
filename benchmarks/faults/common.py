"""What the measurements of faults share: rows that survive a restart, the app with its log, a process's memory."""

from __future__ import annotations

import csv
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
START_S = 240
READY = re.compile(r"open at (http\S+)")


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, as texts; none where it is missing."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def add_row(path: Path, row: Mapping[str, Any]) -> None:
    """Append a row to a CSV file, which gets a header with its first: what was measured survives whatever follows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Make a CSV file of these rows alone."""
    path.unlink(missing_ok=True)
    for row in rows:
        add_row(path, row)


def memory_mb(pid: int | None = None) -> float:
    """Resident memory of a process, this one by default; MB."""
    return psutil.Process(pid).memory_info().rss / 1e6


@dataclass(frozen=True)
class App:
    """A running app.py: whatever it writes lies in `folder`, what it says in `log`."""

    address: str
    pid: int
    folder: Path

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def cache(self) -> Path:
        """Where Gradio keeps uploads and what it serves."""
        return self.folder / "gradio"

    @property
    def log(self) -> str:
        return (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace")


@contextmanager
def serve(folder: Path) -> Iterator[App]:
    """app.py on a free port of loopback, without a network behind it, ended on leaving."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "tmp").mkdir(exist_ok=True)
    place = {
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder / "gradio"),
        "TMPDIR": str(folder / "tmp"),
        "AGE_RUNS": str(folder / "runs"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",  # a crash in C code says where
        "HF_HUB_OFFLINE": "1",
    }
    with (folder / "log.txt").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=os.environ | place, stdout=log, stderr=subprocess.STDOUT
        )
    app = App("", server.pid, folder)
    until = time.monotonic() + START_S
    try:
        while not (match := READY.search(app.log)):
            if server.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"The app did not start:\n{app.log[-3000:]}")
            time.sleep(0.2)
        yield App(match[1].rstrip("/"), server.pid, folder)
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
