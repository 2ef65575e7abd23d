"""What a comparison of runs finds."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from crossrec.evaluation.metrics import direction
from crossrec.evaluation.statistics import Estimate, PairedTest, Shares
from crossrec.experiments.systems import System
from crossrec.experiments.wording import p_text, percent

LEVEL = 0.95
"""Level of every interval."""

DRAWS = 2000
"""Bootstrap draws behind every interval."""

SIGNIFICANT = 0.05
"""Largest corrected p-value that is called a difference."""


NO_DIFFERENCE = "no difference shown"
"""The verdict on a group that neither gains nor loses significantly."""


@dataclass(frozen=True)
class Group:
    """The users with ``low`` to ``high`` events of a domain in their input."""

    domain: str
    label: str
    low: int
    high: int
    users: int
    means: tuple[Estimate, ...]
    """The metric of every system, in the order of :attr:`Comparison.systems`."""


@dataclass(frozen=True)
class GroupLift:
    """What a system gains over the baseline among the users of one group."""

    domain: str
    label: str
    users: int
    difference: Estimate
    relative: float | None
    """Difference over the baseline's mean; None where that is 0."""
    p: float
    p_holm: float
    """Corrected over the groups of this pair."""
    verdict: str
    """``helps``, ``hurts`` or ``no difference shown`` (at a corrected p of .05)."""


@dataclass(frozen=True)
class Pair:
    """A system against the baseline, over the same users."""

    baseline: str
    system: str
    adds: tuple[str, ...]
    """Source domains that the system learns from and the baseline does not."""
    difference: Estimate
    relative: float | None
    """Difference over the baseline's mean; None where that is 0."""
    test: PairedTest
    p_holm: float
    """p of the paired t-test, corrected over all pairs."""
    users: Shares
    """Of an error, whoever has less of it is better off, and gains what is taken off."""
    groups: tuple[GroupLift, ...]


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` finds; ``to_dict`` makes it JSON."""

    metric: str
    protocol: str
    part: str
    domain: str
    """The target domain."""
    users: int
    items: int
    """Held-out items that all runs have (as many as users, or more)."""
    systems: tuple[System, ...]
    means: tuple[Estimate, ...]
    """The metric of every system."""
    pairs: tuple[Pair, ...]
    """Every other system against the baseline."""
    groups: tuple[Group, ...]
    """By history length in the target domain, then in every other domain."""
    warnings: tuple[str, ...]
    """What makes these figures less than they seem (leaks above all)."""
    notes: tuple[str, ...]
    """How they came about: items left out, seeds averaged."""
    level: float = LEVEL
    draws: int = DRAWS
    seed: int = 0

    @property
    def predicts(self) -> bool:
        """Whether ratings or clicks were predicted; else items were ranked."""
        return self.protocol in ("ratings", "clicks")

    @property
    def measured_as(self) -> str:
        """The protocol in words."""
        return f"predicted {self.protocol}" if self.predicts else f"{self.protocol} ranking"

    def to_dict(self) -> dict[str, Any]:
        """As plain lists, dicts and numbers; what is not a finite number becomes None."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))
        return plain

    def sentences(self) -> list[str]:
        """One plain sentence per pair."""
        return [self._sentence(pair) for pair in self.pairs]

    def _sentence(self, pair: Pair) -> str:
        mean = {system.name: mean.value for system, mean in zip(self.systems, self.means, strict=True)}
        gain, verdict = pair.difference, "is not shown to differ from"
        if pair.p_holm < SIGNIFICANT:
            does = "predicts" if self.predicts else "ranks"
            better = direction(self.metric) * gain.value > 0
            verdict = f"{does} {'better' if better else 'worse'} than"
        relative = "" if pair.relative is None else f", {percent(pair.relative, sign=True)}"
        return (
            f"{pair.system} {verdict} {pair.baseline} on {self.domain}: {self.metric} {mean[pair.system]:.4f} against "
            f"{mean[pair.baseline]:.4f}{relative} (difference {gain.value:+.4f}, {percent(self.level)} interval "
            f"{gain.low:+.4f} to {gain.high:+.4f}, corrected p {p_text(pair.p_holm, inline=True)}, "
            f"{self.users:,} users, {self.measured_as})."
        )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
