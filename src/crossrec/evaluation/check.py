"""Does a row of a results table keep the bounds, as far as the rounding of its figures lets one say?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from crossrec.evaluation.bounds import ONE, Ranks, Sum, bounds_of

_NAMES = {"hit": "hr", "hits": "hr", "recall": "hr"}
_EPSILON = 1e-9
"""Of the whole: what adding floats may be wrong by."""
_BY_HAND = ("range", "first rank", "growth", "order", "least", "gain")
"""Laws that a reader can check with a pencil: they come first."""


@dataclass(frozen=True)
class Break:
    """A bound that a row breaks, with its figures, in the unit of the table."""

    law: str
    """Its name in ``crossrec.evaluation.bounds``."""
    bound: str
    figure: float
    """What the row has on the left side of the bound."""
    limit: float
    """What it could have."""
    slack: float
    """How far beyond the limit rounding alone may take it; the row is further."""

    @property
    def by(self) -> float:
        """How far the figure is beyond its limit."""
        return abs(self.figure - self.limit)


def metric_name(text: str) -> str | None:
    """The metric that a column's head means: ``HR@5`` and ``Recall@5`` are ``hr@5``; None where it means none of ours."""
    found = re.fullmatch(r"(hr|hits?|recall|ndcg|mrr)@([1-9]\d*)|(ndcg|mrr|auc)", text.strip().lower())
    if found is None:
        return None
    return found[3] or f"{_NAMES.get(found[1], found[1])}@{found[2]}"


def broken(
    values: Mapping[str, float], rounding: Mapping[str, float], ranks: Ranks | None = None, whole: float = 1.0
) -> list[Break]:
    """The bounds that the figures of a row break, the clearest first: those that are checked by hand, then by how far.

    ``values``: metric to figure, names as ``metric_name`` gives them; ``rounding``: metric to the largest error of its
    printing (half a unit of the last digit); ``whole``: 100 for figures in per cent. Raises InputError where a cut-off is
    beyond the last rank.
    """
    figures = {**values, ONE: whole}
    found: dict[str, tuple[bool, float, Break]] = {}
    for bound in bounds_of(frozenset(values), ranks or Ranks()):
        figure, limit = _value(bound.figure, figures), _value(bound.limit, figures)
        slack = sum(abs(factor) * rounding.get(name, 0.0) for name, factor in bound.difference.items())
        beyond = bound.side * (figure - limit)
        if beyond > slack + _EPSILON * whole:
            one = Break(bound.law, bound.text, figure, limit, slack)
            place = bound.law not in _BY_HAND, -beyond / (slack + _EPSILON * whole), one
            found[bound.text] = min(found.get(bound.text, place), place, key=lambda each: each[:2])
    return [one for *_, one in sorted(found.values(), key=lambda each: each[:2])]


def _value(total: Sum, figures: Mapping[str, float]) -> float:
    return sum(factor * figures[name] for name, factor in total.items())
