"""DAT-MDI, a reconstruction."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from crossrec.data.splits import LeaveLastOut, Split
from crossrec.models.datmdi import DATMDI
from crossrec.testing import ModelTests
from crossrec.testing.batches import changes, close_under_autocast, training_batch, windows
from crossrec.testing.worlds import repeating_split, tiny_world


class TestDATMDI(ModelTests):
    model = DATMDI(dim=8, max_len=20)


def made(split: Split, **settings: Any) -> DATMDI:
    """A model that knows a split's rows, with random weights, in double precision."""
    torch.manual_seed(0)
    sources = [name for name in split.data.domains if name != "toys"]
    model = DATMDI(**{"dim": 4, "neighbours": 3, **settings}).build(split.data.catalogue, "toys", sources).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
        model.table.weight[0] = 0
    model.learn(split)
    return model.eval()


class Slow:
    """The model, written out for one query at a time."""

    def __init__(self, model: DATMDI) -> None:
        self.model = model

    def vector(self, item: int) -> Tensor:
        return self.model.table.weight[self.model.table.row_V[item]]

    def session(self, x: int, row: list[int], item: int) -> Tensor:
        """An item in the graph of a session: 6.13."""
        pairs = {(a, b) for a, b in pairwise(row) if a != b}
        kinds = {item: 0}
        for other in dict.fromkeys(row):
            if other != item:
                kind = ((item, other) in pairs) + 2 * ((other, item) in pairs)
                kinds |= {other: kind} if kind else {}
        weight = self.model._part(x).session.weight
        own = self.vector(item)
        logit = [F.leaky_relu(weight[kind] @ (own * self.vector(other)), 0.2) for other, kind in kinds.items()]
        return torch.stack(logit).softmax(0) @ torch.stack([self.vector(other) for other in kinds])

    def near(self, x: int, row: list[int], item: int) -> Tensor:
        """An item among its neighbours in the training rows."""
        layer, at = self.model._part(x).near, self.model.table.row_V[item]
        mean = torch.stack([self.vector(i) for i in row]).mean(0)
        found = [*zip(self.model.near_WK[at].tolist(), self.model.weight_WK[at], strict=True)]
        near = torch.zeros_like(mean)
        kept = [(self.vector(i), count) for i, count in found if count > 0]
        if kept:
            inner = [layer.key.weight @ (mean * h) + count * layer.weighed for h, count in kept]
            logit = torch.stack([layer.logit @ F.leaky_relu(one, 0.2) for one in inner])
            near = logit.softmax(0) @ torch.stack([h for h, _ in kept])
        return F.relu(layer.out.weight @ torch.cat([self.vector(item), near]))

    def events(self, x: int, row: list[int]) -> Tensor:
        """6.14."""
        sequence = self.model._part(x).sequence
        state = sequence.gru(torch.stack([self.vector(i) for i in row])[None], sequence.first)[0][0]
        graph = [self.session(x, row, i) + self.near(x, row, i) for i in row]
        return torch.stack(graph) + state

    def query(self, x: int, row: list[int]) -> Tensor:
        """6.15, 6.16, 4.8 and 4.9."""
        parts = [[i for i in row if i in self.model.block(name)] for name in self.model.reads]
        part = self.model._part(x)
        known = self.events(x, parts[x]) if parts[x] else torch.zeros_like(self.vector(0))[None]
        slots = [
            self.model._part(y).slots(self.events(y, own), torch.zeros(len(own), dtype=torch.int64), 1)[0]
            for y, own in enumerate(parts)
            if y != x and own
        ]
        if slots:
            slot_KD = torch.cat(slots)
            z = (known @ part.transfer.match.weight.T @ slot_KD.T).softmax(1) @ slot_KD
            known = known + torch.sigmoid(torch.cat([known, z], 1) @ part.transfer.gate.weight.T) * z
        readout = part.readout
        share = torch.sigmoid(readout.last(known[-1]) + readout.each(known)) @ readout.weight
        return readout.out.weight @ torch.cat([share @ known, known[-1]])


@pytest.mark.parametrize("domains", [1, 2, 3])
def test_every_query_is_as_written_out(domains: int) -> None:
    """Each from the graph of what it knows alone, whatever else is in the batch, and so are its gradients."""
    split = repeating_split(domains, users=5)
    model = made(split)
    slow, expected = Slow(model), []
    for row in windows(split):
        for t in range(1, len(row)):
            x = next(x for x, name in enumerate(model.reads) if row[t] in model.block(name))
            expected.append(slow.query(x, row[:t]))
    found_PD, expected_PD = model.queries(training_batch(model, split)), torch.stack(expected)
    torch.testing.assert_close(found_PD, expected_PD)
    weights = [p for name, p in model.named_parameters() if domains > 1 or not ("slots" in name or "transfer" in name)]
    direction_PD = torch.randn_like(found_PD)
    found, slowly = (
        torch.autograd.grad((q_PD * direction_PD).sum(), weights, allow_unused=True) for q_PD in (found_PD, expected_PD)
    )
    for one, other in zip(found, slowly, strict=True):
        if other is not None and bool(other.any()):
            torch.testing.assert_close(one.to_dense() if one.is_sparse else one, other)


def test_an_item_in_the_session_depends_on_what_is_known_alone() -> None:
    """The graph grows with the session: the first item is read differently once a second one follows it."""
    split = repeating_split()
    model = made(split)
    slow = Slow(model)
    assert not torch.allclose(slow.session(0, [1, 2], 1), slow.session(0, [1], 1))
    one, two = (slow.query(0, row) for row in ([1, 2, 1], [1, 2]))
    assert not torch.allclose(one, two)


def test_neighbours_hold_no_held_out_event() -> None:
    """Other held-out items leave the neighbours as they are, and other training items do not."""
    split = LeaveLastOut("toys").apply(tiny_world(users=9))
    as_it_is, held_out, trained = (made(changed) for changed in changes(split))
    assert torch.equal(held_out.near_WK, as_it_is.near_WK)
    assert torch.equal(held_out.weight_WK, as_it_is.weight_WK)
    assert not torch.equal(trained.near_WK, as_it_is.near_WK)


def test_asking_twice_gives_the_same_and_training_draws_its_slots() -> None:
    split = repeating_split()
    model = made(split, dropout=0.0)
    batch = training_batch(model, split)
    assert torch.equal(model.queries(batch), model.queries(batch))
    model.train()
    assert not torch.equal(model.queries(batch), model.queries(batch))


def test_who_knows_nothing_of_a_domain_is_read_off_the_others() -> None:
    """The other domain alone tells two such people apart; of whom nothing is known at all the query is zero."""
    split = repeating_split()
    model = made(split)
    games = model.block("games").start
    slow = Slow(model)
    assert not torch.allclose(slow.query(0, [games, games + 1]), slow.query(0, [games + 3]))
    assert not slow.query(0, []).any()


def test_autocast_is_close() -> None:
    split = repeating_split()
    model = made(split).float()
    batch = training_batch(model, split)
    assert close_under_autocast(lambda: model.queries(batch), rtol=0.1, atol=0.1).dtype == torch.float32
