"""The moving parts of one run, and the state from which it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from age_core.concepts.candidates import Candidates
from age_core.erasure.events import TrainingState
from age_core.erasure.latents import LatentCache
from age_core.erasure.options import EraseOptions
from age_core.erasure.selectors import SELECTORS, TargetSelector, adam_state, restore_adam
from age_core.erasure.student import Student
from age_core.models.families import family_of


@dataclass
class Training:
    """The student with its optimiser, and for each erased concept what chooses its target and what the losses need."""

    student: Student
    adam: torch.optim.Adam
    selectors: dict[str, TargetSelector]
    caches: dict[str, LatentCache]
    generator: torch.Generator

    @staticmethod
    def start(
        pipe: DiffusionPipeline,
        pools: Mapping[str, Candidates],
        caches: dict[str, LatentCache],
        options: EraseOptions,
    ) -> Training:
        """Before the first step. pools: the candidates of each concept, of which its cache may have left some out."""
        family = family_of(pipe)
        student = Student(family.denoiser(pipe), options, family.selections)
        selectors: dict[str, TargetSelector] = {}
        for name, pool in pools.items():
            rows = caches[name].kept.tolist()
            prior = [pool.prior[row] for row in rows] if pool.prior else []
            selectors[name] = SELECTORS[options.target].of(options, len(rows), prior)
        adam = torch.optim.Adam(student.leaves.values(), lr=options.lr)
        return Training(student, adam, selectors, caches, torch.Generator().manual_seed(options.seed))

    def state(self, step: int) -> TrainingState:
        """Everything to go on from after `step`, as copies on the CPU."""
        parts = {"student": {n: leaf.detach().clone() for n, leaf in self.student.leaves.items()}}
        parts["optimiser"] = adam_state(self.adam)
        for row, name in enumerate(self.selectors):
            parts[f"target{row}"] = self.selectors[name].state()
            parts[f"scene{row}"] = self.caches[name].state()
        tensors = {f"{part}/{k}": v.cpu() for part, values in parts.items() for k, v in values.items()}
        return TrainingState(step, tensors | {"generator": self.generator.get_state()})

    def restore(self, state: TrainingState) -> None:
        """Go on from `state`; the caches are read by `stored_cache` before."""
        with torch.no_grad():
            for name, value in _part(state, "student").items():
                self.student.leaves[name].copy_(value)
        restore_adam(self.adam, _part(state, "optimiser"))
        for row, selector in enumerate(self.selectors.values()):
            selector.restore(_part(state, f"target{row}"))
        self.generator.set_state(state.tensors["generator"].clone())


def stored_cache(state: TrainingState, row: int, device: torch.device) -> LatentCache:
    """The cache of the erased concept number `row`."""
    return LatentCache.restore(_part(state, f"scene{row}"), device)


def _part(state: TrainingState, part: str) -> dict[str, Tensor]:
    return {key.split("/", 1)[1]: value for key, value in state.tensors.items() if key.startswith(f"{part}/")}
