"""GRU4Rec."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from crossrec.data.batches import Batch, Batcher
from crossrec.data.dataset import Dataset
from crossrec.data.splits import Events
from crossrec.models.gru4rec import GRU4Rec
from crossrec.testing import ModelTests
from crossrec.testing.worlds import world_of

LENGTH = 10


class TestGRU4Rec(ModelTests):
    model = GRU4Rec(dim=8, max_len=20)


class TestConsumingPadding(ModelTests):
    model = GRU4Rec(dim=8, max_len=20, consume_padding=True, domains="merged", guard="none")


@pytest.fixture(scope="module")
def data() -> Dataset:
    lengths = [1, 4, 0, 7, 10, 13]
    return world_of(
        [[("toys", (5 * u + t * t) % 25, t) for t in range(n)] for u, n in enumerate(lengths)], {"toys": 25}
    )


def built(data: Dataset, padding: bool) -> GRU4Rec:
    torch.manual_seed(0)
    settings = {"dim": 8, "max_len": LENGTH, "dropout": 0.0, "consume_padding": padding}
    return GRU4Rec(**settings).build(data.catalogue, "toys").eval()


def at_the_end(model: GRU4Rec, data: Dataset) -> Batch:
    users, offset = torch.arange(data.num_users), torch.as_tensor(data.offset_U1)
    return Batcher(Events(data.catalogue, data.item_E), model.views()).batch(
        "toys", users, offset[:-1], users, offset[1:], None
    )


def step(model: GRU4Rec, x: Tensor, h: Tensor) -> Tensor:
    """One step, written out."""
    gru = model.encoder.gru
    rx, zx, nx = (gru.weight_ih_l0 @ x + gru.bias_ih_l0).chunk(3)
    rh, zh, nh = (gru.weight_hh_l0 @ h + gru.bias_hh_l0).chunk(3)
    z = torch.sigmoid(zx + zh)
    return (1 - z) * torch.tanh(nx + torch.sigmoid(rx + rh) * nh) + z * h


def padded(model: GRU4Rec, items: list[int], padding: bool) -> Tensor:
    """The last state of one history; with ``padding`` after running over the padding on its left."""
    items = items[-LENGTH:]
    h = model.encoder.first[0, 0]
    for item in [0] * (LENGTH - len(items) if padding else 0) + items:
        h = step(model, model.table.weight[model.table.row_V[item]], h)
    return h


@pytest.mark.parametrize("padding", [False, True])
def test_states_are_those_of_single_steps(data: Dataset, padding: bool) -> None:
    model = built(data, padding)
    found = model.states(at_the_end(model, data))
    for user in range(data.num_users):
        items = data.item_E[data.offset_U1[user] : data.offset_U1[user + 1]].tolist()
        torch.testing.assert_close(found[user], padded(model, items, padding), atol=1e-5, rtol=0)


def test_gradients_go_through_the_padding(data: Dataset) -> None:
    model = built(data, padding=True)
    weights = (model.encoder.first, model.encoder.gru.weight_hh_l0)
    found = torch.autograd.grad(model.states(at_the_end(model, data)).sum(), weights)
    histories = [data.item_E[a:b].tolist() for a, b in zip(data.offset_U1[:-1], data.offset_U1[1:], strict=True)]
    slowly = torch.stack([padded(model, items, True) for items in histories]).sum()
    expected = torch.autograd.grad(slowly, weights)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_padding_is_random_and_never_learned(data: Dataset) -> None:
    model = built(data, padding=True)
    assert model.table.weight[0].abs().sum() > 0
    model.states(at_the_end(model, data)).sum().backward()
    assert not model.table.weight.grad.to_dense()[0].any()
