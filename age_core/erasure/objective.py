"""AGE's two terms: the loss that the student descends and the gain that the target logits climb."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from diffusers import DiffusionPipeline
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from age_core.erasure.latents import Batch
from age_core.erasure.options import EraseOptions
from age_core.erasure.student import Student
from age_core.models.families import device_of, family_of, predict
from age_core.models.noise import guided_target, row_errors

LARGEST_PLAIN = 32  # width of the latents up to which attention may be plain


@contextmanager
def autocast(pipe: DiffusionPipeline, options: EraseOptions) -> Iterator[None]:
    """The UNet's arithmetic in `options.precision`; float32 masters are cast where they are used."""
    dtype = getattr(torch, options.precision) if options.precision != "float32" else pipe.unet.dtype
    device = device_of(pipe).type
    with ExitStack() as stack:
        if dtype != torch.float32:
            stack.enter_context(torch.autocast(device, dtype=dtype))
            # torch's fused attention took half of a training step there, going back in bfloat16; but plain attention
            # holds all pairs of places at once: at Stable Diffusion's 64 x 64 they are gigabytes
            if device == "cpu" and family_of(pipe).latent_shape(pipe)[-1] <= LARGEST_PLAIN:
                stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield


def losses(
    pipe: DiffusionPipeline, student: Student, batch: Batch, prompt_embeds: Tensor, options: EraseOptions
) -> tuple[Tensor, Tensor]:
    """(erasing, preserving) losses of the student. `states` (B, L, D) of the drawn targets carry no gradient here.

    ||e'(z_e, c_e) - [(1 + eta) e(z_e, c_t) - eta e(z_e, c_e)]||^2 and ||e'(z_t, c_t) - e(z_t, c_t)||^2, each row times
    its weight. The caller must hold `student.active()` open around the backward pass.
    """
    prompt_embeds = prompt_embeds.detach()
    erased = batch.erased.expand_as(prompt_embeds)
    toward = batch.empty.expand_as(prompt_embeds) if options.erase_to == "empty" else prompt_embeds
    # one call a model: small batches are slow
    z, t, asked, goals = batch.z_erased, batch.t, erased, toward
    if options.preserve != "none":
        z, t = torch.cat([z, batch.z_kept]), torch.cat([t, t])
        asked, goals = torch.cat([asked, batch.kept]), torch.cat([goals, batch.kept])
    with torch.no_grad():
        at = predict(pipe, z, t, goals)
        at_erased, at_kept = at[: len(prompt_embeds)], at[len(prompt_embeds) :]
        pushed = predict(pipe, batch.z_erased, batch.t, erased) if options.negative_guidance else at_erased
    with student.active():
        answer = predict(pipe, z, t, asked)
        moved, kept = answer[: len(prompt_embeds)], answer[len(prompt_embeds) :]
    loss_erase = (batch.weight * row_errors(moved, guided_target(at_erased, pushed, options.negative_guidance))).mean()
    if options.preserve == "none":
        return loss_erase, torch.zeros((), device=moved.device)
    return loss_erase, (batch.weight * row_errors(kept, at_kept)).mean()


def inner_gradient(
    pipe: DiffusionPipeline, student: Student, batch: Batch, prompt_embeds: Tensor, options: EraseOptions
) -> Tensor:
    """Gradient of what pi climbs with respect to the target states (B, L, D).

    inner_objective="both": ||e'(z_e, c_e) - e(z_e, c_t)||^2 + lambda ||e'(z_t, c_t) - e(z_t, c_t)||^2, differentiated
    through the target in teacher and student (the published equation); "preserve": its second term alone (AP);
    "student": that term through the student alone, the teacher's side being a constant (the published code; section C,
    point 1).
    Teacher and student are differentiated one after the other, each with its own weights in place, because a
    checkpointed UNet runs its forward pass again inside the backward pass.
    """
    leaf = prompt_embeds.detach().requires_grad_(True)
    erased = batch.erased.expand_as(prompt_embeds)
    through_teacher, both = options.inner_objective != "student", options.inner_objective == "both"
    z, t, asked = batch.z_target, batch.t, leaf
    if both:
        z, t, asked = torch.cat([z, batch.z_erased]), torch.cat([t, t]), torch.cat([leaf, leaf])
    with torch.set_grad_enabled(through_teacher):
        teacher = predict(pipe, z, t, asked)  # kept, then (both) goal
    with student.active():
        kept = predict(pipe, batch.z_target, batch.t, leaf)
    heads = [output.detach().requires_grad_(True) for output in (teacher, kept)]
    total = (batch.weight * row_errors(heads[1], heads[0][: len(prompt_embeds)])).mean() * options.preserve_weight
    if both:
        with torch.no_grad(), student.active():
            moved = predict(pipe, batch.z_erased, batch.t, erased)
        erase = (batch.weight * row_errors(moved, heads[0][len(prompt_embeds) :])).mean()
        if options.normalise_terms:
            total, erase = total / (total.detach() + 1e-12), erase / (erase.detach() + 1e-12)
        total = total + erase
    of_teacher, of_student = torch.autograd.grad(total, heads)
    with student.active():
        (gradient,) = torch.autograd.grad(kept, leaf, of_student)
    if through_teacher:
        gradient = gradient + torch.autograd.grad(teacher, leaf, of_teacher)[0]
    return gradient
