"""From the rows of the logs to packed histories in time order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crossrec.data.log import Log
from crossrec.data.sorting import Array, by_user, later_repeats, local_users, sort_order, user_chunks
from crossrec.data.vocabulary import Ints
from crossrec.errors import DataError, InputError

_KEYS = {"time": ("time", "nanosecond", "position"), "position": ("position",), "file": ()}
"""The columns that order a user's history."""


def ordering(log: Log, order: str) -> str:
    """What orders the histories over all domains: ``time``, ``position`` or ``file``.

    Raises:
        DataError: where several domains share neither time nor position, unless the order of the files is asked for.
    """
    if order not in ("time", "file"):
        raise InputError(f"There is no order {order!r}. Give 'time' or 'file'.")
    if order == "file":
        return "file"
    for role in ("time", "position"):
        if all(role in roles for roles in log.roles.values()):
            return role
    if len(log.roles) == 1:
        return "file"
    timeless = [domain for domain, roles in log.roles.items() if "time" not in roles]
    raise DataError(
        f"{', '.join(timeless)}: no time, and not every domain has a position, so a user's interactions cannot be brought "
        "into one order over the domains. Name the time column (time=..., or --time-column), give every domain a position "
        "(one numbering per user over all domains), or accept the domains one after another (order='file', or --order file)."
    )


class Packed(NamedTuple):
    """Columns packed by user and ordered within (U users, E interactions, D domains)."""

    offset_U1: Ints
    item_E: npt.NDArray[np.int32]
    """Global item ids."""
    time_E: Ints | None
    rating_E: npt.NDArray[np.float32] | None
    repeats_D: Ints
    """Interactions that equal an earlier one in user, item and time: dropped, or merely counted."""


def pack(log: Log, order: str, drop_duplicates: bool) -> Packed:
    """Packs a log, which is used up.

    Args:
        log: All rows of all domains.
        order: ``time``, ``position`` or ``file`` (see :func:`ordering`).
        drop_duplicates: Whether exact repeats of (user, item, time) go, all but the first.
    """
    offset_U1, row_E = _packed_by_user(log)
    times = {name: log.take(name) for name in ("time", "nanosecond", "position") if name in log}
    _order(row_E, offset_U1, [times[name] for name in _KEYS[order] if name in times])
    times.pop("position", None)
    starts_D1 = np.cumsum([1, *(len(coder) for coder in log.items.values())])
    item_E = _global_items(log, starts_D1)[row_E]
    repeat_E = _repeats(row_E, offset_U1, item_E, list(times.values()))
    times.pop("nanosecond", None)
    domain_of_repeats = np.searchsorted(starts_D1, item_E[repeat_E], side="right") - 1
    if drop_duplicates and repeat_E.any():
        row_E, item_E = row_E[~repeat_E], item_E[~repeat_E]
        offset_U1 = np.concatenate([[0], np.cumsum(~repeat_E)])[offset_U1]
    return Packed(
        offset_U1,
        item_E,
        times.pop("time")[row_E] if times else None,
        log.take("rating")[row_E] if "rating" in log else None,
        np.bincount(domain_of_repeats, minlength=len(log.items)),
    )


def _packed_by_user(log: Log) -> tuple[Ints, Array]:
    """(offsets of the users, rows in the order of their users)."""
    user_E = log.take("user")
    offset_U1 = np.zeros(len(log.users) + 1, np.int64)
    np.cumsum(np.bincount(user_E, minlength=len(log.users)), out=offset_U1[1:])
    return offset_U1, by_user(user_E, len(log.users))


def _global_items(log: Log, starts_D1: Ints) -> npt.NDArray[np.int32]:
    """Item codes of every domain moved into its block of the one id space."""
    item_E = log.take("item")
    first = 0
    for start, end in zip(starts_D1, log.ends.values(), strict=False):
        item_E[first:end] += np.int32(start)
        first = end
    return item_E


def _order(row_E: Array, offset_U1: Ints, keys: list[Array]) -> None:
    """Orders the rows within every user, in place."""
    if not keys:
        return
    for users, rows in user_chunks(offset_U1):
        at = row_E[rows]
        row_E[rows] = at[sort_order([local_users(offset_U1, users), *(key[at] for key in keys)])]


def _repeats(row_E: Array, offset_U1: Ints, item_E: Array, times: list[Array]) -> npt.NDArray[np.bool_]:
    """True at every interaction that an earlier one of the same user equals in item and time."""
    repeat_E = np.zeros(len(row_E), bool)
    for users, rows in user_chunks(offset_U1):
        at = row_E[rows]
        repeat_E[rows] = later_repeats([local_users(offset_U1, users), item_E[rows]], [time[at] for time in times])
    return repeat_E
