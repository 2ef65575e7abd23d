"""SRNS: specs of RealHNS, section 4.4."""

from __future__ import annotations

import pytest
import torch

from crossrec.errors import InputError
from crossrec.samplers.srns import SRNS, criterion, kept

CPU = torch.device("cpu")


@pytest.mark.parametrize(("weight", "expected"), [(1.0, [0.677541, 0.642459]), (0.0, [0.377541, 0.622459])])
def test_golden_criterion(weight, expected) -> None:
    """With its deviation the less likely item is the better one; without, the more likely."""
    score, deviation = torch.tensor([[0.5, 1.5]]), torch.tensor([[0.30, 0.02]])
    found = criterion(score, torch.tensor([1.0]), deviation, weight)[0]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


def test_the_memory_is_drawn_by_the_scores() -> None:
    """One kept of three offered: likely as the exponential; what is not offered is never kept."""
    logit = torch.tensor([0.0, 1.0, 2.0, 9.0]).expand(40_000, 4)
    offered = torch.tensor([True, True, True, False]).expand(40_000, 4)
    place = kept(logit, offered, 1, torch.Generator().manual_seed(0))
    share = torch.bincount(place[:, 0], minlength=4) / 40_000
    assert share.tolist() == pytest.approx([*torch.tensor([0.0, 1.0, 2.0]).softmax(0).tolist(), 0.0], abs=0.01)
    both = kept(logit, offered, 2, torch.Generator().manual_seed(0))
    assert bool((both[:, 0] != both[:, 1]).all()), "without replacement"


def test_likelihoods_of_the_latest_five_epochs_are_kept(fixed) -> None:
    """Of every item in the memory at the start of every epoch, against the last training item."""
    items = torch.cat([torch.tensor([[1.0]]), torch.linspace(-2, 2, 19)[:, None]])
    model, split, _ = fixed(items, torch.ones(3, 1))
    sampler, generator = SRNS(memory=8, watched=8, hard=2), torch.Generator().manual_seed(0)
    sampler.prepare(split, "toys", CPU)
    expected = []
    for epoch in range(1, 9):
        model.query_UD = torch.full((3, 1), 0.3 * epoch)
        sampler.begin_epoch(model, epoch, generator)
        expected.append(torch.sigmoid(0.3 * epoch * (items[sampler.watched_RC - 1, 0] - 1.0)))
        latest = (
            torch.stack(expected[-5:], -1) if epoch >= 5 else torch.stack([expected[0]] * (5 - epoch) + expected, -1)
        )
        torch.testing.assert_close(sampler.likelihood_RCT.sort(-1).values, latest.sort(-1).values)
    assert sampler.state().keys() == {"watched", "likelihood", "memory"}


def test_what_is_watched_changes_but_not_the_memory(split, made) -> None:
    model, generator = made("twotower", split), torch.Generator().manual_seed(0)
    sampler = SRNS(memory=10, watched=30, hard=5)
    sampler.prepare(split, "toys", CPU)
    sampler.begin_epoch(model, 1, generator)
    before, memory = sampler.watched_RC.clone(), sampler.memory_RS.clone()
    sampler.begin_epoch(model, 2, generator)
    assert torch.equal(before.gather(1, memory), sampler.watched_RC.gather(1, memory))
    changed = (before != sampler.watched_RC).any(0)
    assert changed.nonzero()[:, 0].remainder(5).unique().tolist() == [2], "a fifth is replaced every epoch"


def test_it_takes_the_best_of_the_memory(fixed) -> None:
    items = torch.linspace(-1, 1, 20)[:, None]
    model, split, batch = fixed(items, torch.ones(2, 1))
    sampler, generator = SRNS(memory=8, watched=12, hard=3), torch.Generator().manual_seed(0)
    sampler.prepare(split, "toys", CPU)
    sampler.begin_epoch(model, 1, generator)
    found = sampler.draw(batch, torch.empty(0), model, 3, generator).ids
    memory = sampler.watched_RC.gather(1, sampler.memory_RS)
    assert torch.equal(found.sort().values, memory.topk(3).values.sort().values)


@pytest.mark.parametrize(("weight", "warm", "varied"), [(100.0, 1, True), (100.0, 10**6, False), (0.0, 1, False)])
def test_the_deviation_counts_more_from_epoch_to_epoch(weight, warm, varied, fixed) -> None:
    """Of a memory of eight, the three whose scores vary are the worst; they are taken where the weight is there."""
    model, split, batch = fixed(torch.linspace(-1, 1, 20)[:, None], torch.ones(1, 1))
    sampler, generator = SRNS(memory=8, watched=8, hard=3, weight=weight, warm=warm), torch.Generator().manual_seed(0)
    sampler.prepare(split, "toys", CPU)
    sampler.begin_epoch(model, 1, generator)
    worst = sampler.watched_RC.topk(3, largest=False).indices[0]
    sampler.likelihood_RCT[0, worst, 0] += 0.5
    found = sampler.choose(batch, model, 3, generator).ids[0].sort().values
    expected = sampler.watched_RC[0, worst] if varied else sampler.watched_RC[0].topk(3).values
    assert torch.equal(found, expected.sort().values)


def test_a_memory_smaller_than_what_is_taken_from_it() -> None:
    with pytest.raises(InputError, match="none of these may be smaller"):
        SRNS(hard=21)
    with pytest.raises(InputError, match="none of these may be smaller"):
        SRNS(watched=10)
