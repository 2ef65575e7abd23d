"""A graph in a folder: memory-mapped arrays, described by ``graph.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crossrec.data.beside import folder_beside
from crossrec.data.graphs import DTYPES, Adjacency, Graph, adjacency, build, known_domains
from crossrec.data.sorting import Array
from crossrec.data.splits import Split
from crossrec.errors import DataError

FORMAT = 1
HEADER = "graph.json"
_MEND = "Build the graph again."


def save(graph: Graph, folder: Path | str) -> Path:
    """Writes a folder, beside its place first. An earlier graph there is replaced.

    Raises:
        DataError: if something else is there, or the disk is full; the place is untouched then.
    """
    target = Path(folder)
    with folder_beside(target, HEADER) as place:
        files = {}
        for side in ("users", "items"):
            for name, array in getattr(graph, side).arrays().items():
                path = place / f"{side}-{name}.npy"
                np.save(path, np.ascontiguousarray(array, DTYPES[name]), allow_pickle=False)
                files[path.name] = path.stat().st_size
        sizes = {"users": len(graph.users), "items": len(graph.items), "edges": graph.num_edges}
        told = {"format": FORMAT, "hash": graph.hash, "split": graph.split_hash, "domains": graph.domains}
        header = json.dumps({**told, **sizes, "files": files}, indent=1, ensure_ascii=False)
        (place / HEADER).write_text(header + "\n", encoding="utf-8")
    return target


def kept(split: Split, domains: Sequence[str] | None = None, folder: Path | str | None = None) -> Graph:
    """The graph of a split as it was written before, memory-mapped; otherwise it is built and written there.

    Args:
        split: Its training rows are the edges.
        domains: As in :func:`~crossrec.data.graphs.build`.
        folder: Holds a folder per graph. If None: beside the prepared folder, named after it with ``-graphs`` behind;
            without a prepared folder nothing is written.
    """
    domains = known_domains(split, domains)
    prepared = split.data.folder
    if folder is None:
        if prepared is None:
            return build(split, domains)
        folder = prepared.with_name(f"{prepared.name}-graphs")
    place = Path(folder) / f"{split.hash}-{hashlib.sha256(json.dumps(domains).encode()).hexdigest()[:8]}"
    if not (place / HEADER).is_file():
        save(build(split, domains), place)
    return load(place)


def load(folder: Path | str, verify: bool = False) -> Graph:
    """The graph of a folder, memory-mapped: copy on write, so that torch reads it in place and the files never change.

    Args:
        folder: What :func:`save` wrote.
        verify: Whether the content hash is computed again (reads everything); sizes are checked anyway.

    Raises:
        DataError: if it is no such folder, of another format number, or not whole.
    """
    place = Path(folder)
    try:
        header = json.loads((place / HEADER).read_text(encoding="utf-8"))
        number, files, rows = header["format"], header["files"], (header["users"], header["items"])
    except FileNotFoundError as error:
        raise DataError(f"{place}: this is not the folder of a graph (no {HEADER} in it).") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{place / HEADER}: it cannot be read ({error}). {_MEND}") from error
    if number != FORMAT:
        raise DataError(f"{place}: found format {number!r} where this crossrec reads format {FORMAT}. {_MEND}")
    users, items = (
        _side(place, side, files, columns) for side, columns in zip(("users", "items"), rows[::-1], strict=True)
    )
    graph = Graph(tuple(header["domains"]), users, items, header["split"])
    if not (_whole(users, rows[0], header["edges"]) and _whole(items, rows[1], header["edges"])):
        raise DataError(f"{place}: its files do not fit each other. {_MEND}")
    if verify and graph.hash != header["hash"]:
        raise DataError(
            f"{place}: its content (hash {graph.hash}) is not what was built (hash {header['hash']}). {_MEND}"
        )
    vars(graph)["hash"] = header["hash"]
    return graph


def _side(place: Path, side: str, files: dict[str, int], columns: int) -> Adjacency:
    """One direction out of its files."""
    names = [name for name in DTYPES if f"{side}-{name}.npy" in files]
    return adjacency(columns, {name: _mapped(place / f"{side}-{name}.npy", files, DTYPES[name]) for name in names})


def _mapped(path: Path, sizes: dict[str, int], dtype: Any) -> Array:
    if not path.is_file() or path.stat().st_size != sizes[path.name]:
        raise DataError(f"{path}: this file of the graph is missing, or was cut or changed. {_MEND}")
    try:
        array: Array = np.load(path, mmap_mode="c", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path}: it cannot be read as an array ({error}). {_MEND}") from error
    if array.dtype != dtype or array.ndim != 1:
        raise DataError(f"{path}: found {array.dtype} where {np.dtype(dtype)} belongs. {_MEND}")
    return array


def _whole(side: Adjacency, rows: int, edges: int) -> bool:
    lengths = {len(array) for name, array in side.arrays().items() if name != "offset"}
    return len(side) == rows and lengths == {edges} and int(side.offset_N1[-1]) == edges
