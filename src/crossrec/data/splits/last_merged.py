"""Last-merged: a user's last event of all domains is the test, whatever its domain, the one before it the validation.

N users who are held out, E events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from crossrec.data.dataset import Dataset
from crossrec.data.splits.checks import check_choice, recorded, targets_of
from crossrec.data.splits.cuts import cut, own_places
from crossrec.data.splits.parts import Events, Held, Part, Split, everything, order_ties
from crossrec.data.vocabulary import Ints
from crossrec.errors import DataError

FEWEST = 3
"""Events with which one trains, one validates and one tests; a user with fewer only trains."""


@dataclass(frozen=True)
class LastMerged:
    """Test = the last event of the merged history, validation = the one before it, training = what lies before both.

    A held-out event is asked for in its own domain alone, given every event before it: of a user's two, each may count for
    another target, or for none. Who trains on what does not depend on the targets. Source: the code of C2DSR and ABXI,
    where ties keep the published order.
    """

    name: ClassVar[str] = "last-merged"
    target: str
    """The domain whose items are asked for."""
    also: tuple[str, ...] = ()
    """Further targets."""
    ties: Literal["strict", "order"] = "strict"
    """``strict``: events of other domains of the held-out event's own time are not known yet, and one without any earlier
    event is not asked for. ``order``: the published order holds."""

    def __post_init__(self) -> None:
        check_choice("ties", self.ties, ("strict", "order"))

    def apply(self, data: Dataset) -> Split:
        """Split the data. Raises DataError where a target has nobody to validate or to test."""
        targets = targets_of(data, self.target, self.also)
        user_N = np.flatnonzero(np.diff(data.offset_U1) >= FEWEST)
        at = {"valid": data.offset_U1[user_N + 1] - 2, "test": data.offset_U1[user_N + 1] - 1}
        places = {part: own_places(data, self.ties, at_N) for part, at_N in at.items()}
        domains = {part: data.catalogue.domain_of(data.item_E[at_N]) for part, at_N in at.items()}
        held, ordered = {}, {name: order_ties(data, name, self.ties) for name in targets}
        for name, events in ordered.items():
            parts = []
            for part in ("valid", "test"):
                own_N = domains[part] == data.domains.index(name)
                parts.append(_part(part, name, data, events, user_N[own_N], places[part][own_N]))
            held[name] = Held(*parts)
        asked, own_at = np.concatenate([*domains.values()]), np.concatenate([*places.values()])
        events, train = cut(data, ordered[self.target], self.ties, np.tile(user_N, 2), asked, own_at)
        report = {
            "users": data.num_users,
            "held_out": len(user_N),
            "only_train": int((np.diff(data.offset_U1) > 0).sum()) - len(user_N),
            **{name: {"valid": len(each.valid), "test": len(each.test)} for name, each in held.items()},
        }
        spec, own = recorded(self), held.pop(self.target)
        return Split(data, self.target, events, train, own.valid, own.test, spec, report=report, further=held)


def _part(part: str, target: str, data: Dataset, events: Events, user_N: Ints, at_N: Ints) -> Part:
    """The held-out events of one target; one without any earlier event is left out."""
    known = everything(data, user_N)
    found = Part(part, target, events, data, user_N, known.start_N, at_N, at_N, known)
    found = found.take(np.flatnonzero(at_N > known.start_N))
    if not len(found):
        which, what = ("last", "test") if part == "test" else ("second to last", "validate")
        raise DataError(
            f"No user of {FEWEST} events has one of {target!r} as the {which}, with an earlier one before it: there is nobody "
            f"to {what} in {target!r}. Leave it out of the targets, or take the split 'leave-last-out'."
        )
    return found
