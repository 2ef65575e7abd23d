"""Metrics of ratings, clicks and liked items: golden values, and the naive definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.evaluation import labelled
from crossrec.evaluation.kinds import CLICKS, DRAWN, LIKED, RATINGS, kind_of

ONE = np.array([0])


def naive_auc(positives, negatives) -> float:
    return float(np.mean([(p > n) + 0.5 * (p == n) for p in positives for n in negatives]))


def test_golden_ndcg_of_rated_items():
    """Specs of DIAGAE, 13.3: gain 2^r - 1; neither the linear gain (0.889181) nor MetaHIN's function (0.947494)."""
    found = labelled.ndcg_rated(np.array([5.0, 3.0, 4.0]), np.array([3.9, 4.2, 4.0]), ONE, 5)
    assert found == pytest.approx([0.727049], abs=1e-6)


def test_golden_ndcg_among_negatives():
    """Two liked items at the 0-based ranks 0 and 3."""
    found = labelled.ndcg_liked(np.array([1.0, 4.0]), ONE, 5)
    assert found == pytest.approx([(1 + math.log(2) / math.log(5)) / (1 + math.log(2) / math.log(3))])
    assert found == pytest.approx([0.877215], abs=1e-6)


def test_ratings_that_are_equal_have_no_order():
    found = labelled.ndcg_rated(np.array([4.0, 4.0, 5.0, 3.0, 4.0]), np.arange(5.0), np.array([0, 2, 3]), 5)
    assert np.isnan(found[:2]).all()
    assert found[2] == 1


def test_a_constant_prediction_has_the_ndcg_of_a_random_order():
    rating = np.array([5.0, 3.0, 4.0, 1.0])
    rng = np.random.default_rng(0)
    drawn = np.mean([labelled.ndcg_rated(rating, rng.random(4), ONE, 2)[0] for _ in range(4000)])
    assert labelled.ndcg_rated(rating, np.ones(4), ONE, 2)[0] == pytest.approx(drawn, abs=0.01)


def test_only_the_first_k_places_count_and_the_ideal_has_as_many():
    rating, predicted = np.array([5.0, 3.0, 4.0]), np.array([3.0, 2.0, 1.0])
    assert labelled.ndcg_rated(rating, predicted, ONE, 1) == pytest.approx([1.0])
    assert labelled.ndcg_liked(np.array([1.0, 2.0, 9.0]), ONE, 2) == pytest.approx([1.0])
    assert labelled.ndcg_liked(np.array([6.0]), ONE, 5) == pytest.approx([0.0])


scores = st.lists(st.integers(-2, 2).map(float), min_size=1, max_size=8)


@given(
    st.lists(
        st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), min_size=1, max_size=5), min_size=1, max_size=4
    )
)
@settings(max_examples=60, deadline=None)
def test_auc_counts_pairs_with_ties_as_a_half(users):
    """Pooled, and within every user."""
    start_U = np.cumsum([0, *map(len, users)])[:-1]
    positive, negative = np.array([pair for pairs in users for pair in pairs], dtype=float).T
    assert labelled.auc(positive, negative) == pytest.approx(naive_auc(positive, negative))
    expected = [naive_auc([p for p, _ in pairs], [n for _, n in pairs]) for pairs in users]
    assert labelled.user_auc(positive, negative, start_U) == pytest.approx(expected)
    weighted = np.average(expected, weights=[len(pairs) for pairs in users])
    assert CLICKS.value("gauc", {"positive": positive, "negative": negative}, start_U) == pytest.approx(weighted)


@pytest.mark.parametrize("score", [-3.0, 0.0, 3.0])
def test_accuracy_of_a_constant_score_is_the_base_rate(score):
    columns = {"positive": np.full(6, score), "negative": np.full(6, score)}
    assert CLICKS.value("acc", columns, ONE) == 0.5
    assert CLICKS.value("auc", columns, ONE) == 0.5


def test_errors_are_pooled_over_ratings_and_told_per_user():
    columns = {"rating": np.array([5.0, 1.0, 4.0]), "predicted": np.array([4.0, 1.0, 1.0])}
    start_U = np.array([0, 2])
    assert RATINGS.value("mae", columns, start_U) == pytest.approx(4 / 3)
    assert RATINGS.value("rmse", columns, start_U) == pytest.approx(math.sqrt(10 / 3))
    assert RATINGS.users("mae", columns, start_U) == pytest.approx([0.5, 3.0])
    assert RATINGS.users("rmse", columns, start_U) == pytest.approx([math.sqrt(0.5), 3.0])
    known = columns | {"known": np.array([1, 1, 0])}
    assert RATINGS.value("mae/known", known, start_U) == pytest.approx(0.5)
    assert RATINGS.users("mae/known", known, start_U) == pytest.approx([0.5, math.nan], nan_ok=True)
    assert RATINGS.users("rmse/known", known, start_U) == pytest.approx([math.sqrt(0.5), math.nan], nan_ok=True)
    fallen = known | {"fallback": np.array([1.0, 5.0, 3.0])}
    assert RATINGS.value("mae/fallback", fallen, start_U) == pytest.approx(2 / 3)
    assert RATINGS.users("rmse/fallback", fallen, start_U) == pytest.approx([math.sqrt(0.5), 1.0])
    for metric, lacking in (("mae/known", columns), ("mae/fallback", known), ("mae/new", fallen)):
        for measure in (RATINGS.value, RATINGS.users):
            with pytest.raises(ValueError, match="no metric"):
                measure(metric, lacking, start_U)


def test_the_three_kinds_of_ndcg_are_never_called_one_another():
    drawn = {"rank": np.ones(1), "negatives": np.full(1, 100.0)}
    whole = {"rank": np.ones(1), "unseen": np.full(1, 100.0)}
    assert DRAWN.value("ndcg@5/neg100", drawn, ONE) == LIKED.value("ndcg@5/full", whole, ONE) == 1.0
    for kind, columns, metric in (
        (DRAWN, drawn, "ndcg@5/full"),
        (DRAWN, drawn, "ndcg@5/neg50"),
        (LIKED, whole, "ndcg@5/neg100"),
        (RATINGS, {"rating": np.ones(1), "predicted": np.ones(1)}, "ndcg@5"),
        (CLICKS, {"positive": np.ones(1), "negative": np.ones(1)}, "mae"),
    ):
        with pytest.raises(ValueError, match="no metric"):
            kind.value(metric, columns, ONE)


def test_columns_tell_the_kind():
    assert kind_of(["user_id", "rank", "unseen"]) is LIKED
    assert kind_of(["rating", "predicted", "history_toys"]) is RATINGS
    assert kind_of(["rank"]) is None
