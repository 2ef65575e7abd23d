"""Metrics of a rank: worked values, and the invariants that every report must satisfy (specs of DDGHM, 2.6)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec.errors import InputError
from crossrec.evaluation.metrics import DEFAULT, per_user, summary

CUTS = (1, 2, 5, 10, 20)
any_ranks = st.lists(st.integers(2, 60).map(lambda twice: twice / 2), min_size=1, max_size=40).map(np.array)
"""Mid-ranks: whole or half."""


def value(name: str, *rank: float, candidates: int = 100) -> list[float]:
    return per_user(name, np.array(rank), np.full(len(rank), candidates)).tolist()


def test_worked_values():
    assert value("hr@5", 1, 5, 5.5, 6) == [1, 1, 0, 0]
    assert value("ndcg@5", 1, 3, 5.5) == pytest.approx([1, 0.5, 0])
    assert value("ndcg@10", 2.5) == pytest.approx([1 / np.log2(3.5)])
    assert value("mrr@5", 1, 4, 6) == [1, 0.25, 0]
    assert value("mrr", 1, 4, 8) == [1, 0.25, 0.125]
    assert value("auc", 1, 50.5, 100) == [1, 0.5, 0]
    assert value("auc", 1, candidates=1) == [0]


def test_summary_is_the_mean_and_counts_users():
    found = summary(np.array([1.0, 3.0, 30.0]), np.full(3, 100), ("hr@10", "mrr"))
    assert found == {"hr@10": pytest.approx(2 / 3), "mrr": pytest.approx((1 + 1 / 3 + 1 / 30) / 3), "users": 3}
    assert set(summary(np.array([1.0]), np.array([9]))) == {*DEFAULT, "users"}


@given(any_ranks)
def test_invariants_of_a_report(rank):
    candidates = np.full(len(rank), 60)

    def mean(name: str) -> float:
        return float(per_user(name, rank, candidates).mean())

    slack = 1e-12
    for k in CUTS:
        assert mean(f"mrr@{k}") <= mean(f"ndcg@{k}") + slack
        assert mean(f"ndcg@{k}") <= mean(f"hr@{k}") + slack
        assert mean(f"mrr@{k}") <= mean("mrr") + slack
    for k, more in itertools.pairwise(CUTS):
        gained = mean(f"hr@{more}") - mean(f"hr@{k}")
        assert gained >= -slack
        # with mid-ranks the best rank that is new at a larger cut is k + 1/2
        assert -slack <= mean(f"mrr@{more}") - mean(f"mrr@{k}") <= gained / (k + 0.5) + slack
        assert -slack <= mean(f"ndcg@{more}") - mean(f"ndcg@{k}") <= gained / np.log2(k + 1.5) + slack


@given(any_ranks.map(np.ceil))
def test_invariants_of_whole_ranks(rank):
    """Without ties the bounds are those of the specs: k + 1 and log2(k + 2)."""
    means = {
        n: per_user(n, rank, np.full(len(rank), 60)).mean() for k in CUTS for n in (f"hr@{k}", f"mrr@{k}", f"ndcg@{k}")
    }
    for k, more in itertools.pairwise(CUTS):
        gained = means[f"hr@{more}"] - means[f"hr@{k}"]
        assert means[f"mrr@{more}"] - means[f"mrr@{k}"] <= gained / (k + 1) + 1e-12
        assert means[f"ndcg@{more}"] - means[f"ndcg@{k}"] <= gained / np.log2(k + 2) + 1e-12


@pytest.mark.parametrize("name", ["hr", "ndcg@0", "ndcg@-1", "recall@10", "mrr@", "hr@10 ", "HR@10"])
def test_unknown_metrics(name):
    with pytest.raises(InputError, match="There is no metric"):
        value(name, 1)
