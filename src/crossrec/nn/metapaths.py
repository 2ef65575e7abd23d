"""Walks along meta-paths of a graph with several kinds of nodes, and vectors of nodes that meet in them.

W walks, L nodes of the first kind in each, N nodes, P pairs, S negatives that they share, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor

Nodes = npt.NDArray[np.int64]
PAIRS = 1 << 13
"""Pairs of a step of :func:`skip_gram` (ours)."""
SHARED = 64
"""Negatives that all pairs of a step share, and whose mean each counts as many times as it is to have negatives (ours)."""


def walks(steps: Sequence[sparse.csr_array], each: int, length: int, rng: np.random.Generator) -> Nodes:
    """Walks (W, L) that go through these kinds of edges again and again, ``each`` from every node of the first kind.

    ``steps``: the rows of one are the columns of the one before; the last leads back to the first kind, and nodes of that kind
    alone are kept. The next node is any neighbour, all alike. A walk that cannot go on is -1 from there.

    Source: specs of DIAGAE, equation H1.
    """
    node_W = np.tile(np.arange(steps[0].shape[0]), each)
    kept = [node_W]
    for _ in range(length - 1):
        for matrix in steps:
            node_W = _next(matrix, node_W, rng)
        kept.append(node_W)
    return np.stack(kept, 1)


def _next(matrix: sparse.csr_array, node_W: Nodes, rng: np.random.Generator) -> Nodes:
    first_W = matrix.indptr[node_W].astype(np.int64)
    degree_W = matrix.indptr[node_W + 1] - first_W
    place_W = first_W + (rng.random(len(node_W)) * degree_W).astype(np.int64)
    found_W = np.full_like(node_W, -1)
    alive_W = (node_W >= 0) & (degree_W > 0)
    found_W[alive_W] = matrix.indices[place_W[alive_W]]
    return found_W


def skip_gram(walk_WL: Nodes, nodes: int, dim: int, window: int, negatives: int, passes: int, seed: int) -> Tensor:
    """Vectors (N, D) of nodes by who is at most ``window`` places from whom; zeros for who is in no pair.

    Logistic loss of pairs and of negatives, drawn in proportion to the power 3/4 of how often a node is in a pair, by Adam's
    steps (ours). Source: specs of DIAGAE, equation H2.
    """
    near = [
        (walk_WL[:, :-gap].ravel(), walk_WL[:, gap:].ravel()) for gap in range(1, min(window + 1, walk_WL.shape[1]))
    ]
    pair_P2 = np.concatenate([np.empty((0, 2), dtype=np.int64), *(np.stack(pair, 1) for pair in near)])
    pair_P2 = pair_P2[(pair_P2 >= 0).all(1)]
    pair_P2 = np.concatenate([pair_P2, pair_P2[:, ::-1]])
    generator = torch.Generator().manual_seed(seed)
    pairs, count_N = torch.from_numpy(pair_P2), torch.as_tensor(np.bincount(pair_P2[:, 0], minlength=nodes))
    often_N = count_N.double() ** 0.75
    with torch.enable_grad():
        inner = (torch.rand(nodes, dim, generator=generator) - 0.5).div_(dim).requires_grad_()
        outer = torch.zeros(nodes, dim, requires_grad=True)
        optimiser = torch.optim.SparseAdam([inner, outer], lr=0.025)
        for _ in range(passes if len(pairs) else 0):
            for at in torch.randperm(len(pairs), generator=generator).split(PAIRS):
                centre_PD = F.embedding(pairs[at, 0], inner, sparse=True)
                beside_PD = F.embedding(pairs[at, 1], outer, sparse=True)
                drawn_S = torch.multinomial(often_N, SHARED, True, generator=generator)
                away_PS = F.softplus(centre_PD @ F.embedding(drawn_S, outer, sparse=True).T)
                loss = (F.softplus(-(centre_PD * beside_PD).sum(1)) + negatives * away_PS.mean(1)).sum()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    return inner.detach() * (count_N > 0)[:, None]
