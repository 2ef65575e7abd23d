"""Vectors out of a fitted model: tables that any index or feature store can take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crossrec.data.arrow import from_numpy
from crossrec.data.beside import folder_beside
from crossrec.recommender import Recommender
from crossrec.runs import write_json

CARD = "vectors.json"


def export_vectors(recommender: Recommender, folder: str | Path) -> dict[str, Any]:
    """Write ``items-<domain>.parquet`` of every domain served, ``users.parquet`` and a card, ``vectors.json``.

    Each table has ``id`` (own id) and ``vector`` (a fixed-size list of float32). The score of a user and an item is the
    dot product of their vectors; a user's is of their newest history. Returns the card.

    Raises InputError for a model whose score is no product, and where the folder is taken or cannot be written.
    """
    items = {domain: recommender.item_vectors(domain) for domain in recommender.model.serves()}
    users = recommender.user_vectors()
    files = {f"items-{domain}.parquet": vectors for domain, vectors in items.items()} | {"users.parquet": users}
    card = {
        "score": "dot product of a user's vector and an item's",
        "model": recommender.model.name,
        "target": recommender.target,
        "dim": int(users[1].shape[1]),
        "files": {name: len(ids) for name, (ids, _) in files.items()},
        **{key: recommender.info.get(key) for key in ("data_hash", "split_hash", "leak", "commit")},
    }
    with folder_beside(Path(folder), CARD) as place:
        for name, (ids, vectors) in files.items():
            pq.write_table(_table(ids, vectors), place / name, compression="zstd")
        write_json(place / CARD, card)
    return card


def _table(ids: pa.Array, vectors: np.ndarray) -> pa.Table:
    flat = from_numpy(np.ascontiguousarray(vectors, dtype=np.float32).ravel())
    return pa.table({"id": ids, "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])})
