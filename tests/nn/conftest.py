"""DDGHM's graphs with random weights, run by the library and by Algorithm 1 written out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from crossrec.nn.dynamic_graphs import DynamicGraphs, Trace
from crossrec.nn.fuse_gate import FuseGate
from crossrec.nn.gated_graph import GatedGraph
from crossrec.nn.journeys import Rows

Place = tuple[int, int, int]
"""Row, domain, and number of events that are known."""
Vectors = dict[Place, Tensor]


class Slow:
    """One row, event by event: specs of DDGHM, 7.3, line by line."""

    def __init__(self, graphs: DynamicGraphs, table_VD: Tensor, blocks: list[range]) -> None:
        self.graphs, self.table_VD, self.blocks = graphs, table_VD, blocks
        self.order: dict[int | str, list[int]] = {g: [] for g in (*range(len(blocks)), "all")}
        self.state: dict[int | str, dict[int, Tensor]] = {g: {} for g in self.order}

    def adjacency(self, g: int | str) -> tuple[Tensor, Tensor]:
        """Normalised matrices of incoming and outgoing edges."""
        nodes = list(self.state[g])
        count = self.table_VD.new_zeros(len(nodes), len(nodes))
        for one, other in zip(self.order[g][:-1], self.order[g][1:], strict=True):
            count[nodes.index(one), nodes.index(other)] += 1
        return (count.T / count.T.sum(1, keepdim=True).clamp(min=1), count / count.sum(1, keepdim=True).clamp(min=1))

    def grow(self, g: int | str, item: int) -> None:
        self.order[g].append(item)
        self.state[g].setdefault(item, self.table_VD[item])
        cell = self.graphs.merged if g == "all" else self.graphs.own(g).cell
        assert isinstance(cell, GatedGraph)
        into, out = self.adjacency(g)
        h = torch.stack(list(self.state[g].values()))
        for _ in range(cell.steps):
            a = torch.cat(
                [into @ (h @ cell.inward.T) + cell.inward_bias, out @ (h @ cell.outward.T) + cell.outward_bias], 1
            )
            update, reset, candidate = torch.cat([cell.from_inward, cell.from_outward], 1).chunk(3)
            own_update, own_reset = cell.from_own.chunk(2)
            z = torch.sigmoid(a @ update.T + h @ own_update.T)
            r = torch.sigmoid(a @ reset.T + h @ own_reset.T)
            h = (1 - z) * h + z * torch.tanh(a @ candidate.T + (r * h) @ cell.candidate.T)
        self.state[g] = dict(zip(self.state[g], h, strict=True))

    @staticmethod
    def readout(layer: Any, x: list[Tensor]) -> Tensor:
        share = [layer.weight @ torch.sigmoid(layer.last @ x[-1] + layer.each @ one + layer.bias) for one in x]
        return layer.out @ torch.cat([sum(a * one for a, one in zip(share, x, strict=True)), x[-1]])

    def refreshed(self, x: int) -> dict[int, Tensor]:
        """States of a domain's nodes behind the gate."""
        variant, merged = self.graphs.variant, self.state["all"]
        if variant == "local":
            return self.state[x]
        if variant == "gru":
            unit = self.graphs.own(x).gate.unit
            return {v: unit(merged[v][None], h[None])[0] for v, h in self.state[x].items()}
        gate = self.graphs.own(x).gate
        assert isinstance(gate, FuseGate)
        local = self.readout(self.graphs.own(x).readout, [self.state[x][v] for v in self.order[x]])
        whole = self.readout(self.graphs.merged_readout, [merged[v] for v in self.order[x]])
        w = gate.modulate @ torch.cat([whole, local]) + gate.modulate_bias
        itself, near_key = gate.keys.chunk(2)
        from_near, from_self = gate.from_near.chunk(3), [*gate.from_self.chunk(2), gate.candidate]
        update, reset, candidate = (torch.cat(pair, 1) for pair in zip(from_near, from_self, strict=True))
        new = {}
        for v, h in self.state[x].items():
            q = itself @ h
            share = torch.stack([gate.weight @ torch.sigmoid(w * state + q) for state in (h, merged[v])])
            share = torch.softmax(share, 0) if gate.convex else share
            own = share[0] * h + share[1] * merged[v]
            near = torch.zeros_like(h)
            found = self.neighbours(v)
            if found:
                states = torch.stack([merged[u] for u in found])
                near = w * (torch.softmax(states @ (near_key @ h), 0) @ states)
            z = torch.sigmoid(update @ torch.cat([near, own]))
            r = torch.sigmoid(reset @ torch.cat([near, own]))
            new[v] = (1 - z) * own + z * torch.tanh(candidate @ torch.cat([near, r * own]))
        return new

    def neighbours(self, item: int) -> list[int]:
        pairs = list(zip(self.order["all"][:-1], self.order["all"][1:], strict=True))
        return sorted(({v for u, v in pairs if u == item} | {u for u, v in pairs if v == item}) - {item})

    def vector(self, x: int) -> Tensor:
        """The sequence embedding of a domain now."""
        if self.graphs.variant == "global":
            return self.readout(self.graphs.merged_readout, [self.state["all"][v] for v in self.order[x]])
        states = self.state[x] if self.graphs.literal else self.refreshed(x)
        return self.readout(self.graphs.own(x).readout, [states[v] for v in self.order[x]])

    def see(self, item: int) -> None:
        """An event."""
        x = next(number for number, block in enumerate(self.blocks) if item in block)
        if self.order[x] and self.graphs.variant != "global":
            self.state[x] = self.refreshed(x)
        if self.graphs.variant != "global":
            self.grow(x, item)
        else:
            self.order[x].append(item)
        if self.graphs.variant != "local":
            self.grow("all", item)


class World:
    """Graphs with random weights over a few domains of as many items each."""

    def __init__(self, domains: int = 2, items: int = 4, dim: int = 5, seed: int = 0, **settings: Any) -> None:
        torch.manual_seed(seed)
        given = {"steps": 1, "variant": "full", "literal": False, "checkpoint": False}
        self.graphs = DynamicGraphs(domains, dim, **{**given, **settings}).double()
        self.blocks = [range(1 + x * items, 1 + (x + 1) * items) for x in range(domains)]
        self.table_VD = torch.randn(1 + domains * items, dim, dtype=torch.float64, requires_grad=True)

    def rows(self, lengths: Sequence[int], repeats: bool, seed: int = 0) -> list[list[int]]:
        """Random rows of these lengths."""
        rng, ids = np.random.default_rng(seed), np.arange(1, self.blocks[-1].stop)
        return [rng.choice(ids, length, replace=repeats).tolist() for length in lengths]

    def run(self, rows: Sequence[Sequence[int]], *, asked: bool = True, most: int = 10**9) -> list[Trace]:
        """The rows, together."""
        length_b = torch.tensor([len(row) for row in rows])
        item_bl = torch.zeros(len(rows), int(length_b.max()), dtype=torch.int64)
        for row, items in enumerate(rows):
            item_bl[row, : len(items)] = torch.tensor(items)
        none = torch.zeros(0, dtype=torch.int64)
        journeys = Rows(item_bl, length_b, none, none).journeys(self.blocks, most)
        return [self.graphs(j, self.table_VD[j.merged.item_bn], asked=asked) for j in journeys]

    def domain(self, item: int) -> int:
        return next(x for x, block in enumerate(self.blocks) if item in block)

    def due(self, rows: Sequence[Sequence[int]]) -> list[Place]:
        """Whenever an event of a domain comes that has been seen before, and at the end."""
        found = []
        for number, row in enumerate(rows):
            seen = [self.domain(item) for item in row]
            found += [(number, x, t) for t, x in enumerate(seen) if x in seen[:t]]
            found += [(number, x, len(row)) for x in sorted(set(seen))]
        return found

    def every(self, rows: Sequence[Sequence[int]]) -> list[Place]:
        """Every place at which something of the domain is known."""
        seen = [[self.domain(item) for item in row] for row in rows]
        return [
            (number, x, t + 1)
            for number, row in enumerate(rows)
            for t in range(len(row))
            for x in range(len(self.blocks))
            if x in seen[number][: t + 1]
        ]

    def fast(self, rows: Sequence[Sequence[int]], places: list[Place] | None = None, **given: Any) -> Vectors:
        """Sequence embeddings, all rows together; None: wherever they are due."""
        found: Vectors = {}
        places = self.due(rows) if places is None else places
        for trace in self.run(rows, **given):
            place = {int(number): at for at, number in enumerate(trace.journey.row_b)}
            for x in range(len(self.blocks)):
                own = [one for one in places if one[1] == x and one[0] in place]
                if own:
                    row_p, time_p = torch.tensor([place[one[0]] for one in own]), torch.tensor([one[2] for one in own])
                    found |= dict(zip(own, trace.vectors(x, row_p, time_p), strict=True))
        return found

    def slow(self, rows: Sequence[Sequence[int]], places: list[Place] | None = None) -> Vectors:
        """The same, row by row and event by event."""
        found: Vectors = {}
        places = self.due(rows) if places is None else places
        for number, row in enumerate(rows):
            walk = Slow(self.graphs, self.table_VD, self.blocks)
            for time, item in enumerate(row, 1):
                walk.see(item)
                found |= {(n, x, t): walk.vector(x) for n, x, t in places if (n, t) == (number, time)}
        return found

    def walk(self, row: Sequence[int]) -> Slow:
        """One row, event by event."""
        walk = Slow(self.graphs, self.table_VD, self.blocks)
        for item in row:
            walk.see(item)
        return walk


def same(found: Vectors, expected: Vectors, within: float = 1e-11) -> None:
    """Raise unless both have the same places, and there the same vectors."""
    assert found.keys() == expected.keys()
    for place, vector in expected.items():
        torch.testing.assert_close(
            found[place], vector, atol=within, rtol=0, msg=lambda said, at=place: f"{at}: {said}"
        )


@pytest.fixture(scope="session")
def graph_world() -> type[World]:
    """``graph_world(domains, items, ...)``: graphs with random weights."""
    return World


@pytest.fixture(scope="session")
def same_vectors() -> Callable[..., None]:
    """``same_vectors(found, expected)``: raises where they differ."""
    return same
