"""An adversary that words the erased concept anew: soft prompts, against which the student is trained (Receler)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from age_core.erasure.batch import Batch
from age_core.erasure.latents import LatentCache
from age_core.erasure.options import EraseOptions
from age_core.erasure.selectors import adam_state, restore_adam
from age_core.erasure.student import Student
from age_core.models.families import predict, token_states
from age_core.models.noise import row_errors


class Adversary:
    """Token states of its own at the end of the concept's prompt, where padding is, moved from step to step so that
    the student answers them as the unedited model answers the concept (Receler, arXiv 2311.17717).

    `states` (n, D) replace the last n token rows, at most half of them, of whichever template is drawn; they start as
    those of the first. Beside the published program: that one puts them behind the concept's last token, starts from
    random numbers, takes 50 steps at once, and has a weight decay so large that it decides over the gradient.
    """

    def __init__(self, pipe: DiffusionPipeline, cache: LatentCache, options: EraseOptions):
        rows = token_states(pipe, cache.erased[:1]).shape[1]
        self._rows = slice(rows - min(options.attack_tokens, rows // 2), rows)
        self._steps = options.attack_steps
        self.states = cache.erased[0, self._rows].detach().clone().requires_grad_(True)
        self._adam = torch.optim.Adam([self.states], lr=options.attack_lr)

    def prompt(self, erased: Tensor) -> Tensor:
        """The concept's prompts (B, L, D) with the adversary's states in each, differentiable in them."""
        states = self.states.expand(len(erased), -1, -1)
        return torch.cat([erased[:, : self._rows.start], states, erased[:, self._rows.stop :]], dim=1)

    def attack(self, pipe: DiffusionPipeline, student: Student, batch: Batch, rows_at_once: int) -> Tensor:
        """The prompts after `attack_steps` descents of |eps_student(z, prompt) - eps_teacher(z, concept)|^2; (B, L, D).

        In half precision the caller should hold `in_float32` open, as for `objective.inner_gradient`.
        """
        parts = list(batch.parts(rows_at_once))
        with torch.no_grad():
            originals = [_predictions(pipe, part, part.erased) for part, _ in parts]
        for _ in range(self._steps):
            self._adam.zero_grad()
            for (part, share), original in zip(parts, originals, strict=True):
                with student.active():
                    answer = _predictions(pipe, part, self.prompt(part.erased))
                    (share * row_errors(answer, original).mean()).backward(inputs=[self.states])
            self._adam.step()
        return self.prompt(batch.erased).detach()

    def state(self) -> dict[str, Tensor]:
        """What a run needs to go on."""
        return {"states": self.states.detach().clone()} | adam_state(self._adam)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state`."""
        with torch.no_grad():
            self.states.copy_(state["states"])
        restore_adam(self._adam, state)


def _predictions(pipe: DiffusionPipeline, batch: Batch, prompts: Tensor) -> Tensor:
    """For prompts (B, L, D) on the concept's latents; (B, C, h, w)."""
    return predict(pipe, batch.z_erased, batch.t, prompts)
