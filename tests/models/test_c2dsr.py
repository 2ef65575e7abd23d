"""C2DSR."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.data.dataset import Dataset
from crossrec.data.histories import History
from crossrec.data.splits import LeaveLastOut, Split
from crossrec.models import c2dsr
from crossrec.models.c2dsr import C2DSR, Stream
from crossrec.nn.attention import Block
from crossrec.testing import ModelTests
from crossrec.testing.batches import after, close_under_autocast, training_batch, windows
from crossrec.testing.worlds import tiny_world, world_of
from crossrec.train.fit import fit

Asked = Callable[[C2DSR, Dataset], Batch]


class TestC2DSR(ModelTests):
    model = C2DSR(dim=8, max_len=20, dropout=0.1)


class TestPublishedOutput(ModelTests):
    model = C2DSR(dim=8, max_len=20, dropout=0.1, output="untied", similarity="dot", scale=1.0)


def made(split: Split, *sources: str, **settings: Any) -> C2DSR:
    """A model with random weights for the domain toys, in double precision."""
    torch.manual_seed(0)
    model = C2DSR(**{"dim": 4, "std": 1.0, **settings}).build(split.data.catalogue, "toys", sources).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.shape[-1:] == (1,) or parameter.ndim == 1:
                parameter.normal_()
    model.learn(split)
    return model


def domain_of(model: C2DSR, item: int) -> str:
    return next(name for name in model.reads if item in model.block(name))


def written(stream: Stream, row: Sequence[int]) -> np.ndarray:
    """The state after the last event of a view, by the formulas 8.1 and 8.2: one place after the other, in numpy."""
    if not row:
        return number(stream.encoder.norm.bias)
    width = stream.encoder.positions.shape[1]
    x = [width**0.5 * smoothed(stream, item) + number(stream.encoder.positions)[t] for t, item in enumerate(row)]
    for block in stream.encoder.blocks:
        assert isinstance(block, Block)
        q = [layer_norm(block.norm_q, one) for one in x]
        weight_q, weight_k, weight_v = np.split(number(block.attention.in_weight), 3)
        bias_q, bias_k, bias_v = np.split(number(block.attention.in_bias), 3)
        key, value = [weight_k @ one + bias_k for one in x], [weight_v @ one + bias_v for one in x]
        above = []
        for t, one in enumerate(q):
            mass = np.array([math.exp((weight_q @ one + bias_q) @ key[s] / width**0.5) for s in range(t + 1)])
            mixed = sum(m * value[s] for s, m in enumerate(mass / mass.sum()))
            y = layer_norm(block.norm_y, one + linear(block.attention.out, mixed))
            above.append(y + linear(block.down, np.maximum(linear(block.up, y), 0)))
        x = above
    return layer_norm(stream.encoder.norm, x[-1])


def smoothed(stream: Stream, item: int) -> np.ndarray:
    """F + E of an item at depth 1."""
    graph, table = stream.items.graph, stream.items.table
    own, said = number(table(torch.tensor(item))), number(stream.items.biases[0]).copy()
    for edge in range(int(graph.first_V1[item]), int(graph.first_V1[item + 1])):
        said += float(graph.share_E[edge]) * number(table(graph.next_E[edge]))
    return (own + said) / 2 + own


def number(x: Tensor) -> np.ndarray:
    return x.detach().numpy()


def linear(layer: torch.nn.Linear, x: np.ndarray) -> np.ndarray:
    return number(layer.weight) @ x + number(layer.bias)


def layer_norm(layer: torch.nn.LayerNorm, x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / np.sqrt(x.var() + layer.eps) * number(layer.weight) + number(layer.bias)


def views_of(model: C2DSR, row: Sequence[int], domain: str) -> tuple[np.ndarray, np.ndarray]:
    """Merged state and own state of a history."""
    own = model.own[model.reads.index(domain)]
    assert isinstance(own, Stream)
    return written(model.merged, row), written(own, [item for item in row if item in model.block(domain)])


def cross_entropy(model: C2DSR, h: np.ndarray, item: int) -> float:
    """Of an item among all of its domain, from the sum of states, by dot product and bias."""
    domain = domain_of(model, item)
    ids = list(model.block(domain))
    logits = number(model.table(torch.tensor(ids))) @ h + number(model.bias(torch.tensor(ids)))[:, 0]
    return float(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[ids.index(item)])


@pytest.mark.parametrize("output", ["tied", "untied"])
def test_queries_are_those_of_the_formulas(output: str) -> None:
    """Every training query, against its history alone written out in numpy: H_M and H_X are taken at the same place."""
    split = LeaveLastOut("toys").apply(tiny_world(users=6))
    model = made(split, "games", output=output, similarity="dot", scale=1.0)
    batch = training_batch(model, split)
    expected = [
        sum(views_of(model, row[:t], domain_of(model, row[t]))) for row in windows(split) for t in range(1, len(row))
    ]
    found = number(model.queries(batch))
    assert found.shape == (len(expected), 5)
    np.testing.assert_allclose(found, np.pad(expected, ((0, 0), (0, 1)), constant_values=1), atol=1e-9)


def fixed(history: History, block: range) -> History:
    """In place of the random exchange: every item of the domain by the one three further."""
    chunks = tuple(
        torch.where((c >= block.start) & (c < block.stop), block.start + (c + 3 - block.start) % len(block), c)
        for c in history.chunks
    )
    return History(chunks, history.lengths, history.rows, history.at_P, history.total)


@pytest.mark.parametrize("domains", [("toys", "games"), ("toys", "games", "books")])
def test_the_loss_is_that_of_the_formulas(monkeypatch: pytest.MonkeyPatch, domains: tuple[str, ...]) -> None:
    """8.4 as means over the queries of a domain, and 8.5: by loops over rows and queries."""
    monkeypatch.setattr(c2dsr, "corrupted", fixed)
    split = LeaveLastOut("toys").apply(tiny_world(users=6, sizes=dict.fromkeys(domains, 12)))
    model = made(split, *domains[1:], similarity="dot", scale=1.0)
    entropies: dict[str, list[float]] = {name: [] for name in domains}
    critics: dict[str, list[float]] = {name: [] for name in domains}
    for row in windows(split):
        asked = [(t, domain_of(model, row[t])) for t in range(1, len(row))]
        for t, name in asked:
            merged, own = views_of(model, row[:t], name)
            entropies[name].append(cross_entropy(model, merged, row[t]) + cross_entropy(model, merged + own, row[t]))
        for x, name in enumerate(domains):
            block = model.block(name)
            false = [block.start + (i + 3 - block.start) % len(block) if i in block else i for i in row]
            own = [
                views_of(model, row[:t], name)[1] for t, other in asked if other == name and set(row[:t]) & set(block)
            ]
            others = [t for t, other in asked if other != name]
            if own and others:
                weight, bias = model.critics[x].critic.weight[0], model.critics[x].critic.bias
                for sign, items in ((-1, row), (1, false)):
                    other = np.mean([written(model.merged, items[:t]) for t in others], axis=0)
                    logit = other @ number(weight) @ np.mean(own, axis=0) + float(bias.detach())
                    critics[name].append(math.log1p(math.exp(sign * logit)))
    expected = 0.7 * sum(np.mean(one) for one in entropies.values())
    expected += 0.3 * sum(2 * np.mean(one) for one in critics.values())
    assert float(model.loss(training_batch(model, split)).mean().detach()) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("item", [0, 4])
@pytest.mark.parametrize("name", ["toys", "games"])
def test_the_first_item_of_a_domain_is_labelled_as_any_other(name: str, item: int) -> None:
    """Guard: the published program takes the first item of the second domain for none of it where it ends a window."""
    held = [("toys", 1, 8), ("toys", 2, 9)]
    history = [("toys", 2, 0), ("games", 3, 1), (name, item, 2), *held]
    split = LeaveLastOut("toys").apply(world_of([history], {"toys": 5, "games": 5}))
    model = made(split, "games", weight=1.0, similarity="dot", scale=1.0)
    batch = training_batch(model, split)
    (row,) = windows(split)
    assert batch.positive_P[-1] == row[-1] == model.block(name).start + item
    merged, own = views_of(model, row[:-1], name)
    expected = cross_entropy(model, merged, row[-1]) + cross_entropy(model, merged + own, row[-1])
    queries_of_it = {"toys": 1, "games": 2}[name]
    assert float(model.loss(batch)[-1].detach()) == pytest.approx(expected * 2 / queries_of_it, abs=1e-9)


def test_the_weight_of_a_domain_does_not_vary_with_its_density() -> None:
    """Guard: of the published loss, a mean over all places, rows without games make that of the games lighter."""
    toys = [("toys", i % 9, i) for i in range(9)]
    both = [("toys", 1, 0), ("games", 2, 1), ("games", 3, 2), ("toys", 4, 3), ("toys", 5, 4), ("toys", 6, 5)]
    split = LeaveLastOut("toys").apply(world_of([both, toys, toys, toys], {"toys": 9, "games": 5}))
    model = made(split, "games", weight=1.0)
    parts = []
    for rows in ([0], [0, 1, 2, 3]):
        batch = training_batch(model, split, rows=rows)
        games_P = batch.positive_P >= model.block("games").start
        games_P &= batch.positive_P < model.block("games").stop
        parts.append(float(model.loss(batch)[games_P].detach().sum()) / len(batch))
    assert parts[0] == pytest.approx(parts[1])
    assert parts[0] > 0


def test_padding_takes_no_mass() -> None:
    """Guard: pads of the published program are zero vectors that are attended to. Here nothing in their place changes a state."""
    split = LeaveLastOut("toys").apply(tiny_world(users=12))
    model = made(split, "games")
    batch = training_batch(model, split)
    assert any(bool((chunk == 0).any()) for history in batch.histories.values() for chunk in history.chunks)
    expected = model.queries(batch)
    filled = {
        name: History(tuple(c.masked_fill(c == 0, 7) for c in h.chunks), h.lengths, h.rows, h.at_P, h.total)
        for name, h in batch.histories.items()
    }
    found = model.queries(Batch(batch.domain, filled, batch.user_P, batch.positive_P))
    torch.testing.assert_close(found, expected)


def test_a_query_is_the_same_in_training_and_when_it_is_asked() -> None:
    """Guard: the published program trains on the merged state at the own event, and asks with that of the last event."""
    split = LeaveLastOut("toys").apply(tiny_world(users=8))
    model = made(split, "games")
    found = iter(model.queries(training_batch(model, split)))
    differ = 0
    for row in windows(split):
        for t in range(1, len(row)):
            name = domain_of(model, row[t])
            before = [s for s in range(t) if row[s] in model.block(name)]
            both = after(model, [row[:t], row[: before[-1] + 1 if before else 0]], name)
            torch.testing.assert_close(next(found), both[0])
            if before and before[-1] < t - 1:
                differ += bool((both[0] - both[1]).abs().max() > 1e-3)
    assert differ > 10, "events of the other domain since the last own one count"


def test_held_out_events_are_in_no_graph() -> None:
    split = LeaveLastOut("toys").apply(tiny_world(users=12))
    model = made(split, "games")
    pairs = {pair for row in windows(split) for pair in pairwise(row)}
    graph = model.merged.items.graph
    assert len(graph.next_E) == len(pairs)
    assert not any(stream.items.graph.next_E.numel() == 0 for stream in model.own)


@pytest.mark.parametrize("first", ["any", "domain", "all"])
def test_any_first_event_may_be_predicted_and_any_row_is_short_enough(first: str) -> None:
    """Batches of one row, some of which knows nothing; and rows cut to their latest three events."""
    split = LeaveLastOut("toys").apply(tiny_world(users=6))
    model = fit(C2DSR(dim=4, max_len=3), split, epochs=1, batch=1, first=first).model
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_where_nothing_is_known_the_bias_counts(ask_all: Asked) -> None:
    split = LeaveLastOut("toys").apply(tiny_world(users=6))
    model = made(split, "games")
    data = world_of([[], [("games", 1, 0)]], {"toys": 30, "games": 20})
    with torch.no_grad():
        before = model.scores(ask_all(model, data), "toys")
        model.bias.weight += 1
        after = model.scores(ask_all(model, data), "toys")
    torch.testing.assert_close(after, before + 1)


def test_autocast_leaves_losses_in_single_precision() -> None:
    split = LeaveLastOut("toys").apply(tiny_world(users=8))
    model = made(split, "games", weight=1.0).float()
    batch = training_batch(model, split)
    assert close_under_autocast(lambda: model.loss(batch), rtol=0.1, atol=0.1).dtype == torch.float32
