"""Ranks by counting against ranks by sorting, with ties and NaN."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from torch import nn

from crossrec.data.batches import Batcher, Views
from crossrec.data.splits import LeaveLastOut, Part
from crossrec.evaluation import ranks
from crossrec.evaluation.metrics import per_user
from crossrec.models.base import Model
from crossrec.testing.worlds import tiny_world


class NoSettings:
    """Nothing to set."""


class Planted(Model):
    """Scores that are written down: users by items of the whole id space, as a product with a unit matrix."""

    name = "planted"
    Config: ClassVar[type] = NoSettings

    def __init__(self, score_UI: torch.Tensor, *, product: bool) -> None:
        nn.Module.__init__(self)
        self.score_UI = nn.Parameter(score_UI)
        self.product = product  # type: ignore[misc]  # two models in one

    def views(self) -> Views:
        return Views({})

    def queries(self, batch):
        return self.score_UI[batch.user_P]

    def items(self, ids):
        return torch.eye(self.score_UI.shape[1])[ids]

    def scores(self, batch, domain):
        block = self.block(domain)
        return self.score_UI[batch.user_P, block.start : block.stop]


@pytest.fixture(scope="module")
def part() -> Part:
    return LeaveLastOut("toys").apply(tiny_world(users=30, sizes={"games": 4, "toys": 12})).test


def planted(part: Part, score_UI: np.ndarray, product: bool) -> Planted:
    catalogue = part.data.catalogue
    model = Planted(torch.tensor(score_UI, dtype=torch.float32), product=product)
    model.catalogue, model.target = catalogue, "toys"
    return model


def by_sorting(score: np.ndarray, place: int) -> float:
    """1-based rank of the element at ``place``, ties at mid-rank; the last rank where any score is NaN."""
    return float(len(score)) if np.isnan(score).any() else float(rankdata(-score, method="average")[place])


def random_scores(part: Part, seed: int, nans: int) -> np.ndarray:
    """Few distinct values, so that most instances have ties."""
    rng = np.random.default_rng(seed)
    catalogue = part.data.catalogue
    score_UI = rng.integers(-2, 3, (part.data.num_users, catalogue.num_ids)).astype(float)
    score_UI[rng.integers(part.data.num_users, size=nans), rng.integers(5, catalogue.num_ids, size=nans)] = np.nan
    return score_UI


@pytest.mark.parametrize("product", [True, False])
@given(seed=st.integers(0, 999), rows=st.sampled_from([1, 7, 1024]), block=st.sampled_from([1, 40, 1 << 19]))
@settings(max_examples=20, deadline=None)
def test_full_ranks(part, product, seed, rows, block):
    score_UI = random_scores(part, seed, nans=0 if product else 3)  # one NaN in a factor is NaN in the whole product
    own = part.data.catalogue.block("toys")
    expected = [
        by_sorting(score_UI[user, own.start : own.stop], item - own.start)
        for user, item in zip(part.user_N, part.item_N, strict=True)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "ROWS", rows)
        patch.setattr(ranks, "BLOCK", block)
        model = planted(part, score_UI, product)
        np.testing.assert_array_equal(ranks.full(model, Batcher(part.events, model.views()), part), expected)


@pytest.mark.parametrize("product", [True, False])
@given(seed=st.integers(0, 999), rows=st.sampled_from([1, 7, 1024]), block=st.sampled_from([1, 40, 1 << 19]))
@settings(max_examples=20, deadline=None)
def test_full_ranks_without_what_is_hidden(part, product, seed, rows, block):
    score_UI = random_scores(part, seed, nans=0 if product else 3)
    own, size = part.data.catalogue.block("toys"), part.data.catalogue.num_ids
    hidden_NV = np.random.default_rng(seed).random((len(part), len(own))) < 0.4
    hidden_NV[np.arange(len(part)), part.item_N - own.start] = False
    row, column = hidden_NV.nonzero()
    expected = [
        len(own) if np.isnan(left).any() else by_sorting(left, int((~hidden[: item - own.start]).sum()))
        for left, hidden, item in zip(
            (score_UI[user, own][~hidden] for user, hidden in zip(part.user_N, hidden_NV, strict=True)),
            hidden_NV,
            part.item_N,
            strict=True,
        )
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "ROWS", rows)
        patch.setattr(ranks, "BLOCK", block)
        patch.setattr(ranks, "FEWEST", 1)
        model = planted(part, score_UI, product)
        hidden = ranks.Hidden(part, row * size + column + own.start, torch.device("cpu"))
        found = ranks.full(model, Batcher(part.events, model.views()), part, hidden)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(model.score_UI.detach().numpy(), score_UI.astype(np.float32))


@pytest.mark.parametrize("product", [True, False])
@given(seed=st.integers(0, 999), rows=st.sampled_from([1, 7, 1024]))
@settings(max_examples=20, deadline=None)
def test_ranks_among_candidates(part, product, seed, rows):
    score_UI = random_scores(part, seed, nans=0 if product else 3)
    own = part.data.catalogue.block("toys")
    ids_NC = np.random.default_rng(seed).integers(own.start, own.stop, (len(part), 5))
    expected = [
        by_sorting(score_UI[user, [item, *drawn]], 0)
        for user, item, drawn in zip(part.user_N, part.item_N, ids_NC, strict=True)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "ROWS", rows)
        model = planted(part, score_UI, product)
        np.testing.assert_array_equal(ranks.among(model, Batcher(part.events, model.views()), part, ids_NC), expected)


@given(
    st.lists(
        st.lists(st.sampled_from([-np.inf, -1.5, 0.0, 1e-30, 2.0]), min_size=4, max_size=4), min_size=1, max_size=6
    ),
    st.integers(0, 3),
)
@settings(max_examples=100, deadline=None)
def test_rank_in(scores, place):
    """An own score that is infinite has no difference to itself: it is as broken as a NaN."""
    score_PV = np.array(scores)
    found = ranks.rank_in(torch.tensor(score_PV), torch.tensor(score_PV[:, [place]]))
    expected = [4.0 if np.isinf(row[place]) else by_sorting(row, place) for row in score_PV]
    np.testing.assert_array_equal(found, expected)


def test_golden_tie():
    """Specs of RealHNS, 1.4: the item at .4 against .9, .4 and .1."""
    rank = ranks.rank_in(torch.tensor([[0.4, 0.9, 0.4, 0.1]]), torch.tensor([[0.4]])).double().numpy()
    assert rank.tolist() == [2.5]
    assert per_user("auc", rank, np.array([4])).tolist() == [0.5]


def test_a_nan_of_the_own_score_is_the_last_rank():
    scores = torch.tensor([[np.nan, 1.0, 2.0], [1.0, np.nan, 0.0]])
    assert ranks.rank_in(scores, scores[:, :1].clone()).tolist() == [3.0, 3.0]


def test_identical_items_tie_exactly_in_a_product():
    """Equal vectors get equal scores wherever they stand, so that an untrained row is no winner by rounding."""
    generator = torch.Generator().manual_seed(0)
    query_PD = torch.randn(300, 64, generator=generator)
    item_VD = torch.randn(1, 64, generator=generator).expand(1999, 64).contiguous()
    place_P = torch.randint(1999, (300,), generator=generator)
    assert ranks.rank_product(query_PD, item_VD, place_P).unique().tolist() == [1000.0]


def test_nobody_to_rank(part):
    model = planted(part, np.zeros((part.data.num_users, part.data.catalogue.num_ids)), True)
    nobody = part.take([])
    assert len(ranks.full(model, Batcher(part.events, model.views()), nobody)) == 0
    assert len(ranks.among(model, Batcher(part.events, model.views()), nobody, np.empty((0, 3), dtype=np.int64))) == 0
