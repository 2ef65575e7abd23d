"""DNS, DNS(M, N) and MixGCF: specs of RealHNS, sections 4.5 to 4.7; and pools of candidates."""

from __future__ import annotations

import itertools

import pytest
import torch

from crossrec.samplers import pools
from crossrec.samplers.dns import DNS
from crossrec.samplers.dns_star import DNSStar
from crossrec.samplers.mixgcf import MixGCF
from crossrec.samplers.pools import Groups, among_top, hardest, mixed

LOGITS = torch.tensor([[0.3, 1.2, -0.5, 0.9]])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def share(place: torch.Tensor, size: int) -> list[float]:
    found: list[float] = (torch.bincount(place.flatten(), minlength=size) / place.numel()).tolist()
    return found


def test_golden_dns() -> None:
    """The second of four; the best of two draws is the first, second, ... with the odds of two draws."""
    assert set(hardest(LOGITS, 60, 1000, generator()).flatten().tolist()) == {1}
    found = share(hardest(LOGITS, 2, 40_000, generator()), 4)
    assert found == pytest.approx([3 / 16, 7 / 16, 1 / 16, 5 / 16], abs=0.01)


def test_golden_dns_star() -> None:
    """M = 2: the second and the fourth, each with probability one half."""
    found = among_top(LOGITS.expand(20_000, 4), 2, 1, generator())
    assert share(found, 4) == pytest.approx([0, 0.5, 0, 0.5], abs=0.01)


def test_golden_mixgcf() -> None:
    u, positive = torch.tensor([1.0, 0.0]), torch.tensor([[0.8, 0.6]])
    negative, alpha = torch.tensor([[[0.0, 1.0], [0.6, 0.8]]]), torch.full((1, 2), 0.25)
    found = mixed(positive, negative, alpha)[0]
    torch.testing.assert_close(found, torch.tensor([[0.2, 0.9], [0.65, 0.75]]))
    torch.testing.assert_close(found @ u, torch.tensor([0.2, 0.65]))


def test_mixing_does_not_change_which_is_best() -> None:
    """One share for all candidates of a slot: the best mixture is that of the best candidate."""
    u, positive = torch.randn(200, 8, generator=generator()), torch.randn(200, 8, generator=generator(1))
    candidate = torch.randn(200, 16, 8, generator=generator(2))
    alpha = torch.rand(200, 1, generator=generator(3)).expand(200, 16)
    mixture = mixed(positive, candidate, alpha)
    best = [torch.einsum("pd,pnd->pn", u, e).argmax(1) for e in (candidate, mixture)]
    assert torch.equal(*best)


@pytest.mark.parametrize("number", [1, 3, 10])
@pytest.mark.parametrize("top", [5, 30])
def test_among_top_is_uniform_and_spreads(top, number) -> None:
    score = torch.arange(30.0).expand(20_000, 30)
    place = among_top(score, top, number, generator())
    assert share(place[:, -1], 30)[-top:] == pytest.approx([1 / top] * top, abs=0.015)
    assert int(place.min()) >= 30 - top
    if top % number == 0:
        assert all(len(set(row)) == number for row in place[:500].tolist()), "none twice where there are enough"


def test_what_is_left_out_is_never_taken() -> None:
    score = torch.tensor([[1.0, -torch.inf, 3.0, -torch.inf, 2.0]]).expand(4000, 5)
    for place in (among_top(score, 4, 3, generator()), hardest(score, 1, 3, generator())):
        assert share(place, 5) == pytest.approx([1 / 3, 0, 1 / 3, 0, 1 / 3], abs=0.02)
    nothing = torch.full((2, 5), -torch.inf)
    for place in (among_top(nothing, 4, 3, generator()), hardest(nothing, 4, 3, generator())):
        assert place.shape == (2, 3)
        assert bool((nothing.gather(1, place) == -torch.inf).all())


def test_a_draw_that_rounds_to_the_end(monkeypatch) -> None:
    """The largest number that a generator gives, in the last part: (9 + (1 - 2^-24)) / 10 is 1 in single precision."""
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, 1 - 2**-24))
    score = torch.arange(100.0).expand(50, 100)
    assert int(among_top(score, 100, 10, generator()).max()) == 99
    assert int(hardest(score, 1, 10, generator()).max()) == 99


@pytest.mark.parametrize("block", [1, 400, 10**6])
def test_scores_by_user_are_the_plain_products(block, monkeypatch) -> None:
    """Users of one to seven queries, users who come twice, however few candidates are gathered at a time."""
    monkeypatch.setattr(pools, "BLOCK", block)
    user_P = torch.repeat_interleave(torch.tensor([4, 9, 2, 4, 7]), torch.tensor([3, 1, 7, 2, 1]))
    groups = Groups.of(user_P)
    left = torch.randn(14, 2, 6, generator=generator())
    table, pool = torch.randn(20, 6, generator=generator(1)), torch.randint(20, (5, 9), generator=generator(2))
    expected = torch.einsum("psd,pnd->psn", left, table[pool[groups.group_P]])
    torch.testing.assert_close(groups.scores(left, table, pool), expected)
    assert groups.user_G.tolist() == [4, 9, 2, 4, 7]


@pytest.mark.parametrize(("sampler", "allowed"), [(DNS(candidates=400), 1), (DNSStar(top=500), 11)])
def test_the_model_decides(sampler, allowed, fixed, draw) -> None:
    """Item i scores i for the one user and -i for the other: the hardest of many, or the better half of the pool."""
    items = torch.arange(20.0)[:, None]
    model, split, batch = fixed(items, torch.tensor([[1.0], [-1.0]]))
    ids_PH = draw(sampler, model, split, 10, batch=batch).found.ids
    start = split.data.catalogue.block("toys").start
    up, down = set((ids_PH[0] - start).tolist()), set((ids_PH[1] - start).tolist())
    assert up <= set(range(20 - allowed, 20))
    assert down <= set(range(1, 1 + allowed)), "the user has item 0"


def test_mixtures_lie_between_the_candidate_and_the_positive(split, made, draw) -> None:
    model = made("twotower", split)
    drawn = draw(MixGCF(), model, split, 20)
    made_of = drawn.found.hard.vectors.detach()
    with torch.no_grad():
        one, other = model.items(drawn.batch.positive_P)[:, None], model.items(drawn.hard_PH)
    share_PH = ((made_of - other) * (one - other)).sum(-1) / (one - other).square().sum(-1)
    assert 0 <= float(share_PH.min()) < 0.05 < 0.95 < float(share_PH.max()) <= 1.00001
    torch.testing.assert_close(other + share_PH[..., None] * (one - other), made_of)
    assert all(len(set(row)) > 1 for row in share_PH.tolist()), "a share for every slot"


def test_gradients_reach_both_items(split, made, draw) -> None:
    model = made("sasrec", split)
    drawn = draw(MixGCF(hard=1), model, split, 1)
    drawn.found.vectors.sum().backward()
    rows = set(model.table.weight.grad.to_dense().any(1).nonzero()[:, 0].tolist())
    both = itertools.chain(drawn.batch.positive_P.tolist(), drawn.hard_PH.flatten().tolist())
    assert rows == {int(model.table.row_V[item]) for item in both}
