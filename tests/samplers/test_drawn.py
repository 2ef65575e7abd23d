"""Negatives that are drawn: uniform, by popularity, and NNCF, which draws half of them so."""

from __future__ import annotations

import math

import pytest
import torch

from crossrec.data.batches import Batch
from crossrec.data.splits import LeaveLastOut, Split
from crossrec.samplers.base import Negatives, Sampler
from crossrec.samplers.nncf import NNCF
from crossrec.samplers.popularity import Popularity
from crossrec.samplers.uniform import Uniform
from crossrec.testing.worlds import world_of


def drawn(sampler: Sampler, split: Split, user: int, count: int) -> Negatives:
    """What a prepared sampler draws for one query of a user."""
    sampler.prepare(split, split.target, torch.device("cpu"))
    batch = Batch(split.target, {}, torch.tensor([user]), torch.zeros(1, dtype=torch.int64))
    generator = torch.Generator().manual_seed(0)
    return sampler.draw(batch, torch.empty(0), torch.nn.Module(), count, generator)  # type: ignore[arg-type]  # never asked


def shares(ids: torch.Tensor, split: Split) -> list[float]:
    """How often each item of the domain was drawn."""
    block = split.data.catalogue.block(split.target)
    found: list[float] = (torch.bincount(ids.flatten() - block.start, minlength=len(block)) / ids.numel()).tolist()
    return found


def test_uniform_is_uniform(split, train_items) -> None:
    games = LeaveLastOut("games").apply(split.data)
    found = drawn(Uniform(), games, 0, 60_000)
    allowed = set(games.data.catalogue.block("games")) - train_items(games, 0)
    own = [share for share in shares(found.ids, games) if share]
    assert own == pytest.approx([1 / len(allowed)] * len(allowed), abs=0.006)
    assert found.log_q.item() == pytest.approx(-math.log(20))


@pytest.fixture(scope="module")
def golden() -> Split:
    """Training counts (4, 3, 2, 1): user 0 has item 0 alone; the held-out events of user 5 are of item 3."""
    histories = [[0], [0, 1], [0, 1], [0, 1], [2, 3], [2, 3, 3]]
    data = world_of([[("toys", item, t) for t, item in enumerate(items)] for items in histories], {"toys": 5})
    return LeaveLastOut("toys").apply(data)


@pytest.mark.parametrize(
    ("gamma", "expected"),
    [(1.0, [0.4, 0.3, 0.2, 0.1]), (0.75, [0.363097, 0.292630, 0.215899, 0.128374])],
)
def test_popularity_is_the_golden_number(golden, gamma, expected) -> None:
    """Specs of RealHNS, 4.2; an item that training never saw is never drawn."""
    found = drawn(Popularity(gamma=gamma, shared=True), golden, 0, 60_000)
    assert shares(found.ids, golden) == pytest.approx([*expected, 0], abs=0.007)
    assert found.log_q.exp().tolist() == pytest.approx([expected[i - 1] for i in found.ids.tolist()], abs=1e-6)


def test_popularity_rejects_the_own_items(golden) -> None:
    ids = drawn(Popularity(), golden, 0, 60_000).ids
    assert shares(ids, golden) == pytest.approx([0, 0.5, 1 / 3, 1 / 6, 0], abs=0.007)


@pytest.mark.parametrize(("gamma", "expected"), [(1.0, [0.5, 1 / 3, 1 / 6]), (0.75, [0.459463, 0.338982, 0.201556])])
def test_nncf_is_half_popular_half_uniform(golden, gamma, expected) -> None:
    """Without item 0, which is the user's own: (.5, .333333, .166667) of specs of RealHNS, 4.2."""
    found = drawn(NNCF(gamma=gamma, hard=60_000), golden, 0, 120_000)
    assert shares(found.hard.ids, golden) == pytest.approx([0, *expected, 0], abs=0.007)
    assert shares(found.ids, golden) == pytest.approx([0, 0.25, 0.25, 0.25, 0.25], abs=0.007)
    assert found.log_q.item() == pytest.approx(-math.log(5))
