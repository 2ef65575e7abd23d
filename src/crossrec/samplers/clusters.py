"""K-means on the sphere, as RealHNS groups items and users. Source: specs of RealHNS, sections 5.2 and 5.4.

Shapes: N points, K clusters, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

MOVED = 1e-4
"""It ends once the square of the sum of all centres' moves is below this (published code)."""
ROUNDS = 300
"""It ends after so many rounds all the same."""


@dataclass(frozen=True)
class Clusters:
    """Centres (means of unit vectors, not unit themselves) and each point's cluster."""

    centre_KD: Tensor
    label_N: Tensor
    count_K: Tensor

    def scale(self) -> float:
        """Mean over the clusters of the mean cosine-like product of a member with its centre: mean of |centre|^2.

        That is s_c of RealHNS divided by the temperature: the mean of clusters, not of points. Empty clusters do not count.
        """
        return float(self.centre_KD.square().sum(1)[self.count_K > 0].mean())


def kmeans(unit_ND: Tensor, number: int, generator: torch.Generator, start_KD: Tensor | None = None) -> Clusters:
    """At most ``number`` clusters of unit vectors by cosine, from random distinct points, or from centres ``start_KD``.

    A cluster that loses all its points stays where it was, empty. With fewer points than clusters every point is its own.
    The zero vector (a user of whom a domain knows nothing) belongs to the first cluster that is as near as any.
    """
    if start_KD is None:
        first = torch.randperm(len(unit_ND), generator=generator, device=unit_ND.device)[:number]
        start_KD = unit_ND[first]
    centre_KD = start_KD.clone()
    for _ in range(ROUNDS):
        label_N = nearest(unit_ND, centre_KD)
        fresh_KD, count_K = means(unit_ND, label_N, centre_KD)
        moved = float((fresh_KD - centre_KD).norm(dim=1).sum()) ** 2
        centre_KD = fresh_KD
        if moved < MOVED:
            break
    return Clusters(centre_KD, label_N, count_K)


def nearest(unit_ND: Tensor, centre_KD: Tensor) -> Tensor:
    """The cluster of every point: the largest cosine with a centre."""
    return (unit_ND @ F.normalize(centre_KD, dim=1, eps=1e-12).T).argmax(1)


def means(point_ND: Tensor, label_N: Tensor, empty_KD: Tensor) -> tuple[Tensor, Tensor]:
    """Means of the points of every cluster, (K, D), that of an empty one from ``empty_KD``; and how many there are, (K,)."""
    sum_KD = torch.zeros_like(empty_KD).index_add(0, label_N, point_ND)
    count_K = torch.bincount(label_N, minlength=len(empty_KD))
    mean_KD = torch.where(count_K[:, None] > 0, sum_KD / count_K.clamp(min=1)[:, None], empty_KD)
    return mean_KD, count_K


def outliers(unit_ND: Tensor, clusters: Clusters, mean_KD: Tensor, share: float) -> Tensor:
    """Which points stand out in their cluster, (N,) bool: the ``share`` of its members with the smallest product with
    ``mean_KD``, the mean of the members' ``unit_ND`` (which need not be the vectors that were clustered); rounded down.
    """
    product_N = (unit_ND * mean_KD[clusters.label_N]).sum(1)
    order_N = torch.argsort(product_N, stable=True)
    order_N = order_N[torch.argsort(clusters.label_N[order_N], stable=True)]
    first_K = torch.cumsum(clusters.count_K, 0) - clusters.count_K
    label_N = clusters.label_N[order_N]
    within_N = torch.arange(len(order_N), device=order_N.device) - first_K[label_N]
    found_N = torch.zeros(len(order_N), dtype=torch.bool, device=order_N.device)
    found_N[order_N] = within_N < (clusters.count_K[label_N] * share + 1e-9).long()
    return found_N
