"""Figures as people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def p_text(p: float, inline: bool = False) -> str:
    """A p-value: ``0.034``, ``2.1e-07``, ``< 1e-15``; in a sentence (``inline``) with ``=`` before it."""
    if p < 1e-15:
        return "< 1e-15"
    return ("= " if inline else "") + (f"{p:.1e}" if p < 0.001 else f"{p:.3f}")


def percent(share: float, sign: bool = False) -> str:
    """A share as per cent: ``12 %``, ``+3.4 %``."""
    digits = 0 if abs(share) >= 1 or abs(100 * share - round(100 * share)) < 1e-9 else 1
    return f"{100 * share:{'+' if sign else ''},.{digits}f} %"


def figure(value: Any) -> str:
    """Any value for a table: whole numbers with separators, others to four significant digits, dashes for nothing."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {figure(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(figure(item) for item in value)
    return str(value)


def compact(count: int) -> str:
    """A count in few letters: ``812``, ``7.9k``, ``1.2M``."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.{1 if count < 10 * size else 0}f}{letter}"
    return str(count)


def shorten(name: str, longest: int = 26) -> str:
    """A name that fits a legend: its end is cut off where it is longer."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
