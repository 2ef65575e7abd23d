"""Leave-last-out: a user's last event of the target domain is the test, the one before it the validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from crossrec.data.dataset import Dataset
from crossrec.data.splits.checks import recorded, targets_of
from crossrec.data.splits.cuts import cut
from crossrec.data.splits.parts import Events, Held, Part, Rows, Split, earlier_stops, everything, order_ties
from crossrec.data.vocabulary import Ints
from crossrec.errors import DataError


class _Last(NamedTuple):
    """The last two events of a target, of the users who have enough of them: (N,)."""

    events: Events
    """In the order of the target; the places are of it."""
    count_U: Ints
    user_N: Ints
    valid_N: Ints
    test_N: Ints


@dataclass(frozen=True)
class LeaveLastOut:
    """Test = the last event of the target domain, validation = the second to last, training = what lies before both.

    The input of a held-out event is every event of the user, in any domain, that comes before it; so the source events
    between the validation and the test event are known when the test is asked, and at no time before.

    Of several targets each holds out its own last two events, and a user's training ends before the first of them. Tests are
    those of each target alone; so are validations, but those that come after a test event of the same user, which they would
    know, are left out.
    """

    name: ClassVar[str] = "leave-last-out"
    target: str
    """The domain whose items are asked for."""
    min_history: int = 1
    """Events of a target that come before its last two; a user with fewer is not asked for it (and, if for none, only
    trains)."""
    ties: str = "strict"
    """``strict``: source events of the held-out event's own time are not known yet. ``order``: the published order holds."""
    also: tuple[str, ...] = ()
    """Further targets."""

    def apply(self, data: Dataset) -> Split:
        """Split the data. Raises DataError where no user of a target is left to test, or to validate."""
        lasts = {name: self._last(data, name) for name in targets_of(data, self.target, self.also)}
        earlier_E = earlier_stops(data, self.ties)
        tested_U = np.array(data.offset_U1[1:])
        for last in lasts.values():
            np.minimum.at(tested_U, last.user_N, earlier_E[last.test_N])
        held = {}
        for name, last in lasts.items():
            known = everything(data, last.user_N)
            valid, test = (
                Part(part, name, last.events, data, last.user_N, known.start_N, at_N, at_N, known)
                for part, at_N in (("valid", last.valid_N), ("test", last.test_N))
            )
            blind = earlier_E[last.valid_N] <= tested_U[last.user_N]
            held[name] = Held(valid.take(np.flatnonzero(blind)), test)
        _refuse_unvalidated(held)
        report = _report(data, lasts, held)
        events, train = _train(data, lasts, lasts[self.target].events, self.ties)
        spec, own = recorded(self), held.pop(self.target)
        return Split(data, self.target, events, train, own.valid, own.test, spec, report=report, further=held)

    def _last(self, data: Dataset, target: str) -> _Last:
        events = order_ties(data, target, self.ties)
        count_U, valid_U, test_U = last_two(events, target, data.offset_U1)
        user_N = np.flatnonzero(count_U >= self.min_history + 2)
        if not len(user_N):
            raise DataError(
                f"No user has {self.min_history + 2} events in {target!r}, so there is nobody to test. "
                f"The longest history there has {count_U.max(initial=0)}; take another target or a smaller min_history."
            )
        return _Last(events, count_U, user_N, valid_U[user_N], test_U[user_N])


def _train(data: Dataset, lasts: Mapping[str, _Last], events: Events, ties: str) -> tuple[Events, Rows]:
    """What comes before the first of the users' held-out events: see :func:`~crossrec.data.splits.cuts.cut`."""
    users = np.concatenate([last.user_N for last in lasts.values()])
    domains = np.repeat([data.domains.index(name) for name in lasts], [len(last.user_N) for last in lasts.values()])
    return cut(data, events, ties, users, domains, np.concatenate([last.valid_N for last in lasts.values()]))


def _refuse_unvalidated(held: Mapping[str, Held]) -> None:
    for name, each in held.items():
        if not len(each.valid):
            raise DataError(
                f"Whoever is asked in {name!r} has an earlier test event in another target, so nobody validates {name!r}. "
                "Leave it out of the targets, or take it alone."
            )


def _report(data: Dataset, lasts: Mapping[str, _Last], held: Mapping[str, Held]) -> dict[str, Any]:
    """Users held out and not; of several targets also the events of each that are asked for."""
    there_U = np.any([last.count_U > 0 for last in lasts.values()], axis=0)
    num_held = len(np.unique(np.concatenate([last.user_N for last in lasts.values()])))
    report = {"users": data.num_users, "held_out": num_held, "only_train": int(there_U.sum()) - num_held}
    counts = {name: {"valid": len(each.valid), "test": len(each.test)} for name, each in held.items()}
    return report | counts if len(counts) > 1 else report


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
