"""Session graphs: adjacencies of the specs of DDGHM, 11.2 and 11.3; shared states are those of graphs made one by one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from crossrec.data.histories import History
from crossrec.nn.session_graphs import SessionGraphs, Sessions

ROWS = [[1], [2, 2], [1, 2, 1, 3, 1], [3, 3, 3, 1], [1, 2, 3, 4, 5], [4, 1, 2, 4, 1, 2, 5, 5, 1]]
"""Paths, an item that comes again, and again at once, a round."""


def history(rows: Sequence[Sequence[int]], known: Sequence[tuple[int, int]], wide: int = 0) -> History:
    """Two chunks of rows, and queries that know so many events of a row."""
    halves = [rows[: len(rows) // 2], rows[len(rows) // 2 :]]
    chunks, lengths, first, total = [], [], [], 0
    for half in halves:
        width = wide + max(map(len, half), default=0)
        chunks.append(torch.tensor([[*row, *[0] * (width - len(row))] for row in half]).view(len(half), width))
        lengths.append(torch.tensor([len(row) for row in half], dtype=torch.int64))
        first += [total + n * width for n in range(len(half))]
        total += len(half) * width
    numbers = torch.arange(len(rows)).split([len(half) for half in halves])
    at_P = torch.tensor([first[row] + count - 1 if count else total for row, count in known], dtype=torch.int64)
    return History(tuple(chunks), tuple(lengths), tuple(numbers), at_P, total)


EVERY = [(row, count) for row, items in enumerate(ROWS) for count in range(1, len(items) + 1)]


def layer(steps: int) -> tuple[SessionGraphs, Tensor]:
    """Graphs of five items, and their vectors."""
    torch.manual_seed(0)
    graphs, table_VD = SessionGraphs(3, steps).double(), torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        for parameter in graphs.parameters():
            parameter.normal_()
    return graphs, table_VD


def vectors(graphs: SessionGraphs, table_VD: Tensor, asked: History) -> Tensor:
    """Vectors of the queries, none of which knows nothing."""
    sessions = Sessions.of(asked, graphs.steps)
    found: Tensor = graphs(sessions, table_VD[sessions.item_N])[sessions.session_P]
    return found


def slow(graphs: SessionGraphs, table_VD: Tensor, items: list[int]) -> Tensor:
    """One graph, node by node and event by event: specs of DDGHM, 4.6 to 4.10."""
    cell, read, nodes = graphs.cell, graphs.readout, list(dict.fromkeys(items))
    moves = list(itertools.pairwise(items))
    h = {v: table_VD[v] for v in nodes}
    w_in, w_out = cell.from_inward.chunk(3), cell.from_outward.chunk(3)
    for _ in range(graphs.steps):
        new = {}
        for v in nodes:
            came, went = [one for one, other in moves if other == v], [other for one, other in moves if one == v]
            into, out = cell.inward_bias, cell.outward_bias
            for u in came:
                into = into + cell.inward @ h[u] / len(came)
            for u in went:
                out = out + cell.outward @ h[u] / len(went)
            z, r, c = (one @ into + other @ out for one, other in zip(w_in, w_out, strict=True))
            u_z, u_r = cell.from_own.chunk(2)
            z, r = torch.sigmoid(z + u_z @ h[v]), torch.sigmoid(r + u_r @ h[v])
            new[v] = (1 - z) * h[v] + z * torch.tanh(c + cell.candidate @ (r * h[v]))
        h = new
    last, pooled = h[items[-1]], torch.zeros_like(read.bias)
    for v in items:
        pooled = pooled + read.weight @ torch.sigmoid(read.last @ last + read.each @ h[v] + read.bias) * h[v]
    return read.out @ torch.cat([pooled, last])


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_every_beginning_is_a_graph_of_its_own(steps: int) -> None:
    """Vectors and gradients of all beginnings together are those of each by itself, event by event."""
    graphs, table_VD = layer(steps)
    weights = [table_VD, *graphs.parameters()]
    found = vectors(graphs, table_VD, history(ROWS, EVERY))
    expected = torch.stack([slow(graphs, table_VD, ROWS[row][:count]) for row, count in EVERY])
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-10)
    factor = torch.randn_like(found)
    pairs = [torch.autograd.grad((one * factor).sum(), weights) for one in (found, expected)]
    for one, other in zip(*pairs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-11, rtol=1e-9)


@pytest.mark.parametrize("steps", [1, 2])
def test_what_is_asked_beside_and_padding_change_nothing(steps: int) -> None:
    graphs, table_VD = layer(steps)
    whole = vectors(graphs, table_VD, history(ROWS, EVERY))
    some = [18, 3, 4, 3, 23, 11, 0]
    found = vectors(graphs, table_VD, history(ROWS, [EVERY[n] for n in some], wide=4))
    torch.testing.assert_close(found, whole[some])


@pytest.mark.parametrize("steps", [1, 3])
def test_states_are_shared_until_a_node_gets_an_edge(steps: int) -> None:
    """A path of l events: l ends and l - 1 nodes that are left, after one step; without sharing l (l + 1) / 2."""
    path = [list(range(1, 9))]
    count = lambda known: len(Sessions.of(history(path, [(0, n) for n in known]), steps).item_N)  # noqa: E731 - one line
    assert count([8]) == 8
    assert count(range(1, 9)) == (15 if steps == 1 else 36)
    assert count([3, 8, 8, 3]) == (3 + 6 if steps == 1 else 3 + 8)


EXAMPLES = {
    "11.3, t = 5": (
        [1, 2, 3, 1, 4],
        [[0, 0.5, 0, 0.5], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]],
        [[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]],
    ),
    "11.2 counts": ([1, 2, 1, 2, 1, 3], [[0, 2 / 3, 1 / 3], [1, 0, 0], [0, 0, 0]], [[0, 1, 0], [1, 0, 0], [1, 0, 0]]),
    "a path": ([5, 2, 4], [[0, 1, 0], [0, 0, 1], [0, 0, 0]], [[0, 0, 0], [1, 0, 0], [0, 1, 0]]),
    "an item twice in a row": ([3, 3, 1], [[0.5, 0.5], [0, 0]], [[1, 0], [1, 0]]),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_rows_of_both_adjacencies_are_normalised_and_messages_go_forwards(name: str) -> None:
    """What published code is often misread for: A_in divided by what goes out, or turned around."""
    items, out, into = EXAMPLES[name]
    sessions = Sessions.of(history([items], [(0, len(items))]), 1)
    assert sessions.item_N.tolist() == list(dict.fromkeys(items))
    one = torch.eye(len(out), dtype=torch.float64)[None]
    torch.testing.assert_close(sessions.outgoing(one)[0], torch.tensor(out, dtype=torch.float64))
    torch.testing.assert_close(sessions.incoming(one)[0], torch.tensor(into, dtype=torch.float64))


def test_attention_sums_over_events_and_not_over_nodes() -> None:
    """An item that comes twice counts twice, and shares do not sum to one."""
    graphs, table_VD = layer(1)
    sessions = Sessions.of(history([[1, 2, 1, 3]], [(0, 4)]), 1)
    assert sessions.visits.place_M.tolist() == [0, 1, 0, 2]
    found = graphs(sessions, table_VD[sessions.item_N])[0]
    x_3D, read = graphs.cell(table_VD[None, 1:4], sessions)[0], graphs.readout
    share_3 = torch.sigmoid(x_3D @ read.each.T + read.last @ x_3D[2] + read.bias) @ read.weight
    by_event = read.out @ torch.cat([(share_3 * torch.tensor([2.0, 1.0, 1.0])) @ x_3D, x_3D[2]])
    by_node = read.out @ torch.cat([share_3 @ x_3D, x_3D[2]])
    torch.testing.assert_close(found, by_event)
    assert not torch.allclose(found, by_node)


def test_nothing_asked_and_nothing_known() -> None:
    graphs, table_VD = layer(1)
    for asked in (history([[1, 2]], [(0, 0)]), history([], [(0, 0)]), history([[1, 2]], [])):
        sessions = Sessions.of(asked, 1)
        assert graphs(sessions, table_VD[sessions.item_N]).shape == (0, 3)
        assert sessions.session_P.tolist() == [0] * len(asked.at_P)
