"""AGE's two terms: the loss that the student descends and the gain that the target logits climb."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from age_core.losses import guided_target, row_errors
from age_core.options import EraseOptions
from age_core.pipeline import predict
from age_core.scene import Batch
from age_core.student import Student


def autocast(pipe: DiffusionPipeline, options: EraseOptions):
    """The UNet's arithmetic in `options.precision`; float32 masters are cast where they are used."""
    dtype = getattr(torch, options.precision) if options.precision != "float32" else pipe.unet.dtype
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(pipe.device.type, dtype=dtype)


def losses(
    pipe: DiffusionPipeline, student: Student, batch: Batch, states: Tensor, options: EraseOptions
) -> tuple[Tensor, Tensor]:
    """(erasing, preserving) losses of the student. `states` (B, L, D) of the drawn targets carry no gradient here.

    ||e'(z_e, c_e) - [(1 + eta) e(z_e, c_t) - eta e(z_e, c_e)]||^2 and ||e'(z_t, c_t) - e(z_t, c_t)||^2, each row times
    its weight. The caller must hold `student.active()` open around the backward pass.
    """
    states = states.detach()
    erased = batch.erased.expand_as(states)
    toward = batch.empty.expand_as(states) if options.erase_to == "empty" else states
    if options.preserve == "empty":  # at the erased concept's latents, as the paper's graph was made (section A)
        z_kept, kept_states = batch.z_erased, batch.empty.expand_as(states)
    else:
        z_kept, kept_states = batch.z_target, states
    with torch.no_grad():
        at_erased = predict(pipe, batch.z_erased, batch.t, toward)
        pushed = predict(pipe, batch.z_erased, batch.t, erased) if options.negative_guidance else at_erased
        at_kept = None if options.preserve == "none" else predict(pipe, z_kept, batch.t, kept_states)
    goal = guided_target(at_erased, pushed, options.negative_guidance)
    with student.active():
        if at_kept is None:
            moved = predict(pipe, batch.z_erased, batch.t, erased)
            return (batch.weight * row_errors(moved, goal)).mean(), torch.zeros((), device=moved.device)
        z, t = torch.cat([batch.z_erased, z_kept]), torch.cat([batch.t, batch.t])
        moved, kept = predict(pipe, z, t, torch.cat([erased, kept_states])).chunk(2)
    return (batch.weight * row_errors(moved, goal)).mean(), (batch.weight * row_errors(kept, at_kept)).mean()


def gain_gradient(
    pipe: DiffusionPipeline, student: Student, batch: Batch, states: Tensor, options: EraseOptions
) -> Tensor:
    """Gradient of what pi climbs with respect to the target states (B, L, D).

    gain="both": ||e'(z_e, c_e) - e(z_e, c_t)||^2 + lambda ||e'(z_t, c_t) - e(z_t, c_t)||^2, differentiated through the
    target in teacher and student (the published equation); "preserve": its second term alone (AP); "student": that
    term through the student alone, the teacher's side being a constant (the published code; section C, point 1).
    Teacher and student are differentiated one after the other, each with its own weights in place, because a
    checkpointed UNet runs its forward pass again inside the backward pass.
    """
    leaf = states.detach().requires_grad_(True)
    erased = batch.erased.expand_as(states)
    through_teacher = options.gain != "student"
    with torch.set_grad_enabled(through_teacher):
        teacher_kept = predict(pipe, batch.z_target, batch.t, leaf)
        teacher_goal = predict(pipe, batch.z_erased, batch.t, leaf) if options.gain == "both" else None
    with student.active():
        student_kept = predict(pipe, batch.z_target, batch.t, leaf)
        with torch.no_grad():
            moved = predict(pipe, batch.z_erased, batch.t, erased) if teacher_goal is not None else None
    outputs = [teacher_kept, student_kept] + ([] if teacher_goal is None else [teacher_goal])
    heads = [output.detach().requires_grad_(True) for output in outputs]
    preserve = (batch.weight * row_errors(heads[1], heads[0])).mean() * options.preserve_weight
    total = preserve
    if moved is not None:
        erase = (batch.weight * row_errors(moved, heads[2])).mean()
        if options.balance:
            total = preserve / (preserve.detach() + 1e-12) + erase / (erase.detach() + 1e-12)
        else:
            total = preserve + erase
    slopes = torch.autograd.grad(total, heads)
    with student.active():
        (gradient,) = torch.autograd.grad(student_kept, leaf, slopes[1])
    if through_teacher:
        (more,) = torch.autograd.grad(outputs[::2], leaf, slopes[::2])
        gradient = gradient + more
    return gradient
