"""The protocols ``liked`` and ``liked:N``: do the items that a user liked stand above those the user never touched?

All held-out items of a user that were liked are ranked together, ties against them: among all items that the user never
touched (``liked``), or among N of them, drawn once per data, split and seed (``liked:N``). An item is liked from three
quarters of the scale on (4 of 5 stars); in logs without ratings everything is. Source: specs of DIAGAE, 1.4 and 13.3.

Shapes: N liked held-out items, U users, P instances of a block, C candidates of each, M liked items of its user, V items.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from crossrec.data.batches import Batcher
from crossrec.data.scale import Scale
from crossrec.data.splits import Part
from crossrec.data.vocabulary import Ints
from crossrec.errors import InputError
from crossrec.evaluation import candidates, kinds
from crossrec.evaluation.metrics import Floats
from crossrec.evaluation.outcome import Outcome
from crossrec.models.base import Model
from crossrec.streams import derive

LIKED_FROM = 0.75
"""Share of the scale from which an item counts as liked: 4 stars of 1 to 5 (specs of DIAGAE, 13.3)."""
CELLS = 1 << 17
"""Candidates whose vectors are in memory at once."""


@dataclass(frozen=True, eq=False)
class Liked(Outcome):
    """Ranks of the liked items among the others of their user and the negatives, 1-based, ties against them."""

    rank_N: Floats
    negatives_N: Ints
    """How many negatives each is ranked among."""
    negatives_hash: str | None = None

    @property
    def kind(self) -> kinds.Kind:
        return kinds.LIKED if self.negatives_hash is None else kinds.DRAWN

    @property
    def columns(self) -> dict[str, npt.NDArray[np.generic]]:
        return dict(zip(self.kind.columns, (self.rank_N, self.negatives_N), strict=True))

    @property
    def shown(self) -> tuple[str, ...]:
        drawn = self.protocol.partition(":")[2]
        return (f"ndcg@5/neg{drawn}", f"ndcg@10/neg{drawn}") if drawn else self.kind.shown


class LikedProtocol:
    """Ranks what users liked among what they never touched."""

    def __init__(self, name: str, part: Part, seed: int, scale: Scale) -> None:
        """Raises InputError where nothing held out was liked (an empty part has nothing to like)."""
        self.name, self.seed = name, seed
        self.count = count_of(name)
        self.part = part.take(_liked(part, scale))
        if len(part) and not len(self.part):
            least = scale.rating(LIKED_FROM)
            raise InputError(f"Nothing held out of {part.target!r} was rated {least:g} or more: take another protocol.")
        user_N = self.part.user_N
        self.start_U = np.flatnonzero(np.diff(user_N, prepend=-1))
        self.count_U = np.diff(self.start_U, append=len(user_N))
        self._drawn: Ints | None = None

    def candidates(self) -> Ints:
        """The negatives of every user with a liked item: global ids (U, count)."""
        assert self.count is not None, "the protocol 'liked' draws nothing"
        if self._drawn is None:
            generator = np.random.default_rng(derive(self.seed, f"evaluation:{self.part.name}"))
            self._drawn = candidates.draw(self.part.take(self.start_U), self.count, generator)
        return self._drawn

    @torch.no_grad()
    def measure(self, model: Model, batcher: Batcher, draw: int = 0) -> Liked:
        """Rank the liked items."""
        model.eval()
        if not len(self.part):
            return Liked(self.name, self.part, np.empty(0), np.empty(0, np.int64), None)
        user_N = np.repeat(np.arange(len(self.start_U)), self.count_U)
        if self.count is None:
            rank_N, negatives_N = self._among_all(model, batcher, user_N)
            return Liked(self.name, self.part, rank_N, negatives_N)
        drawn = self.candidates()
        rank_N = self._among_drawn(model, batcher, user_N, drawn)
        return Liked(self.name, self.part, rank_N, np.full(len(rank_N), self.count), candidates.digest(drawn))

    def _among_drawn(self, model: Model, batcher: Batcher, user_N: Ints, drawn_UC: Ints) -> Floats:
        rows = max(1, CELLS // (drawn_UC.shape[1] + int(self.count_U.max())))
        ranks, at = [], 0
        for batch in batcher.queries(self.part, rows):
            user_P = user_N[at : at + len(batch)]
            place_PM = self.start_U[user_P][:, None] + np.arange(self.count_U[user_P].max())
            there_PM = place_PM < (self.start_U + self.count_U)[user_P][:, None]
            liked_PM = self.part.item_N[np.minimum(place_PM, len(self.part) - 1)]
            ids_PC = np.concatenate([liked_PM, drawn_UC[user_P]], 1)
            counts_PC = np.concatenate([there_PM, np.ones_like(drawn_UC[user_P], dtype=bool)], 1)
            own_P1 = torch.as_tensor(np.arange(at, at + len(batch)) - self.start_U[user_P], device=batcher.device)[
                :, None
            ]
            scores_PC = model.candidate_scores(batch, torch.as_tensor(ids_PC, device=batcher.device))
            ranks.append(_rank(scores_PC, own_P1, torch.as_tensor(counts_PC, device=batcher.device)))
            at += len(batch)
        return torch.cat(ranks).double().cpu().numpy()

    def _among_all(self, model: Model, batcher: Batcher, user_N: Ints) -> tuple[Floats, Ints]:
        block = model.block(self.part.target)
        item_VD = model.item_block(self.part.target) if model.product else None
        key_S = candidates.seen_keys(self.part.take(self.start_U))
        size = self.part.events.catalogue.num_ids
        ranks, negatives, at = [], [], 0
        for batch in batcher.queries(self.part, max(1, CELLS // len(block))):
            user_P = user_N[at : at + len(batch)]
            counts_PV = np.ones((len(batch), len(block)), dtype=bool)
            row, place = _rows_of(key_S // size, user_P)
            counts_PV[row, key_S[place] % size - block.start] = False
            negatives.append(counts_PV.sum(1))
            row, place = _rows_of(user_N, user_P)
            counts_PV[row, self.part.item_N[place] - block.start] = True
            if item_VD is None:
                scores_PV = model.scores(batch, self.part.target)
            else:
                scores_PV = model.logits(model.queries(batch), item_VD, self.part.target)
            own_P1 = (batch.positive_P - block.start)[:, None]
            ranks.append(_rank(scores_PV, own_P1, torch.as_tensor(counts_PV, device=batcher.device)))
            at += len(batch)
        return torch.cat(ranks).double().cpu().numpy(), np.concatenate(negatives)


def count_of(name: str) -> int | None:
    """Negatives that a protocol of this name draws; None for ``liked``. Raises InputError for another name."""
    found = re.fullmatch(r"liked(?::([1-9]\d*))?", name)
    if not found:
        raise InputError(f"There is no protocol {name!r}. Known: liked, liked:N (for example liked:100).")
    return int(found[1]) if found[1] else None


def _liked(part: Part, scale: Scale) -> Ints:
    """Which instances were liked, sorted by user, each item of a user once."""
    rating_E = part.events.rating_E
    kept = np.arange(len(part))
    if rating_E is not None and part.events.rated(part.at_N).any():
        kept = np.flatnonzero(rating_E[part.at_N] >= scale.rating(LIKED_FROM))
    key = part.user_N[kept] * part.events.catalogue.num_ids + part.item_N[kept]
    return np.asarray(kept[np.unique(key, return_index=True)[1]])


def _rank(scores_PC: Tensor, own_P1: Tensor, counts_PC: Tensor) -> Tensor:
    """1 + how many of the other candidates that count score no lower; what is not a number counts against the item."""
    above_PC = ~(scores_PC < scores_PC.gather(1, own_P1)) & counts_PC
    return above_PC.sum(1)


def _rows_of(user_S: Ints, user_P: Ints) -> tuple[Ints, Ints]:
    """For every row its user's places in a sorted list of users: numbers of the row and place, row by row."""
    low, high = np.searchsorted(user_S, user_P), np.searchsorted(user_S, user_P, side="right")
    row = np.repeat(np.arange(len(user_P)), high - low)
    within = np.arange(len(row)) - np.repeat(np.cumsum(high - low) - (high - low), high - low)
    return row, low[row] + within
