"""The logs of all domains as packed arrays: what every later step reads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crossrec.data.scale import Scale
from crossrec.data.vocabulary import Catalogue, Ints, Vocabulary

if TYPE_CHECKING:
    from crossrec.data.columns import Columns
    from crossrec.data.filters import Filters

UNKNOWN_TIME = np.iinfo(np.int64).min
"""Stands in ``time_E`` for an event whose domain published no timestamps (its place in the order is known)."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Every user's interactions in all domains, merged in time order and packed (CSR); memory-mapped when loaded.

    Shapes: U users, E interactions in all domains. User u's history is ``item_E[offset_U1[u]:offset_U1[u + 1]]``.
    Windows and padding exist only inside a batch. Ties in time keep the published position, else file order.
    """

    users: Vocabulary
    items: Mapping[str, Vocabulary]
    """One vocabulary per domain, in the order of their id blocks."""
    offset_U1: Ints
    item_E: npt.NDArray[np.int32]
    """Global item ids (see :class:`~crossrec.data.vocabulary.Catalogue`)."""
    time_E: Ints | None = None
    """Unix seconds; ``UNKNOWN_TIME`` in a domain without timestamps; None where no domain has any."""
    rating_E: npt.NDArray[np.float32] | None = None
    """None where no domain has ratings; NaN in a domain without."""
    titles: Mapping[str, pa.Table] = field(default_factory=dict)
    """Per domain, one row per item in the order of its vocabulary: ``title``, ``category`` (either may be absent)."""
    card: Mapping[str, Any] = field(default_factory=dict)
    """How this data came to be: files, duplicate rows, what orders it, filters and what they dropped, notes."""
    folder: Path | None = None
    """The prepared folder it was loaded from."""

    @classmethod
    def from_folder(
        cls,
        folder: Path | str,
        *,
        domains: Sequence[str] | None = None,
        columns: Columns | None = None,
        duplicates: str = "keep",
        order: str = "time",
        rating_scale: Sequence[float] | None = None,
        filters: Filters | None = None,
    ) -> Dataset:
        """The dataset of a folder of logs: one file per domain, named after it (``items.*`` is none: it names items).

        Args:
            folder: Holds Parquet, CSV, TSV, JSON lines or RecBole ``.inter`` files, text also as .gz or .zst.
            domains: The domains to read, in the order of their id blocks; all, sorted by name, if None.
            columns: Names of the columns.
            duplicates: ``keep`` or ``drop`` exact repeats of (user, item, time); the card counts them either way.
            order: ``time`` (ties by position, then file order; by position where a domain has no time), or ``file``.
            rating_scale: Lowest and highest rating there may be; None: any finite number.
            filters: Applied to what was read.

        Raises:
            DataError: at whatever cannot be used; the message names file, row, column, what was found and the mend.
        """
        from crossrec.data.read import read_folder  # noqa: PLC0415 - reading builds a Dataset: it imports this module

        data = read_folder(folder, domains, columns, duplicates, order, _scale(rating_scale))
        return data if filters is None else filters.apply(data)

    @classmethod
    def from_frames(
        cls,
        frames: Mapping[str, Any],
        *,
        user: str = "user_id",
        item: str = "item_id",
        time: str | None = None,
        rating: str | None = None,
        position: str | None = None,
        items: Any | None = None,
        duplicates: str = "keep",
        order: str = "time",
        rating_scale: Sequence[float] | None = None,
        filters: Filters | None = None,
    ) -> Dataset:
        """The dataset of one frame (pandas, polars, Arrow, or a mapping of columns) per domain.

        Args:
            frames: Frame of every domain, in the order of their id blocks.
            user, item, time, rating, position: Names of the columns; None where there is none.
            items: A frame of own id, ``title`` and/or ``category``, and ``domain`` where an id may be in several.
            duplicates, order, rating_scale, filters: As in :meth:`from_folder`.
        """
        from crossrec.data.columns import Columns  # noqa: PLC0415 - as above
        from crossrec.data.read import read_frames  # noqa: PLC0415 - as above

        names = Columns(user, item, time, rating, position)
        data = read_frames(frames, names, items, duplicates, order, _scale(rating_scale))
        return data if filters is None else filters.apply(data)

    def save(self, folder: Path | str) -> Path:
        """Writes a prepared folder (beside its place, then renamed). See :func:`crossrec.data.prepared.save`."""
        from crossrec.data.prepared import save  # noqa: PLC0415 - as above

        return save(self, folder)

    @classmethod
    def load(cls, folder: Path | str, *, verify: bool = False) -> Dataset:
        """A prepared folder, memory-mapped. See :func:`crossrec.data.prepared.load`."""
        from crossrec.data.prepared import load  # noqa: PLC0415 - as above

        return load(folder, verify)

    @property
    def domains(self) -> tuple[str, ...]:
        return tuple(self.items)

    @property
    def num_users(self) -> int:
        return len(self.users)

    @property
    def num_interactions(self) -> int:
        return len(self.item_E)

    @cached_property
    def catalogue(self) -> Catalogue:
        return Catalogue({name: len(ids) for name, ids in self.items.items()}, len(self.users))

    @cached_property
    def hash(self) -> str:
        """Content hash (sha256, 16 hex digits): the same logs, filters and order give the same hash anywhere."""
        digest = hashlib.sha256()
        for name, ids in self.items.items():
            digest.update(f"{name}:{len(ids)};".encode())
            _add_text(digest, ids.text)
        _add_text(digest, self.users.text)
        for array in (self.offset_U1, self.item_E, self.time_E, self.rating_E):
            digest.update(b"-" if array is None else np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]

    def counts(self) -> dict[str, Ints]:
        """Interactions per user, per domain: each of shape (U,)."""
        domain_E = self.catalogue.domain_of(self.item_E)
        user_E = np.repeat(np.arange(self.num_users), np.diff(self.offset_U1))
        return {
            name: np.bincount(user_E[domain_E == d], minlength=self.num_users) for d, name in enumerate(self.domains)
        }


def _scale(ends: Sequence[float] | None) -> Scale | None:
    return None if ends is None else Scale.of(ends)


def _add_text(digest: Any, text: pa.Array) -> None:
    for at in range(0, len(text), 1 << 14):
        digest.update("\n".join(text.slice(at, 1 << 14).to_pylist()).encode())
        digest.update(b"\n")
