"""Cold in the target: of users shared with a source some lose all that they did in the target; their sources train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from crossrec.data.dataset import Dataset
from crossrec.data.splits.checks import check_shares, recorded
from crossrec.data.splits.parts import Part, Rows, Split, everything, order_ties
from crossrec.data.subset import user_of
from crossrec.data.vocabulary import Ints
from crossrec.errors import DataError

TRAIN, HELD = 0, 1


@dataclass(frozen=True)
class ColdTarget:
    """A share of the users of the target and another domain is held out: every target event of theirs is asked for.

    All else trains, the held-out users' events in other domains among it, whenever they were; these are what is known of
    them. For ratings and clicks. Source: PTUPCDR's cold start with its share beta (specs of DIAGAE, 13.4), which is
    ``test`` here.
    """

    name: ClassVar[str] = "cold-target"
    target: str
    """The domain whose items are asked for."""
    valid: float = 0.1
    """Share of the shared users that validates."""
    test: float = 0.2
    """Share that tests (PTUPCDR: 0.2, 0.5 and 0.8)."""
    seed: int = 0
    """Draws the users."""

    def __post_init__(self) -> None:
        check_shares(self.valid, self.test)

    def apply(self, data: Dataset) -> Split:
        """Split the data. Raises DataError where too few users are shared to hold any out."""
        data.catalogue.block(self.target)
        ordered = order_ties(data, self.target, "strict")
        user_E = user_of(data).astype(np.int64)
        is_target_E = ordered.domain_E == data.domains.index(self.target)
        count_U = np.bincount(user_E[is_target_E], minlength=data.num_users)
        shared = np.flatnonzero((count_U > 0) & (np.diff(data.offset_U1) > count_U))
        drawn = np.random.default_rng(self.seed).permutation(shared)
        num_test, num_valid = round(self.test * len(shared)), round(self.valid * len(shared))
        if not num_test or not num_valid:
            raise DataError(
                f"{len(shared)} users are in {self.target!r} and another domain: too few to hold out {self.valid:g} and "
                f"{self.test:g} of them. Check that the logs write user ids the same way, or hold out larger shares."
            )
        held = np.sort(drawn[: num_test + num_valid])
        if is_target_E.sum() == count_U[held].sum():
            raise DataError(f"No event of {self.target!r} is left to train on: hold out smaller shares.")
        part_E = (is_target_E & np.isin(user_E, held)).astype(np.int64)
        order = np.argsort(2 * user_E + part_E, kind="stable")
        events, part_E = ordered.take(order), part_E[order]
        start_U = data.offset_U1[:-1]
        stop_U = start_U + np.bincount(user_E[part_E == TRAIN], minlength=data.num_users)

        def part(name: str, users: Ints) -> Part:
            at = np.flatnonzero((part_E == HELD) & np.isin(user_E, users))
            user = user_E[at]
            return Part(name, self.target, events, data, user, start_U[user], stop_U[user], at, everything(data, user))

        valid, test = part("valid", drawn[num_test : num_test + num_valid]), part("test", drawn[:num_test])
        users = np.flatnonzero(stop_U > start_U)
        report = {
            "users": data.num_users,
            "shared": len(shared),
            "held_out": len(held),
            "valid": len(valid),
            "test": len(test),
        }
        train = Rows(users, start_U[users], stop_U[users])
        return Split(data, self.target, events, train, valid, test, recorded(self), report=report)
