"""Items like another: the largest cosine of two items' vectors (norms tell of popularity, which queries have already).

Shapes: T triggers (items that neighbours are asked of), K neighbours, N ids of all domains, V items of the domain.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from crossrec.data.vocabulary import Ints
from crossrec.errors import InputError
from crossrec.recommender import Recommender
from crossrec.retrieve.best import Floats, among
from crossrec.retrieve.index import Index, LeftOut, make_index

RESERVE = 14
"""Neighbours that are remembered beyond those asked for: what filters take is made up from them first."""


class Neighbours:
    """The items of one domain that are most like an item of any domain that has vectors; never the item itself.

    What was searched once is remembered; filters are held against what is remembered, and where too little is left the
    search is made again with the filters inside. So the answer is always that of the search.
    """

    def __init__(self, recommender: Recommender, domain: str, index: Index, *, k: int = 50) -> None:
        """``index``: of the domain's item vectors as they are; where all are of one length it serves here too.

        Raises InputError for a model without item vectors of more than one number.
        """
        if not has_neighbours(recommender):
            raise InputError(f"{recommender.model.name} has no item vectors that could be compared with each other.")
        self.model, self.version, self.k = recommender.model, index.version, k
        self.block = recommender.model.block(domain)
        vectors = recommender.item_vectors(domain)[1]
        norm_V = np.linalg.norm(vectors, axis=1)
        self.scale = float(norm_V.mean())
        self.index = index
        if not np.allclose(norm_V, self.scale, rtol=1e-4, atol=0):
            self.scale = 1.0
            unit_VD = vectors / np.maximum(norm_V, 1e-12)[:, None]
            self.index = make_index(unit_VD, version=index.version, kind=index.kind)
        ids, width = recommender.data.catalogue.num_ids, min(k + RESERVE, len(index))
        self.has_N = np.zeros(ids, dtype=bool)
        for name in recommender.model.serves():
            self.has_N[recommender.model.block(name).start : recommender.model.block(name).stop] = True
        self._known_N = np.zeros(ids, dtype=bool)
        self._place_NK, self._score_NK = np.empty((ids, width), np.int32), np.empty((ids, width), np.float32)

    def precompute(self, ids: Ints | None = None, rows: int = 1024) -> None:
        """Search for the neighbours of items (global ids; None: all) now, rather than when they are first asked of."""
        ids = self.unknown(np.flatnonzero(self.has_N) if ids is None else ids)
        for a in range(0, len(ids), rows):
            self._learn(ids[a : a + rows])

    def unknown(self, ids: Ints) -> Ints:
        """Those of some items that have neighbours which nobody has searched for yet."""
        return ids[self.has_N[ids] & ~self._known_N[ids]]

    def search(
        self,
        id_T: Ints,
        k: int | None = None,
        allowed_V: npt.NDArray[np.bool_] | None = None,
        left_out: LeftOut | None = None,
    ) -> tuple[Ints, Floats]:
        """Places and cosines (T, K) of the neighbours of items (global ids), as :meth:`Index.search` gives them."""
        k = self.k if k is None else k
        unknown = id_T[~self._known_N[id_T]]
        if len(unknown):
            self._learn(np.unique(unknown))
        place_TW, score_TW = self._place_NK[id_T].astype(np.int64), self._score_NK[id_T]
        kept_TW = place_TW >= 0
        if allowed_V is not None:
            kept_TW &= allowed_V[place_TW]
        if left_out is not None and len(left_out.row_L):
            row_T1 = np.arange(len(id_T))[:, None] * len(self.index)
            kept_TW &= ~among(row_T1 + place_TW, left_out.row_L * len(self.index) + left_out.place_L)
        rank_TW = np.cumsum(kept_TW, axis=1)
        short = np.flatnonzero((rank_TW[:, -1] < k) & (place_TW.shape[1] < len(self.index)))
        row_M, at_M = np.nonzero(kept_TW & (rank_TW <= k))
        column_M = rank_TW[row_M, at_M] - 1
        place_TK = np.full((len(id_T), k), -1, dtype=np.int64)
        score_TK = np.full((len(id_T), k), -np.inf, dtype=np.float32)
        place_TK[row_M, column_M], score_TK[row_M, column_M] = place_TW[row_M, at_M], score_TW[row_M, at_M]
        if len(short):
            out = self._without_self(id_T, left_out)
            at_L = np.searchsorted(short, out.row_L)
            here = np.append(short, -1)[at_L] == out.row_L
            place_TK[short], score_TK[short] = self._searched(
                id_T[short], k, allowed_V, LeftOut(at_L[here], out.place_L[here])
            )
        return place_TK, score_TK

    def _learn(self, ids: Ints) -> None:
        if not len(ids):
            return
        found = self._searched(ids, self._place_NK.shape[1], None, self._without_self(ids, None))
        self._place_NK[ids], self._score_NK[ids] = found
        self._known_N[ids] = True

    def _searched(
        self, ids: Ints, k: int, allowed_V: npt.NDArray[np.bool_] | None, out: LeftOut
    ) -> tuple[Ints, Floats]:
        with torch.no_grad():
            vectors = F.normalize(self.model.items(torch.as_tensor(ids, device=self.model.device)), dim=1).cpu().numpy()
        place_TK, score_TK = self.index.search(vectors, k, allowed_V, version=self.version, left_out=out)
        return place_TK, score_TK / self.scale

    def _without_self(self, ids: Ints, left_out: LeftOut | None) -> LeftOut:
        place_T = ids - self.block.start
        own = np.flatnonzero((place_T >= 0) & (place_T < len(self.block)))
        if left_out is None:
            return LeftOut(own, place_T[own])
        return LeftOut(np.concatenate([left_out.row_L, own]), np.concatenate([left_out.place_L, place_T[own]]))


def has_neighbours(recommender: Recommender) -> bool:
    """Whether the run's items have vectors that can be compared: the score is a product of more than one number."""
    if not recommender.model.product:
        return False
    with torch.no_grad():
        first = recommender.model.block(recommender.target).start
        return recommender.model.items(torch.tensor([first], device=recommender.device)).shape[-1] > 1
