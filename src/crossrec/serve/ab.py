"""A/B tests: which arm is better, by how much, and whether the test itself is sound (definitions: specs of DIAGAE, 14.6)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import bdtrc, ndtri

from crossrec.errors import InputError, nearest
from crossrec.serve.ab_rows import Rows, rows_of
from crossrec.serve.arms import share
from crossrec.serve.ratios import Ratio, lift, mean_of_days, ratio, sample_ratio_p, sums

METRICS = {
    "uctr": "users with a click among users with an impression, by day, mean of the days",
    "pctr_item": "clicks per item shown",
    "pctr_page": "clicks per page view",
    "clicked_pages": "page views with a click",
    "dau": "users active on a day, mean of the days, among the users assigned",
}
SUSPECT = 0.001
"""A sample ratio or an A/A test with a smaller p-value says that the test is broken (ours)."""


@dataclass(frozen=True)
class Figure:
    """One metric of one arm."""

    value: float
    low: float
    high: float
    deviation: float
    """Standard deviation per user: what ``sample_size`` takes."""


@dataclass(frozen=True)
class ArmFigures:
    """What one arm had."""

    name: str
    users: int
    """Users assigned."""
    impressions: int
    clicks: int
    metrics: Mapping[str, Figure]


@dataclass(frozen=True)
class LiftFigure:
    """(treatment - control) / control of one metric, with its interval; NaN where an arm has no click."""

    metric: str
    arm: str
    lift: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Analysis:
    """An experiment's outcome."""

    control: str
    days: tuple[str, ...]
    level: float
    arms: tuple[ArmFigures, ...]
    """The control first."""
    lifts: tuple[LiftFigure, ...]
    sample_ratio_p: float
    """Chi-square test that users fell to the arms by their weights; below 0.001 no figure here can be trusted."""
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class NullTest:
    """One arm split in two by hash many times: how often a metric differs where nothing can differ."""

    arm: str
    users: int
    splits: int
    level: float
    alarms: Mapping[str, float]
    """Share of splits whose interval leaves 0 out; about ``1 - level`` where the intervals hold."""
    p: Mapping[str, float]
    """Chance of as many alarms or more by luck; below 0.001 the metric's intervals are too narrow."""

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values."""
        return dataclasses.asdict(self)


def analyse(
    table: Any,
    control: str | None = None,
    treatment: str | None = None,
    *,
    weights: Mapping[str, float] | None = None,
    assigned: Mapping[str, int] | None = None,
    level: float = 0.95,
) -> Analysis:
    """Compare the arms of an experiment.

    Args:
        table: ``Rows``, a path or a frame with the columns user, arm, day, impressions, clicks and, where known,
            page_views, page_clicks and active; one row per user and day.
        control: the arm to compare with (default: the one named ``control``).
        treatment: compare this one alone (default: every other arm).
        weights: how users were to fall to the arms (default: evenly).
        assigned: users assigned to each arm, where not all of them have a row (default: the users of the table).
        level: of the intervals.
    """
    rows = table if isinstance(table, Rows) else rows_of(table)
    if not 0 < level < 1:
        raise InputError(f"The level is {level!r}; give a number between 0 and 1, such as 0.95.")
    control = _control(rows, control)
    others = [arm for arm in rows.arms if arm != control] if treatment is None else [_known(rows, treatment)]
    if control in others or not others:
        raise InputError(f"There is nothing to compare the arm {control!r} with. Arms: {', '.join(rows.arms)}.")
    arms = (control, *others)
    users = _users(rows, arms, assigned)
    days_D, notes = _common_days(rows, arms)
    ratios = {arm: _ratios(rows, rows.arm_U == rows.arms.index(arm), users[arm], days_D) for arm in arms}
    found = _sample_ratio(users, weights)
    if found < SUSPECT:
        notes.append("The arms do not have the users that their weights say: trust no figure until it is known why.")
    if len(others) > 1:
        notes.append(
            f"{len(others)} arms are compared with {control}: intervals and p-values are those of one comparison."
        )
    lifts = tuple(
        LiftFigure(name, arm, *(float(each) for each in dataclasses.astuple(lift(ratios[arm][name], base, level))))
        for arm in others
        for name, base in ratios[control].items()
    )
    silent = sorted({each.metric for each in lifts if math.isnan(each.lift)})
    if silent:
        notes.append(f"No lift of {', '.join(silent)}: an arm has none at all.")
    figures = tuple(_figures(rows, arm, users[arm], ratios[arm], level) for arm in arms)
    return Analysis(control, rows.days, level, figures, lifts, found, tuple(notes))


def null_test(table: Any, arm: str | None = None, *, splits: int = 200, level: float = 0.95) -> NullTest:
    """An A/A test: split the users of one arm in two by hash, again and again, and count the false alarms.

    Args:
        table: as of ``analyse``.
        arm: the arm (default: the one named ``control``).
        splits: how many times.
        level: of the intervals.
    """
    rows = table if isinstance(table, Rows) else rows_of(table)
    arm = _control(rows, arm)
    if isinstance(splits, bool) or not isinstance(splits, int) or not 1 <= splits <= 100_000:
        raise InputError(f"{splits!r} splits cannot be made; give a whole number from 1 to 100,000.")
    if not 0 < level < 1:
        raise InputError(f"The level is {level!r}; give a number between 0 and 1, such as 0.95.")
    member_U = rows.arm_U == rows.arms.index(arm)
    seed_U = np.zeros(len(rows.users), np.uint64)
    seed_U[member_U] = [int(share("A/A", rows.users[at]) * 2.0**53) for at in np.flatnonzero(member_U)]
    alarms: dict[str, int] = {}
    for split in range(splits):
        half_U = _bits(seed_U, split)
        sides = [member_U & half_U, member_U & ~half_U]
        counts = [int(np.count_nonzero(side_U)) for side_U in sides]
        if min(counts) < 2:
            raise InputError(f"The arm {arm!r} has {int(member_U.sum())} users: too few to split in two.")
        days_D = np.logical_and(*(_shown_days(rows, side_U) for side_U in sides))
        first, second = (_ratios(rows, side_U, count, days_D) for side_U, count in zip(sides, counts, strict=True))
        for name, base in first.items():
            alarms[name] = alarms.get(name, 0) + bool(lift(second[name], base, level).p < 1 - level)
    luck = {name: float(bdtrc(count - 1, splits, 1 - level)) if count else 1.0 for name, count in alarms.items()}
    return NullTest(
        arm, int(member_U.sum()), splits, level, {name: count / splits for name, count in alarms.items()}, luck
    )


def _bits(seed_U: npt.NDArray[np.uint64], split: int) -> npt.NDArray[np.bool_]:
    """One bit per user and split: the finaliser of splitmix64 over the user's hash and the number of the split."""
    mixed_U = seed_U + np.uint64((split + 1) * 0x9E3779B97F4A7C15 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed_U = (mixed_U ^ (mixed_U >> np.uint64(shift))) * np.uint64(factor)
    bit_U: npt.NDArray[np.bool_] = (mixed_U ^ (mixed_U >> np.uint64(31))) >> np.uint64(63) == 1
    return bit_U


def _ratios(rows: Rows, member_U: npt.NDArray[np.bool_], users: int, days_D: npt.NDArray[np.bool_]) -> dict[str, Ratio]:
    """Every metric of the users of one side; ``days_D``: those that count for uctr."""
    member_R = member_U[rows.user_R]
    user_R = (np.cumsum(member_U) - 1)[rows.user_R[member_R]]
    counts = {name: column_R[member_R] for name, column_R in rows.counts.items()}
    totals = {name: sums(user_R, column_R, users) for name, column_R in counts.items()}
    counted_R = days_D[rows.day_R[member_R]]
    day_R = (np.cumsum(days_D) - 1)[rows.day_R[member_R][counted_R]]
    seen_R, clicked_R = ((counts[name][counted_R] > 0).astype(np.float64) for name in ("impressions", "clicks"))
    found = {
        "uctr": mean_of_days(clicked_R, seen_R, user_R[counted_R], day_R, users, int(days_D.sum())),
        "pctr_item": ratio(totals["clicks"], totals["impressions"]),
    }
    if "page_views" in totals:
        found["pctr_page"] = ratio(totals["clicks"], totals["page_views"])
    if "page_views" in totals and "page_clicks" in totals:
        found["clicked_pages"] = ratio(totals["page_clicks"], totals["page_views"])
    return {**found, "dau": ratio(totals["active"] / len(rows.days), np.ones(users))}


def _shown_days(rows: Rows, member_U: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The days on which somebody of one side had an impression."""
    seen_R = member_U[rows.user_R] & (rows.counts["impressions"] > 0)
    return np.bincount(rows.day_R[seen_R], minlength=len(rows.days)) > 0


def _common_days(rows: Rows, arms: tuple[str, ...]) -> tuple[npt.NDArray[np.bool_], list[str]]:
    days_D = np.logical_and.reduce([_shown_days(rows, rows.arm_U == rows.arms.index(arm)) for arm in arms])
    if not days_D.any():
        raise InputError(f"There is no day on which all of {', '.join(arms)} had an impression.")
    left = [day for day, there in zip(rows.days, days_D, strict=True) if not there]
    return days_D, [f"Not in uctr, as an arm had no impression: {', '.join(left[:5])}."] if left else []


def _users(rows: Rows, arms: tuple[str, ...], assigned: Mapping[str, int] | None) -> dict[str, int]:
    there = {arm: int(np.count_nonzero(rows.arm_U == rows.arms.index(arm))) for arm in arms}
    for arm, count in (assigned or {}).items():
        _known(rows, arm)
        if arm in there and (isinstance(count, bool) or not isinstance(count, int) or count < there[arm]):
            raise InputError(f"{count!r} users assigned to {arm!r}, but {there[arm]:,} of them have rows.")
    users = {arm: (assigned or {}).get(arm, count) for arm, count in there.items()}
    few = [arm for arm, count in users.items() if count < 2]
    if few:
        raise InputError(f"The arm {few[0]!r} has one user; an interval needs two at least.")
    if assigned and set(arms) - set(assigned):
        raise InputError("Give the users assigned to every arm that is compared, or to none.")
    return users


def _sample_ratio(users: Mapping[str, int], weights: Mapping[str, float] | None) -> float:
    missing = [] if weights is None else [arm for arm in users if not 0 < weights.get(arm, 0) < math.inf]
    if missing:
        raise InputError(f"The arm {missing[0]!r} has users but no weight above 0. Give the weights of all arms.")
    weight_A = np.array([1.0 if weights is None else weights[arm] for arm in users])
    return sample_ratio_p(np.array(list(users.values()), np.float64), weight_A)


def _figures(rows: Rows, arm: str, users: int, ratios: Mapping[str, Ratio], level: float) -> ArmFigures:
    member_R = (rows.arm_U == rows.arms.index(arm))[rows.user_R]
    shown, clicks = (int(rows.counts[name][member_R].sum()) for name in ("impressions", "clicks"))
    metrics = {}
    for name, each in ratios.items():
        value, error = float(each.value), float(np.sqrt(each.variance))
        margin = float(ndtri(0.5 + level / 2)) * error
        metrics[name] = Figure(value, value - margin, value + margin, error * math.sqrt(users))
    return ArmFigures(arm, users, shown, clicks, metrics)


def _control(rows: Rows, name: str | None) -> str:
    if name is None and "control" not in rows.arms:
        raise InputError(f"No arm is named 'control': say which one is. Arms: {', '.join(rows.arms)}.")
    return _known(rows, name or "control")


def _known(rows: Rows, arm: str) -> str:
    if arm not in rows.arms:
        raise InputError(f"There is no arm {arm!r}.{nearest(arm, rows.arms)}")
    return arm
