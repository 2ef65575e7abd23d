"""Packed rows of several domains: every event once, and what is known at every place."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings

from crossrec.data.batches import Batcher, Views
from crossrec.data.dataset import Dataset
from crossrec.data.histories import History
from crossrec.data.splits import Events
from crossrec.nn.timelines import latest, timelines
from crossrec.testing.worlds import tiny_world, worlds


def asked_everywhere(data: Dataset, max_len: int = 100) -> History:
    """Queries before every event and after the last one of every user."""
    offset = torch.as_tensor(np.array(data.offset_U1))
    count_U = offset.diff() + 1
    row_P = torch.repeat_interleave(torch.arange(data.num_users), count_U)
    within_P = torch.cat([torch.arange(int(count)) for count in count_U])
    batcher = Batcher(Events(data.catalogue, data.item_E), Views({"history": data.domains}, max_len))
    users = torch.arange(data.num_users)
    batch = batcher.batch(data.domains[0], users, offset[:-1], row_P, offset[row_P] + within_P, None)
    return batch.histories["history"]


@settings(max_examples=25, deadline=None)
@given(data=worlds())
def test_every_query_and_every_event_knows_what_came_strictly_before(data: Dataset) -> None:
    """Event by event, in the merged order, for any number of domains and rows without some of them."""
    blocks = [data.catalogue.block(name) for name in data.domains]
    lines = timelines(asked_everywhere(data), blocks)
    names = {x: line.item_N.tolist() for x, line in enumerate(lines)}
    p, met = 0, [0] * len(blocks)
    for start, stop in zip(data.offset_U1[:-1], data.offset_U1[1:], strict=True):
        seen: list[list[int]] = [[] for _ in blocks]
        for item in [*data.item_E[start:stop].tolist(), None]:
            for x, line in enumerate(lines):
                query_M, place_M = line.prefixes(torch.tensor([p, p]))
                assert query_M.tolist() == [0] * len(seen[x]) + [1] * len(seen[x])
                assert [names[x][place] for place in place_M] == seen[x] * 2
                assert int(line.last_P[p]) == (int(place_M[-1]) if seen[x] else len(names[x]))
            p += 1
            if item is None:
                break
            own = next(x for x, block in enumerate(blocks) if item in block)
            seen[own].append(item)
            place = int(lines[own].last_P[p])
            assert [int(known[place]) for known in lines[own].known_XN] == [int(line.last_P[p]) for line in lines]
            met[own] += 1
    assert [len(line.item_N) for line in lines] == met
    assert [sum(line.sizes) for line in lines] == met


def test_steps_are_packed_longest_row_first() -> None:
    data = tiny_world(users=20)
    blocks = [data.catalogue.block(name) for name in data.domains]
    rows = np.split(data.item_E, data.offset_U1[1:-1])
    for block, line in zip(blocks, timelines(asked_everywhere(data), blocks), strict=True):
        own = [[item for item in row.tolist() if item in block] for row in rows]
        lengths = np.array([len(items) for items in own])
        assert line.sizes == tuple(int((lengths > step).sum()) for step in range(lengths.max()))
        order = np.argsort(-lengths, kind="stable")
        first = sorted(items[0] for items in own if items)
        assert sorted(line.item_N[: line.sizes[0]].tolist()) == first
        assert len(own[order[0]]) == len(line.sizes)


def test_no_event_of_any_domain_is_a_timeline_too() -> None:
    data = tiny_world(users=3)
    empty = History((), (), (), torch.zeros(2, dtype=torch.int64), 0)
    for line in timelines(empty, [data.catalogue.block(name) for name in data.domains]):
        assert len(line.item_N) == 0
        assert line.sizes == ()
        assert latest(torch.ones(0, 3), line.last_P).tolist() == [[0.0] * 3] * 2


def test_the_state_of_nothing_is_zero_and_learns_nothing() -> None:
    state_ND = torch.arange(6.0).view(3, 2).requires_grad_()
    found = latest(state_ND, torch.tensor([2, 3, 0, 2]))
    assert found.tolist() == [[4.0, 5.0], [0.0, 0.0], [0.0, 1.0], [4.0, 5.0]]
    found.sum().backward()
    assert state_ND.grad is not None
    assert state_ND.grad[:, 0].tolist() == [1.0, 0.0, 2.0]
