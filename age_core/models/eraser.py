"""The Eraser: what a run returns, a change of weights or something that acts while the model draws."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from age_core.errors import AgeError
from age_core.files import replacing
from age_core.models.differential import project_out, suit
from age_core.models.families import editable
from age_core.validation import number_between

FORMAT = "age-eraser-2"
KINDS = ("delta", "lora", "directions", "prompts")  # of its tensors
STRONGEST = 10.0  # times an eraser: long before, the edited model draws noise
ANSWERS = ".to_out.0"  # how the module ends that gives a cross-attention's answer to each patch


def without_directions(
    values: Tensor, directions: Tensor, sharpness: float, threshold: float, strength: float = 1.0
) -> Tensor:
    """v <- v - strength sigma(cos(v, c)) (<v, c> / |c|^2) c for each direction c and every token but the first.

    values: (B, L, D); directions: (m, D). sigma is a sigmoid of sharpness * (cosine - threshold), so that only tokens
    that mean the erased concept lose their share of it (AdaVD, arXiv 2412.06143; docs/method.md, section G). Strength 1
    removes the share, 2 mirrors it. Computed in float32 where the values are in half precision.
    """
    first, rest = values[:, :1], values[:, 1:].to(torch.promote_types(values.dtype, torch.float32))
    for c in directions.to(rest):
        cosine = torch.nn.functional.cosine_similarity(rest, c, dim=-1).unsqueeze(-1)  # (B, L - 1, 1)
        share = strength * torch.sigmoid(sharpness * (cosine - threshold)) * (rest @ c / c.square().sum()).unsqueeze(-1)
        rest = rest - share * c
    return torch.cat([first, rest.to(values.dtype)], 1)


def steered(answers: Tensor, directions: Tensor, strength: float) -> Tensor:
    """h <- h - strength max(0, <h, s>) s for each unit direction s and every patch (CASteer, arXiv 2503.09630).

    answers: (B, patches, D); directions: (m, D). Strength 1 takes out what a patch holds of the concept, 2 mirrors it,
    which leaves |h| as it was. Computed in float32 where the answers are in half precision.
    """
    h = answers.to(torch.promote_types(answers.dtype, torch.float32))
    for s in directions.to(h):
        h = h - strength * (h @ s).clamp_min(0).unsqueeze(-1) * s
    return h.to(answers.dtype)


@dataclass(frozen=True)
class Eraser:
    """A finished erasure: what to add to which UNet weights, and where it came from.

    `lora` holds the factors of `delta` where low-rank factors were trained: `<module>.lora_A.weight` (rank, in) and
    `<module>.lora_B.weight` (out, rank), their product being the delta. `directions` (m, D) by the name of a module
    are taken out of its output while the eraser is applied: of a `to_v` as `without_directions` says (AdaVD), with
    `info["sharpness"]` and `info["threshold"]`, of a `to_out.0` as `steered` says (CASteer); both with
    `info["strength"]`, unless it is 1. `prompts` are "concept" and "target", each (m, L, D) of `encode_text`: the
    denoiser's predictions lose what leads from the one to the other, as `differential` says (DVE), so strongly too.
    """

    delta: Mapping[str, Tensor]
    info: Mapping[str, Any] = field(default_factory=dict)
    lora: Mapping[str, Tensor] = field(default_factory=dict)
    directions: Mapping[str, Tensor] = field(default_factory=dict)
    prompts: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def concepts(self) -> tuple[str, ...]:
        """The erased concepts, as far as `info` names any."""
        names = self.info.get("concepts") or [self.info.get("concept")]
        return tuple(str(name) for name in names if name)

    @property
    def strength(self) -> float:
        """How strongly it acts by its own account: 1 where it has none; AdaVD's is made at 2."""
        try:
            return float(self.info.get("strength", 1.0))
        except (TypeError, ValueError):
            raise AgeError(f"This eraser's strength is no number: {str(self.info['strength'])[:40]!r}.") from None

    def scaled(self, strength: float) -> Eraser:
        """The same erasure `strength` times as strong: 0 changes nothing, 1 is as it was made, to the last bit.

        Everything that acts follows: the delta, the low-rank factors it is the product of, and what is taken out of
        values, answers or predictions. Raises AgeError unless `strength` is a number from 0 to STRONGEST.
        """
        strength = number_between(strength, 0, STRONGEST, "strength")
        if strength == 1:
            return self
        info = {**self.info, "strength": strength * self.strength}
        delta = {name: strength * change for name, change in self.delta.items()}
        lora = {name: strength * f if name.endswith("lora_B.weight") else f for name, f in self.lora.items()}
        return replace(self, delta=delta, info=info, lora=lora)

    @contextmanager
    def applied_to(self, pipe: DiffusionPipeline) -> Iterator[DiffusionPipeline]:
        """The pipeline edited; on exit, exceptions included, its weights are bit for bit as before.

        Raises AgeError before anything is changed when the eraser was made for another model, or the pipeline's weights
        are not where they belong.
        """
        denoiser = editable(pipe).denoiser(pipe)
        parameters, modules = dict(denoiser.named_parameters()), dict(denoiser.named_modules())
        wrong = [n for n, d in self.delta.items() if n not in parameters or parameters[n].shape != d.shape]
        wrong += [n for n, c in self.directions.items() if n not in modules or modules[n].out_features != c.shape[-1]]
        wrong += ["prompts"] if self.prompts and not suit(pipe, self.prompts) else []
        if wrong:
            raise AgeError(f"This eraser was made for another model: {wrong[0]!r} does not fit.")
        before = {name: parameters[name].detach().clone() for name in self.delta}
        hooks = []
        try:
            for name, directions in self.directions.items():
                device = next(modules[name].parameters()).device
                hooks.append(modules[name].register_forward_hook(self._take_out(name, directions.to(device))))
            if self.prompts and self.strength:
                hooks.append(project_out(pipe, self.prompts, self.strength))
            with torch.no_grad():
                for name, delta in self.delta.items():
                    # summed in float32: a half-precision weight would swallow a small delta twice
                    parameters[name].copy_(parameters[name].float() + delta.to(parameters[name].device))
            yield pipe
        finally:
            for hook in hooks:
                hook.remove()
            with torch.no_grad():
                for name, value in before.items():
                    parameters[name].copy_(value)

    def _take_out(self, name: str, directions: Tensor) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        strength = self.strength
        directions = directions.clone()  # from a file they are aligned otherwise, and sums would differ in the last bit
        if name.endswith(ANSWERS):
            return lambda _module, _inputs, answers: steered(answers, directions, strength)
        sharpness, threshold = float(self.info["sharpness"]), float(self.info["threshold"])
        return lambda _module, _inputs, values: without_directions(values, directions, sharpness, threshold, strength)

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file atomically: the file is whole or absent."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        kinds = {kind: getattr(self, kind) for kind in KINDS}
        tensors = {f"{kind}:{name}": t.detach().cpu().contiguous() for kind in KINDS for name, t in kinds[kind].items()}
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata={"format": FORMAT, "info": json.dumps(dict(self.info))})
        return path

    @staticmethod
    def load(path: str | Path) -> Eraser:
        """Read what `save` wrote. Raises AgeError when the file is missing, broken or something else."""
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise AgeError(f"{Path(path).name!r} is no eraser: it lacks the mark {FORMAT!r}.")
                kinds: dict[str, dict[str, Tensor]] = {kind: {} for kind in KINDS}
                for key in file.keys():
                    kind, name = key.split(":", 1)
                    kinds[kind][name] = file.get_tensor(key)
                return Eraser(info=json.loads(metadata["info"]), **kinds)
        except AgeError:
            raise
        except Exception as error:  # safetensors raises its own error type for each kind of damage
            raise AgeError(f"{Path(path).name!r} cannot be read as an eraser: {error}") from error
