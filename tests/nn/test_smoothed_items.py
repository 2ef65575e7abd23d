"""Item vectors smoothed over what comes next are those of the formula with dense matrices."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from crossrec.data.splits import LeaveLastOut, Split
from crossrec.nn.items import ItemTable
from crossrec.nn.smoothed_items import SmoothedItems
from crossrec.testing.worlds import tiny_world, world_of


def made(split: Split, *domains: str, depth: int = 1, dropout: float = 0.0) -> SmoothedItems:
    torch.manual_seed(0)
    catalogue = split.data.catalogue
    items = SmoothedItems(ItemTable(catalogue, domains, 3), catalogue.num_ids, depth, dropout).double()
    torch.nn.init.normal_(items.table.weight[1:].detach())
    torch.nn.init.normal_(items.biases)
    items.count(split)
    return items


def shares(split: Split, *domains: str) -> Tensor:
    """What comes next by a loop over the training rows: share_VV by global ids."""
    count = np.zeros((split.data.catalogue.num_ids,) * 2)
    blocks = [split.data.catalogue.block(name) for name in domains]
    for a, b in zip(split.train.start_N, split.train.stop_N, strict=True):
        row = [item for item in split.events.item_E[a:b].tolist() if any(item in block for block in blocks)]
        for one, other in pairwise(row):
            count[one, other] += 1
    return torch.as_tensor(count / np.maximum(count.sum(1, keepdims=True), 1))


def dense(items: SmoothedItems) -> Tensor:
    graph, size = items.graph, len(items.graph.first_V1) - 1
    share_VV = torch.zeros(size, size, dtype=torch.float64)
    for item in range(size):
        for edge in range(int(graph.first_V1[item]), int(graph.first_V1[item + 1])):
            share_VV[item, graph.next_E[edge]] += graph.share_E[edge]
    return share_VV


@pytest.mark.parametrize("domains", [("toys", "games"), ("toys",), ("games",)])
def test_what_comes_next_is_counted_among_the_domains_of_the_table(domains: tuple[str, ...]) -> None:
    split = LeaveLastOut("toys").apply(tiny_world(users=20))
    torch.testing.assert_close(dense(made(split, *domains)), shares(split, *domains), atol=1e-6, rtol=0)


def test_shares_by_hand() -> None:
    """Of t0 t1 g0 t0 t1 t0 t2 | t3 t4, the last two held out: merged t0 -> t1 twice and t2 once, own t1 -> t0 twice."""
    names = ["t0", "t1", "g0", "t0", "t1", "t0", "t2", "t3", "t4"]
    history = [("toys" if n[0] == "t" else "games", int(n[1]), t) for t, n in enumerate(names)]
    split = LeaveLastOut("toys").apply(world_of([history], {"toys": 5, "games": 1}))
    toy, game = split.data.catalogue.block("toys").start, split.data.catalogue.block("games").start
    merged, own = dense(made(split, "toys", "games")), dense(made(split, "toys"))
    for share_VV, row in ((merged, {toy + 1: 2 / 3, toy + 2: 1 / 3}), (own, {toy + 1: 2 / 3, toy + 2: 1 / 3})):
        found = share_VV[toy].nonzero()[:, 0].tolist()
        assert {item: pytest.approx(float(share_VV[toy, item]), abs=1e-6) for item in found} == row
    assert merged[toy + 1, [game, toy]].tolist() == [0.5, 0.5]
    assert own[toy + 1].nonzero()[:, 0].tolist() == [toy]
    assert not own[toy + 2].any(), "nothing is known to come after the last event that trains"


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_vectors_are_those_of_the_formula(depth: int) -> None:
    split = LeaveLastOut("toys").apply(tiny_world(users=20))
    items = made(split, "toys", "games", depth=depth)
    share_VV, e_VD = dense(items), items.table(torch.arange(split.data.catalogue.num_ids))
    made_VD = [e_VD]
    for bias_D in items.biases:
        made_VD.append(share_VV @ made_VD[-1] + bias_D)
    expected_VD = torch.stack(made_VD).mean(0) + e_VD
    ids = torch.tensor([[3, 9, 3], [50, 31, 1]])
    torch.testing.assert_close(items(ids), expected_VD[ids])
    for one in (1, 30, 50):
        torch.testing.assert_close(items(torch.tensor([one]))[0], expected_VD[one])
    assert items(torch.zeros(0, dtype=torch.int64)).shape == (0, 3)


def test_gradients_are_those_of_the_formula_and_of_few_items() -> None:
    split = LeaveLastOut("toys").apply(tiny_world(users=20))
    items, ids = made(split, "toys", "games"), torch.tensor([4, 8, 4])
    items(ids).square().sum().backward()
    assert items.table.weight.grad is not None
    found = items.table.weight.grad.to_dense()
    items.zero_grad()
    share_VV, e_VD = dense(items), items.table.weight
    (((e_VD + share_VV @ e_VD + items.biases[0]) / 2 + e_VD)[ids]).square().sum().backward()
    torch.testing.assert_close(found, items.table.weight.grad)
    assert int(found.any(1).sum()) == len({4, 8} | {int(i) for i in share_VV[[4, 8]].any(0).nonzero()[:, 0]})


def test_dropout_takes_the_same_of_an_item_wherever_it_comes_next() -> None:
    """Items 1 and 2 are both followed by 3 alone, so what their neighbours say is the same with dropout as well."""
    histories = [[("toys", i, 0), ("toys", 2, 1), ("toys", 3, 2), ("toys", 4, 3)] for i in (0, 1)]
    split = LeaveLastOut("toys").apply(world_of(histories, {"toys": 5}))
    items = made(split, "toys", dropout=0.5).train()
    first = split.data.catalogue.block("toys").start
    said = []
    for _ in range(5):
        ids = torch.tensor([first, first + 1])
        said_2D = items(ids) - 1.5 * items.table(ids)
        torch.testing.assert_close(said_2D[0], said_2D[1])
        said.append(said_2D[0].tolist())
    assert len({tuple(one) for one in said}) > 1


def test_saved_is_loaded_whatever_was_counted(tmp_path: Path) -> None:
    split = LeaveLastOut("toys").apply(tiny_world(users=20))
    items = made(split, "toys", "games")
    save_file(items.state_dict(), tmp_path / "items.safetensors")
    other = SmoothedItems(ItemTable(split.data.catalogue, ("toys", "games"), 3), split.data.catalogue.num_ids, 1, 0.0)
    other.double().load_state_dict(load_file(tmp_path / "items.safetensors"))
    ids = torch.arange(split.data.catalogue.num_ids)
    assert torch.equal(other(ids), items(ids))
