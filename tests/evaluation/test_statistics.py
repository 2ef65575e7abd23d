"""Paired statistics against scipy, published and hand-computed values."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from crossrec.errors import InputError
from crossrec.evaluation.statistics import (
    Bucket,
    bootstrap_mean,
    bucket_of,
    differences,
    history_buckets,
    holm,
    paired_test,
    shares,
    t_test,
)


def test_paired_test_is_scipys() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(200), rng.random(200) + 0.05
    found = paired_test(differences(second, first))
    t, w = stats.ttest_rel(second, first), stats.wilcoxon(second, first)
    assert found.t == pytest.approx(t.statistic)
    assert found.p == pytest.approx(t.pvalue)
    assert found.wilcoxon == pytest.approx(w.statistic)
    assert found.wilcoxon_p == pytest.approx(w.pvalue)
    assert found.effect == pytest.approx(found.t / math.sqrt(200))
    assert found.users == 200


def test_t_by_hand() -> None:
    # mean 1, deviation 1, three users: t = sqrt 3; two-sided p with 2 degrees of freedom is 1 - t / sqrt(t^2 + 2)
    t, p = t_test(np.array([0.0, 1.0, 2.0]))
    assert t == pytest.approx(math.sqrt(3))
    assert p == pytest.approx(1 - math.sqrt(3 / 5))


def test_nothing_to_test_is_no_difference() -> None:
    for values in ([0.0, 0.0, 0.0], [0.3]):
        found = paired_test(np.array(values))
        assert (found.p, found.wilcoxon_p) == (1.0, 1.0)
        assert math.isnan(found.t)


def test_the_same_difference_for_everybody() -> None:
    found = paired_test(np.full(7, -0.1))
    assert (found.t, found.p, found.effect) == (-math.inf, 0.0, -math.inf)
    assert found.wilcoxon_p == pytest.approx(2 / 2**7)


def test_rounding_is_not_a_difference() -> None:
    first, second = np.array([0.1 + 0.2, 0.5]), np.array([0.3, 0.75])
    assert differences(second, first).tolist() == [0.0, 0.25]
    assert not np.signbit(differences(second, first)).any()


def test_holm_golden() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_holm_never_exceeds_one_and_may_be_empty() -> None:
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_never_lowers(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(after >= before for before, after in zip(p, adjusted, strict=True))
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()
    assert min(adjusted) == pytest.approx(min(1.0, min(p) * len(p)))


def test_shares_by_hand() -> None:
    found = shares(np.array([0.5, 0.1, 0.0, -0.2]))
    assert (found.better, found.equal, found.worse) == (0.5, 0.25, 0.25)
    assert (found.gain, found.loss) == pytest.approx((0.3, -0.2))
    nothing = shares(np.zeros(3))
    assert (nothing.better, nothing.equal, nothing.gain, nothing.loss) == (0.0, 1.0, 0.0, 0.0)


@pytest.mark.parametrize("kind", ["few values", "many values"])
def test_bootstrap_is_the_textbooks(kind: str) -> None:
    rng = np.random.default_rng(1)
    values = (
        rng.choice([0.0, 0.3, 1.0], 3000, p=[0.8, 0.15, 0.05]) if kind == "few values" else rng.exponential(size=3000)
    )
    draws = np.array([values[rng.integers(0, 3000, 3000)].mean() for _ in range(4000)])
    low, high = np.percentile(draws, [2.5, 97.5])
    found = bootstrap_mean(values, np.random.default_rng(2), draws=20_000)
    assert found.value == pytest.approx(values.mean())
    width = high - low
    assert found.low == pytest.approx(low, abs=0.06 * width)
    assert found.high == pytest.approx(high, abs=0.06 * width)


def test_bootstrap_interval_covers_the_mean() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(300):
        found = bootstrap_mean(rng.choice([-1.0, 0.0, 2.0], 200, p=[0.2, 0.7, 0.1]), rng, draws=500)
        covered += found.low <= 0.0 <= found.high
    assert 0.90 <= covered / 300 <= 0.985


def test_bootstrap_covers_with_more_values_than_cells() -> None:
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(120):
        found = bootstrap_mean(rng.lognormal(size=1100), rng, draws=250)
        covered += found.low <= math.exp(0.5) <= found.high
    assert 0.86 <= covered / 120 <= 0.99


def test_bootstrap_repeats_and_needs_users() -> None:
    values = np.random.default_rng(5).random(50)
    assert bootstrap_mean(values, np.random.default_rng(1)) == bootstrap_mean(values, np.random.default_rng(1))
    wide = bootstrap_mean(values, np.random.default_rng(1), level=0.99)
    narrow = bootstrap_mean(values, np.random.default_rng(1), level=0.5)
    assert wide.low < narrow.low < narrow.high < wide.high
    with pytest.raises(InputError, match="at least one user"):
        bootstrap_mean(np.array([]), np.random.default_rng(1))


def test_buckets_by_hand() -> None:
    lengths = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7, 100])
    buckets = history_buckets(lengths, 4)
    assert [bucket.label for bucket in buckets] == ["0", "1-2", "3-4", "5-6", "7-100"]
    assert bucket_of(lengths, buckets).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_buckets_of_one_length() -> None:
    assert history_buckets(np.full(9, 3)) == [Bucket(3, 3)]
    assert history_buckets(np.zeros(4, dtype=np.int64)) == [Bucket(0, 0)]
    assert Bucket(3, 3).label == "3"


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60), st.integers(1, 6))
def test_every_length_lies_in_its_bucket(lengths: list[int], count: int) -> None:
    values = np.array(lengths)
    buckets = history_buckets(values, count)
    at = bucket_of(values, buckets)
    assert set(at) == set(range(len(buckets)))  # none is empty
    assert all(buckets[b].low <= value <= buckets[b].high for b, value in zip(at, lengths, strict=True))
    assert all(left.high < right.low for left, right in pairwise(buckets))
