"""The fuse attentive gate: nodes of one domain's graph are refreshed from the merged graph and their neighbours there.

Source: specs of DDGHM, section 7.3, equations 7.10 to 7.17. b graphs, n nodes of the domain's, m of the merged one; D width.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.nn.gated_graph import uniform


class Neighbours(Protocol):
    """The neighbours of a domain's nodes in the merged graph."""

    def attend(self, query_bnD: Tensor) -> Tensor:
        """Softmax over a node's neighbours of their products with its query, and their weighted sum; 0 without any."""
        ...


class Beside:
    """In a path a node has at most two neighbours: the one before it and the one behind it."""

    def __init__(self, state_2bnD: Tensor, there_2bn: Tensor) -> None:
        """Their states, and whether they are there."""
        self.state_2bnD, self.there_2bn = state_2bnD, there_2bn

    def attend(self, query_bnD: Tensor) -> Tensor:
        logit_2bn = (self.state_2bnD * query_bnD).sum(-1)
        weight_2bn = _softmax(logit_2bn, self.there_2bn, 0).to(query_bnD.dtype)
        return (weight_2bn[..., None] * self.state_2bnD).sum(0)


class Among:
    """Any neighbours among all nodes of the merged graph."""

    def __init__(self, state_bmD: Tensor, joined_bnm: Tensor) -> None:
        """States of all nodes, and which are whose neighbours."""
        self.state_bmD, self.joined_bnm = state_bmD, joined_bnm

    def attend(self, query_bnD: Tensor) -> Tensor:
        weight_bnm = _softmax(query_bnD @ self.state_bmD.transpose(1, 2), self.joined_bnm, 2)
        return weight_bnm.to(self.state_bmD.dtype) @ self.state_bmD


def _softmax(logit: Tensor, there: Tensor, dim: int) -> Tensor:
    """Softmax over those that are there; 0 where none is."""
    return logit.masked_fill(~there, torch.finfo(logit.dtype).min).softmax(dim) * there


class FuseGate(nn.Module):
    """New states of a domain's nodes, from their own, those of the same items in the merged graph, and their neighbours'.

    A gated recurrent unit whose state is the self-aware feature and whose input is the neighbour-aware one, both
    modulated by a vector of the two sequence embeddings.
    """

    def __init__(self, dim: int, convex: bool = False) -> None:
        """``convex``: whether the coefficients of the two states in the self-aware feature are a softmax over the two (specs,
        ``att_softmax``), not as equation 7.11 has them: of any size, so that states can grow with every event.
        """
        super().__init__()
        self.convex = convex
        self.modulate, self.modulate_bias = nn.Parameter(torch.empty(dim, 2 * dim)), nn.Parameter(torch.empty(dim))
        self.keys, self.weight = nn.Parameter(torch.empty(2 * dim, dim)), nn.Parameter(torch.empty(dim))
        self.from_near, self.from_self = (nn.Parameter(torch.empty(gates * dim, dim)) for gates in (3, 2))
        self.candidate = nn.Parameter(torch.empty(dim, dim))
        uniform(self, dim)

    def forward(
        self, local_bnD: Tensor, merged_bnD: Tensor, neighbours: Neighbours, local_bD: Tensor, merged_bD: Tensor
    ) -> Tensor:
        """``local``: states in the domain's graph and its sequence embedding; ``merged``: those in the merged graph."""
        dim = local_bnD.shape[-1]
        w_b1D = F.linear(torch.cat([merged_bD, local_bD], -1), self.modulate, self.modulate_bias)[:, None]
        self_key_bnD, near_key_bnD = F.linear(local_bnD, self.keys).split(dim, -1)
        own = torch.sigmoid(w_b1D * local_bnD + self_key_bnD) @ self.weight
        other = torch.sigmoid(w_b1D * merged_bnD + self_key_bnD) @ self.weight
        if self.convex:
            own = torch.sigmoid(own - other)
            other = 1 - own
        self_bnD = own[..., None] * local_bnD + other[..., None] * merged_bnD
        near_bnD = w_b1D * neighbours.attend(near_key_bnD)
        gates, candidate = F.linear(near_bnD, self.from_near).split((2 * dim, dim), -1)
        z, r = torch.sigmoid(gates + F.linear(self_bnD, self.from_self)).chunk(2, -1)
        new = torch.tanh(candidate + F.linear(r * self_bnD, self.candidate))
        return torch.lerp(self_bnD, new.to(self_bnD.dtype), z.to(self_bnD.dtype))


class PlainGate(nn.Module):
    """A gated recurrent unit in place of the fuse attentive gate: input the merged graph's state, state the domain's."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.unit = nn.GRUCell(dim, dim)

    def forward(self, local_bnD: Tensor, merged_bnD: Tensor) -> Tensor:
        """New states of a domain's nodes."""
        new: Tensor = self.unit(merged_bnD.flatten(0, 1), local_bnD.flatten(0, 1))
        return new.view_as(local_bnD)
