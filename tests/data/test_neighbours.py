"""What is drawn from a graph are neighbours, none twice, as often as they ought to be, never newer than asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

import crossrec.data.neighbours as neighbours
from crossrec.data.graphs import Adjacency, transposed
from crossrec.data.neighbours import Neighbours, subsets
from crossrec.errors import InputError

HOWS = ("uniform", "weighted", "recent", "top")


def adjacency_of(rows: list[list[tuple[int, int]]], columns: int = 12) -> Adjacency:
    """Rows of (column, time), each in time order."""
    flat = [pair for row in rows for pair in row]
    return Adjacency(
        columns,
        np.cumsum([0, *map(len, rows)]),
        np.array([column for column, _ in flat], dtype=np.int32),
        np.array([time for _, time in flat], dtype=np.int64),
    )


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def weights(side: Adjacency, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(len(side.column_E)).astype(np.float32)


def star(degree: int, copies: int = 1) -> Adjacency:
    """Rows of the same degree, whose neighbours are 0, 1, ... at times 0, 1, ..."""
    return adjacency_of([[(i, i) for i in range(degree)]] * copies, columns=degree)


@st.composite
def adjacencies(draw: st.DrawFn) -> Adjacency:
    row = st.lists(st.integers(0, 11), unique=True, max_size=12)
    rows = draw(st.lists(row, min_size=1, max_size=6))
    times = [sorted(draw(st.lists(st.integers(0, 8), min_size=len(r), max_size=len(r)))) for r in rows]
    return adjacency_of([list(zip(r, t, strict=True)) for r, t in zip(rows, times, strict=True)])


@given(
    adjacencies(),
    st.sampled_from(HOWS),
    st.one_of(st.none(), st.integers(1, 14)),
    st.booleans(),
    st.integers(0, 12),
    st.integers(0, 99),
)
@settings(max_examples=300, deadline=None)
def test_draws_are_allowed_neighbours_in_time_order_none_twice_and_as_many_as_there_are(
    side, how, fan_out, timed, excluded, seed
):
    rng = np.random.default_rng(seed)
    row_B = rng.integers(-1, len(side), 9)
    before = rng.integers(-1, 10, 9) if timed else None
    exclude = (rng.integers(0, 9, excluded), rng.integers(-2, 14, excluded)) if excluded else None
    drawn = Neighbours(side, weights(side)).sample(
        row_B, fan_out, how, generator=generator(seed), before=before, exclude=exclude
    )
    assert drawn.ids_BK.shape == drawn.mask_BK.shape == drawn.edge_BK.shape
    assert drawn.ids_BK.shape[1] <= (fan_out or 99)
    for query, row in enumerate(row_B):
        first, last = (0, 0) if row < 0 else side.offset_N1[row : row + 2]
        hidden = set() if exclude is None else set(exclude[1][exclude[0] == query].tolist())
        allowed = [
            edge
            for edge in range(first, last)
            if side.column_E[edge] not in hidden and (before is None or side.time_E[edge] < before[query])
        ]
        mask = drawn.mask_BK[query].tolist()
        edges = drawn.edge_BK[query][drawn.mask_BK[query]].tolist()
        assert mask == sorted(mask, reverse=True)
        assert drawn.ids_BK[query].tolist() == [
            int(side.column_E[e]) if m else 0 for e, m in zip(drawn.edge_BK[query], mask, strict=True)
        ]
        assert len(edges) == min(len(allowed), fan_out or 99)
        assert edges == sorted(set(edges))
        assert set(edges) <= set(allowed)
        if fan_out is None or fan_out >= len(allowed):
            assert edges == allowed
        elif how == "recent":
            assert edges == allowed[-fan_out:]
        elif how == "top":
            weight = weights(side)
            assert edges == sorted(sorted(allowed, key=lambda e: -weight[e])[:fan_out])


@pytest.mark.parametrize("how", HOWS)
def test_a_generator_decides_everything(how):
    side = star(30, copies=5)
    draw = Neighbours(side, weights(side))
    one, again, other = (draw.sample(range(5), 7, how, generator=generator(seed)).ids_BK for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert torch.equal(one, other) == (how in ("recent", "top"))


@pytest.mark.parametrize("size, most", [(6, 3), (6, 5), (40, 2)])
def test_every_subset_is_equally_likely(size, most):
    drawn = subsets(torch.full((60_000,), size), most, generator()).T.sort(1).values
    _, count = drawn.unique(dim=0, return_counts=True)
    assert len(count) == np.prod([size - i for i in range(most)]) / np.prod(range(1, most + 1))
    assert chisquare(count).pvalue > 1e-3


@pytest.mark.parametrize("degree, exclude", [(9, []), (9, [0, 5]), (5, [4]), (6, [0, 1])])
def test_uniform_draws_are_uniform_over_what_is_not_excluded(degree, exclude):
    copies = 20_000
    drawn = Neighbours(star(degree)).sample(
        np.zeros(copies, int),
        3,
        generator=generator(),
        exclude=(np.repeat(np.arange(copies), len(exclude)), np.tile(exclude, copies)),
    )
    code = (drawn.ids_BK * torch.tensor([1, 100, 10_000])).sum(1)
    count = code.unique(return_counts=True)[1]
    left = degree - len(exclude)
    assert len(count) == left * (left - 1) * (left - 2) // 6
    assert chisquare(count).pvalue > 1e-3


@pytest.mark.parametrize("exclude", [[], [2]])
def test_weighted_draws_follow_one_another_in_proportion(exclude):
    weight = np.array([1.0, 2.0, 6.0, 3.0, 0.5])
    copies, allowed = 40_000, [i for i in range(5) if i not in exclude]
    drawn = Neighbours(star(5), weight).sample(
        np.zeros(copies, int),
        2,
        "weighted",
        generator=generator(),
        exclude=(np.repeat(np.arange(copies), len(exclude)), np.tile(exclude, copies)) if exclude else None,
    )
    total, pairs = weight[allowed].sum(), {}
    for i in allowed:
        for j in allowed:
            if i != j:
                pair = (min(i, j), max(i, j))
                pairs[pair] = pairs.get(pair, 0) + weight[i] / total * weight[j] / (total - weight[i])
    found = {pair: int((drawn.ids_BK == torch.tensor(pair)).all(1).sum()) for pair in pairs}
    assert sum(found.values()) == copies
    assert chisquare(list(found.values()), copies * np.array(list(pairs.values()))).pvalue > 1e-3


def test_an_edge_of_weight_zero_comes_last_and_a_negative_weight_is_refused():
    side = star(5, copies=200)
    drawn = Neighbours(side, np.tile([0, 1, 1, 0, 1], 200)).sample(range(200), 3, "weighted", generator=generator())
    assert drawn.ids_BK.unique().tolist() == [1, 2, 4]
    with pytest.raises(InputError, match="negative"):
        Neighbours(side, np.tile([0, -1, 1, 0, np.nan], 200)).sample([0], 3, "weighted", generator=generator())


def test_top_takes_the_later_of_equals_and_missing_weights_last():
    draw = Neighbours(star(6), np.array([2, -1, 2, np.nan, 1, -1]))
    assert draw.sample([0], 1, "top").ids_BK.tolist() == [[2]]
    assert draw.sample([0], 4, "top").ids_BK.tolist() == [[0, 2, 4, 5]]
    assert draw.sample([0], 5, "top").ids_BK.tolist() == [[0, 1, 2, 4, 5]]


def test_ranking_in_chunks_changes_nothing(monkeypatch):
    side = adjacency_of([[(i, i) for i in range(n)] for n in (3, 12, 0, 8, 12, 1, 7)])
    draw = Neighbours(side, weights(side))
    whole = draw.sample(range(7), 4, "top")
    for size in (1, 5, 20):
        monkeypatch.setattr(neighbours, "RANKED", size)
        assert torch.equal(draw.sample(range(7), 4, "top").ids_BK, whole.ids_BK)


def test_a_query_may_hide_several_and_another_of_the_same_row_none():
    drawn = Neighbours(star(4)).sample([0, 0], None, exclude=([0, 0, 0], [1, 3, 3]))
    assert drawn.ids_BK.tolist() == [[0, 2, 0, 0], [0, 1, 2, 3]]
    assert drawn.mask_BK.sum(1).tolist() == [2, 4]


def test_all_neighbours_hidden_leaves_an_empty_row():
    drawn = Neighbours(star(2)).sample([0], 5, "recent", exclude=([0, 0], [0, 1]))
    assert not drawn.mask_BK.any()
    assert (drawn.ids_BK == 0).all()


def test_no_queries_no_edges_and_strangers():
    none = Neighbours(adjacency_of([[], []]))
    assert none.sample([0, 1, -1], 5, generator=generator()).ids_BK.shape == (3, 0)
    assert none.sample([0], 5, "recent", before=3).mask_BK.shape == (1, 0)
    some = Neighbours(star(3))
    assert some.sample(np.zeros(0, int), 5, generator=generator(), before=2).ids_BK.shape == (0, 0)
    assert some.sample([-1, 0], None).mask_BK.sum(1).tolist() == [0, 3]


def test_the_second_hop_starts_at_what_was_drawn_and_padding_has_no_neighbours():
    users = adjacency_of([[(1, 0), (2, 1)], [(2, 0)]], columns=3)
    first = Neighbours(users).sample([0, 1], None)
    ids = torch.where(first.mask_BK, first.ids_BK, -1).flatten()
    second = Neighbours(transposed(users)).sample(ids, None)
    assert second.mask_BK.sum(1).tolist() == [1, 2, 2, 0]


def test_read_only_arrays_and_tensors_are_taken():
    side = star(3)
    side.column_E.flags.writeable = False
    tensors = Adjacency(3, torch.as_tensor(side.offset_N1), torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]))
    for each in (side, tensors):
        assert Neighbours(each).sample(torch.tensor([0]), 2, "recent").ids_BK.tolist() == [[1, 2]]


@pytest.mark.parametrize(
    "given, said",
    [
        ({"how": "random"}, "no way to draw"),
        ({"fan_out": 0}, "at least 1"),
        ({"how": "top"}, "weight_E"),
        ({"how": "uniform"}, "Generator"),
        ({"how": "recent", "before": 3}, "known time"),
    ],
)
def test_what_is_missing_is_said(given, said):
    side = Adjacency(3, np.array([0, 3]), np.arange(3, dtype=np.int32))
    with pytest.raises(InputError, match=said):
        Neighbours(side).sample([0], **{"fan_out": 2, "how": "recent", **given})
    with pytest.raises(InputError, match="one for each"):
        Neighbours(side, np.ones(2))
