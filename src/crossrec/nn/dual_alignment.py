"""Alignment of users between domains and within them, and the fusion of their views that it acts on (DIAGAE, 2.4 and 2.5).

N users of a batch, X domains by their numbers (the target is 0), S sources, D width. Source: specs of DIAGAE, 2.3 to 2.12.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from crossrec.nn import alignment, user_links
from crossrec.nn.training_graphs import TrainingGraphs
from crossrec.nn.view_fusion import ViewFusion, mean_of_views


@dataclass(frozen=True)
class AlignmentConfig:
    """Settings of the alignments and of the fusion."""

    lambda_inter: float = 0.8
    """Weight of the alignment of the target with the sources (section 4.1)."""
    lambda_intra: float = 0.6
    """Weight of the reconstruction of the graphs of users (section 4.1)."""
    nu: float = 1.0
    """Degrees of freedom of the similarities (specs, A20)."""
    normalise_distance: bool = False
    """Whether distances are divided by their mean in each domain, so that no scale is left (specs, A24)."""
    inter_weights: alignment.Weights = "uniform"
    """Weights of several sources: equal, by agreement with the target, or by each user's events (specs, 2.12)."""
    gate: float | None = None
    """A source that agrees less with the target is left out altogether (specs, 2.12: 0.05); None: none is."""
    cold_in_inter: bool = False
    """Whether users with source events alone are trained as well, by the alignments (specs, 2.12)."""
    link_min_common: int = 3
    """Items in common that link two users (specs, A27)."""
    link_relax: bool = True
    """Whether fewer are asked for in a domain where hardly anybody is linked (specs, A27)."""
    link_history: int = 500
    """Latest items of a user that count for links (specs, A28)."""
    link_balance: bool = False
    """Whether linked pairs weigh as much as the others, up to 20 times (specs, A32)."""
    pair_users: Literal["batch", "items", "auto"] = "auto"
    """Between whom the alignments look: the users of a batch; users drawn by items that they share; or ``auto``, drawn so
    where too few are linked even by one item (specs, A33)."""
    ignore_band: bool = False
    """Whether pairs with one item less in common than linked ones are left out (specs, A32)."""
    reduction: Literal["mean", "sum"] = "mean"
    """Mean or sum over users, and over pairs (specs, A21 and A30)."""
    view_dropout: float = 0.0
    """Probability that a view is left out of the fusion in training (ours: 0; MvDGAE: 0.4)."""


class Crowd(NamedTuple):
    """The users of a training step in some domains, the target's first."""

    user_N: Tensor
    domains: tuple[int, ...]
    z: tuple[Tensor, ...]
    """Vectors z_ND per domain, of all of the users' edges."""
    degree_NX: Tensor
    """Edges of every user in each."""
    view_NX: Tensor
    """Which views there are."""
    kept_NX: Tensor
    """Which of them the fusion takes in this step."""

    def only(self, kept_N: Tensor) -> Crowd:
        """Some of the users."""
        z = tuple(z_ND[kept_N] for z_ND in self.z)
        about = (self.degree_NX[kept_N], self.view_NX[kept_N], self.kept_NX[kept_N])
        return Crowd(self.user_N[kept_N], self.domains, z, *about)


class DualAlignment(nn.Module):
    """The fusion, a decoder of links per domain, and what was counted in the training edges: part of a model's state."""

    agreement_S: Tensor
    """How much every source agrees with the target: see :func:`~crossrec.nn.alignment.agreement`."""
    kept_S: Tensor
    weight_S: Tensor
    least_X: Tensor
    """Items in common that link two users."""
    density_X: Tensor
    """Share of the pairs that are linked by them."""

    def __init__(self, dim: int, sources: int, config: AlignmentConfig) -> None:
        super().__init__()
        self.config = config
        self.by_items: set[int] = set()
        self.fusion = ViewFusion(dim, config.view_dropout)
        self.decoders = nn.ParameterList(torch.empty(dim, dim) for _ in range(1 + sources))
        for decoder in self.decoders:
            nn.init.xavier_uniform_(decoder)
        self.register_buffer("agreement_S", torch.zeros(sources))
        self.register_buffer("kept_S", torch.ones(sources, dtype=torch.bool))
        self.register_buffer("weight_S", torch.full((sources,), 1 / max(sources, 1)))
        self.register_buffer("least_X", torch.full((1 + sources,), config.link_min_common))
        self.register_buffer("density_X", torch.zeros(1 + sources))

    def learn(self, graphs: TrainingGraphs) -> None:
        """Count agreement of the sources and density of the links."""
        config = self.config
        least = config.link_min_common
        steps = [step for step in user_links.LADDER if step <= least] if config.link_relax else [least]
        for x, density in enumerate(graphs.link_densities(steps, config.link_history)):
            self.least_X[x] = user_links.relaxed(density)
            self.density_X[x] = density[int(self.least_X[x])]
        few_X = (self.density_X < user_links.DENSE).tolist()
        how = config.pair_users
        self.by_items = {x for x, few in enumerate(few_X) if how == "items" or (how == "auto" and few)}
        self.agreement_S.copy_(torch.tensor(graphs.agreements()))
        if config.gate is not None:
            self.kept_S.copy_(self.agreement_S >= config.gate)
        weight_S = self.kept_S.to(self.weight_S.dtype)
        if config.inter_weights == "alignment":
            weight_S = weight_S * self.agreement_S.clamp(min=0)
        self.weight_S.copy_(weight_S / weight_S.sum().clamp(min=torch.finfo(weight_S.dtype).tiny))

    def facts(self, names: Sequence[str]) -> dict[str, Any]:
        """What was counted, by the domains' names."""
        told = zip(names[1:], self.agreement_S.tolist(), self.weight_S.tolist(), self.kept_S.tolist(), strict=True)
        found = zip(names, self.least_X.tolist(), self.density_X.tolist(), strict=True)
        return {
            "sources": {name: {"agreement": a, "weight": w, "kept": kept} for name, a, w, kept in told},
            "links": {name: {"common_items": least, "density": density} for name, least, density in found},
        }

    def sharing(self, domains: Sequence[int], count: int, graphs: TrainingGraphs) -> Tensor | None:
        """Users drawn by items, up to ``count`` in every domain where that is wanted; None: there are none."""
        wanted = [x for x in domains if x in self.by_items]
        found = torch.cat([graphs.sharing(x, count) for x in wanted]).unique() if wanted else None
        return found if found is not None and len(found) else None

    def crowd(
        self, user_N: Tensor, domains: Sequence[int], z: Sequence[Tensor], graphs: TrainingGraphs, known_N: Tensor
    ) -> Crowd:
        """The users of a step. ``known_N``: whose view of the target counts, with or without an edge there."""
        degree_NX = graphs.degree_UX[user_N][:, list(domains)]
        view_NX = degree_NX > 0
        view_NX[:, 0] |= known_N
        return Crowd(user_N, tuple(domains), tuple(z), degree_NX, view_NX, self.fusion.kept(view_NX))

    def fused(self, own_ND: Tensor, made: Sequence[Tensor], kept_NX: Tensor) -> Tensor:
        """H of the target's vectors and what the fusion has made of the sources': (N, D)."""
        return mean_of_views([self.fusion(own_ND), *made], kept_NX)

    def inter(self, crowd: Crowd) -> Tensor:
        """The alignment with the sources (DIAGAE, equation 6; specs, equation 12): ()."""
        config, sources = self.config, [x - 1 for x in crowd.domains[1:]]
        both_NS = crowd.view_NX[:, :1] & (crowd.degree_NX[:, 1:] > 0)
        if config.inter_weights == "per_user":
            degree_NS = crowd.degree_NX[:, 1:].to(crowd.z[0].dtype)
            weight_NS = degree_NS / degree_NS.sum(1, keepdim=True).clamp(min=1)
        else:
            weight_NS = self.weight_S[sources].expand(len(both_NS), -1)
        return alignment.inter_alignment(
            crowd.z[0],
            crowd.z[1:],
            both_NS,
            weight_NS,
            nu=config.nu,
            normalise=config.normalise_distance,
            mean=config.reduction == "mean",
        )

    def intra(self, crowd: Crowd, h_ND: Tensor, graphs: TrainingGraphs) -> Tensor:
        """The reconstruction of the graphs of users from fused vectors, summed over the domains (DIAGAE, equation 8): ()."""
        config, total = self.config, h_ND.new_zeros(())
        for place, x in enumerate(crowd.domains):
            chosen = (crowd.degree_NX[:, place] > 0).nonzero()[:, 0]
            if len(chosen) < 2:
                continue
            row_M, item_M = graphs.edges(x, crowd.user_N[chosen], config.link_history)
            common_NN = user_links.common_items(row_M, item_M, len(chosen))
            found = user_links.links(common_NN, int(self.least_X[x]), config.ignore_band)
            mean = config.reduction == "mean"
            total = total + user_links.link_loss(h_ND[chosen], self.decoders[x], found, config.link_balance, mean)
        return total
