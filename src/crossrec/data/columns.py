"""Which column of a log says what."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from crossrec.errors import DataError, InputError


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a log. ``user`` and ``item`` must be there; None says that a column is not to be read.

    A domain may lack any of the other three. A name that was chosen (differs from the default) must be in some domain.
    """

    user: str = "user_id"
    item: str = "item_id"
    time: str | None = "timestamp"
    """Unix seconds (milliseconds, micro- and nanoseconds are recognised), ISO dates or Arrow timestamps."""
    rating: str | None = "rating"
    position: str | None = "position"
    """Order as published: breaks ties in time, and orders by itself where a domain has no time."""

    def __post_init__(self) -> None:
        names = [name for name in self.roles().values() if name is not None]
        if any(not isinstance(name, str) or not name for name in names):
            raise InputError(f"Column names are text, and not empty; found {names}.")
        if len(set(names)) < len(names):
            raise InputError(f"One column cannot serve two ends: {', '.join(names)}. Name a different column for each.")

    def roles(self) -> dict[str, str | None]:
        """Column name of every role (user, item, time, rating, position)."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def chosen(self) -> dict[str, str]:
        """The roles whose name is not the default: somebody asked for these."""
        default = {field.name: field.default for field in fields(self)}
        return {role: name for role, name in self.roles().items() if name is not None and name != default[role]}

    def present(self, names: Sequence[str], where: str) -> dict[str, str]:
        """The roles that a log with these column names can fill.

        Raises:
            DataError: if the user or the item column is missing, or a wanted one is there twice.
        """
        for role in ("user", "item"):
            wanted = self.roles()[role]
            if wanted not in names:
                raise DataError(
                    f"{where}: there is no column {wanted!r} for the {role} ids. "
                    f"Columns found: {_listed(names)}.{_meant(str(wanted), names)} "
                    f"Name the one that holds them ({role}=..., or --{role}-column); "
                    "the first line of a text file holds the column names."
                )
        found = {role: name for role, name in self.roles().items() if name is not None and name in names}
        for role, name in found.items():
            if list(names).count(name) > 1:
                raise DataError(
                    f"{where}: column {name!r} ({role}) is there more than once. Rename or remove all but one."
                )
        return found

    def check_chosen(self, found: Mapping[str, Mapping[str, str]], columns: Mapping[str, Sequence[str]]) -> None:
        """A chosen name has to be in at least one domain.

        Args:
            found: Roles filled, per domain.
            columns: Column names, per domain.
        """
        for role, name in self.chosen().items():
            if not any(role in roles for roles in found.values()):
                everything = sorted({column for names in columns.values() for column in names})
                raise DataError(
                    f"No domain ({', '.join(found)}) has the {role} column {name!r}. "
                    f"Columns found: {_listed(everything)}.{_meant(name, everything)}"
                )


def _meant(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def _listed(names: Sequence[str], most: int = 20) -> str:
    shown = ", ".join(name if len(name) <= 40 else f"{name[:40]}…" for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown or "none"
