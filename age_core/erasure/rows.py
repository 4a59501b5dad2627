"""How many rows of a step go back through the UNet at once: as many as the device's memory takes."""

from __future__ import annotations

import torch
from diffusers import DiffusionPipeline

from age_core.erasure.options import EraseOptions
from age_core.erasure.selectors import SELECTORS
from age_core.erasure.student import Student
from age_core.erasure.torch_modes import arithmetic, format_of
from age_core.models.families import device_of, dtype_of, encode_text, family_of, predict
from age_core.models.precision import HALF

SPARE = 0.85  # of the free memory that is counted on: what is free lies in pieces
# Float32 numbers a trained weight that the first update makes: a gradient, Adam's two moments, and what it adds up in
PER_WEIGHT = 4


def passes(pipe: DiffusionPipeline, options: EraseOptions) -> tuple[int, int]:
    """How often a row of a batch is held to go back through the UNet: for the student's loss, and for pi's gradient.

    The latter is taken in float32, and there counts twice where the student's format is half as wide.
    """
    of_pi = {"both": 3, "preserve": 2, "student": 1}[options.inner_objective]
    wide = 2 if format_of(pipe, options) in HALF else 1
    return (1 if options.preserve == "none" else 2), wide * of_pi


def rows_at_once(pipe: DiffusionPipeline, student: Student, options: EraseOptions) -> int:
    """The option of that name; where it is 0, on CUDA, what its free memory takes, and elsewhere 0: all.

    Measured by going forward and back with one row and with two. At least 1, and at most what a step has.
    """
    device, learns = device_of(pipe), SELECTORS[options.target].learns
    if options.rows_at_once or device.type != "cuda":
        return options.rows_at_once
    one, two = (_peak(pipe, student, rows, options) for rows in (1, 2))
    reserved = PER_WEIGHT * 4 * sum(leaf.numel() for leaf in student.leaves.values())
    if learns and dtype_of(pipe) in HALF:  # pi's gradient is taken in float32
        reserved += 4 * sum(weight.numel() for weight in family_of(pipe).denoiser(pipe).parameters())
    of_student, of_pi = passes(pipe, options)
    most = max(options.batch * of_student, options.pi_batch * of_pi if learns else 0)
    return rows_that_fit(one, two, SPARE * _free(device) - reserved, most)


def rows_that_fit(one: int, two: int, free: float, most: int) -> int:
    """How many rows fit into `free` bytes if one takes `one` and two take `two`; at least 1, at most `most`."""
    each = max(two - one, 1)
    return max(1, min(most, int((free - (one - each)) / each)))


def _free(device: torch.device) -> int:
    """Bytes that the device has left, and those that torch holds without using them."""
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def _peak(pipe: DiffusionPipeline, student: Student, rows: int, options: EraseOptions) -> int:
    """Bytes that a forward and a backward pass of the student take at most, beyond what was there before."""
    device = device_of(pipe)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    z = torch.zeros(rows, *family_of(pipe).latent_shape(pipe), device=device)
    t = torch.full((rows,), 1, device=device)
    states = encode_text(pipe, [""]).expand(rows, -1, -1)
    with arithmetic(pipe, options), student.active():
        torch.autograd.grad(predict(pipe, z, t, states).sum(), list(student.leaves.values()), allow_unused=True)
    return torch.cuda.max_memory_allocated(device) - before
