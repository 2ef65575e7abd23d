"""What to leave out of the logs before anything is learned from them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from crossrec.data.dataset import Dataset
from crossrec.data.subset import subset
from crossrec.data.survivors import Passing, Survivors
from crossrec.errors import InputError


@dataclass(frozen=True)
class Filters:
    """Filters, applied in the order in which they stand here; one at its default does nothing.

    With ``core="fixed-point"`` all from ``overlap_only`` on, which can undo each other's work, are repeated until
    nothing changes. A user or an item that no interaction is left of is gone.
    """

    since: int | str | None = None
    """Interactions from this moment on: unix seconds, or an ISO date (UTC where it names no zone)."""
    until: int | str | None = None
    """Interactions before this moment."""
    binarise: float | None = None
    """Interactions rated at least so, then without their ratings. Those of a domain that has no ratings stay."""
    earliest_of_repeats: bool = False
    """Of a repeated (user, item) the earliest alone."""
    overlap_only: bool | int = False
    """Users of every domain; with a number, users of at least so many domains."""
    min_per_domain: int = 0
    """Users with at least so many interactions in every domain (in so many domains as ``overlap_only`` says)."""
    user_core: int = 0
    """Users with at least so many interactions."""
    user_count: str = "per_domain"
    """How ``user_core`` counts: ``per_domain`` (a user leaves the domains where they have fewer) or ``total``."""
    item_core: int = 0
    """Items with at least so many interactions."""
    core: str = "fixed-point"
    """``fixed-point``, or ``one-pass``: both cores count once, and on the same interactions."""

    def __post_init__(self) -> None:
        for name, known in (("user_count", ("per_domain", "total")), ("core", ("fixed-point", "one-pass"))):
            if getattr(self, name) not in known:
                raise InputError(f"{name}: found {getattr(self, name)!r}. Give {known[0]!r} or {known[1]!r}.")
        for name in ("overlap_only", "min_per_domain", "user_core", "item_core"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}: found {getattr(self, name)!r}. Give a number from 0 on.")
        since, until = _moment("since", self.since), _moment("until", self.until)
        if since is not None and until is not None and since >= until:
            raise InputError(f"since {self.since!r} is not before until {self.until!r}: nothing could pass.")

    def apply(self, data: Dataset) -> Dataset:
        """The dataset of what passes. Its card gains the filters set and what each in turn dropped per domain.

        Raises:
            DataError: if nothing is left of a domain, or a filter needs times or ratings that are not there.
        """
        left = self.run(data)
        entry = {"set": self.chosen(), "dropped": left.report}
        card = {**data.card, "filters": [*data.card.get("filters", []), entry]}
        return subset(data, left.row_S, card, ratings=self.binarise is None)

    def chosen(self) -> dict[str, Any]:
        """The filters that differ from their defaults."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {field.name: values[field.name] for field in fields(self) if values[field.name] != field.default}

    def run(self, data: Dataset) -> Survivors:
        """The interactions that pass, and what every filter dropped; it changes nothing.

        Raises:
            InputError: if ``overlap_only`` asks for more domains than there are.
            DataError: if a filter needs times or ratings that are not there.
        """
        left = Survivors(data)
        if (since := _moment("since", self.since)) is not None:
            left.drop([("since", left.times("since") >= since)])
        if (until := _moment("until", self.until)) is not None:
            left.drop([("until", left.times("until") < until)])
        if self.binarise is not None:
            left.drop([("binarise", left.rated(self.binarise))])
        if self.earliest_of_repeats:
            left.drop([("earliest_of_repeats", left.first())])
        while True:
            before = len(left)
            if self.overlap_only is not False or self.min_per_domain:
                left.drop([self._spread(left)])
            left.drop(self._cores(left))
            if self.core == "one-pass" or len(left) == before:
                return left

    def _spread(self, left: Survivors) -> tuple[str, Passing]:
        every = len(left.data.domains)
        needed = every if isinstance(self.overlap_only, bool) else self.overlap_only
        if needed > every:
            raise InputError(f"overlap_only: found {needed}, but there are {every} domains. Give at most {every}.")
        enough = (left.per_user() >= max(self.min_per_domain, 1)).sum(0) >= needed
        return "min_per_domain" if self.min_per_domain > 1 else "overlap_only", left.of_users(enough)

    def _cores(self, left: Survivors) -> list[tuple[str, Passing]]:
        rules = []
        if self.user_core > 0:
            counts = left.per_user() if self.user_count == "per_domain" else left.per_user().sum(0)
            rules.append(("user_core", left.of_users(counts >= self.user_core)))
        if self.item_core > 0:
            rules.append(("item_core", left.of_items(self.item_core)))
        return rules


def _moment(name: str, moment: int | str | None) -> int | None:
    """Unix seconds of a moment given as such or as an ISO date."""
    if moment is None or isinstance(moment, int):
        return moment
    try:
        date = datetime.fromisoformat(moment)
    except (ValueError, TypeError) as error:
        raise InputError(f"{name}: found {moment!r}. Give unix seconds or an ISO date (2014-07-23).") from error
    return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
