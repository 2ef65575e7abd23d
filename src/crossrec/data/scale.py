"""The scale of ratings, and its check. Ratings inside the scale have a share in [0, 1]: 0 is the lowest, 1 the highest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crossrec.errors import DataError, InputError

if TYPE_CHECKING:
    from crossrec.data.dataset import Dataset


@dataclass(frozen=True)
class Scale:
    """The lowest and the highest rating there may be. Raises InputError unless both are finite and the second is higher."""

    low: float = 1.0
    high: float = 5.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InputError(f"A scale of ratings goes from a number to a higher one (1,5), not from {self}.")

    @classmethod
    def of(cls, ends: Sequence[float]) -> Scale:
        """The scale with these two ends. Raises InputError for another number of them."""
        if len(ends) != 2:
            raise InputError(f"A scale of ratings has two ends, the lowest and the highest (1,5), not {list(ends)}.")
        return cls(float(ends[0]), float(ends[1]))

    def share(self, rating: Any) -> Any:
        """Of ratings (an array or a tensor) their shares."""
        return (rating - self.low) / (self.high - self.low)

    def rating(self, share: Any) -> Any:
        """Of shares the ratings."""
        return self.low + (self.high - self.low) * share

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


def check_ratings(data: Dataset, scale: Scale, domains: Sequence[str]) -> None:
    """Raise DataError where one of these domains has no rating at all, or anybody rated beyond the scale, in any domain."""
    known_E = np.zeros(data.num_interactions, dtype=bool)
    beyond_E = known_E
    if data.rating_E is not None:
        rating_E = np.asarray(data.rating_E)
        known_E = ~np.isnan(rating_E)
        beyond_E = (rating_E < scale.low) | (rating_E > scale.high)
    domain_E = data.catalogue.domain_of(data.item_E)
    for name in domains:
        if not known_E[domain_E == data.domains.index(name)].any():
            raise DataError(
                f"{_where(data, name)}: there is no rating, and this task learns from ratings. Name their column when the "
                "logs are read (rating=..., or --rating-column), or take another task."
            )
    if beyond_E.any():
        at = int(np.argmax(beyond_E))
        name = data.domains[int(domain_E[at])]
        user = data.users.ids(np.array([np.searchsorted(data.offset_U1, at, side="right") - 1]))[0].as_py()
        item = data.items[name].ids(np.array([data.item_E[at] - data.catalogue.block(name).start]))[0].as_py()
        raise DataError(
            f"{_where(data, name)}: user {user!r} rated {item!r} with {float(rating_E[at]):g}, outside the scale of {scale}. "
            "Mend the log, or name its scale (rating_scale=[0,10], or --set 'rating_scale=[0,10]')."
        )


def _where(data: Dataset, domain: str) -> str:
    """The log of a domain, and its column of ratings where it is known."""
    facts = data.card.get("domains", {}).get(domain, {})
    column = facts.get("columns", {}).get("rating")
    return f"{facts.get('from', domain)} ({domain})" + (f", column {column!r}" if column else "")
