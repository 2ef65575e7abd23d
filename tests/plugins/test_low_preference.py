"""NNS: specs of PDRec, 4.4, against a plain sort."""

from __future__ import annotations

import math

import pytest
import torch

from crossrec.data.splits import AuthorsLeaveLastOut, LeaveLastOut
from crossrec.errors import InputError
from crossrec.plugins import low_preference
from crossrec.plugins.low_preference import Bits, Bounds, Window
from crossrec.samplers.bands import SeenRows
from crossrec.samplers.bands import within as band
from crossrec.testing.worlds import tiny_world, world_of

ORDER = [7, 2, 9, 4, 1, 6, 3, 10, 5, 8]
"""Specs, 4.4: items by descending preference, numbered from 1."""


def kinds(monkeypatch, kind: type) -> None:
    """Keep windows as bits or as bounds, whatever is smaller."""

    def kept(preferences):
        (rows, _), items = preferences.query_ND.shape, len(preferences.item_VD)
        return Bounds(preferences) if kind is Bounds else Bits(rows, items, torch.device("cpu"))

    monkeypatch.setattr(low_preference, "kept", kept)


def window(ranking: list[int], own: set[int], first: float, stop: float, whole: bool) -> set[int]:
    """The window of a ranking, by the definitions of the specs."""
    size = len(ranking)
    if whole:
        low, high = math.floor(first * size), math.ceil(stop * size)
        longer = ranking[low : high + len(own)]
        return set([column for column in longer if column not in own][: high - low])
    left = [column for column in ranking if column not in own]
    return set(left[math.floor(first * len(left)) : math.ceil(stop * len(left))])


def columns(found) -> list[set[int]]:
    """What was drawn for the queries of every predicted row."""
    start = found.split.data.catalogue.block(found.domain).start
    ids, row = found.drawn(400) - start, found.plugin.rows.row_of(found.batch().at_P)
    return [set(ids[row == n].flatten().tolist()) for n in range(len(found.plugin.rows))]


@pytest.mark.parametrize("kind", [Bounds, Bits])
@pytest.mark.parametrize(
    ("authors", "settings", "expected"),
    [
        (False, {"low_from": 0.5}, {3, 10, 5, 8}),
        (True, {"low_from": 0.5}, {3, 10, 5, 8}),
        (True, {"low_from": 0.5, "low_to": 0.8, "exclude": "all"}, {3, 5, 8}),
        (False, {"low_from": 0.5, "low_to": 0.8}, {3, 10, 5}),
    ],
)
def test_golden_windows(authors, settings, expected, kind, golden, fixed, prepare, monkeypatch) -> None:
    """G5: the paper's reading, in which the test item 10 may be drawn; and the published code's. All as likely."""
    kinds(monkeypatch, kind)
    split = golden(authors)
    score = [-float(ORDER.index(item)) for item in range(1, 11)]
    found = prepare(split, fixed(split, [score] * 2), weight="none", soft=False, **settings)
    ids = found.drawn(4000)[0] - split.data.catalogue.block("toys").start + 1
    share = torch.bincount(ids, minlength=11) / len(ids)
    assert set(share.nonzero()[:, 0].tolist()) == expected
    assert share[list(expected)].tolist() == pytest.approx([1 / len(expected)] * len(expected), abs=0.03)


@pytest.mark.parametrize("kind", [Bounds, Bits])
@pytest.mark.parametrize(("first", "stop"), [(0.5, 1.0), (0.0, 1.0), (0.9, 1.0), (0.5, 0.99), (0.2, 0.6), (0.0, 0.3)])
@pytest.mark.parametrize("exclude", ["train", "all"])
def test_the_window_is_that_of_a_plain_sort(exclude, first, stop, kind, made, prepare, monkeypatch) -> None:
    """Every item of it is drawn, and no other."""
    kinds(monkeypatch, kind)
    split = AuthorsLeaveLastOut("toys").apply(tiny_world(users=30))
    found = prepare(
        split, made("sasrec", split, seed=2), weight="none", soft=False, low_from=first, low_to=stop, exclude=exclude
    )
    whole = exclude == "all"
    for n, drawn in enumerate(columns(found)):
        expected = window(found.ranking(n), found.own(n, held_out=whole), first, stop, whole)
        assert drawn == expected
        assert not drawn & found.own(n, held_out=whole)


def test_bits_and_bounds_draw_the_same(split, made, prepare, monkeypatch) -> None:
    drawn = []
    for kind in Bounds, Bits:
        kinds(monkeypatch, kind)
        drawn.append(prepare(split, made("bprmf", split), low_from=0.7).drawn(5))
    assert torch.equal(*drawn)


def test_what_is_kept_is_the_smaller() -> None:
    """Bits of rows x items, or the vectors of both."""

    class Of:
        def __init__(self, rows, items, width):
            self.query_ND, self.item_VD = torch.empty(rows, width), torch.empty(items, width)

    assert isinstance(low_preference.kept(Of(800, 3000, 100)), Bits)
    assert isinstance(low_preference.kept(Of(800, 3000, 10)), Bounds)


def test_held_out_items_may_be_drawn(split, made, prepare) -> None:
    """Training does not know them."""
    found = prepare(split, made("sasrec", split), low_from=0.0)
    held = [found.own(n, held_out=True) - found.own(n) for n in range(len(found.plugin.rows))]
    assert len([items for items in held if items]) > 15
    assert all(items <= drawn for drawn, items in zip(columns(found), held, strict=True))


def test_no_held_out_item_is_told_on_an_honest_split(split, made, prepare) -> None:
    with pytest.raises(InputError, match="the split 'authors' alone"):
        prepare(split, made("sasrec", split), exclude="all")
    assert prepare(split, made("sasrec", split), exclude="all", low=False).plugin.low is None


def test_every_step_draws_anew(split, made, prepare) -> None:
    """From the generator alone."""
    found = prepare(split, made("sasrec", split))
    assert not torch.equal(found.drawn(seed=1), found.drawn(seed=2))
    assert torch.equal(found.drawn(3, seed=1), found.drawn(3, seed=1))
    steps = found.drawn(2)
    assert not torch.equal(steps[:, 0], steps[:, 1])


def test_items_that_tie_across_the_bound_are_inside() -> None:
    """Ranks 2 to 5 of eight; the items of rank 1 and 2 tie, and so do those of rank 5 and 6."""
    score = torch.tensor([[9.0, 7, 7, 6, 5, 4, 4, 1]])
    none = (torch.zeros(0, dtype=torch.int64),) * 2
    for whole in True, False:
        low, high = Window(0.25, 0.75, whole).bounds(score, none)[0].tolist()
        assert (low, high) == (4, 7)
        assert low_preference.within(score, low, high)[0].tolist() == [False, *[True] * 6, False]
    alike = Window(0.5, 1.0, whole=False).bounds(torch.ones(1, 8), none)[0].tolist()
    assert alike == [-math.inf, 1]


def test_the_published_window_is_that_of_the_hard_band() -> None:
    """The same extension by what the user has: specs of RealHNS, 5.1."""
    generator = torch.Generator().manual_seed(1)
    score_BV = torch.randn(50, 97, generator=generator)
    own_BV = torch.rand(50, 97, generator=generator) < torch.rand(50, 1, generator=generator) * 0.6
    own = own_BV.nonzero(as_tuple=True)
    count_B = own_BV.sum(1)
    packed = SeenRows(own[1], torch.cat([count_B.new_zeros(1), count_B.cumsum(0)]))
    bound_B2 = Window(0.4, 0.7, whole=True).bounds(score_BV.clone(), own)
    found_BV = low_preference.within(score_BV, *bound_B2.split(1, 1)) & ~own_BV
    expected_BV = band(score_BV.clone(), 38, 68, *packed.block(0, 50))
    assert torch.equal(found_BV, expected_BV)


@pytest.mark.parametrize("kind", [Bounds, Bits])
@pytest.mark.parametrize("exclude", ["train", "all"])
def test_little_or_nothing_is_left(exclude, kind, fixed, prepare, monkeypatch) -> None:
    """A user who has all but one item gets that one; one who has all gets something, at once."""
    kinds(monkeypatch, kind)
    rounds = []
    inside = kind.inside
    monkeypatch.setattr(kind, "inside", lambda *asked: rounds.append(1) or inside(*asked))
    events = [[0, 1, 2, 3, 0, 1], [0, 1, 2, 3, 4, 0], [0, 1, 0, 1, 0, 1]]
    events = [[*items, *items[-2:]] for items in events]
    histories = [[("games", 0, 0), *(("toys", item, t) for t, item in enumerate(items, 1))] for items in events]
    split = AuthorsLeaveLastOut("toys").apply(world_of([*histories, histories[0]], {"toys": 5, "games": 1}))
    source = fixed(split, torch.randn(4, 5, generator=torch.Generator().manual_seed(1)))
    found = prepare(split, source, weight="none", soft=False, exclude=exclude)
    drawn = columns(found)
    assert drawn[0] == {4}
    assert drawn[1] <= set(range(5))
    assert drawn[2] <= {2, 3, 4}
    assert len(rounds) < 20, "nobody waits for what does not exist"


def test_a_window_that_is_all_taken() -> None:
    """Where the user has every item from the first rank of the window on, any other item will do."""
    score = torch.arange(10.0, 0, -1)[None]
    own = torch.zeros(5, dtype=torch.int64), torch.arange(5, 10)
    assert Window(0.5, 0.9, whole=True).bounds(score, own)[0].tolist() == [-math.inf, math.inf]


def test_a_share_of_one_item(fixed, prepare) -> None:
    """The window of a short ranking holds one item at least: the last."""
    split = LeaveLastOut("toys").apply(world_of([[("toys", i, i) for i in (0, 1, 0, 1)]], {"toys": 4}))
    found = prepare(split, fixed(split, [[1.0, 2, 3, 4]]), low_from=0.95)
    assert columns(found) == [{2}]
