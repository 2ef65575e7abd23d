"""Indexes on the disk: the vectors in numpy's or faiss's own form, and a card with version and hash; no pickle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from crossrec.data.beside import folder_beside
from crossrec.errors import InputError
from crossrec.retrieve.approximate import Approximate, faiss
from crossrec.retrieve.index import Exact, Index
from crossrec.runs import write_json

CARD = "index.json"
_MEND = "Make the index again from its run."


def save_index(index: Index, folder: Path | str) -> dict[str, Any]:
    """Write an index as a folder, beside its place and renamed; returns its card.

    Raises InputError where the folder is taken or cannot be written.
    """
    with folder_beside(Path(folder), CARD) as place:
        card = write_index(index, place)
        write_json(place / CARD, card)
    return card


def write_index(index: Index, folder: Path) -> dict[str, Any]:
    """Write the file of an index into a folder that is being made; what its card says."""
    told = index.write(folder)
    return {
        "kind": index.kind,
        "version": index.version,
        "items": len(index),
        "dim": index.dim,
        "recall": index.recall,
        **told,
        "sha256": _hash(folder / told["file"]),
    }


def load_index(folder: Path | str, *, version: str | None = None) -> Index:
    """An index that :func:`save_index` wrote.

    Args:
        folder: where it is.
        version: the one that it must have; None: any.

    Raises:
        InputError: where it is missing, not what was written, or of another version.
    """
    place = Path(folder)
    try:
        card = json.loads((place / CARD).read_text())
        kind, file, said = str(card["kind"]), place / Path(card["file"]).name, str(card["version"])
        whole = _hash(file) == card["sha256"]
        measured = float(card["recall"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{place} is not a whole index ({error}). {_MEND}") from error
    if not whole or kind not in ("exact", "faiss"):
        raise InputError(f"{file} is not what was written there: its hash is not the one on its card. {_MEND}")
    if version is not None and said != version:
        raise InputError(f"The index in {place} is of version {said}, the run of version {version}. {_MEND}")
    if kind == "exact":
        return Exact(np.load(file, allow_pickle=False), version=said)
    return Approximate(faiss().read_index(str(file)), version=said, recall=measured)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
