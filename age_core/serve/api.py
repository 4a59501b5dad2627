"""What a program is answered that asks an explorer over the network: plain values, typed, by the bundled names.

A run belongs to whoever holds its token: `start` gives one out, and nothing of a run is told without it.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from age_core.erasure.events import EraseEvent
from age_core.erasure.methods import METHODS
from age_core.errors import AgeError
from age_core.files import plain
from age_core.runs.run import Run
from age_core.serve.comparison import Row, draw_pairs
from age_core.serve.explorer import Explorer
from age_core.serve.exports import export_file
from age_core.serve.faces import edited_faces
from age_core.serve.stored import is_owner
from age_core.study.world import RecordedWorld

MOST_PAIRS = 8  # pictures by each model of one request
MOST_MEASURED = 64  # concepts of one request
TARGETS = 5  # the likeliest, of each event that is told

Answer = dict[str, Any]


@dataclass(frozen=True)
class Api:
    """The requests; each opens what it needs when it is asked."""

    explorer_of: Callable[[], Explorer]  # waits until the model is open
    world_of: Callable[[], RecordedWorld | None]
    new_folder: Callable[[], Path]  # one to be made, whose files may be sent

    def concepts(self) -> list[Answer]:
        return [
            {
                "name": concept.name,
                "group": concept.group,
                "general": concept.general,
                "synonyms": list(concept.synonyms),
            }
            for concept in self.explorer_of().concepts
        ]

    def methods(self) -> list[Answer]:
        world = self.world_of()
        recorded = {world.source(key)[0]: key for key in world.methods} if world else {}
        return [
            {
                "name": name,
                "label": method.label,
                "about": method.about,
                "trains": method.kind == "gradient",
                "recorded": recorded.get(name, ""),
            }
            for name, method in METHODS.items()
        ]

    def victims(self, concept: str, method: str, most: int) -> list[Answer]:
        """Whom a recorded erasure moved visibly or lost, the furthest first."""
        world, explorer = self.world_of(), self.explorer_of()
        name = explorer.concepts.find(concept).name
        erasure = world.erasure(method, name) if world else None
        if world is None or erasure is None:
            known = [key for key in world.methods if name in world.erased(key)] if world else []
            instead = f"; recorded are {', '.join(known)}" if known else ""
            raise AgeError(f"No erasure of {name!r} by {method!r} is recorded{instead}: start one and measure it.")
        hurt = erasure.table[erasure.table["moved"] | (erasure.table["before"] & ~erasure.table["recognised"])]
        hurt = hurt.drop(index=name, errors="ignore").sort_values("shown", ascending=False).head(max(most, 0))
        return [
            {
                "concept": str(other),
                "distance": float(row["shown"]),
                "moved": bool(row["moved"]),
                "recognised": bool(row["recognised"]),
                "recognised_before": bool(row["before"]),
                "looks_like": str(row["label"]),
            }
            for other, row in hurt.iterrows()
        ]

    def start(self, concept: str, method: str, preset: str, target: str, seed: int, token: str) -> Answer:
        """Begin a run that goes on whether or not anybody asks for it."""
        if token and not is_owner(token):
            raise AgeError("This is no token: leave it out, and the answer brings one.")
        token = token or uuid.uuid4().hex
        queued = self.explorer_of().ask(token, [concept], method, True, target, preset, seed=seed)
        return self.poll(queued.run.path.name, token)

    def poll(self, run: str, token: str) -> Answer:
        explorer, found = self.explorer_of(), self._run(run, token)
        queued = explorer.queue.find(found.path, token)
        event: EraseEvent | None = None
        state, reason, ahead = found.status, "", 0
        if queued:
            event = queued.events[-1] if queued.events else None
            state, reason, ahead = queued.state, queued.reason, explorer.queue.ahead(queued)
        elif recorded := found.events():
            event = recorded[-1]
        return {"run": run, "token": token, "state": state, "reason": reason, "ahead": ahead} | _told(event)

    def stop(self, run: str, token: str) -> Answer:
        explorer, found = self.explorer_of(), self._run(run, token)
        if queued := explorer.queue.find(found.path, token):
            explorer.queue.stop(queued)
        return self.poll(run, token)

    def pairs(self, run: str, token: str, concepts: list[str], seed: int, strength: float) -> list[Answer]:
        """Pictures by both models on the same seeds: concepts by name, and any other text as it is."""
        explorer, found = self.explorer_of(), self._finished(run, token)
        if not 1 <= len(concepts) <= MOST_PAIRS:
            raise AgeError(f"{len(concepts)} concepts are none or too many at once: name 1 to {MOST_PAIRS}.")
        known = explorer.concepts
        rows = [Row("own", text, known.prompt(text) if text in known.names else text) for text in concepts]
        drawn = draw_pairs(explorer, rows, {run: found.eraser()}, seed, 1, {run: strength})[run]
        folder = self.new_folder()
        folder.mkdir(parents=True)
        return [
            {
                "concept": text,
                "prompt": pair.prompt,
                "original": str(_kept(pair.original, folder / f"{place}-original.png")),
                "edited": str(_kept(pair.edited, folder / f"{place}-edited.png")),
            }
            for place, (text, pair) in enumerate(zip(concepts, drawn, strict=True))
        ]

    def measure(self, run: str, token: str, nearest: int, strength: float) -> list[Answer]:
        """How far one picture of each of the nearest concepts moved, the erased one first."""
        if not 1 <= nearest <= MOST_MEASURED:
            raise AgeError(f"{nearest} concepts are none or too many at once: ask for 1 to {MOST_MEASURED}.")
        explorer, found = self.explorer_of(), self._finished(run, token)
        first = found.config.concepts[0]
        looks = [look for batch in edited_faces(explorer, found.eraser(), first, nearest, strength) for look in batch]
        return [
            {
                "concept": look.name,
                "distance": None if math.isnan(look.distance) else look.distance,
                "recognised": look.recognised,
                "recognised_before": look.before,
            }
            for look in looks
        ]

    def file(self, run: str, token: str, kind: str) -> str:
        path, _ = export_file(self.explorer_of(), self._finished(run, token), kind, self.new_folder())
        return str(path)

    def _run(self, name: str, token: str) -> Run:
        """A run that the token's holder may see: those that came with the explorer are everybody's."""
        if not is_owner(token):
            raise AgeError("This is no token: give the one that `start` answered with.")
        return self.explorer_of().library.run(token, name)

    def _finished(self, name: str, token: str) -> Run:
        run = self._run(name, token)
        if run.status != "finished":
            raise AgeError(f"The run {name!r} is {run.status}: ask again when it has finished.")
        return self.explorer_of().fitting(run)


def _kept(picture: Image.Image, path: Path) -> Path:
    picture.save(path)
    return path


def _told(event: EraseEvent | None) -> Answer:
    """Where a run stands; numbers that there are none of are null."""
    if event is None:
        return {"step": 0, "steps": 0, "note": "", "targets": {}, "loss_erase": None, "loss_preserve": None}
    told = {
        "step": event.step,
        "steps": event.steps,
        "note": event.note,
        "targets": {word: round(share, 4) for word, share in event.top_targets(TARGETS)},
        "loss_erase": event.loss_erase,
        "loss_preserve": event.loss_preserve,
        "elapsed_s": event.elapsed_s,
        "remaining_s": event.remaining_s,
    }
    return dict(plain(told))
