"""Sessions, the graphs of their items, and attention over these: worked by hand, and by loops."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from crossrec.data.batches import Batcher, Views
from crossrec.data.histories import History
from crossrec.data.splits import Events
from crossrec.nn import session_attention
from crossrec.nn.session_attention import BOTH, IN, OUT, SELF, NeighbourAttention, SessionAttention, Sessions
from crossrec.testing.worlds import world_of


def asked(rows: list[list[int]], queries: list[tuple[int, int]]) -> History:
    """The history of these rows; a query is a row and how many of its events it knows."""
    data = world_of([[("toys", i, t) for t, i in enumerate(row)] for row in rows], {"toys": 9})
    batcher = Batcher(Events(data.catalogue, data.item_E), Views({"history": ("toys",)}))
    start = torch.as_tensor(data.offset_U1[:-1])
    row_P, known_P = (torch.tensor(column) for column in zip(*queries, strict=True))
    return batcher.batch("toys", row_P.unique(), start, row_P, start[row_P] + known_P, None).histories["history"]


def test_sessions_are_what_queries_know() -> None:
    found = Sessions.of(asked([[4, 2, 4, 7], [], [5]], [(0, 3), (0, 0), (2, 1), (0, 1), (0, 3), (1, 0)]))
    known = [None if s < 0 else (found.item_N[found.node_M][found.segment_M == s] - 1).tolist() for s in found.number_P]
    assert known == [[4, 2, 4], None, [5], [4], [4, 2, 4], None]
    assert sorted(found.count_S.tolist()) == [1, 1, 3]
    assert len(found.item_N) == 4, "an item is one node of a session, however often it comes"


def test_edges_of_a_session() -> None:
    """4 2 4 7 7: 4 and 2 follow each other, 7 follows 4; an item that follows itself only reads itself."""
    found = Sessions.of(asked([[4, 2, 4, 7, 7]], [(0, 5)]))
    item = (found.item_N - 1).tolist()
    edges = {(item[i], item[j], k) for i, j, k in zip(*(e.tolist() for e in found.edges()), strict=True)}
    assert edges == {(2, 2, SELF), (4, 4, SELF), (7, 7, SELF), (4, 2, BOTH), (2, 4, BOTH), (4, 7, OUT), (7, 4, IN)}
    assert len(found.edges()[0]) == len(edges)


def test_edges_stay_within_what_is_known() -> None:
    """Of the session 4 2 the later 4 and 7 are no part, though another query knows them."""
    found = Sessions.of(asked([[4, 2, 4, 7], [7, 2]], [(0, 2), (0, 4), (1, 2)]))
    session = found.segment_N[found.edges()[0]]
    assert torch.equal(session, found.segment_N[found.edges()[1]])
    short = int(found.number_P[0])
    assert sorted(found.edges()[2][session == short].tolist()) == [SELF, SELF, OUT, IN]


def test_nothing_known_is_no_session() -> None:
    found = Sessions.of(asked([[4], []], [(0, 0), (1, 0)]))
    assert found.number_P.tolist() == [-1, -1]
    assert [len(e) for e in found.edges()] == [0, 0, 0]


def test_session_attention_by_loops() -> None:
    torch.manual_seed(0)
    layer, found = SessionAttention(3).double(), Sessions.of(asked([[4, 2, 4, 7], [1, 8]], [(0, 4), (1, 2), (0, 2)]))
    h_ND = torch.randn(len(found.item_N), 3, dtype=torch.float64)
    edges = [*zip(*(e.tolist() for e in found.edges()), strict=True)]
    for i, new_D in enumerate(layer(h_ND, found)):
        own = [(j, k) for reader, j, k in edges if reader == i]
        logit = torch.stack([F.leaky_relu(layer.weight[k] @ (h_ND[i] * h_ND[j]), 0.2) for j, k in own])
        torch.testing.assert_close(new_D, logit.softmax(0) @ h_ND[[j for j, _ in own]])


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_neighbour_attention_by_loops(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """A node without neighbours reads only itself; in blocks it is the same, gradients too."""
    monkeypatch.setattr(session_attention, "NEIGHBOURS", at_once)
    torch.manual_seed(0)
    layer = NeighbourAttention(3).double()
    h_ND, mean_ND, item_RD = (torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (5, 5, 4))
    near_E = torch.tensor([1, 3, 0, 1])
    near_ED = item_RD[near_E]
    owner_E, weight_E = torch.tensor([1, 1, 1, 3]), torch.tensor([3.0, 1, 1, 2], dtype=torch.float64)
    found_ND, expected = layer(h_ND, mean_ND, owner_E, near_E, weight_E, item_RD), []
    for i in range(5):
        own = (owner_E == i).nonzero()[:, 0].tolist()
        near_D = torch.zeros(3, dtype=torch.float64)
        if own:
            w_1 = torch.cat([layer.key.weight, layer.weighed[:, None]], 1)
            inner = [w_1 @ torch.cat([mean_ND[i] * near_ED[e], weight_E[e : e + 1]]) for e in own]
            logit = torch.stack([layer.logit @ F.leaky_relu(x, 0.2) for x in inner])
            near_D = logit.softmax(0) @ near_ED[own]
        expected.append(F.relu(layer.out.weight @ torch.cat([h_ND[i], near_D])))
    torch.testing.assert_close(found_ND, torch.stack(expected))
    wanted = (h_ND, mean_ND, item_RD, *layer.parameters())
    ours, theirs = (torch.autograd.grad(x.square().sum(), wanted) for x in (found_ND, torch.stack(expected)))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)
