"""Inter-domain alignment: who is near whom among the users of one domain is to be so in another (DIAGAE, equations 5 and 6).

N users of a batch, S source domains, D width. Source: specs of DIAGAE, 2.3, 2.4 and 2.12.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from crossrec.data.alignment import jaccard, ranks
from crossrec.data.graphs import Adjacency

Weights = Literal["uniform", "alignment", "per_user"]
FEWEST = 3
"""Users below whom similarities say nothing: with two, each is all that the other has (specs of DIAGAE, equation 9)."""
SAMPLE = 1000
"""Shared users between whom the agreement of two domains is measured (ours)."""


def squared_distances(z_ND: Tensor) -> Tensor:
    """Squared distances of all pairs, (N, N), by their products; they are moved to their middle first, which saves digits."""
    z_ND = z_ND - z_ND.mean(0).detach()
    norm_N = z_ND.square().sum(1)
    far_NN = (norm_N[:, None] + norm_N - 2 * (z_ND @ z_ND.T)).clamp(min=0)
    return far_NN.masked_fill(diagonal(far_NN), 0.0)


def log_similarities(far_NN: Tensor, nu: float = 1.0, include_self: bool = False) -> Tensor:
    """Logarithms of the rows of Student-t similarities, which sum to 1, by squared distances; -inf on the diagonal.

    ``nu``: degrees of freedom. ``include_self``: whether everybody is near themselves as well, where the diagonal is theirs.
    """
    kernel_NN = -0.5 * (nu + 1) * torch.log1p(far_NN / nu)
    return (kernel_NN if include_self else kernel_NN.masked_fill(diagonal(far_NN), -torch.inf)).log_softmax(1)


def normalised(far_NN: Tensor) -> Tensor:
    """Distances divided by the mean of those between two users, which counts as given: no scale is left."""
    count = max(len(far_NN) * (len(far_NN) - 1), 1)
    mean = far_NN.detach().sum() / count
    return far_NN / mean.clamp(min=torch.finfo(far_NN.dtype).tiny)


def row_divergences(log_p_NN: Tensor, log_q_NN: Tensor) -> Tensor:
    """KL(P_i || Q_i) of every row, (N,). What has no probability in P does not count."""
    none_NN = log_p_NN == -torch.inf
    p_NN = log_p_NN.exp()
    return (p_NN * (log_p_NN - log_q_NN).masked_fill(none_NN, 0.0)).sum(1)


def divergences(
    z_teacher_ND: Tensor, z_ND: Tensor, nu: float = 1.0, normalise: bool = False, include_self: bool = False
) -> Tensor:
    """How far the similarities of z_ND are from those of the teacher, which is not moved: KL per user, (N,)."""
    far_P, far_Q = squared_distances(z_teacher_ND.detach()), squared_distances(z_ND)
    if normalise:
        far_P, far_Q = normalised(far_P), normalised(far_Q)
    return row_divergences(log_similarities(far_P, nu, include_self), log_similarities(far_Q, nu, include_self))


def inter_alignment(
    z_ND: Tensor,
    teachers: Sequence[Tensor],
    both_NS: Tensor,
    weight_NS: Tensor,
    *,
    nu: float = 1.0,
    normalise: bool = False,
    mean: bool = True,
) -> Tensor:
    """Weighted sum over source domains of the mean (or the sum) of KL over the users they share with the target: ().

    Args:
        z_ND: The target's vectors, which move.
        teachers: Every source's vectors (N, D), which stay.
        both_NS: Who has a place in the target and in each source. Both similarities are among those alone; fewer than
            ``FEWEST`` of them say nothing.
        weight_NS: Weight of every source for every user (equation 12: those of one source equal, of all sum 1).
        nu: Degrees of freedom.
        normalise: Whether distances are divided by their mean in each domain.
        mean: Whether over users the mean is taken, rather than the sum.
    """
    total = z_ND.new_zeros(())
    for s, teacher_ND in enumerate(teachers):
        chosen = both_NS[:, s].nonzero()[:, 0]
        if len(chosen) >= FEWEST:
            each = divergences(teacher_ND[chosen], z_ND[chosen], nu, normalise) * weight_NS[chosen, s].to(z_ND.dtype)
            total = total + (each.mean() if mean else each.sum())
    return total


def agreement(users: Adjacency, others: Adjacency, sample: int = SAMPLE) -> float:
    """Spearman's rank correlation over pairs of shared users between how like their items are in one domain (Jaccard) and how
    like they are in the other; 0 where too few are shared.

    All pairs of at most ``sample`` shared users, always the same of the same graphs.
    """
    shared = np.flatnonzero((users.degree_N > 0) & (others.degree_N > 0))
    if len(shared) > sample:
        shared = np.sort(np.random.default_rng(0).choice(shared, sample, replace=False))
    if len(shared) < FEWEST:
        return 0.0
    pairs = np.triu_indices(len(shared), 1)
    first, second = (ranks(jaccard(side.matrix()[shared])[pairs]) for side in (users, others))
    spread = float(first.std() * second.std())
    return float(((first - first.mean()) * (second - second.mean())).mean() / spread) if spread else 0.0


def diagonal(square_NN: Tensor) -> Tensor:
    """Where the diagonal is."""
    return torch.eye(len(square_NN), dtype=torch.bool, device=square_NN.device)
