"""The gated graph network of SR-GNN over directed item graphs, and its soft-attention readout.

Source: specs of DDGHM, sections 7.3, 4.2 and 10.3. b graphs, n nodes, D width.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Edges(Protocol):
    """The edges of graphs, rows of both adjacency matrices normalised, rows without an edge 0."""

    many: bool
    """Whether a product with an adjacency costs as many sums per node as there are nodes."""

    def incoming(self, x_bnW: Tensor) -> Tensor:
        """Mean over the edges that come in of what their sources hold."""
        ...

    def outgoing(self, x_bnW: Tensor) -> Tensor:
        """Mean over the edges that go out of what their ends hold."""
        ...


class Path:
    """Every node is followed by the next one: two shifts stand for the adjacency matrices."""

    many = False

    def incoming(self, x_bnW: Tensor) -> Tensor:
        return F.pad(x_bnW, (0, 0, 1, -1))

    def outgoing(self, x_bnW: Tensor) -> Tensor:
        return F.pad(x_bnW, (0, 0, -1, 1))


class Counts:
    """Any walks: an edge from each visited node to the next one, as heavy as it is often taken."""

    many = True

    def __init__(self, slot_bt: Tensor, nodes: int, dtype: torch.dtype) -> None:
        """``slot_bt``: the node of every event; the graph has ``nodes`` nodes."""
        pair_bt = slot_bt[:, :-1] * nodes + slot_bt[:, 1:]
        count_bm = torch.zeros(len(slot_bt), nodes * nodes, dtype=dtype, device=slot_bt.device)
        count_bm.scatter_add_(1, pair_bt, torch.ones_like(pair_bt, dtype=dtype))
        count_bnn = count_bm.view(-1, nodes, nodes)
        self.in_bnn = (count_bnn / count_bnn.sum(1, keepdim=True).clamp(min=1)).transpose(1, 2)
        self.out_bnn = count_bnn / count_bnn.sum(2, keepdim=True).clamp(min=1)

    def incoming(self, x_bnW: Tensor) -> Tensor:
        return self.in_bnn @ x_bnW

    def outgoing(self, x_bnW: Tensor) -> Tensor:
        return self.out_bnn @ x_bnW


class Fused(NamedTuple):
    """A cell's weights multiplied out: what steps need of them, made once per state of the parameters."""

    sent: Tensor
    """Of a state, to the gates' shares of what it sends along its edges (3D) and against them (3D), and of its own (2D)."""
    bias: Tensor
    """Of the three gates: (3D,)."""


class GatedGraph(nn.Module):
    """Steps of a gated graph network: every node is updated from the means over its incoming and outgoing edges.

    With a_i = [sum_j A_in[i, j] W_in h_j + b_in ; sum_j A_out[i, j] W_out h_j + b_out] a step is that of a gated
    recurrent unit with input a_i, without gate biases, and the reset before the product (equations 7.2 to 7.6).
    """

    def __init__(self, dim: int, steps: int = 1) -> None:
        super().__init__()
        self.steps = steps
        self.inward, self.outward = (nn.Parameter(torch.empty(dim, dim)) for _ in range(2))
        self.inward_bias, self.outward_bias = (nn.Parameter(torch.empty(dim)) for _ in range(2))
        self.from_inward, self.from_outward = (nn.Parameter(torch.empty(3 * dim, dim)) for _ in range(2))
        self.from_own, self.candidate = nn.Parameter(torch.empty(2 * dim, dim)), nn.Parameter(torch.empty(dim, dim))
        uniform(self, dim)

    def fused(self) -> Fused:
        """The weights multiplied out, which saves two products per node; differentiable."""
        sent = torch.cat([self.from_inward @ self.inward, self.from_outward @ self.outward, self.from_own])
        return Fused(sent, self.from_inward @ self.inward_bias + self.from_outward @ self.outward_bias)

    def forward(self, h_bnD: Tensor, edges: Edges, fused: Fused | None = None) -> Tensor:
        """States after the steps. ``fused``: what :meth:`fused` gives, for those who call often."""
        dim = h_bnD.shape[-1]
        if edges.many and h_bnD.shape[1] > dim // 2:  # adjacencies would be multiplied with what is three times as wide
            for _ in range(self.steps):
                h_bnD = self._as_written(h_bnD, edges)
            return h_bnD
        sent, bias = fused or self.fused()
        for _ in range(self.steps):
            into, out, own = F.linear(h_bnD, sent).split((3 * dim, 3 * dim, 2 * dim), -1)
            gates, candidate = (edges.incoming(into) + edges.outgoing(out) + bias).split((2 * dim, dim), -1)
            h_bnD = self._updated(h_bnD, gates + own, candidate)
        return h_bnD

    def _as_written(self, h_bnD: Tensor, edges: Edges) -> Tensor:
        """One step, adjacencies multiplied with states."""
        dim = h_bnD.shape[-1]
        into = edges.incoming(F.linear(h_bnD, self.inward)) + self.inward_bias
        out = edges.outgoing(F.linear(h_bnD, self.outward)) + self.outward_bias
        given = F.linear(into, self.from_inward) + F.linear(out, self.from_outward)
        gates, candidate = given.split((2 * dim, dim), -1)
        return self._updated(h_bnD, gates + F.linear(h_bnD, self.from_own), candidate)

    def _updated(self, h_bnD: Tensor, gates_bn2D: Tensor, candidate_bnD: Tensor) -> Tensor:
        z, r = torch.sigmoid(gates_bn2D).chunk(2, -1)
        new = torch.tanh(candidate_bnD + F.linear(r * h_bnD, self.candidate))
        return torch.lerp(h_bnD, new.to(h_bnD.dtype), z.to(h_bnD.dtype))


class Readout(nn.Module):
    """A graph's vector: W_3 [sum_k a_k x_k ; x_m] over visits, a_k = p^T sigmoid(W_1 x_m + W_2 x_k + c), no softmax.

    x_m is the state of the node visited last (equations 7.7 and 7.8).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.last, self.each = (nn.Parameter(torch.empty(dim, dim)) for _ in range(2))
        self.bias, self.weight = (nn.Parameter(torch.empty(dim)) for _ in range(2))
        self.out = nn.Parameter(torch.empty(dim, 2 * dim))
        uniform(self, dim)

    def forward(self, x_bnD: Tensor, visits_bn: Tensor | None = None, last_b: Tensor | None = None) -> Tensor:
        """Vectors (b, D). ``visits``: how often each node counts, None: once; ``last``: the latest, None: the last one."""
        if last_b is None:
            last_bD = x_bnD[:, -1]
        else:
            last_bD = x_bnD.gather(1, last_b[:, None, None].expand(-1, 1, x_bnD.shape[2]))[:, 0]
        query_bD = F.linear(last_bD, self.last, self.bias)
        share_bn = torch.sigmoid(F.linear(x_bnD, self.each) + query_bD[:, None]) @ self.weight
        if visits_bn is not None:
            share_bn = share_bn * visits_bn
        pooled_bD = (share_bn[:, None].to(x_bnD.dtype) @ x_bnD)[:, 0]
        return F.linear(torch.cat([pooled_bD, last_bD], -1), self.out)


def uniform(module: nn.Module, dim: int) -> None:
    """Draw all parameters uniformly from -1/sqrt(D) to 1/sqrt(D), as published SR-GNN code does."""
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -(dim**-0.5), dim**-0.5)
