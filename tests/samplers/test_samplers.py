"""Where negatives come from."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from crossrec.data.batches import Batch
from crossrec.data.dataset import Dataset
from crossrec.data.splits import LeaveLastOut, Split
from crossrec.samplers.base import Sampler
from crossrec.samplers.popularity import Popularity
from crossrec.samplers.table import SAMPLERS
from crossrec.samplers.uniform import Uniform
from crossrec.testing.worlds import tiny_world, world_of

CPU = torch.device("cpu")


def drawn(sampler: Sampler, split: Split, users: list[int], count: int, seed: int = 0) -> Any:
    """What a prepared sampler draws for one query of each of these users."""
    sampler.prepare(split, split.target, CPU)
    user_P = torch.tensor(users)
    batch = Batch(split.target, {}, user_P, torch.zeros_like(user_P))
    none: Any = None
    return sampler.draw(batch, torch.zeros(len(users), 2), none, count, torch.Generator().manual_seed(seed))


def training_items(split: Split, user: int) -> set[int]:
    rows = split.train.user_N == user
    at = [e for a, b in zip(split.train.start_N[rows], split.train.stop_N[rows], strict=True) for e in range(a, b)]
    return {int(split.events.item_E[e]) for e in at} & set(split.data.catalogue.block(split.target))


@pytest.fixture(scope="module")
def world() -> Dataset:
    return tiny_world(users=30)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("target", ["toys", "games"])
def test_support(name: str, target: str, world: Dataset) -> None:
    """Never a training item of the user, never another domain's; held-out items may be drawn, and all that can be are."""
    split = LeaveLastOut(target).apply(world)
    ids_PK = drawn(SAMPLERS[name](), split, list(range(30)), 3000).ids
    block = set(split.data.catalogue.block(target))
    everything = {i for user in range(30) for i in training_items(split, user)} if name == "popularity" else block
    for user in range(30):
        assert set(ids_PK[user].tolist()) == everything - training_items(split, user)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_generator_repeats_it(name: str, world: Dataset) -> None:
    split = LeaveLastOut("toys").apply(world)
    first, again, other = (drawn(SAMPLERS[name](), split, [0, 1], 50, seed).ids for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", SAMPLERS)
def test_shared_draws_are_one_list(name: str, world: Dataset) -> None:
    found = drawn(SAMPLERS[name](shared=True), LeaveLastOut("toys").apply(world), [0, 1, 2], 50)
    assert found.ids.shape == (50,)
    assert found.log_q.shape in ((), (50,))


def test_uniform_is_uniform(world: Dataset) -> None:
    split = LeaveLastOut("games").apply(world)
    found = drawn(Uniform(), split, [0], 60_000)
    shares = torch.bincount(found.ids[0], minlength=51)[list(split.data.catalogue.block("games"))] / 60_000
    allowed = 20 - len(training_items(split, 0))
    assert shares[shares > 0].tolist() == pytest.approx([1 / allowed] * allowed, abs=0.006)
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
def test_popularity_is_the_golden_number(golden: Split, gamma: float, expected: list[float]) -> None:
    """Specs of RealHNS, 4.2; an item that training never saw is never drawn."""
    sampler = Popularity(gamma=gamma, shared=True)
    found = drawn(sampler, golden, [0], 60_000)
    assert (torch.bincount(found.ids - 1, minlength=5) / 60_000).tolist() == pytest.approx([*expected, 0], abs=0.007)
    assert found.log_q.exp().tolist() == pytest.approx([expected[i - 1] for i in found.ids.tolist()], abs=1e-6)


def test_popularity_rejects_the_own_items(golden: Split) -> None:
    ids = drawn(Popularity(), golden, [0], 60_000).ids[0]
    shares = torch.bincount(ids - 1, minlength=5) / 60_000
    assert shares.tolist() == pytest.approx([0, 0.5, 1 / 3, 1 / 6, 0], abs=0.007)


@pytest.mark.parametrize("kind", [Uniform, Popularity])
def test_a_user_of_every_item_does_not_hang(kind: type[Sampler]) -> None:
    data = world_of([[("toys", i, i) for i in (0, 1, 2, 0, 1)], [("toys", 1, 0)]], {"toys": 3})
    assert drawn(kind(), LeaveLastOut("toys").apply(data), [0], 20).ids.shape == (1, 20)
