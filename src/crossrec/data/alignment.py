"""Are two users who are alike in one domain also alike in another? What methods that transfer such likeness rest on.

Source: specs of DIAGAE, 14.7 (its Figure 1 as numbers). U users, N of them sampled, P pairs, K categories, V items.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
from scipy import sparse

from crossrec.data.arrow import is_valid, to_numpy
from crossrec.data.dataset import Dataset
from crossrec.data.splits import Split
from crossrec.data.subset import user_of
from crossrec.data.vocabulary import Ints
from crossrec.errors import InputError, nearest

By = Literal["auto", "categories", "items", "vectors"]
"""How users are compared: by the cosine of their shares of categories, by the items they have in common as a share of the items
of either (Jaccard), or by the cosine of vectors; ``auto``: by categories where both domains have some, else by items."""
GATE = 0.05
"""Correlation below which there is nothing to rest on (specs of DIAGAE, 14.7)."""
USERS, PERMUTATIONS, BINS = 1000, 999, 10
FEWEST = 3
"""Shared users below whom there is nothing to correlate."""
COVERED, LARGEST = 0.5, 0.9
"""Least share of a domain's events whose items have a category, and most of these that the largest one has (ours)."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bin:
    """The pairs of users whose likeness in the first domain is between ``low`` and ``high``, both included."""

    low: float
    high: float
    pairs: int
    first: float
    """Their mean likeness in the first domain."""
    second: float
    """And in the second."""


@dataclass(frozen=True)
class Alignment:
    """What two domains say of the same pairs of users."""

    domains: tuple[str, str]
    by: str
    shared: int
    """Users with events in both."""
    users: int
    """Of them, those whose pairs were looked at."""
    pairs: int
    rho: float
    """Spearman's rank correlation over the pairs; 0 where one side has no spread."""
    p: float
    """Share of the permutations, of the users of one domain, with as high a correlation (the given order counts as one)."""
    permutations: int
    bins: tuple[Bin, ...]

    @property
    def supported(self) -> bool:
        """Whether likeness carries over far enough for a method to rest on it."""
        return self.rho >= GATE

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {**dataclasses.asdict(self), "supported": self.supported}


def alignment(
    data: Dataset,
    first: str,
    second: str,
    *,
    by: By = "auto",
    split: Split | None = None,
    vectors: Mapping[str, npt.NDArray[Any]] | None = None,
    users: int = USERS,
    permutations: int = PERMUTATIONS,
    bins: int = BINS,
    seed: int = 0,
) -> Alignment:
    """Correlate how alike users are in two domains, over all pairs of at most ``users`` of those who are in both.

    The pairs of one user are not independent, so the test permutes users, not pairs (Mantel's).

    Args:
        data: any dataset.
        first: the domain by whose likeness pairs are put into bins of about as many each.
        second: the domain whose likeness is shown for each bin.
        by: see ``By``.
        split: looks at its training events alone; None: at all events.
        vectors: for ``by="vectors"``, per domain a row for every user of the data, (U, D).
        users: how many users are sampled.
        permutations: how many are drawn.
        bins: at most as many.
        seed: draws users and permutations.

    Raises InputError for an unknown domain or way, and where too few users are shared or what it compares by is not there.
    """
    if by not in get_args(By):
        raise InputError(f"Users are not compared by {by!r}.{nearest(by, get_args(By))}")
    if min(users - FEWEST + 1, permutations, bins) < 1:
        raise InputError(f"Give {FEWEST} users or more, one permutation or more and one bin or more.")
    names = (first, second)
    events = {name: _events(data, name, split) for name in names}
    there = [np.bincount(user_N, minlength=data.num_users) > 0 for user_N, _ in events.values()]
    shared = np.flatnonzero(there[0] & there[1])
    if len(shared) < FEWEST:
        raise InputError(
            f"{first!r} and {second!r} share {len(shared)} users: too few to see whether likeness carries over."
        )
    rng, chosen = np.random.default_rng(seed), shared
    if len(shared) > users:
        chosen = np.sort(rng.choice(shared, users, replace=False))
    how = _chosen(data, events, by)
    if how == "vectors":
        likeness = [_cosine(np.asarray(_vectors(data, vectors, name)[chosen], np.float64)) for name in names]
    elif how == "categories":
        likeness = [_cosine(_categories(data, name, *events[name])[chosen].toarray()) for name in names]
    else:
        likeness = [jaccard(_items(data, *events[name])[chosen]) for name in names]
    place = np.triu_indices(len(chosen), 1)
    x_P, y_P = (each[place] for each in likeness)
    rho, p = _mantel(x_P, y_P, len(chosen), permutations, rng)
    found = tuple(_bins(x_P, y_P, bins))
    return Alignment(names, how, len(shared), len(chosen), len(x_P), rho, p, permutations, found)


def jaccard(rows_NV: sparse.csr_array) -> Floats:
    """Of every two of some rows of ones the places in common as a share of the places of either, (N, N)."""
    common_NN = (rows_NV @ rows_NV.T).toarray()
    count_N = np.diff(rows_NV.indptr)
    likeness_NN: Floats = common_NN / np.maximum(count_N[:, None] + count_N - common_NN, 1)
    return likeness_NN


def ranks(value_P: npt.NDArray[Any]) -> Floats:
    """Ranks, equal values at the middle of theirs."""
    _, place_P, count = np.unique(value_P, return_inverse=True, return_counts=True)
    middle: Floats = np.cumsum(count) - 0.5 * (count - 1)
    return middle[place_P]


def _events(data: Dataset, domain: str, split: Split | None) -> tuple[Ints, Ints]:
    """User and global item id of every event of a domain, or of those that train."""
    if split is not None:
        data.catalogue.block(domain)
        row_N, at_N = split.events.within(split.train, domain)
        return split.train.user_N[row_N], split.events.item_E[at_N].astype(np.int64)
    block = data.catalogue.block(domain)
    item_E = np.asarray(data.item_E)
    inside_E = (item_E >= block.start) & (item_E < block.stop)
    return user_of(data)[inside_E].astype(np.int64), item_E[inside_E].astype(np.int64)


def _chosen(data: Dataset, events: Mapping[str, tuple[Ints, Ints]], by: By) -> str:
    """What users are compared by."""
    if by in ("items", "vectors"):
        return by
    poor = [name for name, (_, item_N) in events.items() if not _told(data, name, item_N)]
    if poor and by == "categories":
        raise InputError(
            f"The items of {', '.join(map(repr, poor))} have no categories to tell users apart by: put a column 'category' into "
            "items.*, with several of them in each domain, or compare by items."
        )
    return "items" if poor else "categories"


def _told(data: Dataset, domain: str, item_N: Ints) -> bool:
    """Whether the events of a domain are mostly of items with a category, and not all but a few of the same one."""
    number_V = _category_V(data, domain)
    number_N = number_V[item_N - data.catalogue.block(domain).start]
    known_N = number_N[number_N >= 0]
    return len(known_N) >= COVERED * len(number_N) and bool(np.bincount(known_N).max() <= LARGEST * len(known_N))


def _category_V(data: Dataset, domain: str) -> Ints:
    """Number of every item's category, -1 for none: (V,)."""
    table, size = data.titles.get(domain), len(data.items[domain])
    if table is None or "category" not in table.column_names:
        return np.full(size, -1, dtype=np.int64)
    column = table["category"].combine_chunks().dictionary_encode().indices
    number_V = to_numpy(pc.fill_null(column, 0)).astype(np.int64)
    return np.where(is_valid(column), number_V, -1)


def _categories(data: Dataset, domain: str, user_N: Ints, item_N: Ints) -> sparse.csr_array:
    """Events of every user in every category, (U, K): repeated ones count, as a share of what somebody does."""
    number_V = _category_V(data, domain)
    number_N = number_V[item_N - data.catalogue.block(domain).start]
    user_N, number_N = user_N[number_N >= 0], number_N[number_N >= 0]
    shape = (data.num_users, int(number_V.max()) + 1)
    return sparse.csr_array((np.ones(len(user_N)), (user_N, number_N)), shape=shape)


def _items(data: Dataset, user_N: Ints, item_N: Ints) -> sparse.csr_array:
    """Who has which item, (U, V), each once."""
    matrix = sparse.csr_array((np.ones(len(user_N)), (user_N, item_N)), shape=(data.num_users, data.catalogue.num_ids))
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def _vectors(data: Dataset, vectors: Mapping[str, npt.NDArray[Any]] | None, domain: str) -> npt.NDArray[Any]:
    found = (vectors or {}).get(domain)
    if found is None or found.ndim != 2 or len(found) != data.num_users:
        raise InputError(f"by='vectors' needs a vector of every user in {domain!r}: {data.num_users:,} rows.")
    return found


def _cosine(rows_NK: npt.NDArray[Any]) -> Floats:
    """Cosine of every two rows, (N, N); 0 with a row of zeros."""
    length_N1 = np.linalg.norm(rows_NK, axis=1, keepdims=True)
    unit_NK = rows_NK / np.where(length_N1 > 0, length_N1, 1.0)
    likeness_NN: Floats = np.round(unit_NK @ unit_NK.T, 12)
    return likeness_NN


def _mantel(x_P: Floats, y_P: Floats, size: int, permutations: int, rng: np.random.Generator) -> tuple[float, float]:
    """Spearman's correlation of the pairs of ``size`` users, and the share of permutations with as high a one."""
    x_P, y_P = ranks(x_P), ranks(y_P)
    x_P, y_P = x_P - x_P.mean(), y_P - y_P.mean()
    spread = float(np.sqrt((x_P**2).sum() * (y_P**2).sum()))
    if not spread:
        return 0.0, 1.0
    place = np.triu_indices(size, 1)
    y_NN = np.zeros((size, size), dtype=np.float32)
    y_NN[place] = y_P / np.sqrt((y_P**2).sum())
    y_NN += y_NN.T
    x_NN = np.zeros_like(y_NN)
    x_NN[place] = x_P / np.sqrt((x_P**2).sum())
    rho = float((x_P * y_P).sum() / spread)
    shuffled = (rng.permutation(size) for _ in range(permutations))
    above = sum(float(np.vdot(x_NN, y_NN[order][:, order])) >= rho - 1e-6 for order in shuffled)
    return rho, (1 + above) / (1 + permutations)


def _bins(x_P: Floats, y_P: Floats, count: int) -> list[Bin]:
    """By quantiles of the likeness in the first domain; equal values stay together, so there may be fewer bins.

    Where more pairs than a bin's share have the least likeness (mostly nothing in common), these are a bin, and the others are
    put into the rest.
    """
    low = x_P.min()
    rest_P = x_P[x_P > low]
    alone = count > 1 and len(rest_P) > 0 and (len(x_P) - len(rest_P)) * count > len(x_P)
    many = count - 1 if alone else count
    high = np.quantile(rest_P if alone else x_P, np.arange(1, many + 1) / many, method="inverted_cdf")
    edges = np.unique(np.concatenate([[low], high]) if alone else high)
    number_P = np.searchsorted(edges, x_P, side="left")
    found = []
    for number in range(len(edges)):
        inside_P = number_P == number
        own, other = x_P[inside_P], y_P[inside_P]
        found.append(Bin(float(own.min()), float(own.max()), len(own), float(own.mean()), float(other.mean())))
    return found
