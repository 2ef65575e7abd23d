"""Items from a band of each user's ranking: specs of RealHNS, section 5.1, against a plain sort."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from crossrec.errors import InputError
from crossrec.samplers import bands
from crossrec.samplers.bands import Band, SeenRows, recall, select, within


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def packed(seen: list[set[int]]) -> SeenRows:
    items = [item for own in seen for item in sorted(own)]
    offsets = torch.tensor([0, *map(len, seen)]).cumsum(0)
    return SeenRows(torch.tensor(items, dtype=torch.int64), offsets)


def plain(score_V: Tensor, low: int, high: int, seen: set[int]) -> set[int]:
    """The unseen items from rank ``low`` on, as many as the band is wide."""
    order = torch.argsort(score_V, descending=True).tolist()
    return set([item for item in order[low:] if item not in seen][: high - low])


def world(users: int, items: int, share: float = 0.2) -> tuple[Tensor, Tensor, list[set[int]]]:
    """Queries, items, and what each user has seen: none, a few or most."""
    query, item = torch.randn(users, 5, generator=generator(1)), torch.randn(items, 5, generator=generator(2))
    chance = torch.rand(users, 1, generator=generator(3)) * 2 * share
    mask = torch.rand(users, items, generator=generator(4)) < chance
    return query, item, [set(row.nonzero()[:, 0].tolist()) for row in mask]


def test_golden_band() -> None:
    """Specs of RealHNS, G4: ten items, 20 to 40 %, the item of rank 3 in training. The test item, rank 2, is a candidate."""
    query, item = torch.ones(1, 1), torch.arange(10.0, 0.0, -1.0)[:, None]
    found = select(query, item, Band(20, 40), packed([{3}]), 10, generator())
    assert found.shape == (1, 2)
    assert set(found[0].tolist()) == {2, 4}


@pytest.mark.parametrize(
    ("items", "low", "high", "expected"),
    [(37_868, 20, 30, (7573, 11361)), (11_735, 10, 20, (1173, 2347)), (10, 0, 100, (0, 10)), (3, 20, 30, (0, 1))],
)
def test_ranks(items, low, high, expected) -> None:
    """Rounded down and up; widths 3,788 and 1,174 for the published logs. There is always one."""
    assert Band(low, high).ranks(items) == expected


@pytest.mark.parametrize("band", [(30, 20), (20, 20), (-1, 5), (90, 101)])
def test_a_band_that_holds_nothing(band) -> None:
    with pytest.raises(InputError, match="from a lower to a higher percentage"):
        Band(*band)


@pytest.mark.parametrize("block", [1, 1000, 2**23])
@pytest.mark.parametrize("band", [(0, 30), (20, 30), (45, 50), (70, 100)])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_the_band_is_that_of_a_plain_sort(band, share, block, monkeypatch) -> None:
    """Seen items in, above and below the band; it reaches to the right by as many as lie inside."""
    monkeypatch.setattr(bands, "BLOCK", block)
    query, item, seen = world(40, 97, share)
    low, high = Band(*band).ranks(97)
    found = select(query, item, Band(*band), packed(seen), 1000, generator())
    assert found.shape == (40, high - low)
    for user, score_V in enumerate(query @ item.T):
        expected = plain(score_V, low, high, seen[user])
        assert set(found[user].tolist()) == expected
        assert len(set(found[user].tolist())) == min(high - low, len(expected))


def test_seen_items_at_the_edges() -> None:
    """Ranks are exact where the seen ones are the first, the last and the next of the band."""
    item = torch.arange(20.0, 0.0, -1.0)[:, None]
    for seen in ({4}, {3}, {7}, {8}, {3, 4}, {4, 5, 6, 7}, {4, 8}, {7, 8, 9}, {0, 1, 2}, set(range(4, 15))):
        found = select(torch.ones(1, 1), item, Band(20, 40), packed([seen]), 9, generator())
        assert set(found[0].tolist()) == plain(item[:, 0], 4, 8, seen)


def test_the_draw_does_not_depend_on_the_block(monkeypatch) -> None:
    query, item, seen = world(50, 64)
    found = []
    for block in (1, 3 * 4 * 64, 2**23):
        monkeypatch.setattr(bands, "BLOCK", block)
        found.append(select(query, item, Band(20, 70), packed(seen), 12, generator(9)))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_no_more_than_the_block_is_held(monkeypatch) -> None:
    query, item, seen = world(50, 64)
    held = []

    def watched(score_BV: Tensor, *rest: object) -> Tensor:
        held.append(score_BV.numel() * score_BV.element_size())
        return within(score_BV, *rest)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(bands, "BLOCK", 4000)
    monkeypatch.setattr(bands, "within", watched)
    select(query, item, Band(20, 70), packed(seen), 12, generator(9))
    assert max(held) <= 4000
    assert len(held) == math.ceil(50 / (4000 // 256))


def test_everything_in_the_band_is_as_likely() -> None:
    """Without replacement, and not the same ranks for everyone."""
    item = torch.arange(50.0, 0.0, -1.0)[:, None]
    found = select(torch.ones(5000, 1), item, Band(20, 40), packed([{12}] * 5000), 4, generator())
    share = torch.bincount(found.flatten(), minlength=50) / found.numel()
    assert share[10:21].tolist() == pytest.approx([0.1, 0.1, 0, *[0.1] * 8], abs=0.01)
    assert all(len(set(row)) == 4 for row in found[:300].tolist())
    assert len({tuple(sorted(row)) for row in found[:300].tolist()}) > 5


def test_a_user_who_has_seen_the_band() -> None:
    """Gets unseen items from anywhere; one who has seen all gets any."""
    item = torch.arange(10.0, 0.0, -1.0)[:, None]
    seen = [set(range(5, 10)), set(range(10)), set()]
    found = select(torch.ones(3, 1), item, Band(50, 80), packed(seen), 3, generator())
    assert set(found[0].tolist()) <= set(range(5))
    assert set(found[1].tolist()) <= set(range(10))
    assert set(found[2].tolist()) == {5, 6, 7}


def test_no_users_and_more_than_there_are() -> None:
    query, item, _ = world(3, 10)
    assert select(query[:0], item, Band(0, 50), packed([]), 4, generator()).shape == (0, 4)
    assert select(query, item, Band(0, 50), packed([set()] * 3), 10**6, generator()).shape == (3, 5)


@pytest.mark.parametrize("sample", [200, 500])
def test_a_sample_is_off_by_what_it_must(sample) -> None:
    """Rank error at both edges is normal, of standard deviation sqrt(p (1 - p) / sample) less what the sample holds: a share
    of (sum of the deviations) / sqrt(2 pi) / width lies outside.
    """
    items, low, high = 2000, 0.2, 0.3
    query = torch.randn(400, 8, generator=generator(1))
    item = torch.randn(items, 8, generator=generator(2))
    seen = packed([set()] * 400)
    inside = []
    for seed in range(5):
        found = select(query, item, Band(20, 30), seen, 1000, generator(seed), sample)
        assert found.shape == (400, sample // 10)
        inside.append(recall(query, item, Band(20, 30), seen, found.long()))
    deviation = sum(math.sqrt(p * (1 - p) / sample * (1 - sample / items)) for p in (low, high))
    expected = 1 - deviation / math.sqrt(2 * math.pi) / (high - low)
    assert sum(inside) / 5 == pytest.approx(expected, abs=0.06)
    exact = select(query, item, Band(20, 30), seen, 1000, generator(), items)
    assert recall(query, item, Band(20, 30), seen, exact.long()) == 1.0


def test_a_sample_leaves_out_what_was_seen() -> None:
    query, item, seen = world(40, 200, 0.4)
    found = select(query, item, Band(10, 60), packed(seen), 50, generator(), 120)
    assert found.shape == (40, 50)
    assert len(set(found.flatten().tolist())) <= 120
    assert not any(set(row) & own for row, own in zip(found.tolist(), seen, strict=True))


def test_taking_users() -> None:
    own = [{1, 2}, set(), {0, 5, 7}, {3}]
    taken = packed(own).take(torch.tensor([2, 1, 0]))
    expected = packed([own[2], own[1], own[0]])
    assert torch.equal(taken.item_S, expected.item_S)
    assert torch.equal(taken.offset_R1, expected.offset_R1)
