"""Own ids (of the logs) to indices and back; and the one id space of all domains' items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crossrec.data.arrow import from_numpy, text_array, to_numpy
from crossrec.errors import DataError, InputError, nearest

Ints = npt.NDArray[np.int64]
FEW = 1000
"""Ids that are looked up one by one where that was asked before; more are looked up together."""


class Vocabulary:
    """The distinct ids of one kind, in the order of their indices.

    Ids are kept as text; ``kind`` remembers the Arrow type they had in the log, so that they leave as they came.
    """

    def __init__(self, ids: pa.Array, kind: str = "string") -> None:
        if isinstance(ids, pa.ChunkedArray):
            ids = ids.combine_chunks()
        self.text: pa.Array = ids if pa.types.is_large_string(ids.type) else ids.cast(pa.large_string())
        self.kind = kind
        self._asked_few = False

    def __len__(self) -> int:
        return len(self.text)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} ids)"

    def index(self, ids: object) -> Ints:
        """Index of every id; -1 where it is unknown. Takes any sequence or Arrow array of ids, text or numbers."""
        if isinstance(ids, list | tuple) and len(ids) <= FEW:
            if self._asked_few:
                return np.array([self._places.get(str(i), -1) for i in ids], dtype=np.int64)
            self._asked_few = True
        array = ids if isinstance(ids, pa.Array | pa.ChunkedArray) else text_array([str(i) for i in _listed(ids)])
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        index = to_numpy(pc.index_in(array.cast(pa.large_string()), value_set=self.text).cast(pa.float64()))
        return np.where(np.isnan(index), -1, index).astype(np.int64)

    @cached_property
    def _places(self) -> dict[str, int]:
        """Index of every id: worth its memory only to somebody who asks for few ids again and again."""
        return {text: place for place, text in enumerate(self.text.to_pylist())}

    def ids(self, index: npt.ArrayLike) -> pa.Array:
        """The ids at these indices, in the type that the log had."""
        taken = self.text.take(from_numpy(np.asarray(index, dtype=np.int64)))
        return taken if self.kind in ("string", "large_string") else taken.cast(self.kind)

    def extended(self, others: Vocabulary) -> Vocabulary:
        """These ids at their places, and behind them those of ``others`` that are not among them, in their order.

        The kind stays where the new ids fit it; else all are text.
        """
        fresh = others.text.filter(pc.invert(pc.is_in(others.text, value_set=self.text)))
        kind = self.kind
        try:
            fresh.cast(kind)
        except pa.ArrowInvalid:
            kind = "string"
        return Vocabulary(pa.concat_arrays([self.text, fresh]), kind)


def _listed(ids: object) -> Iterable[object]:
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        return [ids]
    return ids


@dataclass(frozen=True)
class Catalogue:
    """How many items each domain has, and which ids they take: 0 is padding, each domain owns a contiguous block.

    This is all that a model knows of the data when its parameters are made.
    """

    sizes: Mapping[str, int]
    """Items per domain, in the order of their blocks."""
    num_users: int

    @property
    def domains(self) -> tuple[str, ...]:
        return tuple(self.sizes)

    @property
    def num_ids(self) -> int:
        """Length of the id space: every item of every domain, and the padding."""
        return 1 + sum(self.sizes.values())

    @cached_property
    def starts(self) -> Ints:
        """First id of every domain, and the end of the last: shape (domains + 1,)."""
        return np.cumsum([1, *self.sizes.values()])

    def block(self, domain: str) -> range:
        """The ids that a domain owns."""
        if domain not in self.sizes:
            raise DataError(f"There is no domain {domain!r} here.{nearest(domain, self.domains)}")
        at = self.domains.index(domain)
        return range(int(self.starts[at]), int(self.starts[at + 1]))

    def moved_to(self, larger: Catalogue) -> Ints:
        """The id that each id of this catalogue has in one whose blocks have grown at their ends: (ids,).

        Raises InputError where the other one does not have these domains in this order, or is smaller.
        """
        fits = self.domains == larger.domains and all(self.sizes[name] <= larger.sizes[name] for name in self.domains)
        if not fits or self.num_users > larger.num_users:
            raise InputError(f"A catalogue of {dict(self.sizes)} cannot have grown to {dict(larger.sizes)}.")
        shift_D = larger.starts[:-1] - self.starts[:-1]
        id_V = np.arange(self.num_ids)
        id_V[1:] += np.repeat(shift_D, list(self.sizes.values()))
        return id_V

    def domain_of(self, ids: npt.ArrayLike) -> Ints:
        """Number of the domain of every id; -1 for padding."""
        return np.asarray(np.searchsorted(self.starts, ids, side="right") - 1, dtype=np.int64)
