"""Objectives as pure functions of logits. P queries, K negatives of each, M negatives shared by all, V items."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def bce(positive_P: Tensor, *negatives_PK: Tensor, weight_P: Tensor | None = None) -> Tensor:
    """Binary cross entropy, the K negatives together as heavy as a positive of weight 1: (P,).

    w softplus(-s+) + mean_k softplus(s-_k); of several lists of negatives the mean. Source: published RealHNS and PDRec
    code (specs, sections 3 and 4.1).
    """
    positive = bce_positive(positive_P)
    return (positive if weight_P is None else weight_P * positive) + _mean(*map(F.softplus, negatives_PK))


def bce_positive(positive_S: Tensor) -> Tensor:
    """The positive's part of :func:`bce` alone, softplus(-s+): (S,). Source: PDRec, equation 5."""
    return F.softplus(-positive_S)


def brier(positive_P: Tensor, *negatives_PK: Tensor, weight_P: Tensor | None = None) -> Tensor:
    """Squared error of the probability of a click, 1 for the positive and 0 for the K negatives together: (P,).

    w (1 - sigmoid(s+))^2 + mean_k sigmoid(s-_k)^2; of several lists of negatives the mean. Source: DIAGAE, equation 4.
    """
    positive = torch.sigmoid(-positive_P).square()
    lists = [torch.sigmoid(negative_PK).square() for negative_PK in negatives_PK]
    return (positive if weight_P is None else weight_P * positive) + _mean(*lists)


def bpr(positive_P: Tensor, *negatives_PK: Tensor, weight_P: Tensor | None = None) -> Tensor:
    """Bayesian personalised ranking, the mean over the K negatives of w softplus(s- - s+): (P,); of several lists of
    negatives the mean. Source: Rendle 2009.
    """
    loss = _mean(*(F.softplus(negative_PK - positive_P[:, None]) for negative_PK in negatives_PK))
    return loss if weight_P is None else weight_P * loss


def _mean(*losses_PK: Tensor) -> Tensor:
    """The mean over lists of each list's mean: (P,)."""
    return torch.stack([loss_PK.mean(-1) for loss_PK in losses_PK]).mean(0)


def sampled_softmax(
    positive_P: Tensor, negative_PK: Tensor, log_q: Tensor | None = None, hard_PH: Tensor | None = None
) -> Tensor:
    """Cross entropy of the positive against K drawn negatives that stand for the whole catalogue: (P,).

    ``log_q``: ln of the probability of each draw, (P, K), (K,) or (); a logit is lowered by ln(K q), so that K draws
    stand for all items. None leaves the logits as they are. A negative at -inf (the positive itself) does not count.
    ``hard_PH``: further negatives that were chosen, not drawn; each stands for itself.
    Source: Bengio and Senecal 2008.
    """
    if log_q is not None:
        negative_PK = negative_PK - (log_q + math.log(negative_PK.shape[1]))
    if hard_PH is not None:
        negative_PK = torch.cat([negative_PK, hard_PH], -1)
    return torch.logaddexp(positive_P, torch.logsumexp(negative_PK, -1)) - positive_P


def softmax(logit_PV: Tensor, place_P: Tensor) -> Tensor:
    """Cross entropy over the whole catalogue: (P,). ``place_P`` is the positive's column."""
    return F.cross_entropy(logit_PV, place_P, reduction="none")


def nt_xent(h_RD: Tensor, other_RD: Tensor, temperature: float) -> Tensor:
    """Contrast of two views of R rows, mean over the 2R anchors: (). The other view of the row against all other views.

    -ln(exp(s_ij / t) / sum over k other than i of exp(s_ik / t)), s the cosine. Source: Chen et al. 2020.
    """
    unit_ND = F.normalize(torch.cat([h_RD, other_RD]), dim=-1)
    logit_NN = unit_ND @ unit_ND.T / temperature
    logit_NN = logit_NN.masked_fill(torch.eye(len(logit_NN), dtype=torch.bool, device=logit_NN.device), -torch.inf)
    return F.cross_entropy(logit_NN, torch.arange(len(logit_NN), device=logit_NN.device).roll(len(h_RD)))
