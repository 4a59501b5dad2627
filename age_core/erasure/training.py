"""The moving parts of one run, and the state from which it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from age_core.concepts.candidates import Candidates
from age_core.erasure.adversary import Adversary
from age_core.erasure.events import TrainingState
from age_core.erasure.latents import LatentCache
from age_core.erasure.options import EraseOptions
from age_core.erasure.rows import rows_at_once
from age_core.erasure.selectors import SELECTORS, TargetSelector, adam_state, restore_adam
from age_core.erasure.student import Student
from age_core.erasure.torch_modes import format_of
from age_core.errors import RunFailed
from age_core.models.families import device_of, family_of

FIRST_SCALE = 2.0**14  # of the loss in float16
SECONDS_APART, LARGE = 60.0, 2**28  # of checkpoints of more than LARGE bytes
SCALE = ("scale", "_growth_tracker")  # what of GradScaler's state changes


@dataclass
class Training:
    """The student with its optimiser, and for each erased concept what chooses its target and what the losses need.

    `scaler` multiplies the loss where the UNet computes in float16, in which small gradients are zeros; where they grow
    beyond it, the update is left out and the factor halved. It does nothing in other formats.
    """

    student: Student
    adam: torch.optim.Adam
    scaler: torch.amp.GradScaler
    selectors: dict[str, TargetSelector]
    caches: dict[str, LatentCache]
    generator: torch.Generator
    adversaries: dict[str, Adversary]  # by concept; none unless options.attack_steps
    rows_at_once: int  # 0: all; kept, since sums in another order end in other last bits

    @staticmethod
    def start(
        pipe: DiffusionPipeline,
        pools: Mapping[str, Candidates],
        caches: dict[str, LatentCache],
        options: EraseOptions,
        resume: TrainingState | None = None,
        quiet: Tensor | None = None,
    ) -> Training:
        """Before the first step, or after that of `resume`, whose caches were read by `stored_cache` before.

        pools: the candidates of each concept, of which its cache may have left some out. quiet: see `Student`.
        """
        family = family_of(pipe)
        student = Student(family.denoiser(pipe), options, family.selections, quiet)
        selectors: dict[str, TargetSelector] = {}
        for name, pool in pools.items():
            rows = caches[name].kept.tolist()
            prior = [pool.prior[row] for row in rows] if pool.prior else []
            selectors[name] = SELECTORS[options.target].of(options, len(rows), prior)
        adversaries = {name: Adversary(pipe, caches[name], options) for name in pools if options.attack_steps}
        adam = torch.optim.Adam(student.leaves.values(), lr=options.lr)
        scaled = format_of(pipe, options) == torch.float16
        scaler = torch.amp.GradScaler(device_of(pipe).type, init_scale=FIRST_SCALE, enabled=scaled)
        generator = torch.Generator().manual_seed(options.seed)
        recorded = resume.tensors.get("rows_at_once") if resume else None  # not in states of earlier versions
        at_once = rows_at_once(pipe, student, options) if recorded is None else int(recorded)
        training = Training(student, adam, scaler, selectors, caches, generator, adversaries, at_once)
        if resume is not None:
            training.restore(resume)
        return training

    def rows_of(self, each: int) -> int:
        """How many of a batch's rows are taken at once (0: all) where each goes through the UNet `each` times."""
        return self.rows_at_once and max(1, self.rows_at_once // each)

    @property
    def seconds_apart(self) -> float:
        """From one checkpoint to the next at least: a large one takes as long as several steps of a GPU."""
        return SECONDS_APART if 3 * sum(leaf.nbytes for leaf in self.student.leaves.values()) > LARGE else 0.0

    def descend(self, loss: Tensor) -> None:
        """Add the gradient of a part of the step's loss."""
        with self.student.active():
            self.scaler.scale(loss).backward(inputs=list(self.student.leaves.values()))

    def update(self, lr: float) -> None:
        """Move the student by the gradients that were added up, and forget them."""
        self.adam.param_groups[0]["lr"] = lr
        self.scaler.step(self.adam)
        self.scaler.update()
        self.adam.zero_grad()
        if self.scaler.is_enabled() and self.scaler.get_scale() < 1:
            raise RunFailed("The gradients do not fit float16: train in bfloat16 or float32.")

    def state(self, step: int) -> TrainingState:
        """Everything to go on from after `step`, as copies on the CPU."""
        parts = {"student": {n: leaf.detach().to("cpu", copy=True) for n, leaf in self.student.leaves.items()}}
        parts["optimiser"] = adam_state(self.adam)
        if self.scaler.is_enabled():
            scale = self.scaler.state_dict()
            parts["scaler"] = {name: torch.tensor(scale[name]) for name in SCALE}
        for row, name in enumerate(self.selectors):
            parts[f"target{row}"] = self.selectors[name].state()
            parts[f"scene{row}"] = self.caches[name].state()
            if name in self.adversaries:
                parts[f"attack{row}"] = self.adversaries[name].state()
        tensors = {f"{part}/{k}": v.cpu() for part, values in parts.items() for k, v in values.items()}
        tensors |= {"generator": self.generator.get_state(), "rows_at_once": torch.tensor(self.rows_at_once)}
        return TrainingState(step, tensors)

    def restore(self, state: TrainingState) -> None:
        """Go on from `state`."""
        with torch.no_grad():
            for name, value in _part(state, "student").items():
                self.student.leaves[name].copy_(value)
        restore_adam(self.adam, _part(state, "optimiser"))
        if scale := _part(state, "scaler"):
            numbers = {name: value.item() for name, value in scale.items()}
            self.scaler.load_state_dict(self.scaler.state_dict() | numbers)
        for row, (name, selector) in enumerate(self.selectors.items()):
            selector.restore(_part(state, f"target{row}"))
            if name in self.adversaries:
                self.adversaries[name].restore(_part(state, f"attack{row}"))
        self.generator.set_state(state.tensors["generator"].clone())


def stored_cache(state: TrainingState, row: int, device: torch.device) -> LatentCache:
    """The cache of the erased concept number `row`."""
    return LatentCache.restore(_part(state, f"scene{row}"), device)


def _part(state: TrainingState, part: str) -> dict[str, Tensor]:
    return {key.split("/", 1)[1]: value for key, value in state.tensors.items() if key.startswith(f"{part}/")}
