"""Some people who ask at once, and what every channel finds for them.

N people, W of them known to the model, M findings of all of them, T triggers, K items of a channel, V items of the domain,
L pairs of a person and an item that they may not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from crossrec.data.askers import Askers
from crossrec.data.ragged import stretches
from crossrec.data.vocabulary import Ints
from crossrec.errors import InputError
from crossrec.retrieve.best import Floats, best, exclude
from crossrec.retrieve.index import LeftOut
from crossrec.retrieve.people import People
from crossrec.retrieve.pools import Findings

if TYPE_CHECKING:
    from crossrec.retrieve.channels import Channels

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Screen:
    """What may be found; see :meth:`crossrec.retrieve.channels.Channels.candidates`."""

    allowed_V: Mask | None = None
    denied: Sequence[npt.ArrayLike] | None = None
    keep_seen: bool = False
    segments: Sequence[str | None] | None = None


class Asking:
    """Those who ask for the candidates of a domain, and what the channels find within a screen."""

    def __init__(self, channels: Channels, who: Askers, screen: Screen) -> None:
        """Raises InputError for what is denied and is no place of an item."""
        self.channels, self.who, self.screen = channels, who, screen
        self.people = People.asking(who)
        self.out = self._left_out()
        reads = channels.reads
        self.warm_N = self.people.of_domains(reads).count_N > 0 if reads else np.ones(len(self.people), dtype=bool)
        """Of whom the model knows something."""
        self.warm_W = np.flatnonzero(self.warm_N)

    @cached_property
    def matrix(self) -> Floats:
        """What the model says of those who are warm: query vectors, (W, D), or, where the score is no product, all scores,
        (W, V)."""
        recommender, domain = self.channels.recommender, self.channels.domain
        who = self.who if len(self.warm_W) == len(self.people) else self.who.take(self.warm_W)
        if self.channels.index is not None:
            return recommender.queries_of(who, domain)
        return recommender.scores_of(who, domain)

    def popular(self) -> Findings:
        """What is popular, for everybody."""
        search, k = self.channels.popularity.search, self.channels.config.popular
        found = search(len(self.people), k, self.screen.allowed_V, self.out, self.screen.segments)
        return Findings.of_rows(np.arange(len(self.people)), *found)

    def by_query(self, k: int) -> Findings:
        """The k best by the model's score of each who is warm, filters inside."""
        if not len(self.warm_W):
            return Findings.none()
        index, allowed_V, out = self.channels.index, self.screen.allowed_V, self._of_warm()
        if index is not None:
            found = index.search(self.matrix, k, allowed_V, version=self.channels.version, left_out=out)
            return Findings.of_rows(self.warm_W, *found)
        score_WV = torch.as_tensor(self.matrix.copy())
        if allowed_V is not None:
            score_WV[:, torch.as_tensor(~allowed_V)] = -torch.inf
        exclude(score_WV, torch.as_tensor(out.row_L), torch.as_tensor(out.place_L))
        place_WK, score_WK = best(score_WV, min(k, score_WV.shape[1]))
        return Findings.of_rows(self.warm_W, place_WK.masked_fill(score_WK == -torch.inf, -1).numpy(), score_WK.numpy())

    def near(self) -> tuple[Ints, Ints, Floats]:
        """Person, place and weight of the neighbours of everybody's latest items: what several triggers find comes again."""
        neighbours, config = self.channels.neighbours, self.channels.config
        if neighbours is None or not len(self.warm_W):
            return Findings.none()[:3]
        people = self.people
        if len(self.warm_W) < len(people):
            people = people.where(self.warm_N[people.person_L])
        able = people.where(neighbours.has_N[people.id_L])
        able = able.where(able.age_L() < config.triggers)
        low_N, high_N = (np.searchsorted(self.out.row_L, np.arange(len(people)), side) for side in ("left", "right"))
        person_T = able.person_L
        row_L, at_L = stretches(low_N[person_T], (high_N - low_N)[person_T])
        out = LeftOut(row_L, self.out.place_L[at_L])
        place_TK, score_TK = neighbours.search(able.id_L, None, self.screen.allowed_V, out)
        weighted_TK = np.where(place_TK >= 0, score_TK, 0) * (config.decay ** able.age_L())[:, None]
        row_M, column_M = np.nonzero(weighted_TK > 0)
        return person_T[row_M], place_TK[row_M, column_M], weighted_TK[row_M, column_M]

    def scores(self, person_M: Ints, place_M: Ints) -> Floats:
        """The model's scores of items for people who are warm."""
        row_M = np.searchsorted(self.warm_W, person_M)
        if not len(row_M):
            return np.empty(0)
        if self.channels.index is None:
            return np.asarray(self.matrix[row_M, place_M])
        model = self.channels.recommender.model
        with torch.no_grad():
            ids = torch.as_tensor(place_M + self.channels.block.start, device=model.device)
            vectors = model.items(ids).cpu().numpy()
        return np.asarray(np.einsum("md,md->m", self.matrix[row_M], vectors))

    def _of_warm(self) -> LeftOut:
        """What those who are warm may not have, by their numbers among the warm."""
        if len(self.warm_W) == len(self.people):
            return self.out
        number_N = np.where(self.warm_N, np.cumsum(self.warm_N) - 1, -1)
        here_L = self.warm_N[self.out.row_L]
        return LeftOut(number_N[self.out.row_L[here_L]], self.out.place_L[here_L])

    def _left_out(self) -> LeftOut:
        """What single people may not have, sorted by person."""
        block, denied, people = self.channels.block, self.screen.denied, self.people
        seen = people.of_domains([block])
        rows, places = [seen.person_L], [seen.id_L - block.start]
        if self.screen.keep_seen:
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
        if len(place_L) and not 0 <= place_L.min() <= place_L.max() < len(block):
            raise InputError(f"What is denied must be places of items: 0 to {len(block) - 1}.")
        order = np.argsort(row_L, kind="stable")
        return LeftOut(row_L[order], place_L[order])
