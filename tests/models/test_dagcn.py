"""DA-GCN."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.data.dataset import Dataset
from crossrec.data.splits import LeaveLastOut, Split
from crossrec.models.dagcn import DAGCN
from crossrec.testing import ModelTests
from crossrec.testing.batches import changes, close_under_autocast, training_batch
from crossrec.testing.worlds import repeating_split, tiny_world

Ask = Callable[[DAGCN, Dataset], Batch]


class TestDAGCN(ModelTests):
    model = DAGCN(dim=8, max_len=20)


class TestReleased(ModelTests):
    model = DAGCN(dim=8, max_len=20, variant="released", members=2)


def made(split: Split, **settings: Any) -> DAGCN:
    """A model that knows a split's rows, with random weights, in double precision."""
    torch.manual_seed(0)
    sources = [name for name in split.data.domains if name != "toys"]
    model = DAGCN(**{"dim": 3, "dropout": 0.0, **settings}).build(split.data.catalogue, "toys", sources).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
        model.nodes[0] = 0
    model.learn(split)
    return model.eval()


class Slow:
    """The model, written out with dense matrices and loops."""

    def __init__(self, model: DAGCN, split: Split) -> None:
        self.model, self.ids = model, split.data.catalogue.num_ids
        items = range(1, self.ids)
        own = model.row_V
        self.vector = {i: model.nodes[own[i]].detach() for i in items}
        self.user = {u: model.nodes[model.first_user + u].detach() for u in range(split.data.num_users)}
        self.reads: dict[int, dict[tuple[str, int], Tensor]] = {i: {("item", i): self.vector[i]} for i in items}
        self.known: set[int] = set()
        train = split.train
        for user, a, b in zip(train.user_N.tolist(), train.start_N, train.stop_N, strict=True):
            row = split.events.item_E[a:b].tolist()
            for name in model.reads:
                part = [i for i in row if i in model.block(name)]
                for i in part:
                    self.reads[i]["user", user] = self.user[user]
                    self.known.add(user)
                for i, j in pairwise(part):
                    self.reads[i]["item", j] = self.vector[j]

    def node(self, own: Tensor, read: list[Tensor]) -> Tensor:
        """What is read of a node."""
        model, config = self.model, self.model.config
        near_ND = torch.stack(read)
        share_N = torch.ones(len(near_ND), dtype=own.dtype)
        if config.variant == "fixed":
            share_N = torch.cosine_similarity(near_ND, own[None], dim=1).softmax(0)
        s = share_N @ near_ND
        new = F.leaky_relu(model.gathered.weight @ s + model.gathered.bias, 0.2)
        new = new + F.leaky_relu(model.shared.weight @ (own * s) + model.shared.bias, 0.2)
        parts = (own, new / new.norm())
        return torch.cat([x.view(config.members, config.dim).mean(0) for x in parts])

    def query(self, user: int, row: list[int]) -> Tensor:
        """[largest of every domain, user, 1]."""
        own = self.user[user] if user in self.known else torch.zeros_like(self.vector[1])
        parts = []
        for name in self.model.reads:
            seen = [self.node(self.vector[i], [*self.reads[i].values()]) for i in row if i in self.model.block(name)]
            parts.append(torch.stack(seen).amax(0) if seen else torch.zeros_like(self.node(own, [own])))
        parts.append(self.node(own, [own, *(self.vector[i] for i in dict.fromkeys(row))]))
        return torch.cat([*parts, torch.ones(1, dtype=own.dtype)])


@pytest.mark.parametrize("domains", [1, 2, 3])
@pytest.mark.parametrize("settings", [{}, {"variant": "released"}, {"members": 2}], ids=str)
def test_every_query_is_as_written_out(domains: int, settings: dict[str, Any]) -> None:
    split = repeating_split(domains)
    model = made(split, **settings)
    slow, expected = Slow(model, split), []
    train = split.train
    for user, a, b in zip(train.user_N.tolist(), train.start_N, train.stop_N, strict=True):
        row = split.events.item_E[a:b].tolist()
        expected += [slow.query(user, row[:t]) for t in range(1, len(row))]
    torch.testing.assert_close(model.queries(training_batch(model, split)), torch.stack(expected))


def test_a_user_without_training_row_is_a_stranger_who_reads_the_items(ask_all: Ask) -> None:
    split = repeating_split()
    kept = dataclasses.replace(split, train=split.train.take(np.arange(3)))
    model = made(kept)
    batch = ask_all(model, kept.data)
    strangers = Batch(batch.domain, batch.histories, torch.full_like(batch.user_P, -1), batch.positive_P)
    found, unknown = model.queries(batch), model.queries(strangers)
    trained = torch.isin(batch.user_P, torch.as_tensor(kept.train.user_N))
    assert torch.equal(found[~trained], unknown[~trained])
    assert not (found[trained] == unknown[trained]).all(1).any()
    slow, u = Slow(model, kept), int((~trained).nonzero()[0])
    row = kept.data.item_E[kept.data.offset_U1[u] : kept.data.offset_U1[u + 1]].tolist()
    torch.testing.assert_close(unknown[u], slow.query(u, row))


def test_rows_of_the_graph_are_normalised_and_those_of_the_release_are_not() -> None:
    """Weights sum to 1 over what a node reads; the published program leaves ones, so that a sum grows with the degree."""
    split = repeating_split()
    fixed, released = made(split).graph, made(split, variant="released").graph
    every = torch.arange(len(fixed.offset_N1) - 1)
    one_N1 = torch.ones(len(every), 1, dtype=torch.float64)
    degree_N = fixed.offset_N1.diff()
    torch.testing.assert_close(fixed(one_N1, every)[:, 0], (degree_N > 0).double())
    assert torch.equal(released(one_N1, every)[:, 0], degree_N.double())
    assert int(degree_N.max()) > 3


def test_attention_follows_the_vectors_while_training() -> None:
    """The published program never calls its own routine. Here edges are weighed anew after ``refresh`` training steps."""
    split = repeating_split()
    model = made(split, refresh=2)
    batch = training_batch(model, split)
    begun_E = model.graph.weight_E.clone()
    with torch.no_grad():
        model.nodes[1:].normal_()
    model.queries(batch)
    assert torch.equal(model.graph.weight_E, begun_E), "asking changes nothing"
    model.train().queries(batch)
    first_E = model.graph.weight_E.clone()
    assert not torch.allclose(first_E, begun_E)
    with torch.no_grad():
        model.nodes[1:].normal_()
    model.queries(batch)
    assert torch.equal(model.graph.weight_E, first_E)
    model.queries(batch)
    now_E = model.graph.weight_E.clone()
    assert not torch.allclose(now_E, first_E)
    model.graph.attend(model.nodes)
    assert torch.equal(now_E, model.graph.weight_E)


def test_padding_enters_no_maximum() -> None:
    """All that items know is below zero, and short rows are run beside long ones: the largest is still below zero."""
    split = repeating_split(users=12)
    model = made(split)
    batch = training_batch(model, split)
    assert any(bool((chunk == 0).any()) for chunk in batch.histories["toys"].chunks)
    with torch.no_grad():
        model.nodes[1 : model.first_user] = -model.nodes[1 : model.first_user].abs()
        model.nodes[0] = 1e6
    known_P = batch.histories["toys"].at_P < batch.histories["toys"].total
    own_PD = model.queries(batch).detach()[known_P, : model.config.dim]
    assert float(own_PD.max()) < 0


def test_the_graph_is_of_the_training_rows_alone() -> None:
    """Other held-out items give the same graph, and other training items another one."""
    split = LeaveLastOut("toys").apply(tiny_world(users=9))
    as_it_is, held_out, trained = (made(changed).graph.column_E for changed in changes(split))
    assert torch.equal(held_out, as_it_is)
    assert not torch.equal(trained, as_it_is)


def test_autocast_is_close() -> None:
    split = repeating_split()
    model = made(split).float()
    batch = training_batch(model, split)
    close_under_autocast(lambda: model.queries(batch), rtol=0.1, atol=0.1)
