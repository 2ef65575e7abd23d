"""What splits ask of their settings and of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from crossrec.config import fields, from_settings
from crossrec.data.dataset import UNKNOWN_TIME, Dataset
from crossrec.data.subset import user_of
from crossrec.errors import DataError

WHERE_SET = ("also", "known")
"""Settings that are recorded only where they are set: without them a split has the hash that it had before they existed."""


def recorded(split: Any) -> dict[str, Any]:
    """Name and settings of a split as a run records them: equal settings have one spelling (730 is 730.0)."""
    settings, defaults = asdict(from_settings(type(split), asdict(split))), fields(type(split))
    said = {key: value for key, value in settings.items() if key not in WHERE_SET or value != defaults[key]}
    return {"split": split.name} | {k: list(value) if isinstance(value, tuple) else value for k, value in said.items()}


def targets_of(data: Dataset, target: str, also: Sequence[str]) -> tuple[str, ...]:
    """The target and the further ones. Raises DataError for an unknown domain, and for one that is named twice."""
    if isinstance(also, str):
        raise DataError(f"also={also!r} is one name: give a list of domains, [{also}].")
    names = (target, *also)
    for place, name in enumerate(names):
        data.catalogue.block(name)
        if name in names[:place]:
            raise DataError(f"{name!r} is a target already: also names further ones, each once.")
    return names


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
