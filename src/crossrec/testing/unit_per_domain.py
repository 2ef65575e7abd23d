"""Models of a recurrent unit per domain written out event by event, in numpy. D width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from crossrec.data.dataset import Dataset
from crossrec.data.splits import LeaveLastOut
from crossrec.models.unit_per_domain import UnitPerDomain
from crossrec.streams import Streams
from crossrec.testing.batches import training_batch, windows
from crossrec.testing.worlds import tiny_world

Array = npt.NDArray[np.float64]
Weights = Callable[[str], Array]
"""The weight of this name of the module between two domains."""
Passed = Callable[[Weights, Sequence[tuple[Array, Array]], Array], Array]
"""What a domain passes on: of the weights, for every event of the domain its state and the other domain's, (D,) each, and the
other's latest state.
"""
SIZES = {"toys": 9, "games": 7, "books": 8}


def made(kind: type[UnitPerDomain], data: Dataset, *sources: str, **settings: Any) -> Any:
    """A model with random weights for the domain toys, in double precision."""
    with Streams(0).ambient("init"):
        model = kind(**{"dim": 4, **settings}).build(data.catalogue, "toys", sources).double().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(std=0.7)
    return model


def sigmoid(x: Array) -> Array:
    """As written."""
    y: Array = 1 / (1 + np.exp(-x))
    return y


def unit(weights: Weights, x: Array, h: Array) -> Array:
    """One step of a gated recurrent unit whose reset gate comes before the product."""
    dim, bias = len(h), weights("bias")
    z, r = np.split(sigmoid(np.concatenate([x, h]) @ weights("gate") + bias[: 2 * dim]), 2)
    y: Array = z * h + (1 - z) * np.tanh(np.concatenate([x, r * h]) @ weights("new") + bias[2 * dim :])
    return y


def slowly(model: UnitPerDomain, row: Sequence[int], domain: str, passed: Passed) -> Array:
    """One query, event by event."""
    part = {name: value.numpy() for name, value in model.state_dict().items()}
    blocks, zero, y = model.blocks, np.zeros(model.config.dim), model.reads.index(domain)
    h = [zero for _ in blocks]
    pairs: list[list[tuple[Array, Array]]] = [[] for _ in blocks]
    for item in row:
        x = next(x for x, block in enumerate(blocks) if item in block)
        own = part["table.weight"][model.table.row_V[item]]
        h[x] = unit(lambda name, x=x: part[f"units.{x}.{name}"], own, h[x])  # type: ignore[misc]  # the loop's x, bound now
        pairs[x].append((h[x], h[y]))
    all_passed = [
        passed(lambda name, x=x: part[f"transfers.{x}-{y}.{name}"], pairs[x], h[y])  # type: ignore[misc]  # as above
        for x in range(len(blocks))
        if x != y
    ]
    return np.concatenate([*([np.sum(all_passed, 0)] if all_passed else []), h[y], [1.0]])


def every_query_is_the_formula(kind: type[UnitPerDomain], domains: int, passed: Passed, **settings: Any) -> None:
    """Every next item of every domain of a row in one pass, against each of its beginnings read event by event."""
    names = tuple(SIZES)[:domains]
    split = LeaveLastOut("toys").apply(tiny_world(users=7, sizes={name: SIZES[name] for name in names}, events=10))
    model = made(kind, split.data, *names[1:], **settings)
    found, expected = model.queries(training_batch(model, split)).detach().numpy(), []
    for row in windows(split):
        for at in range(1, len(row)):
            domain = next(name for name in names if row[at] in model.block(name))
            expected.append(slowly(model, row[:at], domain, passed))
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-12)
