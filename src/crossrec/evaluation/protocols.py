"""Protocols by their names; and those that rank one held-out item: among which candidates, and what is kept of each."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossrec.data.batches import Batcher
from crossrec.data.scale import Scale
from crossrec.data.splits import Part
from crossrec.data.vocabulary import Ints
from crossrec.errors import InputError
from crossrec.evaluation import candidates, clicks, kinds, liked, metrics, ranks, ratings
from crossrec.evaluation.clicks import ClickProtocol
from crossrec.evaluation.liked import LikedProtocol
from crossrec.evaluation.outcome import Outcome
from crossrec.evaluation.ratings import RatingProtocol
from crossrec.models.base import Model
from crossrec.streams import derive

UNSEEN = "unseen"
"""The protocol that leaves out what the input holds."""
AUTHORS_NEGATIVES = 99
"""Negatives of the authors' protocol (RealHNS and PDRec, specs)."""


@dataclass(frozen=True, eq=False)
class Ranking(Outcome):
    """Ranks of the held-out items of a part under one protocol: (N,) each."""

    rank_N: npt.NDArray[np.float64]
    candidates_N: Ints
    negatives_hash: str | None = None
    """Hash of the drawn candidates: rankings are comparable only where it is the same. None where nothing is drawn."""

    @property
    def kind(self) -> kinds.Kind:
        return kinds.RANKING

    @property
    def columns(self) -> dict[str, npt.NDArray[np.generic]]:
        return {"rank": self.rank_N, "candidates": self.candidates_N}

    def summary(self, names: tuple[str, ...] | None = None) -> dict[str, float]:
        """Mean of every metric, and the number of held-out items, one per user in most splits."""
        chosen = self.shown if names is None else names
        return dict(metrics.summary(self.rank_N, self.candidates_N, chosen))


def num_negatives(protocol: str) -> int | None:
    """Negatives that a protocol draws; None for ``full`` and ``unseen``. Raises InputError for an unknown protocol."""
    if protocol in ("full", UNSEEN):
        return None
    if protocol == "authors":
        return AUTHORS_NEGATIVES
    found = re.fullmatch(r"sampled:([1-9]\d*)", protocol)
    if not found:
        raise InputError(
            f"There is no protocol {protocol!r}. Known: full, unseen, sampled:N (for example sampled:99), authors, ratings, "
            "clicks, liked, liked:N (for example liked:100)."
        )
    return int(found[1])


class Protocol:
    """One way of ranking the instances of a part.

    ``unseen`` leaves out of all items those of the input, the held-out one excepted: what a user has is not recommended again.
    ``sampled:N`` draws its candidates once per (data, split, seed): every model and every evaluation shares them.
    ``authors`` draws anew for every ``draw`` number, as the published code does at each evaluation.
    """

    def __init__(self, name: str, part: Part, seed: int = 0) -> None:
        self.name, self.part, self.seed = name, part, seed
        self.count = num_negatives(name)
        self._shared: Ints | None = None

    def candidates(self, draw: int = 0) -> Ints:
        """The negatives of every instance: global ids (N, count)."""
        assert self.count is not None, f"the protocol {self.name!r} draws nothing"
        if self.name == "authors":
            return candidates.draw(self.part, self.count, self._generator(f":{draw}"))
        if self._shared is None:
            self._shared = candidates.draw(self.part, self.count, self._generator(""))
        return self._shared

    def measure(self, model: Model, batcher: Batcher, draw: int = 0) -> Ranking:
        """What every protocol does, whatever it measures: here :meth:`rank`."""
        return self.rank(model, batcher, draw)

    def rank(self, model: Model, batcher: Batcher, draw: int = 0) -> Ranking:
        """Rank every held-out item of the part."""
        if self.name == UNSEEN:
            return self._unseen(model, batcher)
        if self.count is None:
            size = len(self.part.events.catalogue.block(self.part.target))
            return self._ranking(ranks.full(model, batcher, self.part), size, None)
        drawn = self.candidates(draw)
        return self._ranking(ranks.among(model, batcher, self.part, drawn), 1 + self.count, candidates.digest(drawn))

    def _unseen(self, model: Model, batcher: Batcher) -> Ranking:
        hidden = ranks.Hidden(self.part, candidates.known_keys(self.part), batcher.device)
        left_N = len(self.part.events.catalogue.block(self.part.target)) - np.diff(hidden.offset_N1)
        return self._ranking(np.minimum(ranks.full(model, batcher, self.part, hidden), left_N), left_N, None)

    def _generator(self, suffix: str) -> np.random.Generator:
        return np.random.default_rng(derive(self.seed, f"evaluation:{self.part.name}{suffix}"))

    def _ranking(self, rank_N: npt.NDArray[np.float64], count: int | Ints, drawn: str | None) -> Ranking:
        return Ranking(self.name, self.part, rank_N, np.full(len(rank_N), count), drawn)


AnyProtocol = Protocol | RatingProtocol | ClickProtocol | LikedProtocol


def open_protocol(name: str, part: Part, seed: int = 0, scale: Scale | None = None, offset: float = 0.0) -> AnyProtocol:
    """The protocol of this name for the instances of a part. ``scale``: of the ratings (None: 1 to 5); ``offset``: what was added
    to scores before they became ratings.

    Raises InputError for an unknown name, and where the part has not what the protocol asks for.
    """
    kind = kind_of(name)
    if kind is kinds.RATINGS:
        return RatingProtocol(part, scale or Scale(), offset)
    if kind is kinds.CLICKS:
        return ClickProtocol(part, seed)
    return Protocol(name, part, seed) if kind is kinds.RANKING else LikedProtocol(name, part, seed, scale or Scale())


def kind_of(name: str) -> kinds.Kind:
    """What a protocol keeps of every instance. Raises InputError for an unknown name."""
    known = {ratings.NAME: kinds.RATINGS, clicks.NAME: kinds.CLICKS}
    if name in known:
        return known[name]
    if name.partition(":")[0] == "liked":
        return kinds.LIKED if liked.count_of(name) is None else kinds.DRAWN
    num_negatives(name)
    return kinds.RANKING


def check_metric(protocol: str, metric: str) -> None:
    """Raise InputError for an unknown protocol, and for a metric that it does not give."""
    kind = kind_of(protocol)
    drawn = protocol.partition(":")[2] or "1"
    columns = {
        name: np.full(1, float(drawn) if name == "negatives" else 1.0) for name in (*kind.columns, *kind.further)
    }
    kind.value(metric, columns, np.zeros(1, dtype=np.int64))
