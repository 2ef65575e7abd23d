"""Small worlds for the models of user-item graphs, and what they share in tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crossrec.data.batches import Batch, Batcher
from crossrec.data.splits import LeaveLastOut, Split
from crossrec.models.base import Model
from crossrec.streams import Streams
from crossrec.testing import batches
from crossrec.testing.worlds import world_of

EDGES = {"toys": [[0, 1, 2], [1], [2, 3]], "games": [[0, 1], [], [1, 2]]}
"""Three users: which items each has in training."""
RATINGS = {"toys": [[5, 3, 1], [4], [2, 5]], "games": [[1, 4], [], [3, 2]]}
SIZES = {"toys": 7, "games": 4}


def world(
    edges: Mapping[str, Sequence[Sequence[int]]] = EDGES,
    sizes: Mapping[str, int] = SIZES,
    ratings: Mapping[str, Sequence[Sequence[float]]] | None = None,
) -> Split:
    """A split whose training rows hold these edges: two more toys of everybody who has any, the last ones, are held out."""
    histories, rating_E = [], []
    for user in range(len(edges["toys"])):
        events = [(name, item, 0) for name in edges for item in edges[name][user]]
        held = [("toys", sizes["toys"] - 2, 1), ("toys", sizes["toys"] - 1, 2)] if events else []
        histories.append([*events, *held])
        if ratings is not None:
            rating_E += [*(rating for name in edges for rating in ratings[name][user]), *(3 for _ in held)]
    data = world_of(histories, sizes)
    if ratings is not None:
        data = dataclasses.replace(data, rating_E=np.array(rating_E, dtype=np.float32))
    return LeaveLastOut("toys").apply(data)


def made(kind: type[Model], split: Split, **settings: Any) -> Any:
    """A model with random weights, asked in double precision, that has learned the graph."""
    others = [name for name in split.data.domains if name != "toys"]
    with Streams(0).ambient("init"):
        model = kind(**{"dim": 4, **settings}).build(split.data.catalogue, "toys", others)
    model.learn(split)
    return model.double().eval()


def asked(model: Model, split: Split, domain: str = "toys") -> Batch:
    """A query of every user, who is known by number, after nothing."""
    users = torch.arange(split.data.num_users)
    start = torch.as_tensor(split.data.offset_U1[:-1])
    return Batcher(split.events, model.views()).batch(domain, users, start, users, start, None)


def scores(model: Model, split: Split, domain: str = "toys") -> np.ndarray:
    """Of every user and every item of the domain."""
    with torch.no_grad():
        return model.scores(asked(model, split, domain), domain).numpy()


def training_batch(model: Model, split: Split, rated: bool = False) -> Batch:
    """All training rows, every event of which is asked for."""
    return batches.training_batch(model, split, "all", rated=rated)


def adjacency(split: Split, names: Sequence[str], edges: Mapping[str, Sequence[Sequence[int]]] = EDGES) -> np.ndarray:
    """The dense matrix of users, the padding and the items of these domains, pair by pair."""
    users = split.data.num_users
    matrix = np.zeros((users + 1 + sum(split.data.catalogue.sizes[name] for name in names),) * 2)
    first = users + 1
    for name in names:
        for user, items in enumerate(edges[name]):
            for item in items:
                matrix[user, first + item] = matrix[first + item, user] = 1
        first += split.data.catalogue.sizes[name]
    return matrix


def symmetric(matrix: np.ndarray) -> np.ndarray:
    """D^(-1/2) A D^(-1/2), zero for a node without an edge."""
    degree = matrix.sum(1)
    root = np.array([d**-0.5 if d else 0.0 for d in degree])
    normed: np.ndarray = root[:, None] * matrix * root
    return normed


def weights(tensor: Tensor) -> np.ndarray:
    """A parameter as an array."""
    return tensor.detach().numpy()


def unit(x: np.ndarray) -> np.ndarray:
    """Rows of length 1; zeros stay."""
    length = np.sqrt((x**2).sum(1, keepdims=True))
    found: np.ndarray = np.divide(x, length, out=np.zeros_like(x), where=length > 0)
    return found
