"""The two metric terms of DDGHM: a vector near what it has met and away from the rest, and two views of it near each other.

Source: specs of DDGHM, section 7.4, equations 7.20 and 7.21. b vectors, n items that each has met, K negatives, D width.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def collaborative(
    x_bD: Tensor, met_bn: Tensor, items: int, lookup: Callable[[Tensor], Tensor], negatives: int, margin: float
) -> tuple[Tensor, int]:
    """The pull of vectors to the items that they have met, weighted by approximate rank: the sum and the number of terms.

    A term is w max(0, margin + d_j - min_k d_k), d squared distances, k uniform negatives that the vector has not met;
    w = ln(1 + floor(items * impostors / negatives)), an impostor being a negative that is nearer than d_j + margin.

    Args:
        met_bn: numbers of the items, each once, among ``items``; -1 where there are fewer.
        lookup: numbers to item vectors.
        negatives: drawn from torch's ambient generator for every vector and item that it has met.
    """
    there_bn = (met_bn >= 0) & ((met_bn >= 0).sum(1) < items)[:, None]
    negative_bnK = unmet(met_bn, items, negatives)
    with torch.no_grad():
        distance_bnK = _squared(x_bD[:, None, None], lookup(negative_bnK))
        nearest_bn = negative_bnK.gather(2, distance_bnK.argmin(2, keepdim=True))[..., 0]
    near_bn, far_bn = (_squared(x_bD[:, None], lookup(one.clamp(min=0))) for one in (met_bn, nearest_bn))
    impostors_bn = (near_bn.detach()[..., None] - distance_bnK + margin > 0).sum(2)
    weight_bn = torch.log1p((impostors_bn * items).div(negatives, rounding_mode="floor").to(near_bn.dtype))
    loss_bn = weight_bn * F.relu(margin + near_bn - far_bn)
    return torch.where(there_bn, loss_bn, 0).sum(), int(there_bn.sum())


def unmet(met_bn: Tensor, items: int, negatives: int) -> Tensor:
    """Items drawn uniformly from those that each row has not met: (b, n, K); 0 for a row that has met all.

    A number among the unmet is drawn, and then moved up by as many met ones as are not above it: nothing is rejected.
    """
    missing = torch.iinfo(met_bn.dtype).max // 2
    sorted_bn = torch.where(met_bn >= 0, met_bn, missing).sort(1).values
    below_bn = sorted_bn - torch.arange(met_bn.shape[1], device=met_bn.device)
    free_b = (items - (met_bn >= 0).sum(1))[:, None]
    drawn_bm = torch.rand(len(met_bn), met_bn.shape[1] * negatives, dtype=torch.float64, device=met_bn.device)
    number_bm = (drawn_bm * free_b).long()
    found_bm = number_bm + torch.searchsorted(below_bn, number_bm, right=True)
    return torch.where(free_b > 0, found_bm, 0).view(*met_bn.shape, negatives)


def contrastive(x_bD: Tensor, y_bD: Tensor) -> Tensor:
    """The contrast of two views of every row, mean over the 2b anchors: ().

    -ln(exp(x_u y_u) / (exp(x_u y_u) + sum over others w of exp(x_u x_w) + exp(x_u y_w))), and with the views exchanged:
    plain products, no temperature.
    """
    view_ND = torch.cat([x_bD, y_bD]).to(torch.promote_types(x_bD.dtype, torch.float32))
    logit_NN = view_ND @ view_ND.T
    logit_NN = logit_NN.masked_fill(torch.eye(len(view_ND), dtype=torch.bool, device=view_ND.device), -math.inf)
    return F.cross_entropy(logit_NN, torch.arange(len(view_ND), device=view_ND.device).roll(len(x_bD)))


def hidden(own_bl: Tensor, share: float) -> Tensor:
    """Which events a masked view hides: of each row's marked events a share, rounded, at random: (b, l).

    At least one and not all of them; none of a single one. Drawn from torch's ambient generator.
    """
    count_b = own_bl.sum(1)
    most_b = (count_b - 1).clamp(min=0)
    hidden_b = torch.minimum((share * count_b).round().long().clamp(min=1), most_b)
    rank_bl = torch.rand(own_bl.shape, device=own_bl.device).masked_fill(~own_bl, 2.0).argsort(1).argsort(1)
    return rank_bl < hidden_b[:, None]


def _squared(x: Tensor, e: Tensor) -> Tensor:
    return (x - e).square().sum(-1)
