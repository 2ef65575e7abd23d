"""Random views of histories."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.data.batches import Batcher, Views
from crossrec.data.splits import Events
from crossrec.nn import augment
from crossrec.testing.worlds import world_of

ROWS = st.lists(st.integers(1, 9), min_size=1, max_size=6)
SHARES = st.sampled_from([0.0, 0.2, 0.5, 0.6, 1.0])
quick = settings(max_examples=60, deadline=None)


def chunk(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows 10, 11, 12, ...; 20, 21, ...: every id tells where it was."""
    length_b = torch.tensor(lengths)
    place = torch.arange(max(lengths))
    ids = 10 * (1 + torch.arange(len(lengths)))[:, None] + place
    return torch.where(place < length_b[:, None], ids, 0), length_b


@quick
@given(ROWS, SHARES, st.integers(0, 99))
def test_crop_keeps_a_stretch(lengths: list[int], share: float, seed: int) -> None:
    torch.manual_seed(seed)
    ids, length = chunk(lengths)
    view, kept = augment.crop(ids, length, share)
    for row, n in enumerate(lengths):
        m = max(1, int(share * n))
        assert kept[row] == m
        first = int(view[row, 0])
        assert view[row].tolist() == [*range(first, first + m), *[0] * (view.shape[1] - m)]
        assert ids[row, 0] <= first
        assert first + m - 1 <= ids[row, n - 1]


@quick
@given(ROWS, SHARES, st.integers(0, 99))
def test_mask_hides_a_share(lengths: list[int], share: float, seed: int) -> None:
    torch.manual_seed(seed)
    ids, length = chunk(lengths)
    view, kept = augment.mask(ids, length, share)
    assert torch.equal(kept, length)
    for row, n in enumerate(lengths):
        hidden = view[row] == augment.MASK
        assert hidden.sum() == int(share * n)
        assert not hidden[n:].any()
        assert torch.equal(view[row][~hidden], ids[row][~hidden])


@quick
@given(ROWS, SHARES, st.integers(0, 99))
def test_reorder_moves_a_stretch_only(lengths: list[int], share: float, seed: int) -> None:
    torch.manual_seed(seed)
    ids, length = chunk(lengths)
    view, kept = augment.reorder(ids, length, share)
    assert torch.equal(kept, length)
    for row, n in enumerate(lengths):
        assert sorted(view[row].tolist()) == sorted(ids[row].tolist())
        moved = (view[row] != ids[row]).nonzero()[:, 0].tolist()
        assert not moved or moved[-1] - moved[0] < int(share * n)


def test_every_start_and_place_is_drawn() -> None:
    torch.manual_seed(0)
    ids, length = chunk([6] * 3000)
    first = augment.crop(ids, length, 0.5)[0][:, 0] % 10
    assert torch.bincount(first).tolist() == [x for x in torch.bincount(first).tolist() if 650 < x < 850]
    hidden = (augment.mask(ids, length, 0.5)[0] == augment.MASK).float().mean(0)
    assert ((hidden - 0.5).abs() < 0.05).all()
    place = augment.reorder(ids, length, 1.0)[0] % 10
    assert ((place == torch.arange(6)).float().mean(0) < 0.5).all()


def test_two_views_ask_for_the_last_event_of_every_row() -> None:
    torch.manual_seed(0)
    lengths = [3, 0, 8, 1, 40, 5]
    data = world_of([[("toys", t, t) for t in range(n)] for n in lengths], {"toys": 40})
    batcher, offset = (
        Batcher(Events(data.catalogue, data.item_E), Views({"h": ("toys",)})),
        torch.tensor(data.offset_U1),
    )
    rows = torch.arange(6)
    history = batcher.batch("toys", rows, offset[:-1], rows, offset[1:], None).histories["h"]
    views, count = augment.two_views(history, (1.0, 0.0, 0.0))  # nothing is changed: both views are the rows themselves
    assert count == 5
    items = torch.cat([c.flatten() for c in views.chunks])[views.at_P]
    assert items[:5].tolist() == items[5:].tolist()
    assert sorted(items[:5].tolist()) == sorted(n for n in lengths if n)


def test_the_operators_of_the_two_views_differ() -> None:
    torch.manual_seed(0)
    data = world_of([[("toys", t, t) for t in range(10)]] * 500, {"toys": 40})
    batcher, offset = (
        Batcher(Events(data.catalogue, data.item_E), Views({"h": ("toys",)})),
        torch.tensor(data.offset_U1),
    )
    rows = torch.arange(500)
    history = batcher.batch("toys", rows, offset[:-1], rows, offset[1:], None).histories["h"]
    views, count = augment.two_views(history, (0.5, 1.0, 0.0))  # crop: 5 events; mask: all hidden; reorder: unchanged
    kind = torch.cat(
        [
            torch.where(n == 5, 0, torch.where((c == augment.MASK).any(1), 1, 2))
            for c, n in zip(views.chunks, views.lengths, strict=True)
        ]
    )
    first, second = kind.split(count)
    assert (first != second).all()
    assert (torch.bincount(3 * first + second, minlength=9)[[1, 2, 3, 5, 6, 7]] > 50).all()
