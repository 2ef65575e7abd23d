"""What some uses need of a dataset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossrec.data.dataset import Dataset
from crossrec.errors import DataError


def require_domains(data: Dataset, least: int) -> None:
    """Raises a DataError where there are fewer domains."""
    if len(data.domains) < least:
        raise DataError(
            f"There is {_counted(len(data.domains))} here ({', '.join(data.domains)}) where at least {least} are "
            "needed. Give a folder with one log per domain, or something that needs no second one."
        )


def require_overlap(data: Dataset, domains: Sequence[str] | None = None) -> int:
    """The number of users that all these domains share (all domains if None).

    Raises:
        DataError: where it is zero; also where a domain does not exist.
    """
    names = tuple(domains or data.domains)
    for name in names:
        data.catalogue.block(name)
    counts = data.counts()
    shared = int(np.logical_and.reduce([counts[name] > 0 for name in names]).sum())
    if not shared:
        raise DataError(
            f"No user is in all of {', '.join(names)}. A user is known by their id: are the ids of these logs the same "
            "people's, written the same way? Mend the logs, or take something that needs no shared users."
        )
    return shared


def _counted(domains: int) -> str:
    return "one domain" if domains == 1 else f"{domains} domains"
