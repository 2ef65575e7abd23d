"""From a folder of logs, or from frames, to a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from crossrec.data.arrow import to_numpy
from crossrec.data.columns import Columns
from crossrec.data.dataset import Dataset
from crossrec.data.formats import KNOWN, open_file, split_name
from crossrec.data.frames import open_frame
from crossrec.data.log import Log
from crossrec.data.pack import ordering, pack
from crossrec.data.scale import Scale
from crossrec.data.source import Source
from crossrec.data.titles import read_titles
from crossrec.errors import DataError, InputError, nearest

ITEMS = "items"
"""Name of the file that names items: it is no domain."""
_DOCUMENTS = (".md", ".txt", ".rst", ".html", ".pdf", ".py", ".yaml", ".yml", ".toml", ".log")


def read_folder(
    folder: Path | str,
    domains: Sequence[str] | None = None,
    columns: Columns | None = None,
    duplicates: str = "keep",
    order: str = "time",
    scale: Scale | None = None,
) -> Dataset:
    """The dataset of a folder with one log per domain, named after it. See :meth:`Dataset.from_folder`."""
    columns = columns or Columns()
    files, unknown = scan(Path(folder))
    names = _chosen(Path(folder), domains, files, unknown)
    titles = open_file(files[ITEMS]) if ITEMS in files else None
    notes = [f"{path.name}: skipped, its suffix is none of {KNOWN}" for path in unknown]
    sources = {name: open_file(files[name]) for name in names}
    return read_sources(sources, titles, columns, duplicates, order, notes, scale)


def read_frames(
    frames: Mapping[str, Any],
    columns: Columns,
    items: Any | None = None,
    duplicates: str = "keep",
    order: str = "time",
    scale: Scale | None = None,
) -> Dataset:
    """The dataset of one frame per domain. See :meth:`Dataset.from_frames`."""
    if not frames:
        raise DataError("There is no frame. Give one per domain: {'toys': toys, 'games': games}.")
    if not all(isinstance(name, str) and name.strip() for name in frames):
        raise DataError(f"Domain names are text, and not blank; found {list(frames)}.")
    sources = {name: open_frame(frame, f"frame {name!r}") for name, frame in frames.items()}
    titles = None if items is None else open_frame(items, "frame of items")
    return read_sources(sources, titles, columns, duplicates, order, scale=scale)


def scan(folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """The readable files of a folder by stem, in sorted order; and the files that are neither readable nor documents.

    Raises:
        DataError: if there is no such folder, no log in it, or two logs of one name.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder. Give the folder that holds one log per domain.")
    files: dict[str, Path] = {}
    unknown = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")) or not path.is_file():
            continue
        named = split_name(path)
        if named is None:
            if path.suffix and path.suffix.lower() not in _DOCUMENTS:
                unknown.append(path)
        elif named[0] in files:
            raise DataError(
                f"{path}: {files[named[0]].name} already holds {named[0]!r}. One file per domain: take one away."
            )
        else:
            files[named[0]] = path
    return files, unknown


def _chosen(
    folder: Path, domains: Sequence[str] | None, files: Mapping[str, Path], unknown: Sequence[Path]
) -> list[str]:
    present = [name for name in files if name != ITEMS]
    if not present:
        found = ", ".join(path.name for path in sorted(folder.iterdir())[:8]) or "nothing"
        raise DataError(
            f"{folder}: no log in it. One file per domain, named after it, with a suffix of {KNOWN}. Found: {found}."
        )
    if domains is None:
        return present
    if isinstance(domains, str) or not domains or len(set(domains)) < len(domains):
        raise InputError(f"domains: found {domains!r} where a list of different domain names belongs.")
    for name in domains:
        if name not in present:
            near = [path.name for path in unknown if path.name.split(".")[0] == name]
            hint = f" {near[0]} has an unknown suffix; known: {KNOWN}." if near else nearest(name, present)
            raise DataError(f"{folder}: there is no log of the domain {name!r}.{hint}")
    return list(domains)


def read_sources(
    sources: Mapping[str, Source],
    titles: Source | None,
    columns: Columns,
    duplicates: str,
    order: str,
    notes: Sequence[str] = (),
    scale: Scale | None = None,
) -> Dataset:
    """Streams every source into one dataset."""
    if duplicates not in ("keep", "drop"):
        raise InputError(f"duplicates: found {duplicates!r}. Give 'keep' or 'drop'.")
    found = {name: columns.present(source.columns, source.where) for name, source in sources.items()}
    columns.check_chosen(found, {name: source.columns for name, source in sources.items()})
    known = [source.rows for source in sources.values()]
    log = Log(sum(rows for rows in known if rows) if all(known) else 0, scale)
    for name, source in sources.items():
        log.read(name, source, columns)
    by = ordering(log, order)
    rows = dict(zip(log.ends, _differences(list(log.ends.values())), strict=True))
    packed = pack(log, by, duplicates == "drop")
    notes = [*notes, *log.notes, *_absent(log, columns), *_shared(log)]
    items = {name: coder.vocabulary() for name, coder in log.items.items()}
    told = {
        name: {"from": source.origin, "rows": rows[name], "columns": found[name], "duplicates": int(count)}
        for (name, source), count in zip(sources.items(), packed.repeats_D, strict=True)
    }
    return Dataset(
        users=log.users.vocabulary(),
        items=items,
        offset_U1=packed.offset_U1,
        item_E=packed.item_E,
        time_E=packed.time_E,
        rating_E=packed.rating_E,
        titles=read_titles(titles, items, columns.item) if titles else {},
        card={"domains": told, "order": by, "duplicates": duplicates, "filters": [], "notes": notes},
    )


def _differences(ends: list[int]) -> list[int]:
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _absent(log: Log, columns: Columns) -> list[str]:
    """Notes on what some domains have and others have not."""
    notes = []
    for role in ("time", "rating"):
        without = [name for name, roles in log.roles.items() if role not in roles]
        if 0 < len(without) < len(log.roles):
            notes.append(f"{', '.join(without)}: no {role} (no column {columns.roles()[role]!r})")
    return notes


def _shared(log: Log) -> list[str]:
    """A note on item ids that occur in several domains."""
    coded = pa.concat_arrays([coder.texts for coder in log.items.values()]).dictionary_encode()
    shared = np.flatnonzero(np.bincount(to_numpy(coded.indices)) > 1)
    if not len(shared):
        return []
    first = coded.dictionary[int(shared[0])].as_py()
    return [f"{len(shared):,} item ids (such as {first!r}) occur in several domains; they are different items in each"]
