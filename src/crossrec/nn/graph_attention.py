"""Users who read their items by attention: one layer, one head (DIAGAE, equations 1 and 2), over edges without padding.

N users, M edges of theirs, P places where an edge is left out, D width; ``row_M`` is the place of every edge's user.
Source: specs of DIAGAE, 2.3.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.nn.segments import segment_softmax, segment_sum

Attention = Literal["gat", "gatv2"]
Aggregate = Literal["raw", "projected", "projected_residual"]
SLOPE = 0.2
"""Negative slope of the LeakyReLU (DIAGAE, equation 1)."""


class GraphAttention(nn.Module):
    """z_u = ELU(sum of α_ui v_i + h_u), where α_u is the softmax of e_u over the items of the user.

    ``gat``: e_ui = LeakyReLU(a · [W h_u; W v_i]), of which only two vectors matter, W^T a_1 and W^T a_2, so that no edge is
    projected; all users rank items alike. ``gatv2``: e_ui = a · LeakyReLU(W h_u + W v_i), which depends on both.

    ``raw``: vectors are added up as they are; ``projected``: both by W; ``projected_residual``: the items alone.
    """

    def __init__(self, dim: int, attention: Attention = "gat", aggregate: Aggregate = "raw") -> None:
        super().__init__()
        self.dim, self.attention, self.aggregate = dim, attention, aggregate
        self.weight = nn.Parameter(torch.empty(dim, dim))
        self.vector = nn.Parameter(torch.empty(2 * dim if attention == "gat" else dim))
        nn.init.xavier_uniform_(self.weight)
        nn.init.xavier_uniform_(self.vector[None])

    def forward(self, h_ND: Tensor, v_MD: Tensor, row_M: Tensor) -> Tensor:
        """Vectors z_ND of users by their own h_ND and those of their items."""
        logit_M = self.logits(h_ND, v_MD, row_M)
        share_M = segment_softmax(logit_M, row_M, len(h_ND))
        return self._bent(segment_sum(share_M[:, None] * self._values(v_MD), row_M, len(h_ND)), self._own(h_ND))

    def without(
        self, h_ND: Tensor, v_MD: Tensor, row_M: Tensor, row_P: Tensor, edge_P: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Vectors z_ND of users as above, and z_PD of the users ``row_P`` as if each had not the edge ``edge_P``.

        ``edge_P``: places among the M edges, of that user's; -1: nothing is left out.
        """
        logit_M = self.logits(h_ND, v_MD, row_M)
        read_ND, rest_MD = leave_one_out(logit_M, self._values(v_MD), row_M, len(h_ND))
        read_PD = read_ND[row_P]
        left = (edge_P >= 0).nonzero()[:, 0]
        if len(left):
            read_PD = read_PD.index_copy(0, left, rest_MD[edge_P[left]])
        own_ND = self._own(h_ND)
        return self._bent(read_ND, own_ND), self._bent(read_PD, own_ND[row_P])

    def logits(self, h_ND: Tensor, v_MD: Tensor, row_M: Tensor) -> Tensor:
        """e of every edge: (M,)."""
        if self.attention == "gat":
            read_D, given_D = self.weight.T @ self.vector[: self.dim], self.weight.T @ self.vector[self.dim :]
            return F.leaky_relu((h_ND @ read_D)[row_M] + v_MD @ given_D, SLOPE)
        return F.leaky_relu((h_ND @ self.weight.T)[row_M] + v_MD @ self.weight.T, SLOPE) @ self.vector

    def _values(self, v_MD: Tensor) -> Tensor:
        return v_MD if self.aggregate == "raw" else v_MD @ self.weight.T

    def _own(self, h_ND: Tensor) -> Tensor:
        return h_ND @ self.weight.T if self.aggregate == "projected" else h_ND

    @staticmethod
    def _bent(read_ND: Tensor, own_ND: Tensor) -> Tensor:
        return F.elu(read_ND + own_ND)


def leave_one_out(logit_M: Tensor, value_MD: Tensor, row_M: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Softmax means of the values of ``count`` rows, (N, D), and for every edge that of its row without it, (M, D).

    The work is that of two sums, whatever the length of the rows. What is left of a row without its largest edge is summed by
    itself; any other edge is taken out of the sum, of which the largest is then still a part: no difference loses digits.
    A row of nothing gives 0.
    """
    at_M = torch.arange(len(row_M), device=row_M.device)
    peak_N = _peaks(logit_M, row_M, count)
    first_N = at_M.new_full((count,), len(row_M))
    first_N = first_N.scatter_reduce(0, row_M, at_M.masked_fill(logit_M < peak_N[row_M], len(row_M)), "amin")
    top_M = first_N[row_M] == at_M

    mass_M = (logit_M - peak_N[row_M]).exp()
    part_MD = mass_M[:, None] * value_MD
    mass_N, sum_ND = segment_sum(mass_M, row_M, count), segment_sum(part_MD, row_M, count)

    lower_M = logit_M.masked_fill(top_M, -torch.inf)
    lower_M = (lower_M - _peaks(lower_M, row_M, count)[row_M]).exp()
    lower_N = segment_sum(lower_M, row_M, count)
    lower_ND = segment_sum(lower_M[:, None] * value_MD, row_M, count) / lower_N.clamp(min=1)[:, None]

    left_M = (mass_N[row_M] - mass_M).masked_fill(top_M, 1.0)
    others_MD = (sum_ND[row_M] - part_MD) / left_M[:, None]
    rest_MD = torch.where(top_M[:, None], lower_ND[row_M], others_MD)
    return sum_ND / mass_N.clamp(min=1)[:, None], rest_MD


def _peaks(logit_M: Tensor, row_M: Tensor, count: int) -> Tensor:
    """The largest of every row, without a gradient; 0 for a row of nothing."""
    found_N = logit_M.detach().new_full((count,), -torch.inf).scatter_reduce(0, row_M, logit_M.detach(), "amax")
    return found_N.masked_fill(found_N == -torch.inf, 0.0)
