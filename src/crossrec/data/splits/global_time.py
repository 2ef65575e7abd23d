"""Global time: what lies before one moment trains, what lies after it is held out. U users, E events, T target events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Literal

import numpy as np

from crossrec.data.dataset import Dataset
from crossrec.data.splits.checks import check_choice, known_times, recorded
from crossrec.data.splits.parts import Events, Part, Rows, Split, everything, order_ties, tie_starts
from crossrec.data.subset import user_of
from crossrec.data.vocabulary import Ints
from crossrec.errors import DataError


@dataclass(frozen=True)
class GlobalTime:
    """Every event before the moment ``valid`` trains; the periods from ``valid`` to ``test`` and from ``test`` on are held out.

    A held-out event is asked for given all the user's events that are strictly earlier, whatever their period; one with
    none is left out. A moment is unix seconds, an ISO date (UTC where it names no zone), or a number below 1: the quantile
    of the target's events that lies before it.
    """

    name: ClassVar[str] = "global-time"
    target: str
    """The domain whose items are asked for."""
    valid: float | str = 0.8
    """Moment at which training ends and the validation period begins."""
    test: float | str = 0.9
    """Moment at which the validation period ends and the test period begins."""
    per_user: Literal["first", "all"] = "first"
    """Which target events of a user in a period are asked for."""

    def __post_init__(self) -> None:
        check_choice("per_user", self.per_user, ("first", "all"))

    def apply(self, data: Dataset) -> Split:
        """Split the data. Raises DataError where times are not known, or a period has nothing to train, validate or test."""
        data.catalogue.block(self.target)
        time_E = known_times(data, self.name)
        events = order_ties(data, self.target, "strict")
        at_T = events.positions(self.target)
        time_T = time_E[at_T]
        if not len(time_T):
            raise DataError(f"{self.target!r} has no events: take another target.")
        moments = _moment("valid", self.valid, time_T), _moment("test", self.test, time_T)
        if moments[0] >= moments[1]:
            raise DataError(
                f"The validation period would end ({_said(moments[1])}, test={self.test!r}) before it begins "
                f"({_said(moments[0])}, valid={self.valid!r}). Give an earlier valid or a later test."
            )
        before_E1 = np.concatenate([[0], np.cumsum(time_E < moments[0])])
        start_U = data.offset_U1[:-1]
        stop_U = start_U + np.diff(before_E1[data.offset_U1])
        users = np.flatnonzero(stop_U > start_U)
        valid = self._hold_out("valid", data, events, at_T[(time_T >= moments[0]) & (time_T < moments[1])])
        test = self._hold_out("test", data, events, at_T[time_T >= moments[1]])
        self._refuse_empty(int((time_T < moments[0]).sum()), valid, test, moments, time_T)
        report = {
            "users": data.num_users,
            "only_train": len(np.setdiff1d(users, np.concatenate([valid.user_N, test.user_N]))),
            "valid": len(valid),
            "test": len(test),
            "valid_from": _said(moments[0]),
            "test_from": _said(moments[1]),
        }
        train = Rows(users, start_U[users], stop_U[users])
        return Split(data, self.target, events, train, valid, test, recorded(self), report=report)

    def _hold_out(self, name: str, data: Dataset, events: Events, at_N: Ints) -> Part:
        user_N = user_of(data)[at_N].astype(np.int64)
        if self.per_user == "first":
            user_N, first = np.unique(user_N, return_index=True)
            at_N = at_N[first]
        start_N, stop_N = data.offset_U1[user_N], tie_starts(data)[at_N]
        part = Part(name, self.target, events, data, user_N, start_N, stop_N, at_N, everything(data, user_N))
        return part.take(np.flatnonzero(stop_N > start_N))

    def _refuse_empty(self, trained: int, valid: Part, test: Part, moments: tuple[int, int], time_T: Ints) -> None:
        empty = [name for name, n in (("train on", trained), ("validate", len(valid)), ("test", len(test))) if not n]
        if empty:
            raise DataError(
                f"With valid from {_said(moments[0])} and test from {_said(moments[1])} there is nothing of "
                f"{self.target!r} to {' or '.join(empty)}: its events lie between {_said(int(time_T.min()))} and "
                f"{_said(int(time_T.max()))}. Move the moments."
            )


def _moment(name: str, value: float | str, time_T: Ints) -> int:
    """A moment in unix seconds."""
    if isinstance(value, str):
        try:
            date = datetime.fromisoformat(value)
        except ValueError as error:
            raise DataError(f"{name}={value!r} is no date: write it as 2014-07-23 or 2014-07-23T10:00:00Z.") from error
        return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
    if 0 < value < 1:
        place = int(value * len(time_T))
        return int(np.partition(time_T, place)[place])
    if not 1 <= value < 1e11:
        raise DataError(
            f"{name}={value!r} is no moment: give unix seconds, an ISO date, or a quantile between 0 and 1."
        )
    return int(value)


def _said(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
