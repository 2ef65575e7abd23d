"""Runs that are stopped on the way, and what two runs are compared by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from crossrec.runs import read_metrics


class Interrupted(Exception):
    """Stands for a run that is killed."""


def figures(run: Path) -> list[dict[str, Any]]:
    """The records of a run's metrics without the seconds."""
    return [{key: value for key, value in line.items() if "seconds" not in key} for line in read_metrics(run)]


def interrupt(train: Callable[..., object], at: int, folder: Path) -> None:
    """Train into a folder until the record of this number, and die."""
    seen: list[Any] = []

    def log(record: Any) -> None:
        seen.append(record)
        if len(seen) == at:
            raise Interrupted

    try:
        train(out=folder, log=log, checkpoint_seconds=0.0)
    except Interrupted:
        return
    raise AssertionError(f"the run ended before record {at}")


def stopped(train: Callable[..., object], at: Iterable[int], folder: Path) -> Iterator[Path]:
    """Of every number a new run in the folder that was stopped after that record, to be resumed."""
    for number in at:
        run = folder / f"stopped-{number}"
        interrupt(train, number, run)
        yield run
