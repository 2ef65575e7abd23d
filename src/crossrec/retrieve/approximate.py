"""Approximate search by faiss (the extra ``ann``): inverted lists by inner product, filters inside the search.

Inverted lists rather than a graph: they are made in seconds, take a few bytes per item beside the vectors, and looked
through as a whole they are exact, so that any filter can be kept without losing results.
Shapes: Q queries, K asked for, D width, V items, P items of a sample.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crossrec.data.vocabulary import Ints
from crossrec.errors import InputError
from crossrec.retrieve.best import Floats
from crossrec.retrieve.index import Exact, Index, LeftOut, agreement, checked

FLAT = 100_000
"""Items below which faiss keeps one list, which is searched as a whole."""
SAMPLE, DEPTH = 200, 100
"""Queries and depth at which recall is measured."""
GOAL = 0.95
"""Recall up to which more lists are looked through: as many as it takes, at most half of them."""
LEARN = 64
"""Vectors per list that the centres of the lists are learnt from."""


def faiss() -> Any:
    """The library. Raises InputError where it is not installed."""
    try:
        import faiss as library  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise InputError("faiss is not installed: pip install 'crossrec[ann]'.") from error
    return library


class Approximate(Index):
    """A faiss index: lists of items around centres, of which the nearest are looked through.

    With fewer items available, more lists are; where fewer than k come back although there are more, all lists are.
    """

    kind = "faiss"

    def __init__(self, index: Any, *, version: str, recall: float) -> None:
        """``index``: of faiss, by inner product. ``recall``: see :class:`crossrec.retrieve.index.Index`."""
        self.index, self.version, self.recall, self.dim = index, version, recall, int(index.d)
        self.lists = int(getattr(index, "nlist", 0))

    @classmethod
    def build(cls, item_VD: Floats, *, version: str, sample_QD: Floats | None = None) -> Approximate:
        """Learn the lists, add the items and measure recall. See :func:`crossrec.retrieve.index.make_index`."""
        library, vectors = faiss(), checked(item_VD, "item")
        many, dim = vectors.shape
        if many < FLAT:
            flat = library.IndexFlatIP(dim)
            flat.add(vectors)
            return cls(flat, version=version, recall=1.0)
        lists = round(many**0.5)
        centres = library.IndexFlatIP(dim)
        made = library.IndexIVFFlat(centres, dim, lists, library.METRIC_INNER_PRODUCT)
        made.cp.niter, made.cp.max_points_per_centroid = 10, LEARN
        rng = np.random.default_rng(0)
        made.train(vectors[np.sort(rng.permutation(many)[: lists * LEARN])])
        made.add(vectors)
        found = cls(made, version=version, recall=0.0)
        sample = vectors[rng.permutation(many)[:SAMPLE]] if sample_QD is None else checked(sample_QD, "query")[:SAMPLE]
        right_QK, _ = Exact(vectors, version=version).search(sample, DEPTH, version=version)
        made.nprobe = 4
        while True:
            found.recall = agreement(found.search(sample, DEPTH, version=version)[0], right_QK)
            if found.recall >= GOAL or made.nprobe * 2 > lists // 2:
                return found
            made.nprobe *= 2

    def __len__(self) -> int:
        return int(self.index.ntotal)

    def found(
        self, query_QD: Floats, k: int, allowed_V: npt.NDArray[np.bool_] | None, left_out: LeftOut | None
    ) -> tuple[Ints, Floats]:
        """What single queries may not have comes on top of k in the search and is taken away from what it finds."""
        out = None if left_out is None else _once(left_out, len(self), allowed_V)
        probes = int(getattr(self.index, "nprobe", 1))
        share = 1.0 if allowed_V is None else max(float(allowed_V.mean()), 1e-9)
        probes = int(min(self.lists, np.ceil(probes / share)))
        place_QK, score_QK = self._looked(query_QD, k, allowed_V, out, probes)
        if probes < self.lists:
            available = len(self) if allowed_V is None else int(allowed_V.sum())
            lost_Q = (
                np.zeros(len(query_QD), dtype=np.int64) if out is None else np.bincount(out.row_L, None, len(query_QD))
            )
            short = np.flatnonzero((place_QK >= 0).sum(1) < np.minimum(k, available - lost_Q))
            if len(short):
                again = None if out is None else _of_rows(out, short)
                place_QK[short], score_QK[short] = self._looked(query_QD[short], k, allowed_V, again, self.lists)
        return place_QK, score_QK

    def _looked(
        self, queries: Floats, k: int, allowed_V: npt.NDArray[np.bool_] | None, out: LeftOut | None, probes: int
    ) -> tuple[Ints, Floats]:
        library = faiss()
        most = 0 if out is None or not len(out.row_L) else int(np.bincount(out.row_L).max())
        kept = {}
        if allowed_V is not None:
            bits = np.packbits(allowed_V, bitorder="little")
            kept["sel"] = library.IDSelectorBitmap(bits)
        how = library.SearchParametersIVF(nprobe=probes, **kept) if self.lists else library.SearchParameters(**kept)
        score_QK, place_QK = self.index.search(queries, min(k + most, len(self)), params=how)
        gone = place_QK < 0
        if out is not None and most:
            row_Q1 = np.arange(len(queries))[:, None] * len(self)
            gone |= np.isin(row_Q1 + place_QK, out.row_L * len(self) + out.place_L)
        place_QK, score_QK = np.where(gone, len(self), place_QK), np.where(gone, -np.inf, score_QK)
        order = np.lexsort((place_QK, -score_QK))[:, :k]
        place_QK, score_QK = np.take_along_axis(place_QK, order, 1), np.take_along_axis(score_QK, order, 1)
        room = ((0, 0), (0, k - order.shape[1]))
        place_QK = np.pad(np.where(np.isinf(score_QK), -1, place_QK), room, constant_values=-1)
        return place_QK.astype(np.int64), np.pad(score_QK, room, constant_values=-np.inf)

    def write(self, folder: Path) -> dict[str, Any]:
        faiss().write_index(self.index, str(folder / "index.faiss"))
        return {"file": "index.faiss", "lists": self.lists, "probes": int(getattr(self.index, "nprobe", 0))}


def _once(out: LeftOut, many: int, allowed_V: npt.NDArray[np.bool_] | None) -> LeftOut:
    """Every pair once, and only where something is taken away."""
    row_L, place_L = np.divmod(np.unique(out.row_L * many + out.place_L), many)
    here_L = np.ones(len(row_L), dtype=bool) if allowed_V is None else allowed_V[place_L]
    return LeftOut(row_L[here_L], place_L[here_L])


def _of_rows(out: LeftOut, rows: Ints) -> LeftOut:
    """The pairs of some queries, which are numbered anew."""
    at_L = np.searchsorted(rows, out.row_L)
    here_L = np.append(rows, -1)[at_L] == out.row_L
    return LeftOut(at_L[here_L], out.place_L[here_L])
