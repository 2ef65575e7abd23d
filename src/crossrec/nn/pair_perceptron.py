"""A perceptron over a user's and an item's vector side by side, whose first layer is split between the two.

W [p; q] + b = (W_p p + b) + W_q q: each share is computed once per user and once per item, and a pair costs their sum and
the narrow layers behind it. P queries, K items of each, V shared items, D width of vectors, H of the first layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.nn.dropout import dropout

BLOCK = 1 << 18
"""Elements of the first layer that are held at once on a CPU where no gradient is wanted: they stay in the cache of a core. A
GPU is fed 256 times as many."""
COLUMNS = 512
"""Items of such a block on a CPU: few enough that they stay in the cache from query to query."""


class PairPerceptron(nn.Module):
    """Logits of pairs: ReLU layers of these widths over [p; q], the last followed by one output.

    Layers are drawn Glorot-uniform, the output LeCun-uniform, biases start at 0.
    """

    def __init__(self, dim: int, widths: Sequence[int], p: float = 0.0) -> None:
        """``dim``: width of either vector. ``p``: dropout behind every ReLU, in training alone."""
        super().__init__()
        self.user = nn.Linear(dim, widths[0])
        self.item = nn.Linear(dim, widths[0], bias=False)
        layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
        self.layers = nn.ModuleList(layers)
        self.out = nn.Linear(widths[-1], 1)
        self.p = p
        for half in (self.user, self.item):
            bound = math.sqrt(6 / (2 * dim + widths[0]))
            nn.init.uniform_(half.weight, -bound, bound)
        for layer in layers:
            nn.init.xavier_uniform_(layer.weight)
        nn.init.uniform_(self.out.weight, -math.sqrt(3 / widths[-1]), math.sqrt(3 / widths[-1]))
        for linear in (self.user, *layers, self.out):
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (...) of pairs by the sums of their two shares (..., H), which are overwritten."""
        x = self.bent(x)
        for layer in self.layers:
            x = self.bent(layer(x))
        logit: Tensor = self.out(x)[..., 0]
        return logit

    def bent(self, x: Tensor) -> Tensor:
        """What the next layer sees of sums, which are overwritten: ReLU, and dropout in training."""
        return dropout(F.relu_(x), self.p, self.training)


def in_blocks(score: Callable[[Tensor, Tensor], Tensor], query_PD: Tensor, vectors: Tensor, width: int) -> Tensor:
    """Scores (P, V) of shared item vectors (V, D), or (P, K) of each query's own (P, K, D).

    ``score`` takes queries (p, 1, D) and items (1, v, D) or (p, v, D) and gives (p, v). Where no gradient is wanted it is
    given few pairs at a time, ``width`` elements of the first layer each, so that memory does not grow with their number.
    """
    vectors = vectors[None] if vectors.ndim == 2 else vectors
    if torch.is_grad_enabled():
        return score(query_PD[:, None], vectors)
    cpu = query_PD.device.type == "cpu"
    pairs = max(1, BLOCK * (1 if cpu else 256) // width)
    columns = max(1, min(vectors.shape[1], COLUMNS if cpu else pairs))
    rows = max(1, pairs // columns)
    score_PV = query_PD.new_empty(len(query_PD), vectors.shape[1])
    for a in range(0, len(query_PD), rows):
        own = vectors if len(vectors) == 1 else vectors[a : a + rows]
        for b in range(0, vectors.shape[1], columns):
            score_PV[a : a + rows, b : b + columns] = score(query_PD[a : a + rows, None], own[:, b : b + columns])
    return score_PV
