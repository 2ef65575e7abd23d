"""Per-user ratio: of a user's events in the target domain some test, some validate, the others train. U users, E events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from crossrec.data.dataset import Dataset
from crossrec.data.splits.checks import check_choice, check_shares, recorded
from crossrec.data.splits.parts import Events, Part, Rows, Split, everything, order_ties
from crossrec.data.subset import user_of
from crossrec.data.vocabulary import Ints
from crossrec.errors import DataError

FEWEST = 3
"""Events of the target domain with which one trains, one validates and one tests; a user with fewer only trains."""
TRAIN, VALID, TEST, LATER = 0, 1, 2, 3


@dataclass(frozen=True)
class Ratio:
    """A share of each user's target events tests, a share validates; at least one of each, and one is left to train.

    For ratings and pairs. A user's events are put in the order training, validation, test (each in time order), and
    every held-out event is asked for given the user's training events, never another held-out one. Source: specs of
    DIAGAE, 13.4 (``warm``).
    """

    name: ClassVar[str] = "ratio"
    target: str
    """The domain whose items are asked for."""
    valid: float = 0.1
    """Share of a user's target events that validates, rounded down."""
    test: float = 0.1
    """Share that tests, rounded down."""
    by: Literal["random", "time"] = "random"
    """``random``: drawn by the seed, and all source events train, whenever they were. ``time``: the latest events test,
    those before validate; source events not before the user's first held-out event are left out."""
    seed: int = 0
    """Draws the held-out events under ``random``; unused otherwise."""

    def __post_init__(self) -> None:
        check_choice("by", self.by, ("random", "time"))
        check_shares(self.valid, self.test)

    def apply(self, data: Dataset) -> Split:
        """Split the data. Raises DataError where no user has events enough."""
        data.catalogue.block(self.target)
        ordered = order_ties(data, self.target, "strict")
        user_E = user_of(data).astype(np.int64)
        part_E = self._assign(ordered, data.offset_U1, user_E)
        if not (part_E == TEST).any():
            raise DataError(
                f"No user has {FEWEST} events in {self.target!r}, so there is nobody to test. Take another target."
            )
        order = np.argsort(4 * user_E + part_E, kind="stable")
        events, part_E = ordered.take(order), part_E[order]
        trained_E1 = np.concatenate([[0], np.cumsum(part_E == TRAIN)])
        start_U = data.offset_U1[:-1]
        stop_U = start_U + np.diff(trained_E1[data.offset_U1])
        users = np.flatnonzero(stop_U > start_U)
        parts = []
        for name, part in (("valid", VALID), ("test", TEST)):
            at = np.flatnonzero(part_E == part)
            user = user_E[at]
            parts.append(
                Part(name, self.target, events, data, user, start_U[user], stop_U[user], at, everything(data, user))
            )
        valid, test = parts
        report = {
            "users": data.num_users,
            "held_out": len(np.unique(test.user_N)),
            "valid": len(valid),
            "test": len(test),
            "source_events_left_out": int((part_E == LATER).sum()),
        }
        train = Rows(users, start_U[users], stop_U[users])
        return Split(data, self.target, events, train, valid, test, recorded(self), report=report)

    def _assign(self, events: Events, offset_U1: Ints, user_E: Ints) -> npt.NDArray[np.int8]:
        """Part of every event, (E,)."""
        at_T = events.positions(self.target)
        edge_U1 = np.searchsorted(at_T, offset_U1)
        count_U = np.diff(edge_U1)
        valid_U, test_U = self._counts(count_U)
        if self.by == "random":
            drawn_T = np.random.default_rng(self.seed).random(len(at_T))
            at_T = at_T[np.lexsort((drawn_T, user_E[at_T]))]
        after_T = edge_U1[1:][user_E[at_T]] - 1 - np.arange(len(at_T))
        test_T = test_U[user_E[at_T]]
        part_E = np.full(len(user_E), TRAIN, dtype=np.int8)
        part_E[at_T[after_T < test_T + valid_U[user_E[at_T]]]] = VALID
        part_E[at_T[after_T < test_T]] = TEST
        if self.by == "time":
            held_E1 = np.concatenate([[0], np.cumsum(part_E != TRAIN)])
            known_E = held_E1[:-1] == held_E1[offset_U1[:-1]][user_E]
            part_E[~known_E & (part_E == TRAIN)] = LATER
        return part_E

    def _counts(self, count_U: Ints) -> tuple[Ints, Ints]:
        """Events that validate and that test, per user."""
        valid_U = np.clip((self.valid * count_U).astype(np.int64), 1, np.maximum(count_U - 2, 1))
        test_U = np.clip((self.test * count_U).astype(np.int64), 1, np.maximum(count_U - 1 - valid_U, 1))
        enough_U = count_U >= FEWEST
        return np.where(enough_U, valid_U, 0), np.where(enough_U, test_U, 0)
