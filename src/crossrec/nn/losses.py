"""Objectives as pure functions of logits. P queries, K negatives of each, M negatives shared by all, V items."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def bce(positive_P: Tensor, negative_PK: Tensor) -> Tensor:
    """Binary cross entropy, the K negatives together as heavy as the positive: (P,).

    softplus(-s+) + mean_k softplus(s-_k). Source: published RealHNS code (specs, section 3).
    """
    return F.softplus(-positive_P) + F.softplus(negative_PK).mean(-1)


def bpr(positive_P: Tensor, negative_PK: Tensor) -> Tensor:
    """Bayesian personalised ranking, the mean over the K negatives of softplus(s- - s+): (P,). Source: Rendle 2009."""
    return F.softplus(negative_PK - positive_P[:, None]).mean(-1)


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
