"""Claim: DDGHM's graphs grow at a fifth of the cost of running them snapshot by snapshot, in a quarter of the memory.

    python benchmarks/ddghm.py [--rows 100] [--events 32] [--dim 64] [--steps 1] [--repeats] [--tight]

The rival is the formula as a batch (specs of DDGHM, 10.2): at every event all three graphs of all rows, on as many nodes
as a row has events (``--tight``: as the longest row of that graph has), with their adjacency matrices made anew, both
domains' gates run and the one that was not meant thrown away. It is given our weights; first, what both give and all its
gradients are compared. Then CPU-seconds of forward and backward, the best of some, and the peak of memory, each in a
process of its own; and how ours grows with events, rows and width, and what computing steps again saves.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from crossrec.nn.dynamic_graphs import DynamicGraphs
from crossrec.nn.fuse_gate import FuseGate
from crossrec.nn.gated_graph import GatedGraph, Readout
from crossrec.nn.journeys import Rows

ITEMS = 2000
"""Items of each of the two domains."""
BLOCKS = [range(1, 1 + ITEMS), range(1 + ITEMS, 1 + 2 * ITEMS)]


def written(cell: GatedGraph, h_bnD: Tensor, count_bnn: Tensor) -> Tensor:
    """The steps of the cell by the formula, with dense adjacency matrices."""
    back_bnn = count_bnn.transpose(1, 2)
    into_bnn = back_bnn / back_bnn.sum(2, keepdim=True).clamp(min=1)
    out_bnn = count_bnn / count_bnn.sum(2, keepdim=True).clamp(min=1)
    update, reset, candidate = torch.cat([cell.from_inward, cell.from_outward], 1).chunk(3)
    own_update, own_reset = cell.from_own.chunk(2)
    for _ in range(cell.steps):
        into = into_bnn @ (h_bnD @ cell.inward.T) + cell.inward_bias
        a = torch.cat([into, out_bnn @ (h_bnD @ cell.outward.T) + cell.outward_bias], -1)
        z = torch.sigmoid(a @ update.T + h_bnD @ own_update.T)
        r = torch.sigmoid(a @ reset.T + h_bnD @ own_reset.T)
        h_bnD = (1 - z) * h_bnD + z * torch.tanh(a @ candidate.T + (r * h_bnD) @ cell.candidate.T)
    return h_bnD


def read(layer: Readout, x_bnD: Tensor, visits_bn: Tensor, last_b: Tensor) -> Tensor:
    """The readout by the formula."""
    last_bD = x_bnD[torch.arange(len(x_bnD)), last_b]
    share = torch.sigmoid(x_bnD @ layer.each.T + (last_bD @ layer.last.T + layer.bias)[:, None]) @ layer.weight
    pooled_bD = (share * visits_bn).unsqueeze(1) @ x_bnD
    return torch.cat([pooled_bD[:, 0], last_bD], -1) @ layer.out.T


def gated(
    gate: FuseGate, own: Tensor, g: Tensor, all_bmD: Tensor, near_bnm: Tensor, se_l: Tensor, se_g: Tensor
) -> Tensor:
    """The gate by the formula."""
    w = (torch.cat([se_g, se_l], -1) @ gate.modulate.T + gate.modulate_bias)[:, None]
    itself, near_key = gate.keys.chunk(2)
    parts = zip(gate.from_near.chunk(3), [*gate.from_self.chunk(2), gate.candidate], strict=True)
    update, reset, candidate = (torch.cat(pair, 1) for pair in parts)
    q = own @ itself.T
    self_ = (torch.sigmoid(w * own + q) @ gate.weight)[..., None] * own
    self_ = self_ + (torch.sigmoid(w * g + q) @ gate.weight)[..., None] * g
    logit = (own @ near_key.T) @ all_bmD.transpose(1, 2)
    share = torch.softmax(logit.masked_fill(~near_bnm, -1e9), -1) * near_bnm
    both = torch.cat([w * (share @ all_bmD), self_], -1)
    z, r = torch.sigmoid(both @ update.T), torch.sigmoid(both @ reset.T)
    return (1 - z) * self_ + z * torch.tanh(torch.cat([both[..., : own.shape[-1]], r * self_], -1) @ candidate.T)


class Snapshots:
    """All graphs of all rows, snapshot by snapshot, on padded nodes."""

    def __init__(self, graphs: DynamicGraphs, rows: list[list[int]], tight: bool = True) -> None:
        self.graphs, self.item_bl = graphs, torch.tensor(rows)
        self.domain_bl = (self.item_bl >= BLOCKS[1].start).long()
        self.slot_gbl = torch.zeros(3, *self.item_bl.shape, dtype=torch.int64)
        for b, row in enumerate(rows):
            slots: list[dict[int, int]] = [{}, {}, {}]
            for t, item in enumerate(row):
                for g in (int(self.domain_bl[b, t]), 2):
                    self.slot_gbl[g, b, t] = slots[g].setdefault(item, len(slots[g]))
        self.widths = [int(slot_bl.max()) + 1 if tight else len(rows[0]) for slot_bl in self.slot_gbl]
        place = self.slot_gbl[:2].max(0).values
        own_node = [torch.zeros(len(rows), width, dtype=torch.int64) for width in self.widths[:2]]
        for x in range(2):
            row, event = (self.domain_bl == x).nonzero(as_tuple=True)
            own_node[x][row, place[row, event]] = self.slot_gbl[2, row, event]
        self.own_node = own_node

    def __call__(self, e_VD: Tensor) -> list[Tensor]:
        """Sequence embeddings of every domain whenever an event is due, (b, D) each, and at the end."""
        e_blD = e_VD[self.item_bl]
        graphs, (b, events, dim) = self.graphs, e_blD.shape
        cells, row_b = [graphs.own(0).cell, graphs.own(1).cell, graphs.merged], torch.arange(b)
        state = [e_blD.new_zeros(b, n, dim) for n in self.widths]
        count = [e_blD.new_zeros(b, n, n) for n in self.widths]
        visits = [e_blD.new_zeros(b, n) for n in self.widths]
        last = [torch.full((b,), -1) for _ in self.widths]
        found = []
        for t in range(events + 1):
            joined_bmm = (count[2] + count[2].transpose(1, 2)).bool() & ~torch.eye(self.widths[2], dtype=torch.bool)
            for x in range(2):
                due_b = (last[x] >= 0) & (self.domain_bl[:, t] == x if t < events else torch.ones(b, dtype=torch.bool))
                node = self.own_node[x][:, :, None]
                own = state[2].gather(1, node.expand(-1, -1, dim))
                near = joined_bmm.gather(1, node.expand(-1, -1, self.widths[2]))
                at = visits[x], last[x].clamp(min=0)
                se_l, se_g = read(graphs.own(x).readout, state[x], *at), read(graphs.merged_readout, own, *at)
                new = gated(graphs.own(x).gate, state[x], own, state[2], near, se_l, se_g)
                new = torch.where(due_b[:, None, None] & (visits[x] > 0)[..., None], new, state[x])
                found.append(read(graphs.own(x).readout, new, *at) * due_b[:, None])
                state[x] = new
            if t == events:
                return found
            for g in range(3):
                now_b = (self.domain_bl[:, t] == g) | torch.tensor(g == 2)
                slot_b = self.slot_gbl[g, :, t]
                mark_bn = F.one_hot(slot_b, self.widths[g]).bool() & now_b[:, None]
                h = torch.where((mark_bn & (visits[g] == 0))[..., None], e_blD[:, t : t + 1], state[g])
                edge_b = now_b & (last[g] >= 0)
                count[g] = count[g].clone()
                count[g][row_b[edge_b], last[g][edge_b], slot_b[edge_b]] += 1
                visits[g] = visits[g] + mark_bn
                last[g] = torch.where(now_b, slot_b, last[g])
                there_bn1 = (now_b[:, None] & (visits[g] > 0))[..., None]
                state[g] = torch.where(there_bn1, written(cells[g], h, count[g]), h)
        return found


class Ours:
    """The library."""

    def __init__(self, graphs: DynamicGraphs, rows: list[list[int]]) -> None:
        none = torch.zeros(0, dtype=torch.int64)
        length_b = torch.tensor([len(row) for row in rows])
        self.graphs, self.rows = graphs, Rows(torch.tensor(rows), length_b, none, none)

    def __call__(self, e_VD: Tensor) -> list[Tensor]:
        """All sequence embeddings of every domain, in no order that matters."""
        journeys = self.rows.journeys(BLOCKS, 1 << 30)
        traces = [self.graphs(journey, F.embedding(journey.merged.item_bn, e_VD), asked=True) for journey in journeys]
        return [grown.vector_ND for trace in traces for grown in trace.parts if grown is not None]


def made(given: argparse.Namespace, kind: str) -> tuple[Callable[[Tensor], list[Tensor]], DynamicGraphs, Tensor]:
    """One of the two, its weights and its items."""
    torch.manual_seed(0)
    given_graphs = {"steps": given.steps, "variant": "full", "literal": False, "checkpoint": kind == "again"}
    graphs = DynamicGraphs(2, given.dim, **given_graphs)
    e_VD = (0.1 * torch.randn(1 + 2 * ITEMS, given.dim)).requires_grad_()
    rng = np.random.default_rng(0)
    drawn = rng.random((given.rows, 2 * ITEMS)).argsort(1)[:, : given.events] + 1
    if given.repeats:
        drawn = rng.permuted(drawn[:, rng.integers(max(1, given.events * 2 // 3), size=given.events)], axis=1)
    rows = drawn.tolist()
    return Snapshots(graphs, rows, given.tight) if kind == "snapshots" else Ours(graphs, rows), graphs, e_VD


def gradients(given: argparse.Namespace, kind: str) -> list[Tensor]:
    """A number made of all that one of the two gives, and its gradients."""
    run, graphs, e_VD = made(given, kind)
    total = torch.cat(run(e_VD)).square().sum()
    return [total, *torch.autograd.grad(total, [e_VD, *graphs.parameters()])]


def measured(given: argparse.Namespace, kind: str) -> tuple[float, float]:
    """CPU-seconds of forward and backward, and MiB of memory beyond what was held before; in a process of its own."""
    settings = [f"--{name}={getattr(given, name)}" for name in ("rows", "events", "dim", "steps")]
    flags = [f"--{name}" for name in ("repeats", "tight") if getattr(given, name)]
    done = subprocess.run(
        [sys.executable, __file__, "--child", kind, *settings, *flags], capture_output=True, text=True, check=True
    )
    seconds, mib = map(float, done.stdout.split())
    return seconds, mib


def child(given: argparse.Namespace) -> None:
    """Measure one of the two."""
    run, _, e_VD = made(given, given.child)
    before, best = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, float("inf")
    for _ in range(4):
        began = time.process_time()
        torch.cat(run(e_VD)).square().sum().backward()
        best = min(best, time.process_time() - began)
    print(best, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rows", 100), ("events", 32), ("dim", 64), ("steps", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--repeats", action="store_true", help="rows visit items again")
    parser.add_argument("--tight", action="store_true", help="a kinder rival: graphs padded to their own longest")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.child:
        child(given)
        return
    small = argparse.Namespace(**{**vars(given), "rows": 12, "events": 10})
    pairs = zip(gradients(small, "ours"), gradients(small, "snapshots"), strict=True)
    gap = max(float((one - other).detach().abs().max() / other.detach().abs().max()) for one, other in pairs)
    print(f"largest difference of a value or gradient, relative to the largest of its kind: {gap:.1e}")
    long, much = measured(given, "snapshots")
    short, little = measured(given, "ours")
    print(f"{given.rows} rows of {given.events} events, width {given.dim}, {given.steps} steps, forward and backward:")
    print(f"  {short:.2f} CPU-s, snapshot by snapshot {long:.2f} CPU-s: {long / short:.1f}x (goal 5x)")
    print(f"  {little:.0f} MiB, snapshot by snapshot {much:.0f} MiB: {much / little:.1f}x (goal 4x)")
    for name, values in (("events", (10, 20, 40, 80)), ("rows", (50, 200)), ("dim", (32, 128))):
        for value in values:
            seconds, mib = measured(argparse.Namespace(**{**vars(given), name: value}), "ours")
            print(f"  {value} {name}: {seconds:.2f} CPU-s, {mib:.0f} MiB")
    seconds, mib = measured(argparse.Namespace(**{**vars(given), "events": 80}), "again")
    print(f"  80 events, every step computed again for its gradients: {seconds:.2f} CPU-s, {mib:.0f} MiB")


if __name__ == "__main__":
    main()
