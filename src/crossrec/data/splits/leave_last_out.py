"""Leave-last-out: a user's last event of the target domain is the test, the one before it the validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from crossrec.data.dataset import Dataset
from crossrec.data.splits.checks import recorded
from crossrec.data.splits.parts import Events, Part, Rows, Split, everything, order_ties
from crossrec.data.vocabulary import Ints
from crossrec.errors import DataError


@dataclass(frozen=True)
class LeaveLastOut:
    """Test = the last event of the target domain, validation = the second to last, training = what lies before both.

    The input of a held-out event is every event of the user, in any domain, that comes before it; so the source events
    between the validation and the test event are known when the test is asked, and at no time before.
    """

    name: ClassVar[str] = "leave-last-out"
    target: str
    """The domain whose items are asked for."""
    min_history: int = 1
    """Events of the target domain that must be left for training; a user with fewer only trains."""
    ties: str = "strict"
    """``strict``: source events of the held-out event's own time are not known yet. ``order``: the published order holds."""

    def apply(self, data: Dataset) -> Split:
        """Split the data. Raises DataError where no user of the target domain is left to test."""
        data.catalogue.block(self.target)
        events = order_ties(data, self.target, self.ties)
        start_U, stop_U = data.offset_U1[:-1], data.offset_U1[1:]
        count_U, valid_U, test_U = last_two(events, self.target, data.offset_U1)
        held = np.flatnonzero(count_U >= self.min_history + 2)
        if not len(held):
            raise DataError(
                f"No user has {self.min_history + 2} events in {self.target!r}, so there is nobody to test. "
                f"The longest history there has {count_U.max(initial=0)}; take another target or a smaller min_history."
            )
        train_stop_U = np.array(stop_U)
        train_stop_U[held] = valid_U[held]
        users = np.flatnonzero(train_stop_U > start_U)
        known = everything(data, held)
        parts = [
            Part(name, self.target, events, data, held, start_U[held], at_U[held], at_U[held], known)
            for name, at_U in (("valid", valid_U), ("test", test_U))
        ]
        report = {"users": data.num_users, "held_out": len(held), "only_train": int((count_U > 0).sum() - len(held))}
        train = Rows(users, start_U[users], train_stop_U[users])
        return Split(data, self.target, events, train, parts[0], parts[1], recorded(self), report=report)


@dataclass(frozen=True)
class AuthorsLeaveLastOut:
    """The protocol of the published RealHNS and PDRec code, its leak included, for parity with their tables only.

    Ties keep the published order; tested are the users with at least two training events in the target domain and one
    event elsewhere before the test event, and the last user of the file is left out (an off-by-one of that code);
    checkpoints are chosen on the **test** events, which is why the validation part here is the test part.
    Source: hulkima/RealHNS and hulkima/PDRec, as read in their code.
    """

    name: ClassVar[str] = "authors"
    target: str
    """The domain whose items are asked for."""
    leak: ClassVar[str] = "Authors' protocol: the checkpoint was chosen on the test events, as in the published code."

    def apply(self, data: Dataset) -> Split:
        """Split the data. Raises DataError where nobody is left to test."""
        data.catalogue.block(self.target)
        events = order_ties(data, self.target, "order")
        start_U = data.offset_U1[:-1]
        count_U, valid_U, test_U = last_two(events, self.target, data.offset_U1)
        before = events.count_before(self.target)
        others_U = np.where(count_U > 0, (test_U - start_U) - (before[test_U] - before[start_U]), 0)
        inside_U = (count_U - 2 >= 2) & (others_U >= 1)
        inside_U[-1:] = False
        users = np.flatnonzero(inside_U)
        if not len(users):
            raise DataError(
                f"The authors' protocol needs users with 4 events in {self.target!r} and one in another domain; "
                "there is none. Use the split 'leave-last-out'."
            )
        start, valid_at, test_at = start_U[users], valid_U[users], test_U[users]
        known = Rows(users, start, test_at)
        valid, test = (
            Part(name, self.target, events, data, users, start, test_at, test_at, known, self.leak)
            for name in ("valid", "test")
        )
        report = {"users": data.num_users, "held_out": len(users)}
        return Split(
            data, self.target, events, Rows(users, start, valid_at), valid, test, recorded(self), self.leak, report
        )


def last_two(events: Events, target: str, offset_U1: Ints) -> tuple[Ints, Ints, Ints]:
    """Per user: number of target events, place of the second to last, place of the last (0 where there is none)."""
    at = events.positions(target)
    edges = np.searchsorted(at, offset_U1)
    count_U = np.diff(edges)
    second_U = np.where(count_U >= 2, at[np.maximum(edges[1:] - 2, 0)] if len(at) else 0, 0)
    last_U = np.where(count_U >= 1, at[np.maximum(edges[1:] - 1, 0)] if len(at) else 0, 0)
    return count_U, second_U, last_U
