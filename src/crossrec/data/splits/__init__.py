"""Ways of holding events out; `apply` makes one again from its recorded settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crossrec.config import from_settings
from crossrec.data.dataset import Dataset
from crossrec.data.splits.cold_target import ColdTarget
from crossrec.data.splits.cold_users import ColdUsers
from crossrec.data.splits.global_time import GlobalTime
from crossrec.data.splits.last_merged import LastMerged
from crossrec.data.splits.leave_last_out import AuthorsLeaveLastOut, LeaveLastOut
from crossrec.data.splits.parts import Events, Held, Part, Rows, Split
from crossrec.data.splits.ratio import Ratio
from crossrec.data.splits.windows import Windows
from crossrec.errors import InputError, nearest

SPLITS: dict[str, type[Any]] = {
    split.name: split
    for split in (LeaveLastOut, LastMerged, AuthorsLeaveLastOut, Windows, Ratio, GlobalTime, ColdUsers, ColdTarget)
}
"""Every split by the name that the command line and ``run.json`` use."""


def find(name: str) -> type[Any]:
    """The split class of this name. Raises InputError for an unknown one."""
    if name not in SPLITS:
        raise InputError(f"There is no split {name!r}.{nearest(name, SPLITS)}")
    return SPLITS[name]


def apply(spec: Mapping[str, Any], data: Dataset) -> Split:
    """The split that ``spec`` (its name and settings, as in ``run.json``) makes of the data.

    Raises InputError for an unknown name or setting.
    """
    settings = dict(spec)
    name = settings.pop("split")
    split: Split = from_settings(find(name), settings).apply(data)
    return split


__all__ = [
    "SPLITS",
    "AuthorsLeaveLastOut",
    "ColdTarget",
    "ColdUsers",
    "Events",
    "GlobalTime",
    "Held",
    "LastMerged",
    "LeaveLastOut",
    "Part",
    "Ratio",
    "Rows",
    "Split",
    "Windows",
    "apply",
    "find",
]
