"""Where candidates come from: the query's vector, what is like the latest items, and what is popular; merged by rank.

Source: specs of DIAGAE, section 14.4. N people, M candidates of all of them, H channels, V items of
the domain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crossrec.data.askers import Askers, askers
from crossrec.errors import InputError
from crossrec.recommender import History, Recommender
from crossrec.retrieve.asking import Asking, Mask, Screen
from crossrec.retrieve.best import Floats
from crossrec.retrieve.index import Index, make_index, version_of
from crossrec.retrieve.neighbours import Neighbours, has_neighbours
from crossrec.retrieve.pools import CHANNELS, Candidate, Findings, Fused, Pool, fuse, given
from crossrec.retrieve.popularity import Popularity


@dataclass(frozen=True)
class ChannelConfig:
    """How many candidates come from where."""

    u2i: int = 300
    """Items of the query search (specs of DIAGAE, 14.2: 100 to 500)."""
    triggers: int = 20
    """Latest items of the history that neighbours are asked of (specs of DIAGAE, 14.4)."""
    u2i2i: int = 50
    """Neighbours of each of them (specs of DIAGAE, 14.2: 50 to 100)."""
    decay: float = 0.9
    """Factor on the similarity for every trigger that came later (ours)."""
    popular: int = 100
    """Popular items (ours)."""
    constant: float = 60.0
    """Constant of the fusion: a channel adds 1 / (constant + rank) (Cormack et al. 2009)."""
    most: int = 1000
    """Candidates of a person that are kept (specs of DIAGAE, 14.2: 1000 to 5000)."""


class Channels:
    """Candidates of one run in one domain, for known users and strangers, many at a time.

    A model whose score is no product has no vectors: its channel u2i is its full ranking, and u2i2i is not available; nor is
    it where vectors are single numbers. A cold person, of whom no event in the domains that the model reads is known,
    gets what is popular and nothing else.
    """

    def __init__(
        self,
        recommender: Recommender,
        domain: str | None = None,
        *,
        index: Index | None = None,
        popularity: Popularity | None = None,
        kind: str = "auto",
        config: ChannelConfig | None = None,
    ) -> None:
        """What is not given is made: the index (of this ``kind``) and the counts.

        Raises InputError for a domain that the run does not serve, and for an index of another version.
        """
        self.recommender, self.config = recommender, config or ChannelConfig()
        self.domain = recommender.target if domain is None else domain
        model = recommender.model
        if self.domain not in model.serves():
            raise InputError(f"The run recommends in {', '.join(map(repr, model.serves()))}, not in {self.domain!r}.")
        self.block, self.version = model.block(self.domain), version_of(recommender)
        if index is not None and (index.version != self.version or len(index) != len(self.block)):
            raise InputError(
                f"The index is of version {index.version} with {len(index)} items, the run of version {self.version} with "
                f"{len(self.block)}: make the index again from the run."
            )
        if index is None and model.product:
            index = make_index(recommender.item_vectors(self.domain)[1], version=self.version, kind=kind)
        self.index = index if model.product else None
        self.popularity = popularity or Popularity.of(recommender, self.domain)
        self.neighbours: Neighbours | None = None
        if self.index is not None and has_neighbours(recommender):
            self.neighbours = Neighbours(recommender, self.domain, self.index, k=self.config.u2i2i)
        reads = sorted({name for names in model.views().domains.values() for name in names})
        self.reads = [model.block(name) for name in reads]

    @property
    def available(self) -> tuple[str, ...]:
        """The channels that there are for this run."""
        return CHANNELS if self.neighbours is not None else ("u2i", "popular")

    def recommend(
        self, users: Any = None, histories: Sequence[History] | None = None, *, k: int = 10, **filters: Any
    ) -> list[list[Candidate]]:
        """The k best candidates of each by the run's model. ``filters``: as for :meth:`candidates`."""
        return [pool.best(k) for pool in self.candidates(users, histories, **filters)]

    def candidates(
        self,
        users: Sequence[Any] | Any | None = None,
        histories: Sequence[History] | None = None,
        *,
        allowed_V: Mask | None = None,
        denied: Sequence[npt.ArrayLike] | None = None,
        keep_seen: bool = False,
        segments: Sequence[str | None] | None = None,
    ) -> list[Pool]:
        """The candidates of known users, of strangers with a history, or of users with newer ones.

        Args:
            users, histories: as for :meth:`Recommender.recommend`.
            allowed_V: the items that are available now, for everybody; None: all.
            denied: per person, places of items that may not be shown to them.
            keep_seen: whether what somebody has may be shown again.
            segments: per person, for what is popular; None, or one that is unknown: everybody's counts.

        Raises:
            InputError: for an unknown user or domain.
        """
        screen = Screen(allowed_V, denied, keep_seen, segments)
        return self.pools(askers(self.recommender.data, users, histories), screen)

    def pools(self, who: Askers, screen: Screen) -> list[Pool]:
        """The candidates of those who ask, as :meth:`candidates` gives them."""
        asked = Asking(self, who, screen)
        warm_N = asked.warm_N
        found = [asked.by_query(self.config.u2i), Findings.of_many(*asked.near()), asked.popular()]
        fused = fuse(found, len(self.block), self.config.constant, self.config.most)
        score_M = np.where(warm_N[fused.person_M], np.nan, fused.found_MH[:, 2])
        if self.index is not None and self.index.kind == "exact":
            score_M = np.where(warm_N[fused.person_M], fused.found_MH[:, 0], score_M)
        at = np.flatnonzero(warm_N[fused.person_M] & np.isnan(score_M))
        score_M[at] = asked.scores(fused.person_M[at], fused.place_M[at])
        return _by_person(fused, score_M, warm_N)

    def top(self, who: Askers, k: int, screen: Screen) -> list[Pool]:
        """Pools of the k best of each alone: those that :meth:`Pool.best` chooses of :meth:`pools`, with the same scores.

        Where the k best are those that the query's vector finds first, of the other items nothing is looked up, and of a
        warm person the fused scores, by which nobody is ranked, are NaN.
        """
        if not self._leads(k):
            return self.pools(who, screen)
        asked = Asking(self, who, screen)
        query, popular = asked.by_query(k), asked.popular()
        cold = popular.where(~asked.warm_N[popular.person_M] & (popular.rank_M <= k))
        chosen = query.joined(cold)
        warm_M = asked.warm_N[chosen.person_M]
        found_MH = given([query[:3], asked.near(), popular[:3]], chosen, len(self.block))
        fused_M = np.where(warm_M, np.nan, 1 / (self.config.constant + chosen.rank_M))
        return _by_person(Fused(chosen.person_M, chosen.place_M, fused_M, found_MH), chosen.score_M, asked.warm_N)

    def _leads(self, k: int) -> bool:
        """Whether the k best by the model's score are those that the search with the query's vector finds first: the search
        is exact, and the fusion cuts none of its items: before one of them come its own better ones, as many of ``u2i2i``, and
        the popular ones.
        """
        config, exact = self.config, self.index is not None and self.index.kind == "exact"
        return exact and k <= config.u2i and 2 * config.u2i + config.popular <= config.most


def _by_person(fused: Fused, score_M: Floats, warm_N: Mask) -> list[Pool]:
    """A pool of each."""
    ends = np.searchsorted(fused.person_M, np.arange(len(warm_N) + 1)).tolist()
    return [
        Pool(fused.place_M[a:b], fused.fused_M[a:b], score_M[a:b], fused.found_MH[a:b], not warm)
        for a, b, warm in zip(ends[:-1], ends[1:], warm_N.tolist(), strict=True)
    ]
