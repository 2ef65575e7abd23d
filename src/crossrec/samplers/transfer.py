"""The cross-domain part of RealHNS: users who are alike in a source domain, and those of them who stand out in the target.

Source: specs of RealHNS, sections 5.4 and 5.5. Shapes: R training users, O outliers, K clusters, N candidates, P queries,
Q queries of outliers, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.models.base import CrossDomainModel, Model, still
from crossrec.samplers import clusters


@dataclass(frozen=True)
class Cross:
    """What an epoch knows of one source domain; candidates are added once the outliers are ranked."""

    source: str
    label_R: Tensor
    """Cluster of every user by the state in the source domain."""
    mean_KD: Tensor
    """Mean of the members' unit states in the target domain."""
    place_R: Tensor
    """Place of every user among the outliers; -1 for the others."""
    pool_ON: Tensor
    """Candidates of every outlier: columns of the target's items."""

    @property
    def outliers(self) -> Tensor:
        """The outliers among the users: (O,)."""
        return (self.place_R >= 0).nonzero()[:, 0]

    def transferred(
        self, model: CrossDomainModel, states: Mapping[str, Tensor], row_Q: Tensor, chosen_Q: Tensor
    ) -> Tensor:
        """Queries (Q, D) fused from the states at ``chosen_Q`` with the target's replaced by the mean of the cluster of
        users ``row_Q``.
        """
        own = {name: state[chosen_Q] for name, state in states.items()}
        return model.fused(own | {model.target: self.mean_KD[self.label_R[row_Q]]})


def find(
    source: str, target: str, states: Mapping[str, Tensor], number: int, share: float | None, generator: torch.Generator
) -> Cross:
    """Clusters of users by their state in a source domain, and in each the ``share`` that stands out in the target.

    ``states``: of all users, (R, D) per domain. ``share`` None: everyone counts as an outlier. No candidates yet.
    """
    unit_RD = F.normalize(states[source], dim=1, eps=1e-12)
    target_RD = F.normalize(states[target], dim=1, eps=1e-12)
    grouped = clusters.kmeans(unit_RD, number, generator)
    empty_KD = target_RD.new_zeros(len(grouped.centre_KD), target_RD.shape[1])
    mean_KD, _ = clusters.means(target_RD, grouped.label_N, empty_KD)
    if share is None:
        chosen_R = torch.ones(len(unit_RD), dtype=torch.bool, device=unit_RD.device)
    else:
        chosen_R = clusters.outliers(target_RD, grouped, mean_KD, share)
    place_R = torch.where(chosen_R, torch.cumsum(chosen_R, 0) - 1, -1)
    return Cross(source, grouped.label_N, mean_KD, place_R, torch.empty(0, device=unit_RD.device))


def looked_at(model: Model, batch: Batch, apart: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Queries without dropout, and the states that they are fused from, where they are asked for and there are any."""
    if not apart or not isinstance(model, CrossDomainModel):
        return model.selection_queries(batch), {}
    with still(model):
        states = model.domain_states(batch)
        return model.fused(states), states
