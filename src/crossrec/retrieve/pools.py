"""Candidates of many people: what the channels found, merged by the ranks that they gave.

N people, V items of the domain, K items per channel, M findings of all people, H channels, C candidates of one person.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crossrec.data.vocabulary import Ints
from crossrec.retrieve.best import Floats, among

CHANNELS = ("u2i", "u2i2i", "popular")
"""By the query's vector (or the model's full ranking); by items like the latest ones; by counts."""


@dataclass(frozen=True)
class Candidate:
    """One item that may be shown, and how it was found."""

    item: int
    """Its place in the domain."""
    channel: tuple[str, ...]
    """The channels that found it."""
    score: float
    """The score of the run's model; for somebody of whom nothing is known, how popular the item is."""
    scores: tuple[float, ...] = ()
    """What each of these channels gave: the model's score, the weighted cosine, the count."""
    fused: float = 0.0
    """Sum of 1 / (constant + rank) over the channels."""


@dataclass(frozen=True)
class Pool:
    """The candidates of one person, by fused score, ties by the lower place."""

    item_C: Ints
    fused_C: Floats
    score_C: Floats
    """The model's scores, by which candidates are ranked; of a cold person the counts."""
    found_CH: Floats
    """What every channel gave; NaN where it did not find the item."""
    cold: bool
    """Whether nothing that the model reads is known of the person: only what is popular is there, and in its order."""

    def __len__(self) -> int:
        return len(self.item_C)

    def best(self, k: int) -> list[Candidate]:
        """The k best by the model's score, ties by the lower place; of a cold person by popularity."""
        by_C = self.fused_C if self.cold else self.score_C
        key_C = list(zip((-by_C).tolist(), self.item_C.tolist(), strict=True))
        return self.candidates(heapq.nsmallest(k, range(len(key_C)), key=key_C.__getitem__))

    def candidates(self, places: npt.ArrayLike | None = None) -> list[Candidate]:
        """The candidates at some places of the pool (None: all), in this order."""
        made = []
        for c in range(len(self)) if places is None else np.asarray(places, dtype=np.int64).tolist():
            given_H = ~np.isnan(self.found_CH[c])
            names = tuple(name for name, given in zip(CHANNELS, given_H, strict=True) if given)
            scores = tuple(self.found_CH[c, given_H].tolist())
            made.append(Candidate(int(self.item_C[c]), names, float(self.score_C[c]), scores, float(self.fused_C[c])))
        return made


class Findings(NamedTuple):
    """What one channel found: person, place of the item, score, and rank (1 is the best) of every finding, (M,)."""

    person_M: Ints
    place_M: Ints
    score_M: Floats
    rank_M: Ints

    @classmethod
    def none(cls) -> Findings:
        """Of a channel that found nothing."""
        empty = np.empty(0, dtype=np.int64)
        return cls(empty, empty, np.empty(0), empty)

    @classmethod
    def of_rows(cls, person_N: Ints, place_NK: Ints, score_NK: Floats) -> Findings:
        """Of rows of places, best first, -1 behind their end."""
        row_M, column_M = np.nonzero(place_NK >= 0)
        return cls(person_N[row_M], place_NK[row_M, column_M], score_NK[row_M, column_M], column_M + 1)

    @classmethod
    def of_many(cls, person_M: Ints, place_M: Ints, score_M: Floats) -> Findings:
        """Of any findings: the best of every person and item counts; ranked by score, ties by the lower place."""
        order = np.lexsort((-score_M, place_M, person_M))
        person_M, place_M, score_M = person_M[order], place_M[order], score_M[order]
        first_M = np.ones(len(order), dtype=bool)
        first_M[1:] = (person_M[1:] != person_M[:-1]) | (place_M[1:] != place_M[:-1])
        person_M, place_M, score_M = person_M[first_M], place_M[first_M], score_M[first_M]
        order = np.lexsort((place_M, -score_M, person_M))
        return cls(person_M[order], place_M[order], score_M[order], within(person_M[order]) + 1)

    def where(self, kept_M: npt.NDArray[np.bool_]) -> Findings:
        """Some of them."""
        return Findings(*(column_M[kept_M] for column_M in self))

    def joined(self, others: Findings) -> Findings:
        """These and those of other people, person by person."""
        if not len(others.place_M):
            return self
        columns = [np.concatenate(pair) for pair in zip(self, others, strict=True)]
        order = np.argsort(columns[0], kind="stable")
        return Findings(*(column_M[order] for column_M in columns))


class Fused(NamedTuple):
    """Candidates of all people, person by person, the best fused score first, ties by the lower place."""

    person_M: Ints
    place_M: Ints
    fused_M: Floats
    found_MH: Floats


def fuse(found: Sequence[Findings], items: int, constant: float, most: int) -> Fused:
    """Reciprocal rank fusion of the channels' findings; at most so many candidates of a person are kept.

    Source: Cormack, Clarke and Buettcher 2009: the sum over the channels of 1 / (constant + rank).
    """
    key_M = np.concatenate([one.person_M * items + one.place_M for one in found])
    channel_M = np.repeat(np.arange(len(found)), [len(one.place_M) for one in found])
    rank_M = np.concatenate([one.rank_M for one in found])
    key_C, at_M = np.unique(key_M, return_inverse=True)
    fused_C = np.bincount(at_M, 1 / (constant + rank_M), len(key_C))
    found_CH = np.full((len(key_C), len(found)), np.nan)
    found_CH[at_M, channel_M] = np.concatenate([one.score_M for one in found])
    person_C, place_C = np.divmod(key_C, items)
    order = np.lexsort((place_C, -fused_C, person_C))
    order = order[within(person_C[order]) < most]
    return Fused(person_C[order], place_C[order], fused_C[order], found_CH[order])


def given(found: Sequence[tuple[Ints, Ints, Floats]], chosen: Findings, items: int) -> Floats:
    """What every channel gave of some chosen findings, (M, H); NaN where it did not find the item.

    ``found``: person, place and score of what each channel found; of what comes again the largest score counts.
    """
    key_M = chosen.person_M * items + chosen.place_M
    order = np.argsort(key_M)
    key_M = key_M[order]
    found_MH = np.full((len(key_M), len(found)), np.nan)
    for column_M, (person_F, place_F, score_F) in zip(found_MH.T, found, strict=True):
        key_F = person_F * items + place_F
        hit_F = among(key_F, key_M)
        np.fmax.at(column_M, order[np.searchsorted(key_M, key_F[hit_F])], score_F[hit_F])
    return found_MH


def within(sorted_M: Ints) -> Ints:
    """Number of every element among its equals, which stand together."""
    return np.asarray(np.arange(len(sorted_M)) - np.searchsorted(sorted_M, sorted_M), dtype=np.int64)
