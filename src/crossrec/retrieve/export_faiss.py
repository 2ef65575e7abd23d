"""Indexes out of a fitted model, for programs that read faiss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crossrec.data.arrow import from_numpy
from crossrec.data.beside import folder_beside
from crossrec.recommender import Recommender
from crossrec.retrieve.approximate import SAMPLE, Approximate, faiss
from crossrec.retrieve.index import version_of
from crossrec.runs import write_json

CARD = "card.json"


def export_faiss(recommender: Recommender, folder: str | Path) -> dict[str, Any]:
    """Write ``items-<domain>.faiss`` and ``items-<domain>.parquet`` of every domain served, and a card, ``card.json``.

    The index searches by inner product; what it finds are places, whose own ids the table has (``place``, ``id``). Recall
    is measured with query vectors of known users. Returns the card.

    Raises InputError where faiss is not installed, for a model whose score is no product, and where the folder is taken.
    """
    library, version = faiss(), version_of(recommender)
    card: dict[str, Any] = {
        "score": "inner product of a query vector and an item's",
        "model": recommender.model.name,
        "target": recommender.target,
        "version": version,
        "files": {},
        "indexes": {},
        **{key: recommender.info.get(key) for key in ("data_hash", "split_hash", "leak", "commit")},
    }
    with folder_beside(Path(folder), CARD) as place:
        for domain in recommender.model.serves():
            ids, vectors = recommender.item_vectors(domain)
            sample = recommender.query_vectors(some_users(recommender, SAMPLE), domain=domain)
            index = Approximate.build(vectors, version=version, sample_QD=sample)
            name = f"items-{domain}"
            library.write_index(index.index, str(place / f"{name}.faiss"))
            table = pa.table({"place": from_numpy(np.arange(len(ids))), "id": ids})
            pq.write_table(table, place / f"{name}.parquet", compression="zstd")
            card["files"] |= {f"{name}.faiss": len(ids), f"{name}.parquet": len(ids)}
            probes = int(getattr(index.index, "nprobe", 1))
            card["indexes"][domain] = {
                "file": f"{name}.faiss",
                "items": len(ids),
                "dim": index.dim,
                "lists": max(1, index.lists),
                "probes": probes,
                "recall@100": round(index.recall, 4),
            }
        write_json(place / CARD, card)
    return card


def some_users(recommender: Recommender, most: int) -> list[Any]:
    """Own ids of known users, spread over all of them; at most so many."""
    many = recommender.data.num_users
    index = np.unique(np.linspace(0, many - 1, min(most, many)).astype(np.int64))
    return list(recommender.data.users.ids(index).to_pylist())
