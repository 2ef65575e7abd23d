"""Learning curves: what a run lost and how it ranked, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossrec.experiments.comparison import Comparison
from crossrec.experiments.naming import name_groups
from crossrec.experiments.results import is_number, read_curve, read_run


@dataclass(frozen=True)
class Curve:
    """One run's training. Epochs are counted on over its phases."""

    run: str
    system: int
    """Runs of one system (its seeds) have one number."""
    label: str
    """The system's name."""
    loss: tuple[tuple[int, float], ...]
    """(epoch, mean training loss)."""
    valid: tuple[tuple[int, float], ...]
    """(epoch, validation metric)."""
    best: tuple[int, float] | None
    """The validated epoch whose weights were kept."""


@dataclass(frozen=True)
class Shown:
    """How a run is shown in every plot."""

    run: Path
    name: str
    system: int
    """Runs of one system (its seeds) have one number."""
    label: str
    """The system's name."""


def shown(runs: Sequence[Path], comparison: Comparison | None) -> list[Shown]:
    """Names of the runs; those of one compared system share its name and number."""
    belongs: dict[Path, tuple[int, str]] = {}
    for number, system in enumerate(comparison.systems if comparison else ()):
        belongs |= {Path(run).resolve(): (number, system.name) for run in system.runs}
    found = []
    for name, run in zip(name_groups([[run] for run in runs]), map(Path, runs), strict=True):
        if run.resolve() not in belongs:
            belongs[run.resolve()] = (len({number for number, _ in belongs.values()}), name)
        found.append(Shown(run, name, *belongs[run.resolve()]))
    return found


def read_curves(runs: Sequence[Path], metric: str, comparison: Comparison | None) -> list[Curve]:
    """The curves of the runs that left one."""
    curves = []
    for each in shown(runs, comparison):
        lines = read_curve(each.run)
        if lines:
            best_epoch = read_run(each.run).get("best_epoch")
            curves.append(_curve(each.name, each.system, each.label, lines, metric, best_epoch))
    return curves


def _curve(run: str, system: int, label: str, lines: list[dict[str, Any]], metric: str, best_epoch: Any) -> Curve:
    loss = tuple((epoch, float(line["loss"])) for epoch, line in enumerate(lines, 1))
    valid, best = [], None
    for epoch, line in enumerate(lines, 1):
        measured = line.get("valid")
        value = measured.get(metric) if isinstance(measured, dict) else None
        if is_number(value):
            valid.append((epoch, float(value)))
            if line["epoch"] == best_epoch:
                best = valid[-1]
    return Curve(run, system, label, loss, tuple(valid), best)
