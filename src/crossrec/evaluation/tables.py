"""Results tables as files: a line per figure (long), or a line per row and a column per metric (wide)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from crossrec.errors import InputError, nearest
from crossrec.evaluation.check import metric_name

METRIC = "metric"
VALUES = ("mean", "paper", "value")
"""Columns of the figures of a long table: the first that is there."""
NAMES = ("table", "data", "target", "row", "protocol")
"""Columns that name the row of a long table, those that are there."""
_NOTHING = ("", "-", "–", "—")

Key = tuple[str, ...]
Cells = dict[str, tuple[Decimal, int]]
"""Metric to figure and line."""


@dataclass(frozen=True)
class Row:
    """A row of a table."""

    name: Mapping[str, str]
    """What names it: column to cell."""
    line: int
    """Where it begins in the file."""
    values: Mapping[str, float]
    """Metric to figure, as printed: in per cent if the table is."""


@dataclass(frozen=True)
class Table:
    """What a file holds."""

    rows: Sequence[Row]
    decimals: Mapping[str, int]
    """Metric to the decimals that it is printed with: the most that any of its figures has."""
    percent: bool
    """Figures are in per cent: half of the rows or more have one above 1 and none above 100."""
    unchecked: Sequence[str]
    """Metrics of a long table that are none of ours."""

    @property
    def whole(self) -> float:
        """What a share of all is printed as."""
        return 100.0 if self.percent else 1.0

    @property
    def rounding(self) -> Mapping[str, float]:
        """Metric to the most that rounding may have moved its figures."""
        return {name: 0.5 * 10.0**-count for name, count in self.decimals.items()}


def read_table(
    path: Path, value: str | None = None, by: Sequence[str] | None = None, decimals: int | None = None
) -> Table:
    """The table of a CSV file (tabs between the cells of a ``.tsv``).

    ``value``: the column of the figures of a long table; ``by``: the columns that name a row (default: of a long table those
    of ``NAMES`` that it has, of a wide one all that are no metric); ``decimals``: in place of those found. Empty cells and
    dashes are no figures. Raises InputError with file, line and column.
    """
    lines = _lines(path)
    _, columns = next(lines)
    metrics = _metrics_of(path, columns)
    long = METRIC in columns and not metrics
    if not long and not metrics:
        raise InputError(
            f"{path}: there is no column of a metric (hr@10, ndcg@10, mrr@5, mrr, auc, ...) and none named {METRIC}. "
            f"Columns found: {', '.join(columns)}."
        )
    if value is not None and not long:
        raise InputError(f"{path}: a column per metric needs no column of figures. Leave out the name {value!r}.")
    figures = _value_column(path, columns, value) if long else ""
    for name in by or ():
        if name not in columns:
            raise InputError(f"{path}: there is no column {name!r} to name rows by.{nearest(name, columns)}")
    others = [name for name in columns if name not in metrics and name not in (METRIC, figures)]
    named = list(by or ([name for name in NAMES if name in columns] if long else ()) or others)
    found: dict[Key, Cells] = {}
    unchecked: dict[str, None] = {}
    for number, cells in lines:
        row = dict(zip(columns, cells, strict=True))
        key = tuple(row[name] for name in named)
        if long:
            metric = metric_name(row[METRIC])
            if metric is None:
                unchecked[row[METRIC]] = None
            else:
                _put(found.setdefault(key, {}), metric, row[figures], path, number, figures)
        else:
            of_line = found.setdefault((*key, str(number)), {})
            for column, name in metrics.items():
                _put(of_line, name, row[column], path, number, column)
    return _table(path, named, {key: cells for key, cells in found.items() if cells}, unchecked, decimals)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of every line that is not empty, the head first; all have as many cells as it."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.")
    count = 0
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
            for cells in reader:
                if not cells:
                    continue
                count = count or len(cells)
                if len(cells) != count:
                    raise InputError(
                        f"{path}, line {reader.line_num}: {len(cells)} cells, where the head has {count}. Write a table "
                        "with one line of heads, and commas between cells."
                    )
                yield reader.line_num, [cell.strip() for cell in cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: it cannot be read as CSV ({error}).") from error
    if not count:
        raise InputError(f"{path}: it is empty.")


def _metrics_of(path: Path, columns: Sequence[str]) -> dict[str, str]:
    """Column to metric, of those that are metrics. Raises InputError where two columns are the same."""
    metrics: dict[str, str] = {}
    for column in columns:
        name = metric_name(column)
        if columns.count(column) > 1 or name in metrics.values():
            raise InputError(f"{path}: two columns are {name or column}. Leave one out.")
        if name is not None:
            metrics[column] = name
    return metrics


def _value_column(path: Path, columns: Sequence[str], value: str | None) -> str:
    found = [name for name in ([value] if value else VALUES) if name in columns]
    if not found:
        raise InputError(
            f"{path}: there is no column {value or ' nor '.join(VALUES)} with the figures. Columns found: {', '.join(columns)}."
        )
    return found[0]


def _put(cells: Cells, name: str, text: str, path: Path, number: int, column: str) -> None:
    if text in _NOTHING:
        return
    if name in cells:
        raise InputError(
            f"{path}, line {number}: {name} of this row is in line {cells[name][1]} already. "
            "Name the columns that tell rows apart."
        )
    try:
        figure = Decimal(text)
    except InvalidOperation:
        figure = Decimal("nan")
    if not figure.is_finite():
        raise InputError(
            f"{path}, line {number}, column {column!r}: {text!r} is no number. Write figures like 0.2431; leave the cell "
            "empty where there is none."
        )
    cells[name] = figure, number


def _table(
    path: Path, named: Sequence[str], found: Mapping[Key, Cells], unchecked: Iterable[str], decimals: int | None
) -> Table:
    if not found:
        unknown = ", ".join(unchecked)
        raise InputError(
            f"{path}: there is no figure of a metric like hr@10, ndcg@10, mrr@5, mrr or auc"
            + (f" (its metrics: {unknown})." if unknown else ".")
        )
    printed: dict[str, int] = {}
    for cells in found.values():
        for name, (figure, _) in cells.items():
            printed[name] = max(printed.get(name, 0), -int(figure.as_tuple().exponent))
    of_auc = [[figure for name, (figure, _) in cells.items() if name == "auc"] for cells in found.values()]
    of_hits = [[figure for name, (figure, _) in cells.items() if name != "auc"] for cells in found.values()]
    percent = _percent(of_hits) or (not any(of_hits) and _percent(of_auc))
    shift = 2 * (percent - _percent(of_auc)) if any(of_auc) else 0
    rows = [
        Row(
            dict(zip(named, key, strict=False)),
            min(line for _, line in cells.values()),
            {name: float(figure.scaleb(shift if name == "auc" else 0)) for name, (figure, _) in cells.items()},
        )
        for key, cells in found.items()
    ]
    counts = {name: count if decimals is None else decimals for name, count in printed.items()}
    if "auc" in counts:
        counts["auc"] -= shift
    return Table(rows, counts, percent, list(unchecked))


def _percent(rows: Sequence[Sequence[Decimal]]) -> bool:
    """Whether half of the rows with figures or more have one above 1, and none above 100."""
    full = [max(figures) for figures in rows if figures]
    return bool(full) and sum(1 < most <= 100 for most in full) * 2 >= len(full)
