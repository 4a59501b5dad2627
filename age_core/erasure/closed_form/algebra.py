"""The linear algebra of closed-form erasure: pure functions on float64 matrices, in the papers' symbols.

Rows are token states: C (n, D) of erased concepts, C_star (n, D) of their targets row by row, R (m, D) preserved.
W (out, D) is the weight of a cross-attention key or value projection; an edit is returned as its change (out, D).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from age_core.errors import AgeError


def uce_factor(C: Tensor, R: Tensor, lam: float, a: float, p: float) -> Tensor:
    """a C (lam I + a sum c c^T + p sum r r^T)^-1; (n, D): all of UCE that depends neither on the target nor on W."""
    A = lam * torch.eye(C.shape[1], dtype=C.dtype, device=C.device) + a * C.T @ C + p * R.T @ R
    return a * torch.linalg.solve(A, C.T).T


def uce_factor_of_moment(C: Tensor, moment: Tensor, lam: float, a: float, p: float) -> Tensor:
    """The same but for the last bits, of sum r r^T (D, D), which is all that it takes of R."""
    A = lam * torch.eye(C.shape[1], dtype=C.dtype, device=C.device) + a * C.T @ C + p * moment
    return a * torch.linalg.solve(A, C.T).T


def uce_change(W: Tensor, C: Tensor, V_star: Tensor, factor: Tensor) -> Tensor:
    """W' - W of UCE (arXiv 2308.14761) for wanted outputs V_star (n, out).

    W' = (lam W + a sum v* c^T + p sum W r r^T) A^-1 with A = lam I + a sum c c^T + p sum r r^T. Taking W A from the
    bracket leaves W' - W = sum (v* - W c) a c^T A^-1: exactly 0 where v* = W c, and short to compute.
    """
    return (V_star - C @ W.T).T @ factor


def without_old(W: Tensor, C: Tensor, C_star: Tensor) -> Tensor:
    """UCE's "tensor" technique: W C* less its share along W C, as whole matrices; (n, out).

    v* = W c* - <u, W c*> u with u = W c / |W c|_F (docs/method.md, section D).
    """
    new, old = C_star @ W.T, C @ W.T
    return new - (new * old).sum() / old.square().sum().clamp_min(1e-30) * old


def revival_states(edited: Sequence[Tensor], original: Sequence[Tensor], C: Tensor, rho: float = 0.1) -> Tensor:
    """What to show the edited projections so that they answer as the original ones did to C; (n, D).

    c' = (sum W'^T W' + rho I)^-1 (sum W'^T W) c over all projections (RECE, arXiv 2407.12383). RECE erases it in turn;
    shown to an erased model in place of the concept's own token states it is an attack that needs no training.
    Raises AgeError on projections that do not match in number or width.
    """
    if not edited or len(edited) != len(original) or any(w.shape[1] != C.shape[1] for w in (*edited, *original)):
        raise AgeError("A revival needs the same projections, edited and original, as wide as the token states.")
    gram = sum((w.T @ w for w in edited), rho * torch.eye(C.shape[1], dtype=C.dtype, device=C.device))
    mixed = torch.stack([new.T @ old for new, old in zip(edited, original, strict=True)]).sum(0)
    return torch.linalg.solve(gram, mixed @ C.T).T


def null_space(R: Tensor, threshold: float) -> tuple[Tensor, int]:
    """Projection P (D, D) onto what preserved states R (m, D) hardly use, and its rank.

    The eigenvectors of their mean second moment (sum r r^T / m) with an eigenvalue below the threshold. Without
    preserved states it is the whole space.
    """
    if not len(R):
        return torch.eye(R.shape[1], dtype=R.dtype, device=R.device), R.shape[1]
    values, vectors = torch.linalg.eigh(R.T @ R / len(R))
    free = vectors[:, values < threshold]
    return free @ free.T, free.shape[1]


def speed_change(C: Tensor, C_star: Tensor, P: Tensor, K: Tensor) -> Tensor:
    """T (D, D) such that W' = W (I + T) is SPEED's edit (arXiv 2503.07392); K (k, D) invariant states.

    T = (C* - C1) P [I - M K (K^T P M K)^-1 K^T P] M with M = (C1 P + I)^-1, C1 = sum c c^T and C* = sum c* c^T. It is
    the T within the range of P that minimises |T C + C - C*|^2 + |T|^2 (measured through W) subject to T K = 0.
    C* pairs the target with the concept, as that minimum demands.
    """
    eye = torch.eye(C.shape[1], dtype=C.dtype, device=C.device)
    C1, paired, Kt = C.T @ C, C_star.T @ C, K.T
    M = torch.linalg.inv(C1 @ P + eye)
    # K may lie in the preserved space altogether (P K = 0), where nothing is left to constrain: hence pinv
    PMK = P @ M @ Kt
    held = M @ Kt @ torch.linalg.pinv(Kt.T @ PMK, rtol=1e-10) @ (Kt.T @ P)
    return (paired - C1) @ P @ (eye - held) @ M


def double_projection(C: Tensor, S: Tensor, R: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """T (D, D) such that W' = W (I + T) is the edit of Double Projections (arXiv 2604.10032), and its P (D, D).

    First each concept is projected onto the span of the safe states S (k, D): C* = C S^+ S. Then the change may not act
    on what is preserved: P projects onto what the `rank` leading directions of R leave over, which is R's null space
    where it has no more. T = (C* - C)^T (P C^T)^+ is the least change within P by which every concept becomes its C*.
    """
    C_star = C @ torch.linalg.pinv(S, rtol=1e-9) @ S
    _, s, Vh = torch.linalg.svd(R, full_matrices=False)
    leading = Vh[: min(rank, int((s > 1e-9 * s.max()).sum()))] if len(R) else Vh
    P = torch.eye(C.shape[1], dtype=C.dtype, device=C.device) - leading.T @ leading
    return (C_star - C).T @ torch.linalg.pinv(P @ C.T, rtol=1e-6), P


def spectral_projection(E: Tensor, alpha: float) -> Tensor:
    """P (D, D) of CURE (arXiv 2505.12677): onto the rows of E (m, D), each direction as far as it holds their energy.

    P = V diag(f(r)) V^T with E = U diag(s) V^T, r = s^2 / sum s^2 and f(r) = alpha r / ((alpha - 1) r + 1): alpha = 1
    weighs a direction by its energy, and alpha without bound makes P the plain projection.
    """
    _, s, Vh = torch.linalg.svd(E, full_matrices=False)
    r = s.square() / s.square().sum()
    return Vh.T @ (Vh * (alpha * r / ((alpha - 1) * r + 1)).unsqueeze(-1))


def most_affected(T: Tensor, R: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Which preserved states an unconstrained edit W T moves more than their mean; (m,) bool (SPEED's filter)."""
    moved = torch.stack([(R @ T.T @ w.T).square().sum(1) for w in weights]).sum(0)
    return moved >= moved.mean()


def rotation(W: Tensor, C: Tensor, C_star: Tensor, held: Tensor, erase: float, relative: bool) -> Tensor:
    """The orthogonal R (out, out) by which OCE turns W (arXiv 2605.28902): W' = R W; held (D, D) symmetric.

    R = U V^T from the SVD of M = -a G (I - G*) + W held W^T, where G and G* project onto the span of the outputs of
    the concepts and of the targets, and held = b sum r r^T + g E[x x^T] + l I. a is `erase`; if relative, in units of
    what W held W^T puts on the span of G, without which its meaning would change with the scale of the model's weights.
    """
    G, G_star = _projection(C @ W.T), _projection(C_star @ W.T)
    kept = W @ held @ W.T
    a = erase * (kept * G).sum() / G.trace() if relative else erase
    U, _, Vh = torch.linalg.svd(kept - a * G @ (torch.eye(len(W), dtype=W.dtype, device=W.device) - G_star))
    return U @ Vh


def _projection(outputs: Tensor) -> Tensor:
    """Onto the span of the rows (n, out), which may be zero or dependent; (out, out)."""
    rows = torch.nn.functional.normalize(outputs, dim=1)
    _, s, Vh = torch.linalg.svd(rows, full_matrices=False)
    basis = Vh[s > 1e-9]
    return basis.T @ basis
