"""What no ranking can have: bounds between the mean metrics of a row, if every case has one relevant item.

A case whose relevant item is on rank r has HR@k = 1[r <= k], NDCG@k = 1[r <= k] / log2(r + 1), MRR@k = 1[r <= k] / r. A
printed figure is a mean of these over cases, and then over users, seeds or repetitions, whatever the groups and their
weights: a mean over one distribution of ranks, which is the same for all metrics of the row. So a linear bound that every
single rank keeps is kept by the row, but for the rounding of its figures. With w(r) for what a hit on rank r is worth:

* ``range``: 0 <= x <= 1, as for every case.
* ``first rank``: hr@1 = ndcg@1 = mrr@1, because a hit on rank 1 is worth 1 in all of them.
* ``order``: mrr@k <= ndcg@k <= hr@k, because 1 / r <= 1 / log2(r + 1) <= 1.
* ``growth``: x@k <= x@m for k < m, because a longer list loses no hit.
* ``least``: ndcg@k >= hr@k / log2(k + 1), mrr@k >= hr@k / k and mrr@k >= ndcg@k log2(k + 1) / k, because the ratio of two w
  falls with the rank: within k it is least on rank k.
* ``gain``: what x@m has more than x@k comes from hits on ranks k + 1 to m, each worth w(k + 1) at most and w(m) at least:
  (hr@m - hr@k) / m <= mrr@m - mrr@k <= (hr@m - hr@k) / (k + 1), and log2(m + 1), log2(k + 2) for ndcg; so with the ratio
  of their w between ndcg and mrr. Without a cut-off (``mrr``) m is the last rank, where hr is 1.
* ``cut-offs``: the same piece by piece. All cut-offs at which a metric is known cut the ranks into pieces; the sum over the
  pieces of its gain, each at the best or the worst rank of its piece, bounds any other metric, at any cut-off.
* ``three``: over the ranks of a piece, w of mrr is a convex curve over w of ndcg, so mrr is at most on the chord between the
  ends of the curve, and at least on every line through two neighbouring ranks. With the bounds above that is all there is
  to say of the hr, ndcg and mrr of one cut-off (up to 100, where the lines end).
* ``auc``: among N candidates it is the mean of (N - r) / (N - 1), which falls with the rank: piece by piece as above.

Where ties count at mid-rank, r may be a half, and the best new rank beyond k is k + 1/2 in place of k + 1.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from crossrec.errors import InputError

ONE = "1"
"""Stands for the whole (1, or 100 in per cent) among the metrics of a bound."""
FAMILIES = ("hr", "ndcg", "mrr")
"""From the one whose hits are worth most to the one whose are worth least."""
_LINES = 100
"""Ranks of a piece through which lines are laid below a curve; those further back say next to nothing."""

Sum = Mapping[str, float]
"""A linear combination of metrics: name to coefficient."""


@dataclass(frozen=True)
class Ranks:
    """The ranks that there can be."""

    candidates: int | None = None
    """Of every case, the relevant one included, so the last rank; None: not known."""
    halves: bool = False
    """Ties count at mid-rank: a rank may be a half."""

    @property
    def last(self) -> float:
        """The last rank."""
        return math.inf if self.candidates is None else self.candidates

    def after(self, cut: float) -> float:
        """The first rank beyond a cut-off."""
        return cut + self.step if cut else 1

    @property
    def step(self) -> float:
        """The distance of two ranks."""
        return 0.5 if self.halves else 1


@dataclass(frozen=True)
class Bound:
    """``figure <= limit``, or ``>=`` where ``side`` is -1."""

    law: str
    text: str
    side: int
    figure: Sum
    limit: Sum

    @property
    def difference(self) -> Sum:
        """What must not be above nothing (below, where ``side`` is -1)."""
        return _minus(self.figure, self.limit)


@functools.lru_cache
def bounds_of(metrics: frozenset[str], ranks: Ranks) -> tuple[Bound, ...]:
    """Every bound between these metrics; one that is a multiple of another is left out."""
    series = _series(metrics, ranks)
    every = (
        _ranges(sorted(metrics)),
        _growth(series),
        _pairs(series, ranks),
        _three(series, ranks),
        _pieces(series, ranks),
    )
    different: dict[frozenset[tuple[str, float]], Bound] = {}
    for bound in itertools.chain(*every):
        total = bound.difference
        scale = bound.side / max(map(abs, total.values()), default=1.0)
        key = frozenset((name, round(factor * scale, 9)) for name, factor in total.items())
        if key:
            different.setdefault(key, bound)
    return tuple(different.values())


Series = dict[str, dict[float, str]]
"""Of a family, cut-off to the metric that is known there: the empty name at 0, where nothing is hit."""


def _series(metrics: frozenset[str], ranks: Ranks) -> Series:
    series: Series = {"hr": {0.0: ""}}
    for name in sorted(metrics - {"auc"}):
        family, _, cut = name.partition("@")
        if cut and float(cut) >= ranks.last:
            raise InputError(
                f"{name} among {ranks.candidates} candidates is always a hit. Give the number of items that were ranked per case."
            )
        series.setdefault(family, {0.0: ""})[float(cut or ranks.last)] = name
    first = next((known[1.0] for known in series.values() if 1.0 in known), None)
    if first is not None:
        for known in series.values():
            known.setdefault(1.0, first)
    series["hr"][ranks.last] = ONE
    if "auc" in metrics and ranks.candidates is not None:
        series["auc"] = {0.0: "", ranks.last: "auc"}
    return {family: dict(sorted(known.items())) for family, known in series.items()}


def _ranges(metrics: Iterable[str]) -> Iterator[Bound]:
    for name in metrics:
        yield Bound("range", f"{name} >= 0", -1, {name: 1.0}, {})
        yield Bound("range", f"{name} <= 1", 1, {name: 1.0}, {ONE: 1.0})


def _growth(series: Series) -> Iterator[Bound]:
    for known in series.values():
        for low, high in itertools.combinations(list(known.values())[1:], 2):
            yield Bound("growth", f"{low} <= {high}", 1, {low: 1.0}, {high: 1.0})


def _pairs(series: Series, ranks: Ranks) -> Iterator[Bound]:
    """Two families at two cut-offs that both have: order and least from 0 on, else gain."""
    for base, family in itertools.combinations([name for name in FAMILIES if name in series], 2):
        for k, m in itertools.combinations(sorted(series[family].keys() & series[base].keys()), 2):
            figure, gain = (_minus({series[name][m]: 1.0}, {series[name][k]: 1.0}) for name in (family, base))
            for side, rank in ((1, ranks.after(k)), (-1, m)):
                law = "first rank" if m == 1 else "gain" if k else "order" if side > 0 else "least"
                factor = _ratio(family, base, ranks.last, rank)
                text = f"{_text(figure)} {_sign(side)} {_times(gain, family, base, rank)}"
                yield Bound(law, text, side, figure, {name: factor * each for name, each in gain.items()})


def _three(series: Series, ranks: Ranks) -> Iterator[Bound]:
    """Three families at two cut-offs that all have."""
    if not set(FAMILIES) <= series.keys():
        return
    for k, m in itertools.combinations(sorted(set.intersection(*(set(series[name]) for name in FAMILIES))), 2):
        hits, by_rank, figure = (_minus({series[name][m]: 1.0}, {series[name][k]: 1.0}) for name in FAMILIES)
        first = ranks.after(k)
        lines = [(1, first, m), *((-1, first + n * ranks.step, first + (n + 1) * ranks.step) for n in range(_LINES))]
        for side, low, high in lines:
            if low < high <= m < math.inf:
                steep = (1 / low - 1 / high) / (1 / math.log2(low + 1) - 1 / math.log2(high + 1))
                level = 1 / low - steep / math.log2(low + 1)
                limit = _plus({name: steep * each for name, each in by_rank.items()}, hits, level)
                yield Bound("three", _allowed(figure, side, limit), side, figure, limit)


def _pieces(series: Series, ranks: Ranks) -> Iterator[Bound]:
    """A family between any two of its cut-offs, from all that is known of another one."""
    asked = [pair for pair in itertools.permutations(reversed(FAMILIES), 2) if set(pair) <= series.keys()]
    for family, base in [*asked, ("auc", "hr")] if "auc" in series else asked:
        for k, m in itertools.combinations(series[family], 2):
            figure = _minus({series[family][m]: 1.0}, {series[family][k]: 1.0})
            for side in (1, -1):
                limit = _limit(series[base], k, m, side, functools.partial(_ratio, family, base, ranks.last), ranks)
                if limit is not None and limit.keys() - {ONE}:
                    law = "auc" if family == "auc" else "cut-offs"
                    yield Bound(law, _allowed(figure, side, limit), side, figure, limit)


def _limit(
    known: Mapping[float, str], k: float, m: float, side: int, ratio: Callable[[float], float], ranks: Ranks
) -> Sum | None:
    """The most (side 1) or the least (-1) that ranks beyond k up to m give; None where there is no most."""
    limit: Sum = {}
    if side > 0 and max(known) < m:
        return None
    for (a, low), (b, high) in itertools.pairwise(known.items()):
        inside = k <= a and b <= m
        if b <= k or a >= m or (side < 0 and not inside):
            continue
        ends = ratio(ranks.after(max(a, k))), ratio(min(b, m))
        factor = max(ends) if side > 0 else min(ends)
        if math.isinf(factor):
            return None
        limit = _plus(limit, {high: 1.0, low: -1.0}, factor)
    return limit


def _ratio(family: str, base: str, last: float, rank: float) -> float:
    """What a hit on a rank is worth in a family, for each that it is worth in the other; it rises or falls with the rank."""
    if family == "auc":
        return (last - rank) / (last - 1)
    if math.isinf(rank):
        return math.inf if FAMILIES.index(family) < FAMILIES.index(base) else 0.0
    worth = {"hr": 1.0, "ndcg": 1 / math.log2(rank + 1), "mrr": 1 / rank}
    return worth[family] / worth[base]


def _plus(left: Sum, right: Sum, times: float) -> dict[str, float]:
    """``left + times * right``, without the empty name and what falls out."""
    total = {name: left.get(name, 0.0) + times * right.get(name, 0.0) for name in {**left, **right} if name}
    return {name: factor for name, factor in total.items() if factor}


def _minus(left: Sum, right: Sum) -> dict[str, float]:
    return _plus(left, right, -1.0)


def _sign(side: int) -> str:
    return "<=" if side > 0 else ">="


def _text(difference: Sum) -> str:
    """``mrr@20 - mrr@5``."""
    return " - ".join(sorted(difference, key=lambda name: -difference[name])) or "0"


def _times(gain: Sum, family: str, base: str, rank: float) -> str:
    """A gain of ``base`` by its worth in ``family``: ``(hr@20 - hr@5) / 6``."""
    text = f"({_text(gain)})" if len(gain) > 1 else _text(gain)
    if rank == 1:
        return _text(gain)
    if math.isinf(rank):
        return "0"
    log = f"log2({rank + 1:g})"
    return (
        text
        + {"ndcg hr": f" / {log}", "mrr hr": f" / {rank:g}", "mrr ndcg": f" * {log} / {rank:g}"}[f"{family} {base}"]
    )


def _allowed(figure: Sum, side: int, limit: Sum) -> str:
    """``mrr@20 - mrr@5 <= what hr@5, hr@10 and hr@20 allow``."""
    names = sorted(
        limit.keys() - {ONE}, key=lambda name: (name.partition("@")[0], float(name.partition("@")[2] or math.inf))
    )
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f"{_text(figure)} {_sign(side)} what {listed} allow{'s' * (len(names) == 1)}"
