"""Ratios of sums over users, their variance and their lift, by the delta method. U users, R rows (of a user and a day)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, ndtr, ndtri

from crossrec.errors import InputError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ratio:
    """An estimate, or an array of them, with its variance."""

    value: Any
    variance: Any


@dataclass(frozen=True)
class Lift:
    """(treatment - control) / control, its interval, and the two-sided p-value of no difference; or arrays of them."""

    value: Any
    low: Any
    high: Any
    p: Any


def ratio(y_U: Floats, x_U: Floats) -> Ratio:
    """sum(y) / sum(x) over the last axis, users drawn independently.

    Var(R) = (var(y) - 2 R cov(x, y) + R^2 var(x)) / (U mean(x)^2), which is the variance of the users' residuals
    y - R x, whose mean is 0. NaN where the sum of x is 0 or there are fewer than two users.
    """
    users = y_U.shape[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        total = x_U.sum(-1, dtype=np.float64)
        value = y_U.sum(-1, dtype=np.float64) / total
        residual_U = y_U - value[..., None] * x_U
        variance = np.einsum("...u,...u->...", residual_U, residual_U) * _small_sample(users) / total**2
    return Ratio(value, variance)


def mean_of_days(y_R: Floats, x_R: Floats, user_R: Ints, day_R: Ints, users: int, days: int) -> Ratio:
    """The mean over days of sum(y) / sum(x), with one residual per user over all days: a user's days are not independent.

    Args:
        y_R, x_R: of rows, each of one user and one day.
        user_R, day_R: numbers of them, from 0; every day has an x above 0.
        users: how many there are, those without a row too.
        days: how many there are.
    """
    x_D = np.bincount(day_R, x_R, days)
    value_D = np.bincount(day_R, y_R, days) / x_D
    residual_U = np.bincount(user_R, (y_R - value_D[day_R] * x_R) / x_D[day_R], users) / days
    return Ratio(np.float64(value_D.mean()), np.float64(residual_U @ residual_U * _small_sample(users)))


def sums(group_R: Ints, value_R: Floats, groups: int) -> Floats:
    """The sum of the rows' values in every group."""
    return np.bincount(group_R, value_R, groups).astype(np.float64, copy=False)


def _small_sample(users: int) -> float:
    return users / (users - 1) if users > 1 else math.nan


def lift(treatment: Ratio, control: Ratio, level: float = 0.95) -> Lift:
    """The relative lift with its interval by the delta method on log R_t - log R_c; NaN where either ratio is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log(treatment.value) - np.log(control.value)
        deviation = np.sqrt(treatment.variance / treatment.value**2 + control.variance / control.value**2)
        margin = ndtri(0.5 + level / 2) * deviation
        p = 2 * ndtr(-np.abs(np.where(log == 0, 0.0, log / deviation)))
        log, p = np.where(np.isfinite(log), log, np.nan), np.where(np.isfinite(log), p, np.nan)
        return Lift(np.expm1(log), np.expm1(log - margin), np.expm1(log + margin), p)


def sample_ratio_p(users_A: Floats, weight_A: Floats) -> float:
    """p-value of the chi-square test that users fell to arms by the weights (spec 14.6: always run it)."""
    expected_A = users_A.sum() * weight_A / weight_A.sum()
    return float(chdtrc(len(users_A) - 1, ((users_A - expected_A) ** 2 / expected_A).sum()))


def sample_size(
    base: float, lift: float, *, power: float = 0.8, level: float = 0.95, deviation: float | None = None
) -> int:
    """Users per arm that show a relative lift of a per-user mean, two arms of one size, two-sided.

    Args:
        base: the control's figure: a share of users, or, with ``deviation``, any figure of ``analyse``.
        lift: relative, such as 0.02.
        power: chance to find it.
        level: of the interval that must leave 0 out.
        deviation: standard deviation of the figure per user (``analyse`` gives it); by default that of a share.
    """
    for name, value in (("power", power), ("level", level)):
        if not 0 < value < 1:
            raise InputError(f"The {name} is {value!r}; give a number between 0 and 1, such as {name} 0.8.")
    if not (math.isfinite(base) and base > 0):
        raise InputError(f"The base is {base!r}; give the control's figure, above 0.")
    other = base * (1 + lift)
    if not math.isfinite(other) or lift == 0 or other <= 0:
        raise InputError(f"The lift is {lift!r}; give a relative lift other than 0 and above -1, such as 0.02.")
    reach, chance = float(ndtri(0.5 + level / 2)), float(ndtri(power))
    if deviation is not None:
        if not (math.isfinite(deviation) and deviation > 0):
            raise InputError(f"The deviation is {deviation!r}; give the standard deviation per user, above 0.")
        return math.ceil(2 * ((reach + chance) * deviation / (other - base)) ** 2)
    if base >= 1 or other >= 1:
        raise InputError(
            f"A share of {base:g} cannot rise to {other:g}. For a figure that is no share of users give its deviation."
        )
    middle = (base + other) / 2
    spread = reach * math.sqrt(2 * middle * (1 - middle))
    spread += chance * math.sqrt(base * (1 - base) + other * (1 - other))
    return math.ceil((spread / (other - base)) ** 2)
