"""The candidates of a sampled protocol: drawn once per (data, split, seed), hashed, shared by all models."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from crossrec.data.splits import Part
from crossrec.data.splits.parts import Rows
from crossrec.data.vocabulary import Ints
from crossrec.errors import InputError


def draw(part: Part, count: int, generator: np.random.Generator) -> Ints:
    """``count`` distinct negatives for every instance of a part: global ids, (N, count).

    Uniform over the target domain's items without those of ``part.seen`` (all that the user has there, the held-out
    items included; under an authors' protocol the input alone).
    """
    block = part.events.catalogue.block(part.target)
    seen_S = seen_keys(part)
    largest = int(np.bincount(seen_S // part.events.catalogue.num_ids, minlength=1).max()) if len(seen_S) else 0
    if len(block) - largest < count:
        raise InputError(
            f"{part.target!r} has {len(block)} items and a user with {largest} of them: {count} negatives cannot be "
            f"drawn. Ask for at most sampled:{len(block) - largest}, or for the protocol 'full'."
        )
    ids_NC = np.empty((len(part), count), dtype=np.int64)
    missing = np.arange(len(part))
    width = 2 * count
    while len(missing):
        drawn = generator.integers(block.start, block.stop, (len(missing), width))
        valid = ~_repeated(drawn) & ~_contains(seen_S, missing, drawn, part.events.catalogue.num_ids)
        place = np.cumsum(valid, axis=1)
        full = place[:, -1] >= count
        chosen = valid & (place <= count)
        ids_NC[missing[full]] = drawn[full][chosen[full]].reshape(-1, count)
        missing = missing[~full]
        width *= 2
    return ids_NC


def digest(ids_NC: Ints) -> str:
    """Hash (16 hex digits) of drawn candidates."""
    return hashlib.sha256(np.ascontiguousarray(ids_NC).tobytes()).hexdigest()[:16]


def seen_keys(part: Part) -> Ints:
    """Sorted keys instance * num_ids + item of what may not be drawn."""
    return _keys(part, part.seen)


def known_keys(part: Part) -> Ints:
    """Sorted keys instance * num_ids + item of what the input of every instance holds, the held-out item itself left out."""
    own_N = np.arange(len(part)) * part.events.catalogue.num_ids + part.item_N
    return np.setdiff1d(_keys(part, Rows(part.user_N, part.start_N, part.stop_N)), own_N, assume_unique=True)


def _keys(part: Part, rows: Rows) -> Ints:
    """Sorted keys instance * num_ids + item of the target's items in these rows, one per instance."""
    row_Q, at_Q = part.events.within(rows, part.target)
    return np.unique(row_Q * part.events.catalogue.num_ids + part.events.item_E[at_Q])


def _contains(key_S: Ints, row_M: Ints, ids_MW: Ints, num_ids: int) -> npt.NDArray[np.bool_]:
    if not len(key_S):
        return np.zeros(ids_MW.shape, dtype=bool)
    key = row_M[:, None] * num_ids + ids_MW
    place = np.minimum(np.searchsorted(key_S, key), len(key_S) - 1)
    return np.asarray(key_S[place] == key)


def _repeated(ids_MW: Ints) -> npt.NDArray[np.bool_]:
    """True where the id stands earlier in the same row."""
    order = np.argsort(ids_MW, axis=1, kind="stable")
    ordered = np.take_along_axis(ids_MW, order, axis=1)
    again = np.zeros(ids_MW.shape, dtype=bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    repeated = np.empty_like(again)
    np.put_along_axis(repeated, order, again, axis=1)
    return repeated
