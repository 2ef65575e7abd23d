"""Statistics of paired per-user figures: tests, corrections, intervals, groups. U users, C distinct values, D draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from crossrec.errors import InputError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

INTERACTIONS = (0, 2, 5, 10)
"""Most interactions of the users of every bucket but the last: what helps cold users is seen in the first ones."""
_EXACT_CELLS = 1024
_CELLS = 256


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedTest:
    """Is the mean of the users' differences zero? Two-sided."""

    users: int
    t: float
    """Statistic of the paired t-test; NaN with fewer than two users or no difference anywhere."""
    p: float
    """p-value of the paired t-test: the headline. 1 where there is nothing to test."""
    wilcoxon: float
    """Wilcoxon signed-rank statistic over the users whose difference is not zero."""
    wilcoxon_p: float
    effect: float
    """Cohen's d_z: mean difference over the standard deviation of the differences."""


@dataclass(frozen=True)
class Shares:
    """How many users are better, equal and worse off (shares, sum 1), and by how much on average."""

    better: float
    equal: float
    worse: float
    gain: float
    """Mean difference among the users who are better off; 0 if there are none."""
    loss: float
    """Mean difference among the users who are worse off (negative); 0 if there are none."""


@dataclass(frozen=True)
class Bucket:
    """The users whose history has between ``low`` and ``high`` events, both included."""

    low: int
    high: int
    last: bool = False
    """Whether it is meant to hold everybody from ``low`` on."""

    @property
    def label(self) -> str:
        """``"4"``, ``"3-5"`` or ``"11 or more"``."""
        if self.last:
            return f"{self.low} or more"
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"


def differences(second_U: Floats, first_U: Floats) -> Floats:
    """``second - first`` per user, with what is only rounding (below 1e-12) taken away so that equal stays equal."""
    return np.round(np.asarray(second_U, np.float64) - np.asarray(first_U, np.float64), 12) + 0.0


def t_test(difference_U: Floats) -> tuple[float, float]:
    """Statistic and two-sided p-value of the paired t-test (as ``scipy.stats.ttest_1samp`` against 0)."""
    users = len(difference_U)
    if users < 2 or not np.any(difference_U):
        return math.nan, 1.0
    mean, deviation = float(difference_U.mean()), _deviation(difference_U)
    if deviation == 0.0:
        return math.copysign(math.inf, mean), 0.0
    t = mean / (deviation / math.sqrt(users))
    return t, float(2.0 * stats.t.sf(abs(t), users - 1))


def paired_test(difference_U: Floats) -> PairedTest:
    """Paired t-test, Wilcoxon signed-rank test (zeros dropped) and effect size of the users' differences."""
    t, p = t_test(difference_U)
    if math.isnan(t):
        return PairedTest(len(difference_U), t, p, math.nan, 1.0, math.nan)
    ranked = stats.wilcoxon(difference_U)
    deviation = _deviation(difference_U)
    effect = float(difference_U.mean()) / deviation if deviation else t
    return PairedTest(len(difference_U), t, p, float(ranked.statistic), float(ranked.pvalue), effect)


def _deviation(values_U: Floats) -> float:
    """Sample standard deviation; exactly 0 for values that are all the same, whatever rounding the mean brings."""
    return float(values_U.std(ddof=1)) if np.ptp(values_U) > 0 else 0.0


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Holm 1979): adjusted p-values in the order given; rejecting those below alpha
    keeps the chance of any false rejection below alpha, whatever the dependence between the tests."""
    order = np.argsort(np.asarray(p, np.float64), kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(np.asarray(p, np.float64)[order] * np.arange(len(p), 0, -1))
    return [float(value) for value in np.minimum(adjusted, 1.0)]


def shares(difference_U: Floats) -> Shares:
    """Shares of users better, equal and worse off, and the mean difference among the better and the worse."""
    better, worse = difference_U > 0, difference_U < 0
    up, down = float(better.mean()), float(worse.mean())
    gain = float(difference_U[better].mean()) if up else 0.0
    loss = float(difference_U[worse].mean()) if down else 0.0
    return Shares(up, float((difference_U == 0).mean()), down, gain, loss)


def bootstrap_mean(values_U: Floats, rng: np.random.Generator, draws: int = 2000, level: float = 0.95) -> Estimate:
    """The mean of the users' values with its bootstrap percentile interval.

    Resampling users is drawing how often each distinct value comes up, a multinomial over C distinct values: exact, and
    cheap because a ranking metric has few of them. Where there are more than 1,024, users are put in 256 cells of equal
    size by value: the cells' counts are drawn, and the sum of a cell's draws is normal with the cell's own mean and
    variance. Memory: O(draws x cells), whatever the number of users.
    """
    if len(values_U) == 0:
        raise InputError("A mean needs at least one user.")
    values_U = np.asarray(values_U, np.float64)
    mean = float(values_U.mean())
    value_C, count_C = np.unique(values_U, return_counts=True)
    spread_C = None
    if len(value_C) > _EXACT_CELLS:
        start_C = np.arange(_CELLS, dtype=np.int64) * len(values_U) // _CELLS
        ordered_U = np.sort(values_U)
        count_C = np.diff(start_C, append=len(values_U))
        value_C = np.add.reduceat(ordered_U, start_C) / count_C
        spread_C = np.add.reduceat((ordered_U - np.repeat(value_C, count_C)) ** 2, start_C) / count_C
    drawn_DC = rng.multinomial(len(values_U), count_C / len(values_U), size=draws)
    total_D = drawn_DC @ value_C
    if spread_C is not None:
        total_D += rng.standard_normal(draws) * np.sqrt(drawn_DC @ spread_C)
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(total_D / len(values_U), [tail, 100.0 - tail])
    return Estimate(mean, float(low), float(high))


def history_buckets(length_U: Ints, count: int = 5) -> list[Bucket]:
    """Users without any history, then up to ``count`` buckets of about as many users each, by quantiles of the lengths.

    Buckets that would be empty (many users of one length) are left out, so there may be fewer.
    """
    length_U = np.asarray(length_U, np.int64)
    positive_U = length_U[length_U > 0]
    buckets = [Bucket(0, 0)] if len(positive_U) < len(length_U) else []
    if len(positive_U):
        steps = np.arange(1, count + 1) / count
        high_B = np.unique(np.quantile(positive_U, steps, method="inverted_cdf"))
        low_B = [int(positive_U.min()), *(int(high) + 1 for high in high_B[:-1])]
        buckets += [Bucket(low, int(high)) for low, high in zip(low_B, high_B, strict=True)]
    return buckets


def interaction_buckets(length_U: Ints) -> list[Bucket]:
    """Users with 0, 1 and 2, 3 to 5, 6 to 10, and more than 10 interactions; buckets that nobody is in are left out."""
    length_U = np.asarray(length_U, np.int64)
    lows = [0, *(high + 1 for high in INTERACTIONS)]
    buckets = [Bucket(low, high) for low, high in zip(lows, INTERACTIONS, strict=False)]
    buckets.append(Bucket(lows[-1], int(max(length_U.max(initial=0), lows[-1])), last=True))
    return [bucket for bucket in buckets if ((length_U >= bucket.low) & (length_U <= bucket.high)).any()]


def bucket_of(length_U: Ints, buckets: Sequence[Bucket]) -> Ints:
    """Number of every user's bucket: shape (U,)."""
    return np.searchsorted(np.array([bucket.high for bucket in buckets]), length_U, side="left").astype(np.int64)
