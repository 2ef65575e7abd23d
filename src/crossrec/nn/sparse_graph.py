"""A directed graph over the rows of a table: which rows every row reads, and by what weight.

N nodes, E edges sorted by the node that reads, R nodes that are asked for, D width.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from crossrec.data.vocabulary import Ints
from crossrec.nn.saved_sizes import SavedSizes
from crossrec.nn.segments import spread

EDGES = 1 << 18
"""Edges whose weights are worked out at once: a bound of the memory."""


class SparseGraph(SavedSizes):
    """Edges in compressed rows. They are part of a model's state."""

    counted = ("column_E", "weight_E")
    offset_N1: Tensor
    column_E: Tensor
    weight_E: Tensor

    def __init__(self, nodes: int) -> None:
        super().__init__()
        self.register_buffer("offset_N1", torch.zeros(nodes + 1, dtype=torch.int64))
        self.register_buffer("column_E", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("weight_E", torch.zeros(0))

    def fill(self, row_E: Ints, column_E: Ints) -> None:
        """Take these edges, each once, at weight 1: ``row`` reads ``column``."""
        nodes = len(self.offset_N1) - 1
        row_E, column_E = np.divmod(np.unique(row_E * nodes + column_E), nodes)
        offset_N1 = np.concatenate([[0], np.cumsum(np.bincount(row_E, minlength=nodes))])
        device = self.offset_N1.device
        self.offset_N1 = torch.as_tensor(offset_N1, device=device)
        self.column_E = torch.as_tensor(column_E, device=device)
        self.weight_E = self.weight_E.new_ones(len(column_E))

    @torch.no_grad()
    def attend(self, node_ND: Tensor) -> None:
        """Weights: of every node the softmax of the cosines between its vector and those of the nodes that it reads."""
        unit_ND = F.normalize(node_ND, dim=-1)
        count_N = self.offset_N1.diff()
        row_E = torch.repeat_interleave(torch.arange(len(count_N), device=count_N.device), count_N)
        pairs = zip(row_E.split(EDGES), self.column_E.split(EDGES), strict=True)
        none = [unit_ND.new_zeros(0)]
        mass_E = torch.cat([(unit_ND[row] * unit_ND[column]).sum(-1).exp() for row, column in pairs] or none)
        mass_N = mass_E.new_zeros(len(count_N)).index_add(0, row_E, mass_E)
        self.weight_E = mass_E / mass_N[row_E]

    def forward(self, node_ND: Tensor, row_R: Tensor) -> Tensor:
        """What some nodes read, weighted and summed: (R, D); 0 for one that reads nothing."""
        first_R = self.offset_N1[row_R]
        count_R = self.offset_N1[row_R + 1] - first_R
        _, edge_M = spread(first_R, count_R)
        weight_M = self.weight_E[edge_M].to(node_ND.dtype)
        return F.embedding_bag(
            self.column_E[edge_M], node_ND, count_R.cumsum(0) - count_R, mode="sum", per_sample_weights=weight_M
        )
