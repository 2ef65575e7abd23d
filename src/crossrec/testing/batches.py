"""What tests ask of any model of histories: its training queries, and its queries after histories of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from crossrec.data.batches import Batch, Batcher, TrainingRows
from crossrec.data.splits import Events, Split
from crossrec.models.base import Model
from crossrec.streams import Streams
from crossrec.testing.conformance import poisoned


def training_batch(
    model: Model, split: Split, first: str = "any", *, rated: bool = False, rows: Sequence[int] | None = None
) -> Batch:
    """Training rows with all their queries, of the domains and of the kind that the model's first phase asks for.

    ``first`` and ``rated``: see :class:`~crossrec.data.batches.TrainingRows`. ``rows``: only these; None: all.
    """
    phase = model.phases()[0]
    batcher, names = Batcher(split.events, model.views()), (phase.domain, *phase.also)
    found = TrainingRows(batcher, split.train, names, first, whole=phase.whole, rated=rated)
    return found.batch(torch.arange(len(found)) if rows is None else torch.tensor(rows))


def windows(split: Split) -> list[list[int]]:
    """Item ids of every training row."""
    train = split.train
    return [split.events.item_E[a:b].tolist() for a, b in zip(train.start_N, train.stop_N, strict=True)]


def changes(split: Split) -> tuple[Split, Split, Split]:
    """The split as it is, with other held-out items, and with all its other items changed."""
    held_E = np.zeros(split.data.num_interactions, dtype=bool)
    for part in (split.valid, split.test):
        held_E[part.at_N] = True
    held_out, others = (
        replace(split, events=replace(split.events, item_E=poisoned(split.data, chosen_E).item_E))
        for chosen_E in (held_E, ~held_E)
    )
    return split, held_out, others


def after(model: Model, histories: Sequence[Sequence[int]], domain: str) -> Tensor:
    """The queries of strangers for a domain, each after a history of these item ids, all in one batch: (P, D)."""
    assert model.catalogue is not None, "build() comes first"
    item_E = np.array([0, *(item for history in histories for item in history)], dtype=np.int32)
    bound = 1 + torch.tensor([0, *map(len, histories)]).cumsum(0)
    rows, start, stop = torch.arange(len(histories)), bound[:-1], bound[1:]
    batcher = Batcher(Events(model.catalogue, item_E), model.views())
    return model.queries(batcher.batch(domain, torch.full_like(rows, -1), start, rows, stop, None))


def close_under_autocast(make: Callable[[], Tensor], *, rtol: float, atol: float) -> Tensor:
    """What is made with products in bfloat16, once it is close to what is made without from the same random draws, and has
    gradients.
    """
    with Streams(1).ambient("model"):
        exact = make()
    with Streams(1).ambient("model"), torch.autocast("cpu", torch.bfloat16):
        found = make()
    torch.testing.assert_close(found.float(), exact, rtol=rtol, atol=atol)
    found.mean().backward()
    return found
