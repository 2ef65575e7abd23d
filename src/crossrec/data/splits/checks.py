"""What splits ask of their settings and of the data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from crossrec.config import from_settings
from crossrec.data.dataset import UNKNOWN_TIME, Dataset
from crossrec.data.subset import user_of
from crossrec.errors import DataError


def recorded(split: Any) -> dict[str, Any]:
    """Name and settings of a split as a run records them: equal settings have one spelling (730 is 730.0)."""
    return {"split": split.name, **asdict(from_settings(type(split), asdict(split)))}


def check_shares(valid: float, test: float) -> None:
    """Raise DataError unless both are shares and something is left to train on."""
    if not (0 < valid < 1 and 0 < test < 1 and valid + test < 1):
        raise DataError(
            f"valid={valid!r} and test={test!r} must be shares above 0 that leave something to train on (their sum below 1)."
        )


def check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise DataError unless the setting has one of the known values."""
    if value not in known:
        raise DataError(f"{name} must be {' or '.join(map(repr, known))}, not {value!r}.")


def known_times(data: Dataset, split: str) -> npt.NDArray[np.int64]:
    """The time of every event, (E,). Raises DataError unless all are known and every user's events are in time order."""
    untimed: tuple[str, ...] = data.domains
    if data.time_E is not None:
        time_E = np.asarray(data.time_E)
        unknown_E = time_E == UNKNOWN_TIME
        if not unknown_E.any():
            user_E = user_of(data)
            if ((time_E[1:] < time_E[:-1]) & (user_E[1:] == user_E[:-1])).any():
                raise DataError(
                    f"The split {split!r} needs events in time order; these are in another: read with order='time'."
                )
            return time_E
        domain_E = data.catalogue.domain_of(data.item_E[unknown_E])
        untimed = tuple(data.domains[d] for d in np.unique(domain_E))
    raise DataError(
        f"The split {split!r} needs the time of every event and {', '.join(map(repr, untimed))} has none. "
        "Name the column of the timestamps, or take the split 'leave-last-out'."
    )
