"""Where candidates come from: the query's vector, what is like the latest items, and what is popular; merged by rank.

Source: specs of DIAGAE, section 14.4. N people, W of them known to the model, M candidates of all of them, T triggers,
K items of a channel, V items of the domain, L pairs of a person and an item that they may not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from crossrec.data.askers import listed
from crossrec.data.ragged import stretches
from crossrec.data.vocabulary import Ints
from crossrec.errors import InputError
from crossrec.recommender import History, Recommender
from crossrec.retrieve.best import Floats, best, exclude
from crossrec.retrieve.index import Index, LeftOut, make_index, version_of
from crossrec.retrieve.neighbours import Neighbours, has_neighbours
from crossrec.retrieve.people import People
from crossrec.retrieve.pools import CHANNELS, Candidate, Findings, Pool, fuse
from crossrec.retrieve.popularity import Popularity

Mask = npt.NDArray[np.bool_]


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
        self._reads = [model.block(name) for name in reads]

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
        people = People.of(self.recommender, users, histories)
        out = self._left_out(people, denied, keep_seen)
        everybody = np.arange(len(people))
        popular = self.popularity.search(len(people), self.config.popular, allowed_V, out, segments)
        found = [Findings.none(), Findings.none(), Findings.of_rows(everybody, *popular)]
        warm_N = people.of_domains(self._reads).count_N > 0 if self._reads else np.ones(len(people), dtype=bool)
        asked = _Asked(self, users, histories, np.flatnonzero(warm_N))
        if warm_N.any():
            found[0] = asked.found(allowed_V, out)
            if self.neighbours is not None:
                found[1] = self._by_triggers(people.where(warm_N[people.person_L]), allowed_V, out)
        fused = fuse(found, len(self.block), self.config.constant, self.config.most)
        score_M = np.where(warm_N[fused.person_M], np.nan, fused.found_MH[:, 2])
        if self.index is not None and self.index.kind == "exact":
            score_M = np.where(warm_N[fused.person_M], fused.found_MH[:, 0], score_M)
        at = np.flatnonzero(warm_N[fused.person_M] & np.isnan(score_M))
        score_M[at] = asked.scores(fused.person_M[at], fused.place_M[at])
        ends = np.searchsorted(fused.person_M, np.arange(len(people) + 1))
        return [
            Pool(fused.place_M[a:b], fused.fused_M[a:b], score_M[a:b], fused.found_MH[a:b], not warm)
            for a, b, warm in zip(ends[:-1], ends[1:], warm_N.tolist(), strict=True)
        ]

    def _left_out(self, people: People, denied: Sequence[npt.ArrayLike] | None, keep_seen: bool) -> LeftOut:
        """What single people may not have, sorted by person."""
        seen = people.of_domains([self.block])
        rows, places = [seen.person_L], [seen.id_L - self.block.start]
        if keep_seen:
            rows, places = [], []
        if denied is not None:
            if len(denied) != len(people):
                raise InputError(f"There are {len(people)} people and {len(denied)} lists of what is denied.")
            listed_out = [np.asarray(of_one, dtype=np.int64) for of_one in denied]
            rows.append(np.repeat(np.arange(len(people)), [len(of_one) for of_one in listed_out]))
            places += listed_out
        if not rows:
            return LeftOut(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
        row_L, place_L = np.concatenate(rows), np.concatenate(places)
        if len(place_L) and not 0 <= place_L.min() <= place_L.max() < len(self.block):
            raise InputError(f"What is denied must be places of items: 0 to {len(self.block) - 1}.")
        order = np.argsort(row_L, kind="stable")
        return LeftOut(row_L[order], place_L[order])

    def _by_triggers(self, people: People, allowed_V: Mask | None, out: LeftOut) -> Findings:
        """Neighbours of the latest items of everybody; of an item that several triggers find, the largest weight counts."""
        assert self.neighbours is not None
        able = people.where(self.neighbours.has_N[people.id_L])
        able = able.where(able.age_L() < self.config.triggers)
        low_N, high_N = (np.searchsorted(out.row_L, np.arange(len(people)), side) for side in ("left", "right"))
        person_T = able.person_L
        row_L, at_L = stretches(low_N[person_T], (high_N - low_N)[person_T])
        place_TK, score_TK = self.neighbours.search(able.id_L, None, allowed_V, LeftOut(row_L, out.place_L[at_L]))
        weighted_TK = np.where(place_TK >= 0, score_TK, 0) * (self.config.decay ** able.age_L())[:, None]
        row_M, column_M = np.nonzero(weighted_TK > 0)
        return Findings.of_many(person_T[row_M], place_TK[row_M, column_M], weighted_TK[row_M, column_M])


class _Asked:
    """What the model says of those of whom it knows something: by query vectors, or by its full ranking."""

    def __init__(self, channels: Channels, users: Any, histories: Sequence[History] | None, warm_W: Ints) -> None:
        self.channels, self.warm_W = channels, warm_W
        self.matrix = np.empty((0, 0), dtype=np.float32)
        if not len(warm_W):
            return
        known = None if users is None else [listed(users)[n] for n in warm_W]
        told = None if histories is None else [histories[n] for n in warm_W]
        recommender, domain = channels.recommender, channels.domain
        if channels.index is not None:
            self.matrix = recommender.query_vectors(known, told, domain=domain)
            return
        many = len(channels.block)
        table = recommender.recommend(known, told, domain=domain, k=many, filter_seen=False)
        row = np.cumsum(table.column("rank").to_numpy() == 1) - 1
        self.matrix = np.full((len(warm_W), many), -np.inf, dtype=np.float32)
        place = recommender.data.items[domain].index(table.column("item"))
        self.matrix[row, place] = table.column("score").to_numpy()

    def found(self, allowed_V: Mask | None, out: LeftOut) -> Findings:
        """The best items of each, filters inside."""
        number_N = np.full(1 + max(self.warm_W.max(initial=0), out.row_L.max(initial=0)), -1)
        number_N[self.warm_W] = np.arange(len(self.warm_W))
        here_L = number_N[out.row_L] >= 0
        out = LeftOut(number_N[out.row_L[here_L]], out.place_L[here_L])
        index, k = self.channels.index, self.channels.config.u2i
        if index is not None:
            found = index.search(self.matrix, k, allowed_V, version=self.channels.version, left_out=out)
            return Findings.of_rows(self.warm_W, *found)
        score_WV = torch.as_tensor(self.matrix.copy())
        if allowed_V is not None:
            score_WV[:, torch.as_tensor(~allowed_V)] = -torch.inf
        exclude(score_WV, torch.as_tensor(out.row_L), torch.as_tensor(out.place_L))
        place_WK, score_WK = best(score_WV, min(k, score_WV.shape[1]))
        return Findings.of_rows(self.warm_W, place_WK.masked_fill(score_WK == -torch.inf, -1).numpy(), score_WK.numpy())

    def scores(self, person_M: Ints, place_M: Ints) -> Floats:
        """The model's scores of items for people of whom something is known."""
        row_M = np.searchsorted(self.warm_W, person_M)
        if self.channels.index is None or not len(row_M):
            return np.asarray(self.matrix[row_M, place_M] if len(row_M) else np.empty(0))
        model = self.channels.recommender.model
        with torch.no_grad():
            ids = torch.as_tensor(place_M + self.channels.block.start, device=model.device)
            vectors = model.items(ids).cpu().numpy()
        return np.asarray(np.einsum("md,md->m", self.matrix[row_M], vectors))
