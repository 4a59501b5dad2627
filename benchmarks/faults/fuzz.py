"""Random input into every field and endpoint of the running app, and what came of it.

    python -m benchmarks.faults.fuzz --inputs 1000 --seed 0

Every function of the page is called over HTTP as a browser does, with values of any type in any of its fields, by a
visitor who has arrived and by one who has not; between these come files that are not to be served, uploads, broken
bodies, and ids of the past. Input n of a seed is always the same. Afterwards: the log must hold no traceback, another
visitor's runs must be untouched, nothing may wait or run, a normal visit must be answered, and no file outside of the
app's own folders may have been served or written. Rows: faults-inputs.csv.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from age_core.runs.run import list_runs
from age_core.serve.stored import shipped_runs
from benchmarks.faults import values
from benchmarks.faults.common import RESULTS, ROOT, App, serve, write_rows
from benchmarks.faults.visitor import Visitor

TRACEBACK = "Traceback (most recent call last)"
SECRET = "canary-7d1c5f0e"  # stands in files that are not to be served
GIVEN_AWAY = (SECRET, "root:x:0:0", "def main() -> None:")  # of the canaries, /etc/passwd, app.py
OTHER = "0123456789abcdef0123456789abcdef"  # the token of a person who is away
WAIT_S = 90.0  # until what was asked has ended


@dataclass
class Told:
    """What came of the inputs so far."""

    answers: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    tracebacks: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)

    def rows(self) -> list[dict[str, Any]]:
        names = ("inputs", "answered", "refused", "cut", "tracebacks", "leaks")
        return [{"kind": kind, **{name: got[name] for name in names}} for kind, got in sorted(self.answers.items())]


@contextmanager
def bait() -> Iterator[tuple[str, list[str]]]:
    """The address of a server of this machine that the app has no business to fetch from, and what it was asked for."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(SECRET.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/bait.zip", asked
    finally:
        server.shutdown()
        server.server_close()


def secrets_of(app: App, lure: str) -> tuple[str, ...]:
    """What is nobody's to read or use: files outside, another person's, tokens and ids; the files hold SECRET."""
    outside, other = app.folder / "outside.txt", app.runs / OTHER / "away" / "secret.json"
    for path in (outside, other):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{{"is": "{SECRET}"}}')
    files = (str(outside), str(other), "/etc/passwd", str(ROOT / "app.py"), "/proc/self/environ")
    return (*files, OTHER, f"../{OTHER}", "away", lure)


def inputs(seed: int, count: int, visitors: list[Visitor], secrets: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """`count` inputs as (kind, what to do, which answers how it went)."""
    events = visitors[0].events
    turns = itertools.cycle(sorted(events))
    for number in range(count):
        chance = random.Random(f"{seed}-{number}")
        kind = chance.random()
        if kind < 0.7:
            event, visitor = next(turns), chance.choice(visitors)
            data = [
                values.nasty(chance, secrets) if chance.random() < 0.4 else values.likely(chance, props)
                for props in visitor.fields(event)
            ]
            if chance.random() < 0.05:
                data = data[: chance.randrange(len(data) + 1)]
            query = chance.choice(("", "", f"?concept={chance.choice(('dog', '%00', 'x' * 999))}&tab=x&run=../x"))
            yield "field", lambda v=visitor, e=event, d=data, q=query: v.call(e, d, q)
            continue
        maker = chance.choice((values.file_request, values.upload_request, None))
        request = maker(chance, secrets) if maker else values.odd_request(chance, sorted(events), secrets)
        yield request.kind, lambda r=request: visitors[0].send(r)


def throw(app: App, seed: int, count: int, limit_s: float, secrets: tuple[str, ...]) -> Told:
    """Send the inputs one after another, and see after each what the log says and what the answer gives away."""
    told, read, began = Told(), 0, time.monotonic()
    with Visitor(app.address) as arrived, Visitor(app.address) as stranger:
        arrived.arrive()
        for number, (kind, send) in enumerate(inputs(seed, count, [arrived, arrived, stranger], secrets)):
            try:
                outcome, text = send()
            except httpx.ConnectError:
                raise SystemExit(f"The app was gone at input {number} ({kind}):\n{app.log[-5000:]}") from None
            except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
                outcome, text = "refused", f"{type(error).__name__}: {error}"  # by the client, or the line was cut
            told.answers[kind]["inputs"] += 1
            told.answers[kind][outcome] += 1
            log = app.log
            if (found := log[read:].count(TRACEBACK)) > 0:
                told.answers[kind]["tracebacks"] += found
                told.tracebacks.append(f"input {number} ({kind}):\n{log[read:]}")
            read = len(log)
            if given := [secret for secret in GIVEN_AWAY if secret in text]:
                told.answers[kind]["leaks"] += 1
                told.leaks.append(f"input {number} ({kind}) was answered with {given}")
            if time.monotonic() - began > limit_s:
                print(f"The time was up after {number + 1} inputs.", flush=True)
                break
    return told


def state_of(folder: Path) -> dict[str, str]:
    """Every file below a folder with a hash of its bytes."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def outside(app: App) -> dict[str, int]:
    """When each file was changed that the app has no business with: the project's, and beside its own folders."""
    own = (app.runs, app.cache, app.folder / "tmp", app.folder / "log.txt")
    skipped = {".git", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", "faults"}
    files = [*ROOT.rglob("*"), *app.folder.rglob("*"), *app.folder.parent.glob("*")]
    return {
        str(path): path.stat().st_mtime_ns
        for path in files
        if path.is_file() and not skipped & set(path.parts[len(ROOT.parts) :]) and not path.is_relative_to(own[0])
        if not any(path.is_relative_to(folder) for folder in own)
    }


def still_at_work(app: App) -> list[str]:
    """What waits or runs, once everybody has left and a while has passed."""
    until = time.monotonic() + WAIT_S
    while True:
        folders = [folder for folder in app.runs.iterdir() if folder.is_dir() and folder.name != "graphs"]
        left = [str(run.path) for folder in folders for run in list_runs(folder) if run.status == "running"]
        size = httpx.get(f"{app.address}/gradio_api/queue/status", timeout=30).json()["queue_size"]
        left += [f"{size} events in the queue"] if size else []
        if not left or time.monotonic() > until:
            return left
        time.sleep(1)


def normal_visit(address: str) -> list[str]:
    """What is not answered to a visit like any other: a pick, and what takes the model."""
    with Visitor(address) as visitor:
        visitor.arrive()
        answer = visitor.usual(visitor.find("concept-search", "input"), {"concept-search": "cat"})
        lacking = [] if "<h2>cat" in answer else ["the pick of cat"]
        shown = visitor.usual(visitor.find("erase-now", "click"), {"concept-map": "cat"})
        return lacking + ([] if "Erasing cat" in shown else ["erasing cat now"])


def main() -> int:
    args = make_parser().parse_args()
    with tempfile.TemporaryDirectory() as place, serve(Path(place) / "app") as app:
        with Visitor(app.address) as visitor:  # once the model is open, and with a run of another person's
            visitor.arrive(OTHER)
            import_shipped(app)
            visitor.usual(visitor.find("concept-search", "input"), {"concept-search": "dog"})
        before, theirs = outside(app), state_of(app.runs / OTHER)
        with bait() as (lure, fetched):
            told = throw(app, args.seed, args.inputs, args.limit, secrets_of(app, lure))
        faults = [*told.leaks, *(f"{path} was fetched from elsewhere" for path in fetched)]
        faults += [*still_at_work(app), *normal_visit(app.address)]
        theirs_now = {path: bits for path, bits in state_of(app.runs / OTHER).items() if "secret.json" not in path}
        faults += [f"{path} of another person was changed" for path in theirs if theirs_now.get(path) != theirs[path]]
        now = outside(app)
        faults += [f"{path} was written" for path in now if now[path] != before.get(path) and "outside.txt" not in path]
    rows = [{"seed": args.seed} | row for row in told.rows()]
    write_rows(args.out, rows)
    kinds = Counter(text.strip().splitlines()[-1] for text in told.tracebacks)
    print(*told.tracebacks, *(f"{count} times: {line}" for line, count in kinds.most_common()), sep="\n")
    print(*faults, sep="\n")
    total = sum(row["inputs"] for row in rows)
    print(f"{total} inputs: {len(told.tracebacks)} with a traceback, {len(faults)} other faults.")
    return 1 if told.tracebacks or faults else 0


def import_shipped(app: App) -> None:
    """Give the person who is away a run, whose loss would be noticed."""
    shipped = shipped_runs()
    if shipped is not None:
        run = list_runs(shipped)[0].path
        shutil.copytree(run, app.runs / OTHER / run.name)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=900, help="seconds after which no further input is sent")
    parser.add_argument("--out", type=Path, default=RESULTS / "faults-inputs.csv")
    return parser


if __name__ == "__main__":
    sys.exit(main())
