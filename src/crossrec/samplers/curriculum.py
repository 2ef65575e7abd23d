"""The curricula of RealHNS as functions of the epoch (1, 2, ...): how many hard negatives, and how far from the positive.

Source: specs of RealHNS, section 5.6. Both stand still up to epoch ``start`` and move a step every ``every`` epochs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class CurriculumConfig:
    """Settings of the curriculum of the number."""

    start: int = 5
    """Last epoch without any hard negative (RealHNS, mu)."""
    every: int = 2
    """Epochs between two steps (RealHNS, psi)."""
    step: int = 1
    """Hard negatives more at every step (RealHNS, eta)."""


@dataclass(frozen=True)
class FilterConfig(CurriculumConfig):
    """Settings of both curricula."""

    strictness: float = 5.0
    """The filter starts at the scale of the item clusters divided by this (RealHNS, chi)."""
    growth: float = 1.15
    """The filter's threshold is multiplied by this at every step (RealHNS, tau)."""


def steps(config: CurriculumConfig, epoch: int) -> int:
    """Steps made by an epoch: ceil((epoch - start) / every), 0 up to ``start``."""
    return max(0, -(-(epoch - config.start) // config.every))


def number(config: CurriculumConfig, epoch: int, most: int) -> int:
    """Hard negatives of every positive in an epoch, at most ``most`` (n_r of RealHNS)."""
    return min(config.step * steps(config, epoch), most)


def threshold(config: FilterConfig, epoch: int, scale: float) -> float:
    """Largest similarity to the positive that a hard negative may have in an epoch (s_d of RealHNS).

    ``scale`` is that of the item clusters (s_c). Strict first, lenient later; up to ``start`` nothing is filtered.
    """
    made = steps(config, epoch)
    if not made:
        return math.inf
    return scale * math.exp(min(0.0, made * math.log(config.growth) - math.log(config.strictness)))
