"""The query encoder and the item vectors of a run as ONNX graphs, which any runtime of that form can run."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from crossrec.data.arrow import from_numpy, text_array
from crossrec.data.beside import folder_beside
from crossrec.data.vocabulary import Ints
from crossrec.errors import InputError
from crossrec.recommender import Recommender
from crossrec.retrieve.best import Floats
from crossrec.retrieve.export_faiss import some_users
from crossrec.retrieve.graph import QueryGraph
from crossrec.retrieve.index import version_of
from crossrec.retrieve.people import People
from crossrec.runs import write_json

CARD = "card.json"
OPSET = 18
CLOSE = 1e-5
"""Largest difference from torch's query vectors, as a share of the largest number in them where that is above 1."""
SAMPLE = 64
"""Known users whose query vectors are compared."""


def export_onnx(recommender: Recommender, folder: str | Path) -> dict[str, Any]:
    """Write ``query-<domain>.onnx`` of every domain served, ``items.parquet`` and a card, ``card.json``.

    A graph takes ``item`` (rows, places), the numbers of the events' items, oldest first from the left, and ``length``
    (rows,); both int64, of any size. It gives ``query`` (rows, width) and ``score`` (rows, items): the query vectors, and
    their products with the vectors of the domain's items. ``items.parquet`` has ``domain``, ``id`` (own id), ``number``
    and ``place`` (the column of ``score``). Events of domains that the model does not read are passed over.

    Every graph is run by onnxruntime for a sample of known users and compared with torch before it is kept. Returns the
    card.

    Raises InputError where an extra is missing, for a model that cannot be a graph, and where the folder is taken.
    """
    graphs = {domain: QueryGraph(recommender.model, domain).eval() for domain in recommender.model.serves()}
    runtime = _runtime()
    users = some_users(recommender, SAMPLE)
    item_BL, length_B = padded(People.of(recommender, users, None))
    card: dict[str, Any] = {
        "model": recommender.model.name,
        "target": recommender.target,
        "version": version_of(recommender),
        "inputs": {"item": "int64 (rows, places)", "length": "int64 (rows,)"},
        "outputs": {"query": "float32 (rows, width)", "score": "float32 (rows, items)"},
        "reads": list(dict.fromkeys(n for names in recommender.model.views().domains.values() for n in names)),
        "max_len": recommender.model.views().max_len,
        "opset": OPSET,
        "files": {},
        "difference": {},
        **{key: recommender.info.get(key) for key in ("data_hash", "split_hash", "leak", "commit")},
    }
    with folder_beside(Path(folder), CARD) as place:
        for domain, graph in graphs.items():
            name = f"query-{domain}.onnx"
            _write(graph, place / name)
            session = runtime.InferenceSession(str(place / name), providers=["CPUExecutionProvider"])
            query_BD, _ = session.run(["query", "score"], {"item": item_BL, "length": length_B})
            found = difference(query_BD, recommender.query_vectors(users, domain=domain))
            if not found <= CLOSE:
                raise InputError(
                    f"The graph of {recommender.model.name} differs from torch by {found:.1e}: nothing was written. Another "
                    "version of torch or onnxruntime may help (constraints.txt names those that are tested)."
                )
            card["files"][name] = len(graph.item_VD)
            card["difference"][domain] = found
        table = _items(recommender)
        pq.write_table(table, place / "items.parquet", compression="zstd")
        card["files"]["items.parquet"] = table.num_rows
        write_json(place / CARD, card)
    return card


def padded(people: People) -> tuple[Ints, Ints]:
    """Histories as a graph takes them: numbers of the items (N, longest), 0 behind the end of a row, and lengths (N,)."""
    item_NL = np.zeros((len(people), max(1, int(people.count_N.max(initial=0)))), dtype=np.int64)
    starts = np.cumsum(people.count_N) - people.count_N
    item_NL[people.person_L, np.arange(len(people.id_L)) - starts[people.person_L]] = people.id_L
    return item_NL, people.count_N.astype(np.int64)


def difference(found: Floats, expected: npt.NDArray[np.float32]) -> float:
    """Largest difference, as a share of the largest expected number where that is above 1."""
    if not expected.size:
        return 0.0
    return float(np.abs(found - expected).max() / max(1.0, float(np.abs(expected).max())))


def _runtime() -> Any:
    """The runtime. Raises InputError where it, or what writes graphs, is not installed."""
    try:
        importlib.import_module("onnx")
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise InputError("onnx and onnxruntime are not installed: pip install 'crossrec[onnx]'.") from error


def _write(graph: QueryGraph, path: Path) -> None:
    example = torch.zeros(2, 3, dtype=torch.int64), torch.tensor([3, 1])
    free = {0: "rows"}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            example,
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=["item", "length"],
            output_names=["query", "score"],
            dynamic_axes={"item": {0: "rows", 1: "places"}, "length": free, "query": free, "score": free},
        )


def _items(recommender: Recommender) -> pa.Table:
    names, ids, numbers, places = [], [], [], []
    for name, vocabulary in recommender.data.items.items():
        block = recommender.data.catalogue.block(name)
        names += [name] * len(block)
        ids.append(vocabulary.text)
        numbers.append(np.arange(block.start, block.stop))
        places.append(np.arange(len(block)))
    columns = {"number": from_numpy(np.concatenate(numbers)), "place": from_numpy(np.concatenate(places))}
    return pa.table({"domain": text_array(names), "id": pa.chunked_array(ids), **columns})
