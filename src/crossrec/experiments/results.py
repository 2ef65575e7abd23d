"""Read run folders: per-user results, what the run was, its learning curve."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from crossrec.data.arrow import to_numpy
from crossrec.errors import DataError, InputError
from crossrec.evaluation.files import results_file
from crossrec.evaluation.kinds import RANKING, Kind, kind_of
from crossrec.runs import CONFIG, INFO, METRICS, RESULTS

METADATA_KEY = b"crossrec"
"""Key of the Arrow schema metadata under which a results file says (JSON) what it holds."""

HISTORY = "history_"
"""Results columns ``history_<domain>``: that domain's events in the instance's input."""

_COLUMNS = ("user_id", "item_id")


@dataclass(frozen=True, eq=False)
class Results:
    """One run's results under one protocol: N held-out items."""

    folder: Path
    metadata: Mapping[str, Any]
    """What the results file says of itself: domain, protocol, part, model, hashes, seed, leak."""
    user_N: pa.ChunkedArray
    item_N: pa.ChunkedArray
    kind: Kind
    """What is known of an item, and which metrics that gives."""
    columns: Mapping[str, npt.NDArray[np.float64]]
    """The kind's columns: (N,) each."""
    history: Mapping[str, npt.NDArray[np.int64]]
    """Per domain, events in the input: (N,) each."""

    def __len__(self) -> int:
        return len(self.user_N)

    @property
    def rank_N(self) -> npt.NDArray[np.float64]:
        """Ranks of the held-out items, where they were ranked."""
        return self.columns["rank"]

    @property
    def candidates_N(self) -> npt.NDArray[np.int64]:
        """How many items each was ranked among, where that was one by one."""
        return self.columns["candidates"].astype(np.int64)

    def value(self, metric: str) -> float:
        """A metric as ``crossrec evaluate`` has it. Raises InputError for one that these results do not give."""
        order = np.argsort(_numbered(self.user_N), kind="stable")
        start_U = np.flatnonzero(np.diff(_numbered(self.user_N)[order], prepend=-1))
        return self.kind.value(metric, {name: value[order] for name, value in self.columns.items()}, start_U)


def protocols(run: Path) -> list[str]:
    """Names of the protocols that a run has results of its own target for, ``full`` first."""
    return sorted((path.stem for path in Path(run, RESULTS).glob("*.parquet")), key=lambda name: (name != "full", name))


def results_of(run: Path, protocol: str, target: str | None = None) -> Path:
    """The file of a run's results in one of its targets (None: its own)."""
    return results_file(run, protocol, None if target == read_config(run).get("target") else target)


def read_results(run: Path, protocol: str, target: str | None = None) -> Results:
    """The results of a run under a protocol, in one of its targets (None: its own).

    Raises InputError where the run has none, DataError where the file is not what ``crossrec evaluate`` writes.
    """
    run = Path(run)
    path = results_of(run, protocol, target)
    if not run.is_dir():
        raise InputError(f"{run}: there is no such run folder.")
    if not path.is_file():
        found = ", ".join(protocols(run)) or "none"
        raise InputError(
            f"{path}: no results under the protocol {protocol!r} (found: {found}). "
            f"Write them with `crossrec evaluate {run} --protocol {protocol}`."
        )
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({error}). Evaluate the run again.") from error
    raw = (table.schema.metadata or {}).get(METADATA_KEY)
    kind = kind_of(table.column_names)
    wanted = (*_COLUMNS, *(RANKING if kind is None else kind).columns)
    lacks = [column for column in wanted if column not in table.column_names]
    if kind is None or lacks or raw is None:
        what = f"column {lacks[0]!r}" if lacks else "metadata 'crossrec'"
        raise DataError(f"{path}: has no {what}: not a results file of crossrec. Evaluate the run again.")
    history = {
        column.removeprefix(HISTORY): _integers(path, table, column)
        for column in table.column_names
        if column.startswith(HISTORY)
    }
    kept = [*kind.columns, *(column for column in kind.further if column in table.column_names)]
    columns = {column: _numbers(path, table, column) for column in kept}
    _check(path, kind, columns)
    return Results(run, json.loads(raw), table["user_id"], table["item_id"], kind, columns, history)


def read_config(run: Path) -> dict[str, Any]:
    """What was asked for (``config.json``); empty where there is none."""
    return _read_json(Path(run, CONFIG))


def read_run(run: Path) -> dict[str, Any]:
    """What was asked for and what happened (``config.json``, ``run.json``); empty where there is neither."""
    return read_config(run) | _read_json(Path(run, INFO))


def read_curve(run: Path) -> list[dict[str, Any]]:
    """The training epochs of ``metrics.jsonl`` in order: its lines with an epoch and a loss.

    A line cut short by a kill is left out; of an epoch that was trained again after it, the last line stands.
    """
    path = Path(run, METRICS)
    if not path.is_file():
        return []
    epochs: dict[tuple[str, int], dict[str, Any]] = {}
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(line, dict) and is_number(line.get("loss")) and isinstance(line.get("epoch"), int):
            epochs[str(line.get("phase", "")), line["epoch"]] = line
    return list(epochs.values())


def is_number(value: Any) -> TypeGuard[float]:
    """A finite number (not a truth value)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not JSON ({error}). Copy the run folder again.") from error
    return found if isinstance(found, dict) else {}


def _numbers(path: Path, table: pa.Table, column: str) -> npt.NDArray[np.float64]:
    values = table[column]
    if values.null_count:
        row = np.flatnonzero(values.is_null().to_numpy())[0]
        raise DataError(f"{path}, row {row}, column {column!r}: is empty. Evaluate the run again.")
    try:
        return np.array(to_numpy(values.cast(pa.float64()).combine_chunks()))
    except pa.ArrowException as error:
        raise DataError(f"{path}, column {column!r}: expected numbers, found {values.type}.") from error


def _integers(path: Path, table: pa.Table, column: str) -> npt.NDArray[np.int64]:
    return _numbers(path, table, column).astype(np.int64)


def _numbered(ids: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """A number per own id, from 0 on."""
    return np.asarray(to_numpy(ids.combine_chunks().dictionary_encode().indices), dtype=np.int64)


def _check(path: Path, kind: Kind, columns: Mapping[str, npt.NDArray[np.float64]]) -> None:
    if not len(columns[kind.columns[0]]):
        raise DataError(f"{path}: holds no user. Was the target domain given a test part?")
    if kind is not RANKING:
        return
    rank_N, candidates_N = columns["rank"], columns["candidates"].astype(np.int64)
    bad = np.flatnonzero(~((rank_N >= 1) & (rank_N <= candidates_N)))
    if len(bad):
        row = int(bad[0])
        raise DataError(
            f"{path}, row {row}, column 'rank': {rank_N[row]} does not lie between 1 and the {candidates_N[row]} "
            "candidates. Evaluate the run again."
        )
