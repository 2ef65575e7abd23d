"""The split perceptron against the plain one, and scores in blocks against scores at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from crossrec.nn import pair_perceptron
from crossrec.nn.pair_perceptron import PairPerceptron, in_blocks


def plain(layer: PairPerceptron, pair_ND: Tensor) -> Tensor:
    """The perceptron over vectors side by side."""
    h = torch.relu(pair_ND @ torch.cat([layer.user.weight, layer.item.weight], 1).T + layer.user.bias)
    for inner in layer.layers:
        h = torch.relu(h @ inner.weight.T + inner.bias)
    return (h @ layer.out.weight.T + layer.out.bias)[..., 0]


def test_the_first_layer_split_is_the_layer() -> None:
    torch.manual_seed(0)
    layer = PairPerceptron(3, (6, 4, 2)).double()
    for parameter in layer.parameters():
        parameter.data.normal_()
    p_ND, q_ND = torch.randn(2, 7, 3, dtype=torch.float64)
    found, expected = layer(layer.user(p_ND) + layer.item(q_ND)), plain(layer, torch.cat([p_ND, q_ND], 1))
    torch.testing.assert_close(found, expected)
    for one, other in zip(*(torch.autograd.grad(s.sum(), layer.parameters()) for s in (found, expected)), strict=True):
        torch.testing.assert_close(one, other)


def test_dropout_is_of_training_alone() -> None:
    torch.manual_seed(0)
    layer, x_NH = PairPerceptron(4, (64, 16), p=0.5), torch.randn(9, 64)
    assert not torch.equal(layer(x_NH.clone()), layer(x_NH.clone()))
    layer.eval()
    assert torch.equal(layer(x_NH.clone()), layer(x_NH.clone()))


@pytest.mark.parametrize("shared", [True, False])
def test_blocks_are_small_and_change_nothing(shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    query_PD, vectors = torch.randn(11, 6), torch.randn(*(() if shared else (11,)), 13, 6)
    seen: list[int] = []

    def score(query: Tensor, item: Tensor) -> Tensor:
        sums = query + item
        seen.append(sums.numel())
        return sums.square().sum(-1)

    at_once = in_blocks(score, query_PD, vectors, 6)
    assert at_once.shape == (11, 13)
    monkeypatch.setattr(pair_perceptron, "BLOCK", 90)
    monkeypatch.setattr(pair_perceptron, "COLUMNS", 5)
    seen.clear()
    with torch.no_grad():
        torch.testing.assert_close(in_blocks(score, query_PD, vectors, 6), at_once)
    assert max(seen) <= 90, "no more than a block is held"
    assert sum(seen) == 11 * 13 * 6, "every pair once"
