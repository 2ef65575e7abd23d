"""``results.csv``: one line per measured cell, metric and protocol; lines of other cells stay."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossrec.data.beside import file_beside
from crossrec.errors import InputError


@dataclass(frozen=True)
class Line:
    """A line, as the file has it."""

    table: str
    data: str
    target: str
    row: str
    metric: str
    protocol: str
    mean: float
    """Over the seeds, of the metric over all held-out items."""
    std: float | None
    """Standard deviation over the seeds; nothing with one seed."""
    seeds: int
    users: int
    """Held-out items that were measured."""
    paper: float | None
    """The paper's figure, beside a protocol like its own."""
    p_value: float | None
    """Paired t-test over users against the baseline, both averaged over the seeds that both have."""
    against: str
    """The baseline; empty where it was not measured."""
    command: str
    """Measures this very cell."""
    commit: str
    data_hash: str
    cpu_seconds: float
    """Of training, mean over the seeds."""

    @property
    def key(self) -> tuple[str, ...]:
        """What is measured: lines of the same key replace each other."""
        return tuple(getattr(self, name) for name in KEY)


KEY = ("table", "data", "target", "row", "metric", "protocol")
COLUMNS = tuple(field.name for field in dataclasses.fields(Line))
_FORMATS: dict[str, Callable[[Any], str]] = {
    "mean": "{:.6f}".format,
    "std": "{:.6f}".format,
    "p_value": "{:.3g}".format,
    "cpu_seconds": "{:.1f}".format,
}


def as_text(line: Line) -> dict[str, str]:
    """The line's columns as they are written; empty for nothing."""
    values = {name: getattr(line, name) for name in COLUMNS}
    return {name: "" if value is None else _FORMATS.get(name, str)(value) for name, value in values.items()}


def read_lines(path: Path) -> list[dict[str, str]]:
    """The lines of a results file, none where there is no file. Raises InputError where it has other columns."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != COLUMNS:
            raise InputError(
                f"{path}: its columns must be {', '.join(COLUMNS)}; found {', '.join(rows.fieldnames or ())}. Move it away."
            )
        return list(rows)


def merge_lines(
    path: Path, lines: Iterable[Line], order: Callable[[Mapping[str, str]], Any], *, over_more_seeds: bool = True
) -> int:
    """Put lines into the file, in place of those that measured the same; sorted by ``order``, written beside and renamed.

    Returns how many were not put there: those in whose place is a mean over more seeds, unless it is to be replaced.
    """
    merged, left = {tuple(row[name] for name in KEY): row for row in read_lines(path)}, 0
    for line in lines:
        if not over_more_seeds and line.key in merged and int(merged[line.key]["seeds"]) > line.seeds:
            left += 1
        else:
            merged[line.key] = as_text(line)
    with file_beside(path, "the table of results") as place, place.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(merged.values(), key=order))
    return left
