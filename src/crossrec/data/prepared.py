"""The prepared folder: memory-mapped packed arrays, ids and titles as Arrow files, described by ``dataset.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crossrec.data.beside import folder_beside
from crossrec.data.dataset import Dataset
from crossrec.data.vocabulary import Vocabulary
from crossrec.errors import DataError

FORMAT = 1
HEADER = "dataset.json"
_ARRAYS = {"offset": np.int64, "item": np.int32, "time": np.int64, "rating": np.float32}
_MEND = "Prepare the logs again."


def save(data: Dataset, folder: Path | str) -> Path:
    """Writes a prepared folder, beside its place first. An earlier prepared folder there is replaced.

    Raises:
        DataError: if something else is there, or the disk is full; the place is untouched then.
    """
    target = Path(folder)
    with folder_beside(target, HEADER) as place:
        arrays = {"offset": data.offset_U1, "item": data.item_E, "time": data.time_E, "rating": data.rating_E}
        for name, array in arrays.items():
            if array is not None:
                _write_array(place / f"{name}.npy", np.ascontiguousarray(array, _ARRAYS[name]))
        files = _file_names(data.domains)
        _write_table(place / "users.arrow", _id_table(data.users))
        for domain, ids in data.items.items():
            _write_table(place / f"items-{files[domain]}.arrow", _id_table(ids))
            if domain in data.titles:
                _write_table(place / f"titles-{files[domain]}.arrow", data.titles[domain])
        header = {
            "format": FORMAT,
            "hash": data.hash,
            "users": data.num_users,
            "interactions": data.num_interactions,
            "domains": [{"name": name, "items": len(ids), "file": files[name]} for name, ids in data.items.items()],
            "files": {path.name: path.stat().st_size for path in sorted(place.iterdir())},
            "card": dict(data.card),
        }
        (place / HEADER).write_text(
            json.dumps(header, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )
    return target


def load(folder: Path | str, verify: bool = False) -> Dataset:
    """The dataset of a prepared folder, memory-mapped.

    Args:
        folder: What :func:`save` wrote.
        verify: Whether the content hash is computed again (reads everything); sizes are checked anyway.

    Raises:
        DataError: if it is not a prepared folder, of another format number, or not whole.
    """
    place = Path(folder)
    header = _header(place)
    for name, size in header["files"].items():
        _check_size(place / name, size)
    arrays = {
        name: _read_array(place / f"{name}.npy", dtype)
        for name, dtype in _ARRAYS.items()
        if f"{name}.npy" in header["files"]
    }
    domains = {domain["name"]: domain for domain in header["domains"]}
    items = {name: _read_ids(place / f"items-{domain['file']}.arrow") for name, domain in domains.items()}
    titles = {name: place / f"titles-{domain['file']}.arrow" for name, domain in domains.items()}
    data = Dataset(
        users=_read_ids(place / "users.arrow"),
        items=items,
        offset_U1=arrays["offset"],
        item_E=arrays["item"],
        time_E=arrays.get("time"),
        rating_E=arrays.get("rating"),
        titles={name: _read_table(path) for name, path in titles.items() if path.name in header["files"]},
        card=header["card"],
        folder=place,
    )
    _check_sizes(data, header, place)
    if verify and data.hash != header["hash"]:
        raise DataError(
            f"{place}: its content (hash {data.hash}) is not what was prepared (hash {header['hash']}). {_MEND}"
        )
    vars(data)["hash"] = header["hash"]
    return data


def _file_names(domains: tuple[str, ...]) -> dict[str, str]:
    """A safe and distinct file name part for every domain."""
    names: dict[str, str] = {}
    for domain in domains:
        safe = re.sub(r"[^A-Za-z0-9_-]+", "_", domain)
        taken = {name.lower() for name in names.values()}
        names[domain] = safe if safe.lower() not in taken else f"{safe}.{len(names)}"
    return names


def _write_array(path: Path, array: npt.NDArray[Any]) -> None:
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data.cast("B") if array.size else b"")


def _write_table(path: Path, table: pa.Table) -> None:
    with path.open("wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _id_table(ids: Vocabulary) -> pa.Table:
    return pa.table({"id": ids.text}).replace_schema_metadata({"kind": ids.kind})


def _header(place: Path) -> dict[str, Any]:
    path = place / HEADER
    if not path.is_file():
        raise DataError(
            f"{place}: this is not a prepared folder (no {HEADER} in it). "
            "Make one of a folder of logs with `crossrec prepare`."
        )
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        number = header["format"]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: it cannot be read ({error}). {_MEND}") from error
    if number != FORMAT:
        raise DataError(f"{path}: found format {number!r} where this crossrec reads format {FORMAT}. {_MEND}")
    assert isinstance(header, dict)
    return header


def _check_size(path: Path, size: int) -> None:
    if not path.is_file():
        raise DataError(f"{path}: this file of the prepared folder is missing. {_MEND}")
    if path.stat().st_size != size:
        raise DataError(
            f"{path}: found {path.stat().st_size:,} bytes where {size:,} were prepared: it was cut or changed. {_MEND}"
        )


def _read_array(path: Path, dtype: Any) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path}: it cannot be read as an array ({error}). {_MEND}") from error
    if array.dtype != dtype or array.ndim != 1:
        raise DataError(
            f"{path}: found {array.ndim} axes of {array.dtype} where one of {np.dtype(dtype)} belongs. {_MEND}"
        )
    return array


def _read_table(path: Path) -> pa.Table:
    try:
        with pa.memory_map(str(path)) as file:
            return pa.ipc.open_file(file).read_all()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: it cannot be read as an Arrow file ({error}). {_MEND}") from error


def _read_ids(path: Path) -> Vocabulary:
    table = _read_table(path)
    kind = (table.schema.metadata or {}).get(b"kind", b"string").decode()
    return Vocabulary(table["id"], kind)


def _check_sizes(data: Dataset, header: Mapping[str, Any], place: Path) -> None:
    """What the header says of the sizes is what the files hold."""
    items = {domain["name"]: domain["items"] for domain in header["domains"]}
    lengths = [len(array) for array in (data.item_E, data.time_E, data.rating_E) if array is not None]
    fits = (
        len(data.offset_U1) == header["users"] + 1 == data.num_users + 1
        and set(lengths) == {header["interactions"]}
        and int(data.offset_U1[-1]) == header["interactions"]
        and dict(data.catalogue.sizes) == items
    )
    if not fits:
        raise DataError(f"{place}: its files do not fit each other. {_MEND}")
