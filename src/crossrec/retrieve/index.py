"""Search for the items whose vectors have the largest product with a query: what every index does, and which to take.

Shapes: Q queries, K items asked for, D width, V items of a domain, L pairs of a query and an item that it may not have.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from crossrec.data.vocabulary import Ints
from crossrec.errors import InputError, nearest
from crossrec.recommender import Recommender
from crossrec.retrieve.best import Floats, exclude, merged

MANY = 1_000_000
"""Items from which on ``auto`` takes the approximate index."""
QUERIES, ITEMS = 256, 1 << 16
"""Queries and items whose scores are made at once: at most 64 MiB."""
FEW = 1 / 8
"""Share of the items up to which the available ones are gathered before the product is made."""
KINDS = ("auto", "exact", "faiss")


class LeftOut(NamedTuple):
    """What single queries may not have: number of the query and place of the item, pair by pair, (L,)."""

    row_L: Ints
    place_L: Ints


class Index(ABC):
    """The vectors of a domain's items, to be searched by inner product. A subclass says how: :meth:`found`."""

    kind: ClassVar[str]
    """``exact`` or ``faiss``."""
    version: str
    """Of the run whose vectors these are (see :func:`version_of`)."""
    recall: float
    """Share of the exact 100 best that it finds, measured on a sample when it was made."""
    dim: int
    """Width of the vectors."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of items."""

    def search(
        self,
        query_QD: Floats,
        k: int,
        allowed_V: npt.NDArray[np.bool_] | None = None,
        *,
        version: str,
        left_out: LeftOut | None = None,
    ) -> tuple[Ints, Floats]:
        """Places and scores (Q, K) of the k best items, best first, ties by the lower place; -1 and -inf where fewer are.

        ``allowed_V``: the items that may be found. ``left_out``: what single queries may not have. Both hold inside the
        search: k items come back as long as there are so many.

        Raises:
            InputError: for queries of another version, of another width or that are no numbers, and for k below 1.
        """
        return self.found(asked(self, query_QD, k, allowed_V, version), k, allowed_V, left_out)

    @abstractmethod
    def found(
        self, query_QD: Floats, k: int, allowed_V: npt.NDArray[np.bool_] | None, left_out: LeftOut | None
    ) -> tuple[Ints, Floats]:
        """What :meth:`search` answers to queries that are known to be right."""

    @abstractmethod
    def write(self, folder: Path) -> dict[str, Any]:
        """Write the vectors into a folder; what must be known to read them again: ``file`` and more."""


class Exact(Index):
    """Every score is made, blocks of items at a time; ties are broken by the lower place."""

    kind = "exact"

    def __init__(self, item_VD: Floats, *, version: str) -> None:
        self.item_VD = torch.as_tensor(checked(item_VD, "item"))
        self.version, self.recall, self.dim = version, 1.0, int(self.item_VD.shape[1])

    def __len__(self) -> int:
        return len(self.item_VD)

    def found(
        self, query_QD: Floats, k: int, allowed_V: npt.NDArray[np.bool_] | None, left_out: LeftOut | None
    ) -> tuple[Ints, Floats]:
        queries = torch.as_tensor(query_QD)
        place_A = None if allowed_V is None or allowed_V.mean() > FEW else np.flatnonzero(allowed_V)
        item_AD = self.item_VD if place_A is None else self.item_VD[torch.as_tensor(place_A)]
        mask_A = None if allowed_V is None or place_A is not None else torch.as_tensor(~allowed_V)
        row_L, place_L = _inside(left_out, place_A)
        places, scores = [], []
        for a in range(0, len(queries), QUERIES):
            here = (row_L >= a) & (row_L < a + QUERIES)
            out = torch.as_tensor(row_L[here] - a), torch.as_tensor(place_L[here])
            place_QK, score_QK = _search(queries[a : a + QUERIES], item_AD, k, mask_A, out)
            found = place_QK.numpy()
            places.append(found if place_A is None else np.where(found < 0, -1, place_A[found] if len(place_A) else -1))
            scores.append(score_QK.numpy())
        none = np.empty((0, k))
        return np.concatenate([none.astype(np.int64), *places]), np.concatenate([none.astype(np.float32), *scores])

    def write(self, folder: Path) -> dict[str, Any]:
        np.save(folder / "vectors.npy", self.item_VD.numpy(), allow_pickle=False)
        return {"file": "vectors.npy"}


def make_index(item_VD: Floats, *, version: str, kind: str = "auto", sample_QD: Floats | None = None) -> Index:
    """An index of the vectors of a domain's items.

    Args:
        item_VD: the vectors.
        version: of the run that they come from.
        kind: ``exact``, ``faiss`` (approximate; the extra ``ann``), or ``auto``: exact below 10^6 items.
        sample_QD: queries such as will be asked, for the recall of an approximate index; None: some of the vectors.

    Raises:
        InputError: for an unknown kind, vectors that are none, or where faiss is not installed.
    """
    if kind not in KINDS:
        raise InputError(f"There is no index {kind!r}.{nearest(kind, KINDS)}")
    if kind == "exact" or (kind == "auto" and len(item_VD) < MANY):
        return Exact(item_VD, version=version)
    from crossrec.retrieve.approximate import Approximate  # noqa: PLC0415 - it imports this module

    return Approximate.build(item_VD, version=version, sample_QD=sample_QD)


def recall(index: Index, exact: Index, sample_QD: Floats, k: int) -> float:
    """Share of the k items that an exact search finds which an index finds as well, over a sample of queries.

    Raises InputError for two indexes of different versions.
    """
    found_QK, _ = index.search(sample_QD, k, version=exact.version)
    right_QK, _ = exact.search(sample_QD, k, version=exact.version)
    return agreement(found_QK, right_QK)


def agreement(found_QK: Ints, right_QK: Ints) -> float:
    """Share of the places in rows of right ones that the rows of found ones hold as well; -1 is none."""
    row_Q1 = np.arange(len(right_QK))[:, None] * (2 + max(found_QK.max(initial=0), right_QK.max(initial=0)))
    hit_L = np.isin((row_Q1 + found_QK)[found_QK >= 0], (row_Q1 + right_QK)[right_QK >= 0])
    return float(hit_L.sum() / max(1, (right_QK >= 0).sum()))


def version_of(recommender: Recommender) -> str:
    """Hash (16 hex digits) of the weights, the settings and the data of a run: vectors of one version fit each other."""
    settings = {key: recommender.recipe.get(key) for key in ("model", "settings", "target", "sources")}
    digest = hashlib.sha256(f"{recommender.data.hash}{json.dumps(settings, sort_keys=True, default=str)}".encode())
    for name, value in sorted(recommender.model.state_dict().items()):
        array = value.detach().cpu().contiguous()
        digest.update(f"{name}:{array.dtype}:{tuple(array.shape)};".encode())
        digest.update(array.numpy().tobytes() if array.ndim == 0 else array.numpy().data)
    return digest.hexdigest()[:16]


def asked(
    index: Index, query_QD: Floats, k: int, allowed_V: npt.NDArray[np.bool_] | None, version: str
) -> npt.NDArray[np.float32]:
    """The queries, once it is sure that they can be asked. Raises InputError where not."""
    if version != index.version:
        raise InputError(
            f"The query is of version {version}, the index of version {index.version}: products of the two mean nothing. "
            "Load model and index of one run, or make the index again."
        )
    if k < 1:
        raise InputError(f"k must be at least 1, not {k}.")
    if allowed_V is not None and (allowed_V.shape != (len(index),) or allowed_V.dtype != bool):
        raise InputError(f"What is allowed must be {len(index)} truth values, one per item of the index.")
    queries = checked(query_QD, "query")
    if queries.shape[1] != index.dim:
        raise InputError(f"Queries are {queries.shape[1]} numbers wide, the vectors of the index {index.dim}.")
    return queries


def checked(vectors: Floats, what: str) -> npt.NDArray[np.float32]:
    """Vectors as contiguous float32 (N, D). Raises InputError where they are none."""
    array = np.ascontiguousarray(vectors, dtype=np.float32)
    if array.ndim != 2 or not array.shape[1]:
        raise InputError(f"The {what} vectors must have two dimensions (number, width), not the shape {array.shape}.")
    if not np.isfinite(array).all():
        raise InputError(f"The {what} vectors hold what is no number: the run that they come from is broken.")
    return array


def _inside(left_out: LeftOut | None, place_A: Ints | None) -> tuple[Ints, Ints]:
    """The pairs that are left out, by the places that are searched."""
    if left_out is None:
        none = np.empty(0, dtype=np.int64)
        return none, none
    row_L, place_L = left_out
    if place_A is None:
        return row_L, place_L
    at_L = np.searchsorted(place_A, place_L)
    known_L = np.append(place_A, -1)[at_L] == place_L
    return row_L[known_L], at_L[known_L]


def _search(
    query_QD: torch.Tensor,
    item_AD: torch.Tensor,
    k: int,
    mask_A: torch.Tensor | None,
    out: tuple[torch.Tensor, torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k best of some queries, block after block of the items."""
    found = torch.empty((len(query_QD), 0), dtype=torch.int64), torch.empty((len(query_QD), 0))
    for b in range(0, len(item_AD), ITEMS):
        score_QB = query_QD @ item_AD[b : b + ITEMS].T
        if mask_A is not None:
            score_QB[:, mask_A[b : b + ITEMS]] = -torch.inf
        exclude(score_QB, out[0], out[1] - b)
        found = merged(*found, score_QB, b, k)
    place_QK, score_QK = found
    room = (0, k - place_QK.shape[1])
    return F.pad(place_QK.masked_fill(score_QK == -torch.inf, -1), room, value=-1), F.pad(
        score_QK, room, value=-torch.inf
    )
