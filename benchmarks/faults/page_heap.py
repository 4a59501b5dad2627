"""What a page gains by being used: its heap, object by object, before and after many rounds of one act.

    python -m benchmarks.faults.page_heap --rounds 24

For each act of `soak`, and for picks among few concepts: a snapshot after the first third of the rounds, when all that
is loaded late has been, and one after the last; what the second has more, by what it is of. Rows: faults-heap.csv (act,
rounds, part, objects, bytes).
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from playwright.sync_api import Page, sync_playwright

from age_core.runs.bundle import export_bundle
from age_core.runs.run import list_runs
from age_core.serve.stored import shipped_runs
from benchmarks.common import chromium
from benchmarks.faults.common import RESULTS, serve
from benchmarks.faults.soak import FLAGS, erase_now, open_page, pick, take_in

# What a browser notes of every page that somebody drives: entries of its timeline, and answers that may be asked for.
NOTED = (
    *("Performance", "LayoutShift", "LargestContentfulPaint", "InteractionContentfulPaint", "DOMRect"),
    *("blink::NetworkResourcesData", "blink::SoftNavigation", "blink::ScriptTimingInfo"),
)
OWN = ("object", "closure", "array", "string", "concatenated string", "sliced string", "number", "regexp", "symbol")


def part_of(kind: str, name: str) -> str:
    """Whose an object of a snapshot is."""
    if kind in ("code", "object shape"):
        return "compiled code"
    if kind == "native" and name.startswith(NOTED):
        return "the browser's notes"
    if kind == "native" and name.startswith("<"):
        return "elements"
    return "the page's objects" if kind in OWN else "else of the browser"


def snapshot(page: Page) -> pd.DataFrame:
    """Objects and bytes of the live heap by part."""
    session, chunks = page.context.new_cdp_session(page), []
    session.on("HeapProfiler.addHeapSnapshotChunk", lambda event: chunks.append(event["chunk"]))
    for command in ("HeapProfiler.enable", "HeapProfiler.collectGarbage", "HeapProfiler.takeHeapSnapshot"):
        session.send(command)
    session.detach()
    document = json.loads("".join(chunks))
    fields, kinds = document["snapshot"]["meta"]["node_fields"], document["snapshot"]["meta"]["node_types"][0]
    nodes = pd.DataFrame(
        [document["nodes"][start : start + len(fields)] for start in range(0, len(document["nodes"]), len(fields))],
        columns=fields,
    )
    names = [str(document["strings"][row]) for row in nodes["name"]]
    nodes["part"] = [part_of(kinds[kind], name) for kind, name in zip(nodes["type"], names, strict=True)]
    return nodes.groupby("part")["self_size"].agg(objects="count", bytes="sum")


def gained(page: Page, act: Callable[[], None], rounds: int) -> pd.DataFrame:
    """What the page has more after the last of the rounds than after a third of them."""
    first = pd.DataFrame()
    for done in range(1, rounds + 1):
        page.get_by_role("tab", name="Concept").click()
        act()
        if done == rounds // 3:
            first = snapshot(page)
    return (snapshot(page) - first).fillna(0).astype(int).reset_index()


def main() -> None:
    args = make_parser().parse_args()
    chance, tables = random.Random(0), []
    with tempfile.TemporaryDirectory() as place, serve(Path(place) / "app") as app, sync_playwright() as playwright:
        shipped = shipped_runs()
        assert shipped is not None  # a run comes with the bundled model
        bundle = export_bundle(list_runs(shipped)[0], Path(place) / "bundle.zip")
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = open_page(browser, app.address)
        acts: dict[str, Callable[[], None]] = {
            "picks": lambda: pick(page, chance),
            "picks of a dozen": lambda: pick(page, chance, 12),
            "erasures": lambda: erase_now(page, chance),
            "imports": lambda: take_in(page, bundle),
        }
        for name, act in acts.items():
            table = gained(page, act, args.rounds)
            table.insert(0, "act", name)
            table.insert(1, "rounds", args.rounds - args.rounds // 3)
            print(table.to_string(index=False), flush=True)
            tables.append(table)
        browser.close()
    pd.concat(tables).to_csv(args.out, index=False)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.page_heap", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--out", type=Path, default=RESULTS / "faults-heap.csv")
    return parser


if __name__ == "__main__":
    main()
