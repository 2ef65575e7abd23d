"""Which arm of an experiment a user is in: a function of names alone, so that every process and every day agree."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

from crossrec.errors import InputError
from crossrec.serve.events import LONGEST, check_id


@dataclass(frozen=True)
class Experiment:
    """Arms and how much of the users each gets.

    Every user draws one exponential time per arm, by hash, at the rate of the arm's weight; the first to ring has the
    user (weighted rendezvous hashing). So an arm that grows, or is new, only takes users in, and none of the others
    swaps users; and experiments of different names are independent of each other.
    """

    name: str
    arms: Mapping[str, float]
    """Name of an arm and its weight; only their ratios count, and 0 closes an arm."""

    def __post_init__(self) -> None:
        for what, text in (("experiment", self.name), *(("arm", arm) for arm in self.arms)):
            if not isinstance(text, str) or not 1 <= len(text) <= LONGEST:
                raise InputError(f"The {what} {str(text)[:40]!r} needs a name of 1 to {LONGEST} characters.")
        for arm, weight in self.arms.items():
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
                raise InputError(
                    f"Experiment {self.name!r}: the arm {arm!r} has the weight {weight!r}; give 0 or more."
                )
        if not any(self.arms.values()):
            raise InputError(f"Experiment {self.name!r}: no arm has a weight above 0, so nobody could be in one.")

    def arm(self, user: str) -> str:
        """The arm of a user: the same for ever, while weights stay."""
        check_id("user", user)
        return min(
            (-math.log(share(self.name, arm, user)) / weight, arm) for arm, weight in self.arms.items() if weight > 0
        )[1]


def share(*names: str) -> float:
    """A number between 0 and 1 (both excluded) that names give by hash: uniform over users, independent between names."""
    text = "".join(f"{len(name)}:{name}" for name in names).encode()
    number = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 11
    return (number + 0.5) / 2.0**53
