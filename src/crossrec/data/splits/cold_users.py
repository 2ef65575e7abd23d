"""Cold users: some users are held out wholly, and asked for one of their first events in the target domain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from crossrec.data.dataset import Dataset
from crossrec.data.splits.checks import check_shares, recorded
from crossrec.data.splits.parts import Events, Part, Split, everything, order_ties
from crossrec.data.vocabulary import Ints
from crossrec.errors import DataError


@dataclass(frozen=True)
class ColdUsers:
    """A share of the target domain's users is held out: nothing of theirs trains, in any domain.

    Each is asked for the target event number ``keep`` + 1, given all that comes before it: cold in the target, warm in the
    sources. One with too few target events, or no event of another domain strictly before the one asked for, is left out.
    Who is held out does not depend on ``keep``: figures for several of them are of the same users.
    """

    name: ClassVar[str] = "cold-users"
    target: str
    """The domain whose items are asked for."""
    valid: float = 0.1
    """Share of the target domain's users that validates."""
    test: float = 0.1
    """Share that tests."""
    keep: int = 0
    """Target events that are known of a held-out user."""
    seed: int = 0
    """Draws the users."""

    def __post_init__(self) -> None:
        check_shares(self.valid, self.test)
        if self.keep < 0:
            raise DataError(f"keep={self.keep!r}: give the number of target events that are known, 0 or more.")

    def apply(self, data: Dataset) -> Split:
        """Split the data. Raises DataError where nobody held out can be asked, or nobody is left to train on."""
        data.catalogue.block(self.target)
        events = order_ties(data, self.target, "strict")
        at_T = events.positions(self.target)
        edge_U1 = np.searchsorted(at_T, data.offset_U1)
        here = np.flatnonzero(np.diff(edge_U1))
        drawn = np.random.default_rng(self.seed).permutation(here)
        num_test, num_valid = round(self.test * len(here)), round(self.valid * len(here))
        held = {"valid": np.sort(drawn[num_test : num_test + num_valid]), "test": np.sort(drawn[:num_test])}
        if num_test + num_valid >= len(here):
            raise DataError(
                f"{self.target!r} has {len(here)} users: none is left to train on. Hold out smaller shares."
            )
        report: dict[str, Any] = {"users": data.num_users, "users_of_target": len(here)}
        valid, test = (self._ask(name, users, data, events, at_T, edge_U1, report) for name, users in held.items())
        is_held_U = np.zeros(data.num_users, dtype=bool)
        is_held_U[np.concatenate(list(held.values()))] = True
        train = everything(data, np.flatnonzero(~is_held_U & (np.diff(data.offset_U1) > 0)))
        spec = recorded(self)
        return Split(data, self.target, events, train, valid, test, spec, report=report)

    def _ask(
        self, name: str, users: Ints, data: Dataset, events: Events, at_T: Ints, edge_U1: Ints, report: dict[str, Any]
    ) -> Part:
        """The instances of some held-out users; those who cannot be asked are counted in the report."""
        enough = users[edge_U1[users + 1] - edge_U1[users] > self.keep]
        at = at_T[edge_U1[enough] + self.keep]
        warm = at - data.offset_U1[enough] > self.keep
        user, at = enough[warm], at[warm]
        report[name] = len(user)
        report[f"{name}_too_few_events"] = len(users) - len(enough)
        report[f"{name}_without_source"] = len(enough) - len(user)
        if not len(user):
            raise DataError(
                f"Of {len(users)} users held out for the {name} part, {len(users) - len(enough)} have not more than {self.keep} "
                f"events in {self.target!r} and {len(enough)} have no event of another domain before the one asked for: nobody "
                "is left. Hold out a larger share, take a smaller keep, or add a domain that shares users."
            )
        return Part(name, self.target, events, data, user, data.offset_U1[user], at, at, everything(data, user))
