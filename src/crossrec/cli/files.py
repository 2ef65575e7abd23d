"""Small files that commands read and write: lists of ids, histories of strangers, tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossrec.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".parquet", ".csv", ".jsonl")


def read_ids(path: Path, what: str) -> list[Any]:
    """The distinct ids of a file, in its order: one per line, or the column ``<what>_id``, ``<what>`` or ``id`` of a log."""
    from crossrec.data.formats import open_file, split_name

    _exists(path)
    if split_name(path) is None:
        ids = [line.strip() for line in _text(path).splitlines() if line.strip()]
    else:
        source = open_file(path)
        wanted = [name for name in (f"{what}_id", what, "id") if name in source.columns]
        if not wanted:
            found = ", ".join(source.columns)
            raise InputError(f"{path}: there is no column '{what}_id' (nor {what!r}, 'id'). Columns found: {found}.")
        ids = [i for batch in source.batches(wanted[:1]) for i in batch.column(0).to_pylist() if i is not None]
    if not ids:
        raise InputError(f"{path}: it holds no {what} id. Write one per line.")
    return list(dict.fromkeys(ids))


def read_histories(path: Path) -> list[dict[str, list[Any]]]:
    """One mapping from domain to item ids per line."""
    _exists(path)
    histories = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: this is not JSON ({error}). {_SHAPE}") from error
        if not isinstance(row, dict) or not all(isinstance(items, list) for items in row.values()):
            raise InputError(f"{path}, line {number}: found {line.strip()[:60]}. {_SHAPE}")
        histories.append(row)
    if not histories:
        raise InputError(f"{path}: it holds no history. {_SHAPE}")
    return histories


def check_suffix(path: Path) -> None:
    """Raise InputError, before anything is computed, for a table that cannot be written."""
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"{path}: the suffix says what to write, and {path.suffix!r} is none of {', '.join(SUFFIXES)}."
        )
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}. Make it, or give another place.")


def write_table(table: pa.Table, path: Path) -> None:
    """As the suffix says; written beside, then renamed."""
    import pyarrow.csv as pacsv
    import pyarrow.parquet as pq

    beside = path.with_name(f".{path.name}.new")
    try:
        if path.suffix == ".parquet":
            pq.write_table(table, beside, compression="zstd")
        elif path.suffix == ".csv":
            pacsv.write_csv(table, beside)
        else:
            with beside.open("w", encoding="utf-8") as file:
                for batch in table.to_batches(max_chunksize=1 << 14):
                    file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in batch.to_pylist())
        beside.replace(path)
    except OSError as error:
        raise InputError(f"{path}: it cannot be written ({error.strerror or error}). Give another place.") from error
    finally:
        beside.unlink(missing_ok=True)


_SHAPE = 'Write one stranger per line: {"games": ["g7", "g9"]}, a list of item ids per domain, oldest first.'


def _exists(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: it cannot be read as text ({error}).") from error
