"""Check 7: what half precision changes: the floor of noise shift, a picture among others, the gradient of pi."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from age_core import ConceptSet, encode_text, generate
from age_core.erasure.closed_form.methods import closed_form
from age_core.errors import AgeError
from age_core.measure.noise_shift import noise_reference, noise_shift
from age_core.models.pipelines import DTYPES
from benchmarks.gpu.bench import Bench, Figures, attempt, failure, products_in, rounded
from benchmarks.gpu.models import emoji, stable_diffusion, tiny
from benchmarks.tiny import WORLD

FORMATS = ("float32", "bfloat16", "float16")
MOVES = (6e-4, 1e-5)  # of each weight: a first step of Adam at our rate and at the papers'
SCALE = 2.0**14  # of a float16 loss
CONCEPTS = 40


def check(bench: Bench) -> Iterator[Figures]:
    everyone = ConceptSet.load("emoji")
    concepts = WORLD if bench.small else replace(everyone, concepts=everyone.concepts[:CONCEPTS])
    for dtype in FORMATS:
        try:
            pipe = tiny(bench, "sd", dtype) if bench.small else emoji(dtype, bench.device)
        except AgeError as error:  # where the denoiser did not travel; the gradients need none
            yield {"what": "noise shift", "format": dtype, **failure(error)}
            continue
        yield attempt({"what": "noise shift", "format": dtype}, floor, pipe, concepts)
        yield attempt({"what": "a picture among others", "format": dtype}, alone, bench, pipe)
    yield from gradients(bench)


def floor(pipe: DiffusionPipeline, concepts: ConceptSet) -> Figures:
    """Noise shift of no edit, of one that is too slight to show, and of a real one."""
    names = concepts.names
    eraser = closed_form(pipe, "uce", {names[0]: names[1]}, names[2:])
    reference = noise_reference(pipe, concepts, 1)
    figures: Figures = {}
    for name, strength in (("none", 0.0), ("slight", 1e-4), ("real", 1.0)):
        shift = noise_shift(pipe, reference, eraser.scaled(strength))["shift"]
        figures |= {f"{name}_median": rounded(float(shift.median())), f"{name}_most": rounded(float(shift.max()))}
    return figures


def alone(bench: Bench, pipe: DiffusionPipeline) -> Figures:
    """Levels of 255 by which the same picture differs when it is drawn by itself and among 64."""
    count = 2 if bench.small else 64
    together = generate(pipe, ["a dog"] * count, list(range(count)), steps=2)
    by_itself = generate(pipe, ["a dog"], [0], steps=2)
    far = np.abs(np.asarray(together[0], float) - np.asarray(by_itself[0], float))
    return {"largest": float(far.max()), "mean": rounded(float(far.mean()))}


def gradients(bench: Bench) -> Iterator[Figures]:
    """Cosine of pi's gradient with that of float32, on the preserving term of one step at the shape of SD 1.4."""
    pipe = stable_diffusion(bench, "float32")
    teacher = pipe.unet
    rows = 2
    generator = torch.Generator().manual_seed(0)
    side = teacher.config.sample_size
    z = torch.randn(rows, 4, side, side, generator=generator).to(bench.device)
    t = torch.tensor([300, 700], device=bench.device)
    states = encode_text(pipe, ["a wolf", "a church"]).float()
    for move in MOVES[:1] if bench.small else MOVES:
        student = moved(teacher, move)
        with products_in("float32"):
            exact = gradient(teacher, student, z, t, states)
        formats = [("tf32", "float32", 1.0), ("bfloat16", "bfloat16", 1.0), ("float16", "float16", 1.0)]
        for name, dtype, scale in [*formats, ("float16, scaled", "float16", SCALE)]:

            def found(dtype: str = dtype, scale: float = scale, student: nn.Module = student) -> Tensor:
                pair = [copy.deepcopy(unet).to(DTYPES[dtype]) for unet in (teacher, student)]
                with products_in("tf32"):
                    return gradient(pair[0], pair[1], z, t, states, scale)

            yield attempt({"what": "gradient of pi", "move": move, "format": name}, beside, exact, found)
            bench.free_memory()


def beside(exact: Tensor, found: Callable[[], Tensor]) -> Figures:
    """How alike another format's gradient is, and how much of it vanished."""
    other = found()
    cosine = float(nn.functional.cosine_similarity(other, exact, dim=0))
    return {"cosine": rounded(cosine), "zeros": rounded(float((other == 0).float().mean()))}


def moved(unet: nn.Module, move: float) -> nn.Module:
    """A copy whose cross-attention weights each went `move` up or down, as Adam's first step moves them."""
    student, generator = copy.deepcopy(unet), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in student.named_parameters():
            if ".attn2." in name:
                sign = torch.randint(0, 2, weight.shape, generator=generator).to(weight) * 2 - 1
                weight.add_(move * sign)
    return student


def gradient(
    teacher: nn.Module, student: nn.Module, z: Tensor, t: Tensor, states: Tensor, scale: float = 1.0
) -> Tensor:
    """Of the mean squared difference of both models' predictions with respect to the text states; flat, float32."""
    c, dtype = states.detach().requires_grad_(True), next(teacher.parameters()).dtype
    answers = [unet(z.to(dtype), t, c.to(dtype)).sample.float() for unet in (student, teacher)]
    loss = (answers[0] - answers[1]).square().mean() * scale
    return torch.autograd.grad(loss, c)[0].flatten() / scale
