"""AGE's two terms: first as the paper writes them, then as the loop computes them."""

from __future__ import annotations

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from age_core.erasure.batch import Batch
from age_core.erasure.options import EraseOptions
from age_core.erasure.student import Student
from age_core.models.families import predict, predict_all
from age_core.models.noise import row_errors


def published_objective(
    edited: DiffusionPipeline,  # θ'
    original: DiffusionPipeline,  # θ
    z_e: Tensor,  # (B, C, h, w) noisy pictures of the concept to erase
    z_t: Tensor,  # (B, C, h, w) noisy pictures of its target
    t: Tensor,  # (B,)
    c_e: Tensor,  # (B, L, D) text states of the concept to erase
    c_t: Tensor,  # (B, L, D) text states of its target
    lam: float,  # λ
) -> tuple[Tensor, Tensor]:
    """The paper's two terms, (B,) each: θ' descends their sum, and c_t, a mixture of candidates, climbs it.

    min over θ', E over c_e, max over c_t (Bui et al. 2025, arXiv 2501.18950; docs/method.md, section B); ‖·‖² is the
    mean square of a row. Written to be read: `losses` and `inner_gradient` below compute the same in fewer calls.
    """
    erase = predict(edited, z_e, t, c_e) - predict(original, z_e, t, c_t)  # ‖ε_θ'(z_e, c_e) − ε_θ(z_e, c_t)‖²
    preserve = predict(edited, z_t, t, c_t) - predict(original, z_t, t, c_t)  # λ ‖ε_θ'(z_t, c_t) − ε_θ(z_t, c_t)‖²
    return erase.square().mean((1, 2, 3)), lam * preserve.square().mean((1, 2, 3))


def guided_target(teacher_target: Tensor, teacher_erased: Tensor, eta: float) -> Tensor:
    """(1 + eta) eps(c_t) - eta eps(c_e): the erased concept's prediction goes to the target and past it.

    eta = 0 is the published equation, eta = 1 the published code (docs/method.md, section B). No gradient reaches the
    student through it.
    """
    return ((1 + eta) * teacher_target - eta * teacher_erased).detach()


def losses(
    pipe: DiffusionPipeline, student: Student, batch: Batch, prompt_embeds: Tensor, options: EraseOptions
) -> tuple[Tensor, Tensor]:
    """The two terms (erasing, preserving) that the student descends, without lambda; means over the batch.

    prompt_embeds (B, L, D): the drawn targets, which get no gradient here. Beyond `published_objective`: eta pushes the
    erasing term's goal past the target (`guided_target`), what is preserved need not be the target, and each row has
    its weight. The caller must hold `student.active()` open around the backward pass.
    """
    c_t = prompt_embeds.detach()
    c_e = batch.erased
    c_goal = batch.empty.expand_as(c_t) if options.erase_to == "empty" else c_t
    # one call a model: small batches are slow
    c_student = c_e if batch.attacked is None else batch.attacked
    z, t, c_teacher = batch.z_erased, batch.t, c_goal
    if options.preserve != "none":
        z, t = torch.cat([z, batch.z_kept]), torch.cat([t, t])
        c_student, c_teacher = torch.cat([c_student, batch.kept]), torch.cat([c_teacher, batch.kept])
    with torch.no_grad():
        teacher = predict(pipe, z, t, c_teacher)
        teacher_goal, teacher_preserve = teacher[: len(c_t)], teacher[len(c_t) :]
        teacher_erased = predict(pipe, batch.z_erased, batch.t, c_e) if options.negative_guidance else teacher_goal
    with student.active():
        answer = predict(pipe, z, t, c_student)
        student_erase, student_preserve = answer[: len(c_t)], answer[len(c_t) :]
    goal = guided_target(teacher_goal, teacher_erased, options.negative_guidance)
    loss_erase = (batch.weight * row_errors(student_erase, goal)).mean()
    if options.preserve == "none":
        return loss_erase, torch.zeros((), device=answer.device)
    return loss_erase, (batch.weight * row_errors(student_preserve, teacher_preserve)).mean()


@torch.no_grad()
def share_left(
    pipe: DiffusionPipeline, student: Student, z: Tensor, t: Tensor, c_e: Tensor, c_goal: Tensor, eta: float
) -> float:
    """How much of the way from the erased concept to its goal the student has still to go: 1 all of it, 0 none.

    The mean squared error of its prediction at c_e over that of the original model's, on noisy pictures z (B, C, h, w)
    of the concept; c_e and c_goal (B, L, D). No probe is asked, so it is known of any model and any concept.
    """
    teacher_goal, teacher_erased = predict_all(pipe, z, t, c_goal), predict_all(pipe, z, t, c_e)
    with student.active():
        student_erased = predict_all(pipe, z, t, c_e)
    goal = guided_target(teacher_goal, teacher_erased, eta)
    to_go, whole = (row_errors(prediction, goal).mean() for prediction in (student_erased, teacher_erased))
    return float(to_go / whole.clamp(min=1e-12))


def inner_gradient(
    pipe: DiffusionPipeline, student: Student, batch: Batch, prompt_embeds: Tensor, options: EraseOptions
) -> Tensor:
    """Gradient of what pi climbs with respect to the target states prompt_embeds; both (B, L, D).

    inner_objective="both": the sum of `published_objective`, differentiated through the target in teacher and student;
    "preserve": its second term alone (AP); "student": that term through the student alone, the teacher's side being a
    constant (the published code; docs/method.md, section C, point 1).
    Teacher and student are differentiated one after the other, each with its own weights in place, because a
    checkpointed UNet runs its forward pass again inside the backward pass. In half precision the caller should hold
    `in_float32` open: the preserving term looks at a difference that can be smaller than the format's grain.
    """
    c_t = prompt_embeds.detach().requires_grad_(True)
    c_e = batch.erased
    through_teacher, both = options.inner_objective != "student", options.inner_objective == "both"
    z, t, c_teacher = batch.z_target, batch.t, c_t
    if both:
        z, t, c_teacher = torch.cat([z, batch.z_erased]), torch.cat([t, t]), torch.cat([c_t, c_t])
    with torch.set_grad_enabled(through_teacher):
        teacher = predict(pipe, z, t, c_teacher)  # of the preserving term, then (both) of the erasing one
    with student.active():
        student_preserve = predict(pipe, batch.z_target, batch.t, c_t)
    heads = [output.detach().requires_grad_(True) for output in (teacher, student_preserve)]
    total = (batch.weight * row_errors(heads[1], heads[0][: len(c_t)])).mean() * options.preserve_weight
    if both:
        with torch.no_grad(), student.active():
            student_erase = predict(pipe, batch.z_erased, batch.t, c_e)
        erase = (batch.weight * row_errors(student_erase, heads[0][len(c_t) :])).mean()
        if options.normalise_terms:
            total, erase = total / (total.detach() + 1e-12), erase / (erase.detach() + 1e-12)
        total = total + erase
    of_teacher, of_student = torch.autograd.grad(total, heads)
    with student.active():
        (gradient,) = torch.autograd.grad(student_preserve, c_t, of_student)
    if through_teacher:
        gradient = gradient + torch.autograd.grad(teacher, c_t, of_teacher)[0]
    return gradient
