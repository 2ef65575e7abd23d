"""Metrics of predictions that stand beside a label, as pure functions: ratings, clicks, liked items among others.

Shapes: N instances sorted by user, U users, of whom each starts at ``start_U``. Source: specs of DIAGAE, section 13.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from crossrec.evaluation.metrics import Floats, Ints


def user_means(value_N: Floats, start_U: Ints) -> Floats:
    """The mean of every user: (U,)."""
    count_U = np.diff(start_U, append=len(value_N))
    return np.asarray(np.add.reduceat(value_N, start_U) / count_U, dtype=np.float64)


def ndcg_rated(rating_N: Floats, predicted_N: Floats, start_U: Ints, k: int) -> Floats:
    """NDCG@k of each user's rated items in the order of their predictions, (U,); gain 2^rating - 1, discount 1 / log2(rank + 1).

    NaN for users with fewer than two ratings or with equal ones alone: any order is right for them. Of tied predictions
    each has the mean discount of the tied places, which is what a random order of them has on average.
    """
    user_N = _numbers(start_U, len(rating_N))
    place_N = np.arange(len(rating_N)) - start_U[user_N]
    discount_N = np.where(place_N < k, 1 / np.log2(place_N + 2), 0.0)
    gain_N = np.exp2(rating_N) - 1
    order = np.lexsort((-predicted_N, user_N))
    tied_N = _first(user_N, predicted_N[order])
    mean_N = user_means(discount_N, np.flatnonzero(tied_N))[np.cumsum(tied_N) - 1]
    best_N = gain_N[np.lexsort((-gain_N, user_N))]
    found_U = np.add.reduceat(gain_N[order] * mean_N, start_U)
    ideal_U = np.add.reduceat(best_N * discount_N, start_U)
    differ_U = np.maximum.reduceat(rating_N, start_U) > np.minimum.reduceat(rating_N, start_U)
    return np.where(differ_U, found_U / np.where(differ_U, ideal_U, 1.0), np.nan)


def ndcg_liked(rank_N: Floats, start_U: Ints, k: int) -> Floats:
    """NDCG@k of each user's liked items by their ranks (1-based, ties against them): (U,).

    A liked item of rank r <= k gains 1 / log2(r + 1); the ideal has the liked items at the first min(k, their number) ranks.
    Source: published GDMSR code (specs of DIAGAE, 1.4).
    """
    gain_N = np.where(rank_N <= k, 1 / np.log2(rank_N + 1), 0.0)
    count_U = np.diff(start_U, append=len(rank_N))
    ideal_K = np.cumsum(1 / np.log2(np.arange(k) + 2))
    return np.asarray(np.add.reduceat(gain_N, start_U) / ideal_K[np.minimum(count_U, k) - 1])


def auc(positive_N: Floats, negative_M: Floats) -> float:
    """The chance that a positive scores above a negative, over all pairs of the two; ties count a half (mid-rank formula)."""
    n, m = len(positive_N), len(negative_M)
    above = rankdata(np.concatenate([positive_N, negative_M]))[:n].sum() - n * (n + 1) / 2
    return float(above / (n * m))


def user_auc(positive_N: Floats, negative_N: Floats, start_U: Ints) -> Floats:
    """The same among each user's own positives and negatives, as many of each: (U,)."""
    user_N = _numbers(start_U, len(positive_N))
    user_M, score_M = np.concatenate([user_N, user_N]), np.concatenate([positive_N, negative_N])
    order = np.lexsort((score_M, user_M))
    tied_M = _first(user_M[order], score_M[order])
    middle_M = user_means(np.arange(1.0, len(order) + 1), np.flatnonzero(tied_M))[np.cumsum(tied_M) - 1]
    rank_M = np.empty(len(order))
    rank_M[order] = middle_M - 2 * start_U[user_M[order]]
    count_U = np.diff(start_U, append=len(positive_N))
    above_U = np.add.reduceat(rank_M[: len(user_N)], start_U) - count_U * (count_U + 1) / 2
    return np.asarray(above_U / count_U**2)


def accuracy(positive_N: Floats, negative_N: Floats) -> Floats:
    """The share of an instance's two labels, click and no click, that are told at a probability of 0.5, a score of 0: (N,)."""
    return ((positive_N >= 0).astype(np.float64) + (negative_N < 0)) / 2


def _numbers(start_U: Ints, count: int) -> Ints:
    """Number of the user of every instance."""
    return np.repeat(np.arange(len(start_U)), np.diff(start_U, append=count))


def _first(user_M: Ints, value_M: Floats) -> np.ndarray:
    """Where another user or another value begins."""
    first_M = np.ones(len(user_M), dtype=bool)
    first_M[1:] = (user_M[1:] != user_M[:-1]) | (value_M[1:] != value_M[:-1])
    return first_M
