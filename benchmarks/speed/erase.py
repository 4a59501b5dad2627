"""How long an erasure takes: the published code's schedule beside ours, in one run on one machine.

    python -m benchmarks.speed.erase                       # idle machine; about an hour on two CPU cores
    python -m benchmarks.speed.erase --until-erased        # only what an update costs: three minutes
    python -m benchmarks.speed.erase --updates 20 --concept guitar

Runs on the same model:
- "as published": the shipped schedule written out plainly. At every step, of the student and of pi alike, two partial
  samplings of their own (50-step grid, guidance 3), three evaluations of the teacher and two of the student, batch 1,
  every text encoded anew, nothing shared, a second UNet as the teacher.
- "ours, equivalent": the method age-paper-code under the same schedule, by the package; and once more with weights in
  bfloat16 (the trained ones keep float32 masters).
- "ours, default": the method age at its balanced preset, preparation and look-ahead included.

Printed: seconds an update of the student (with its update of pi), UNet calls and evaluated rows, the ratios; then, by
the probe, the time each takes until ESR-1 reaches 95 % (the published one's from its seconds an update and the updates
that the equivalent run needs, at the default's learning rate and at the published one; a finished count is kept), the
share of the default's loop spent inside the UNet, and peak memory over that of loading.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from age_core import ConceptSet, EraseOptions, Eraser, load_pipeline, load_probe
from age_core.erasure.by_method import erase_by
from age_core.erasure.methods import method_options
from age_core.erasure.target_words import neighbours
from age_core.measure.verdicts import hits
from age_core.models.families import encode_text
from age_core.models.noise import alpha_bar, ddim_step, error_weights, row_errors

GRID, GUIDANCE, ETA = 50, 3.0, 1.0
EVERY = 3e-3  # learning rate times updates between two looks at ESR-1


class Meter:
    """Calls of UNets, the rows they evaluated, and the seconds inside them and in going back through them."""

    def __init__(self) -> None:
        self.calls = self.rows = 0
        self.forward = self.backward = 0.0
        self._since = 0.0

    @contextmanager
    def on(self, *unets: torch.nn.Module) -> Iterator[Meter]:
        hooks = []
        for unet in unets:
            hooks.append(unet.register_forward_pre_hook(self._enter))
            hooks.append(unet.register_forward_hook(self._leave))
        plain = torch.autograd.grad  # all that erasing ever differentiates is a UNet's answer

        def timed(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return plain(*arguments, **named)
            finally:
                self.backward += time.perf_counter() - started

        torch.autograd.grad = timed
        try:
            yield self
        finally:
            torch.autograd.grad = plain
            for hook in hooks:
                hook.remove()

    def _enter(self, _module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        self.calls, self.rows = self.calls + 1, self.rows + len(inputs[0])
        self._since = time.perf_counter()

    def _leave(self, *_: Any) -> None:
        self.forward += time.perf_counter() - self._since


class AsPublished:
    """The shipped schedule, written out: docs/method.md, sections B, C and F."""

    def __init__(self, pipe, concept: str, words: tuple[str, ...], lr: float, pi_lr: float, temperature: float):
        self.pipe, self.concept, self.words = pipe, concept, words
        self.teacher, self.student = copy.deepcopy(pipe.unet), copy.deepcopy(pipe.unet)
        self.trained = {n: p for n, p in self.student.named_parameters() if ".attn2." in n}
        self.adam = torch.optim.Adam(self.trained.values(), lr=lr)
        self.pi = torch.full((len(words),), 1 / len(words), requires_grad=True)
        self.pi_adam = torch.optim.Adam([self.pi], lr=pi_lr)
        self.temperature = temperature
        self.matrix = encode_text(pipe, list(words)).float()

    def _ask(self, unet, z: torch.Tensor, t: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        return unet(z, t, states).sample

    @torch.no_grad()
    def _sample(self, start: torch.Tensor, states: torch.Tensor, empty: torch.Tensor, k: int) -> torch.Tensor:
        scheduler, z = self.pipe.scheduler, start
        spacing = scheduler.config.num_train_timesteps // GRID
        for index in range(GRID - 2, max(k - 2, -1), -1):
            t = torch.full((1,), index * spacing + 1)
            both = torch.cat([empty, states])
            unguided, guided = self._ask(self.student, torch.cat([z, z]), t.repeat(2), both).chunk(2)
            below = torch.full((1,), max(index - 1, 0) * spacing + (1 if index else 0))
            z = ddim_step(
                unguided + GUIDANCE * (guided - unguided),
                z,
                alpha_bar(scheduler, t),
                alpha_bar(scheduler, below),
                scheduler.config.prediction_type,
            )
        return z

    def half_step(self, of_student: bool) -> None:
        pipe, scheduler = self.pipe, self.pipe.scheduler
        spacing = scheduler.config.num_train_timesteps // GRID
        empty, e, _ = (encode_text(pipe, [text]).float() for text in ("", self.concept, self.concept))
        gumbel = -torch.log(-torch.log(torch.rand(len(self.words)) + 1e-10) + 1e-10)
        soft = torch.softmax((self.pi + gumbel) / self.temperature, -1)
        hard = torch.zeros_like(soft).scatter(0, soft.argmax(0, keepdim=True), 1.0)
        e_t = torch.einsum("n,nld->ld", hard - soft.detach() + soft, self.matrix)[None]
        k = int(torch.randint(GRID, (1,)))
        t = torch.randint(k * spacing, (k + 1) * spacing, (1,))
        config = pipe.unet.config
        start = torch.randn(1, config.in_channels, config.sample_size, config.sample_size)
        z_e, z_t = self._sample(start, e, empty, k), self._sample(start, e_t, empty, k)
        with torch.no_grad():
            toward, own, kept = (self._ask(self.teacher, *row) for row in ((z_e, t, e_t), (z_e, t, e), (z_t, t, e_t)))
        moved, still = self._ask(self.student, z_e, t, e), self._ask(self.student, z_t, t, e_t)
        level = alpha_bar(scheduler, torch.full((1,), k * spacing + 1))
        weight = error_weights(level, scheduler.config.prediction_type, "x0", 5.0)
        goal = (1 + ETA) * toward - ETA * own if of_student else toward
        loss = (weight * (row_errors(moved, goal) + row_errors(still, kept))).mean()
        if of_student:
            self.adam.zero_grad()
            loss.backward()
            self.adam.step()
        else:
            self.pi_adam.zero_grad()
            (-loss).backward()
            self.pi_adam.step()


def time_published(pipe, concepts: ConceptSet, concept: str, updates: int, options: EraseOptions) -> dict[str, Any]:
    words = neighbours(pipe, concepts[concept], concepts).names
    run = AsPublished(pipe, concept, words, options.lr, options.pi_lr, options.pi_temperature)
    torch.manual_seed(0)
    run.half_step(True)  # warm-up
    torch.manual_seed(0)
    with Meter().on(run.teacher, run.student) as meter:
        started = time.perf_counter()
        for _ in range(updates):
            run.half_step(True)
            run.half_step(False)
        seconds = time.perf_counter() - started
    return {"run": "as published", "updates": updates, "seconds": seconds, "calls": meter.calls, "rows": meter.rows}


def time_ours(pipe, concepts, concept: str, name: str, method: str, preset: str, **changes) -> dict[str, Any]:
    """One whole erasure; `loop`: seconds after preparation; the last event's eraser goes along."""
    with Meter().on(pipe.unet) as meter:
        started = time.perf_counter()
        prepared, before = 0.0, (0, 0, 0.0, 0.0)
        event = None
        for event in erase_by(pipe, method, concept, concepts, preset, seed=0, preview_every=0, **changes):
            if event.step == 0:
                prepared = time.perf_counter() - started
                before = (meter.calls, meter.rows, meter.forward, meter.backward)
        seconds = time.perf_counter() - started
    assert event is not None
    return {
        "run": name,
        "updates": event.steps,
        "seconds": seconds - prepared,
        "preparation": prepared,
        "calls": meter.calls - before[0],
        "rows": meter.rows - before[1],
        "eraser": event.eraser,
        "forward": meter.forward - before[2],
        "backward": meter.backward - before[3],
    }


def esr1(pipe, probe, concepts: ConceptSet, concept: str, eraser: Eraser | None) -> float:
    return 100 * (1 - float(hits(pipe, probe, concepts, [concept], 16, eraser)["top1"].mean()))


def updates_until_erased(
    pipe, probe, concepts, concept: str, method: str, preset: str, every: int, most: int, **changes
) -> dict[str, float]:
    """After how many updates, looked at `every` so many, ESR-1 is first at least 95 % (0: not within `most`)."""
    before = dict(pipe.unet.named_parameters())
    events = erase_by(
        pipe, method, concept, concepts, preset, seed=0, preview_every=0, steps=most, checkpoint_every=every, **changes
    )
    found = math.nan
    with closing(events):
        for event in events:
            if event.state is None:
                continue
            leaves = {n.partition("/")[2]: v for n, v in event.state.tensors.items() if n.startswith("student/")}
            found = esr1(pipe, probe, concepts, concept, Eraser({n: v - before[n] for n, v in leaves.items()}))
            print(f"{method}, {event.step} updates: ESR-1 {found:.0f}", file=sys.stderr, flush=True)
            if found >= 95:
                return {"updates": event.step, "esr1": found}
    return {"updates": 0, "esr1": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--concept", default="dog")
    parser.add_argument("--updates", type=int, default=20, help="of the student, for the two schedules as published")
    parser.add_argument(
        "--until-erased",
        type=float,
        nargs="*",
        default=[6e-4, 1e-5],
        metavar="RATE",
        help="learning rates of the published schedule to count the updates at until the concept is erased",
    )
    parser.add_argument("--counted", type=Path, default=Path("build/erase_speed.json"), help="where counts are kept")
    args = parser.parse_args()
    pipe, probe, concepts = load_pipeline("emoji"), load_probe("emoji"), ConceptSet.load("emoji")
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    default = time_ours(pipe, concepts, args.concept, "ours, default", "age", "balanced")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    equivalent = time_ours(
        pipe, concepts, args.concept, "ours, equivalent", "age-paper-code", "paper-object", steps=args.updates
    )
    halved = time_ours(
        load_pipeline("emoji", dtype="bfloat16"),
        concepts,
        args.concept,
        "equivalent, bfloat16",
        "age-paper-code",
        "paper-object",
        steps=args.updates,
    )
    published = time_published(
        pipe, concepts, args.concept, args.updates, method_options("age-paper-code", "paper-object")
    )
    rows = pd.DataFrame([published, equivalent, halved, default]).drop(columns=["eraser", "forward", "backward"])
    for column in ("seconds", "calls", "rows"):
        rows[f"{column} an update"] = rows[column] / rows["updates"]
        rows[f"{column}: published over it"] = rows[f"{column} an update"].iloc[0] / rows[f"{column} an update"]
    print(rows.round(3).T.to_string(header=False))
    inside = {part: default[part] / default["seconds"] for part in ("forward", "backward")}
    probabilities = ", ".join(f"{part} {share:.0%}" for part, share in inside.items())
    print(f"the default's loop inside the UNet: {probabilities}, together {sum(inside.values()):.0%}")
    print(f"peak memory of the default over that of loading: {peak / loaded:.2f}")
    whole = default["seconds"] + default["preparation"]
    print(f"default: ESR-1 {esr1(pipe, probe, concepts, args.concept, default['eraser']):.0f} in {whole:.1f} s")
    counted = json.loads(args.counted.read_text()) if args.counted.exists() else {}
    for rate in args.until_erased:
        key = f"{args.concept} {rate:g}"
        if key not in counted:
            every = max(1, round(EVERY / rate))
            counted[key] = updates_until_erased(
                pipe, probe, concepts, args.concept, "age-paper-code", "paper-object", every, 80 * every, lr=rate
            )
            args.counted.parent.mkdir(parents=True, exist_ok=True)
            args.counted.write_text(json.dumps(counted))
        needed, reached = counted[key]["updates"], counted[key]["esr1"]
        theirs = needed * published["seconds"] / published["updates"]
        said = f"{needed} updates, {theirs:.1f} s: {theirs / whole:.1f} times it" if needed else "the most tried"
        print(f"as published, at a rate of {rate:g}: ESR-1 {reached:.0f} after {said}")


if __name__ == "__main__":
    main()
