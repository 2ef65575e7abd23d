"""The gated graph network and its readout. Adjacencies: specs of DDGHM, 11.2 and 11.3."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from crossrec.nn.gated_graph import Counts, Edges, GatedGraph, Path, Readout


def matrices(edges: Edges, nodes: int) -> tuple[Tensor, Tensor]:
    """A_in and A_out."""
    one_bnn = torch.eye(nodes, dtype=torch.float64)[None]
    return edges.incoming(one_bnn)[0], edges.outgoing(one_bnn)[0]


EXAMPLES = {
    "11.2 and 11.3, t = 4": ([0, 1, 2, 0], [[0, 1, 0], [0, 0, 1], [1, 0, 0]], [[0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    "11.2 and 11.3, t = 5": (
        [0, 1, 2, 0, 3],
        [[0, 0.5, 0, 0.5], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]],
        [[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]],
    ),
    "11.2 own, t = 4": ([0, 1, 0], [[0, 1], [1, 0]], [[0, 1], [1, 0]]),
    "11.2 counts": ([0, 1, 0, 1, 0, 2], [[0, 2 / 3, 1 / 3], [1, 0, 0], [0, 0, 0]], [[0, 1, 0], [1, 0, 0], [1, 0, 0]]),
    "an item twice in a row": ([0, 0, 1], [[0.5, 0.5], [0, 0]], [[1, 0], [1, 0]]),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_adjacencies_of_the_examples(name: str) -> None:
    walk, out, into = EXAMPLES[name]
    found_into, found_out = matrices(Counts(torch.tensor([walk]), len(out), torch.float64), len(out))
    torch.testing.assert_close(found_out, torch.tensor(out, dtype=torch.float64))
    torch.testing.assert_close(found_into, torch.tensor(into, dtype=torch.float64))


def test_a_path_is_a_walk_without_repeats() -> None:
    for nodes in (1, 2, 5):
        found = matrices(Path(), nodes)
        for one, other in zip(
            found, matrices(Counts(torch.arange(nodes)[None], nodes, torch.float64), nodes), strict=True
        ):
            assert torch.equal(one, other)


@pytest.mark.parametrize("steps", [1, 3])
def test_weights_multiplied_out_change_nothing(steps: int) -> None:
    """On few nodes they are, on many they are not: both are the formula, with its gradients."""
    torch.manual_seed(0)
    walk = torch.tensor([[0, 1, 2, 1, 1, 3, 0, 4], [0, 1, 2, 3, 4, 0, 1, 2]])
    edges, made = Counts(walk, 5, torch.float64), []
    cell = GatedGraph(4, steps).double()
    h_bnD = torch.randn(2, 5, 4, dtype=torch.float64, requires_grad=True)
    for many in (True, False):
        edges.many = many
        new = cell(h_bnD, edges)
        made.append([new, *torch.autograd.grad(new.square().sum(), [h_bnD, *cell.parameters()])])
    for one, other in zip(*made, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(cell(h_bnD, edges, cell.fused()), made[1][0])


def test_a_node_without_an_edge_is_updated_all_the_same() -> None:
    torch.manual_seed(0)
    h_bnD = torch.randn(1, 1, 3)
    assert not torch.equal(GatedGraph(3)(h_bnD, Path()), h_bnD)


def test_the_readout_counts_every_visit_and_asks_with_the_last() -> None:
    torch.manual_seed(0)
    layer, x_bnD = Readout(3).double(), torch.randn(1, 4, 3, dtype=torch.float64)
    walk = torch.tensor([0, 2, 0, 1, 2, 0])
    visits_bn = torch.bincount(walk, minlength=4)[None]
    torch.testing.assert_close(layer(x_bnD, visits_bn, walk[-1:]), layer(x_bnD[:, walk]))
    share = torch.sigmoid(x_bnD[0, 0] @ layer.last.T + x_bnD[0, walk] @ layer.each.T + layer.bias) @ layer.weight
    expected = torch.cat([share @ x_bnD[0, walk], x_bnD[0, 0]]) @ layer.out.T
    torch.testing.assert_close(layer(x_bnD, visits_bn, walk[-1:])[0], expected)
