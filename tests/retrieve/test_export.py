"""A run for other programs: faiss and onnx give what torch gives."""

from __future__ import annotations

import json
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from crossrec.errors import InputError
from crossrec.retrieve import approximate, export_onnx
from crossrec.retrieve.export_faiss import export_faiss
from crossrec.retrieve.index import version_of
from crossrec.testing.law import SIZES, SOURCE, TARGET

faiss = pytest.importorskip("faiss")
MERGED = {"dim": 8, "domains": "merged", "max_len": 5}
CASES = {
    "sasrec": {"dim": 8, "blocks": 1, "max_len": 5},
    "sasrec merged": {**MERGED, "blocks": 2, "heads": 2, "attend_padding": True, "guard": "blend"},
    "cl4srec": {**MERGED, "blocks": 1, "guard": "none"},
    "gru4rec": {**MERGED, "consume_padding": True},
    "bprmf": {"dim": 8, "domains": "merged", "max_len": 5},
    "twotower": {"dim": 8, "blocks": 1, "max_len": 5, "source_epochs": 1},
    "dasl": {"dim": 8, "blocks": 1, "max_len": 5, "source_epochs": 1},
}
LENGTHS = (0, 1, 3, 5, 9, 14)


def histories(recommender, rng):
    """Of several lengths, in both domains, as the recommender and as a graph take them."""
    catalogue, pairs, items = recommender.data.catalogue, [], np.zeros((len(LENGTHS), max(LENGTHS)), dtype=np.int64)
    for row, length in enumerate(LENGTHS):
        ids = rng.integers(1, catalogue.num_ids, length)
        items[row, :length] = ids
        names = [catalogue.domains[number] for number in catalogue.domain_of(ids)]
        own = [catalogue.block(name).start for name in names]
        pairs.append(
            [
                (name, recommender.data.items[name].ids([item - first]).to_pylist()[0])
                for name, item, first in zip(names, ids, own, strict=True)
            ]
        )
    return pairs, items


@pytest.mark.parametrize("case", CASES)
def test_onnx_is_torch(fitted, tmp_path, case):
    runtime = pytest.importorskip("onnxruntime")
    recommender = fitted(case.split()[0], **CASES[case])
    card = export_onnx.export_onnx(recommender, tmp_path / "onnx")
    assert json.loads((tmp_path / "onnx" / "card.json").read_text()) == card
    assert card["version"] == version_of(recommender)
    pairs, items = histories(recommender, np.random.default_rng(2))
    for domain in recommender.model.serves():
        assert card["difference"][domain] <= export_onnx.CLOSE
        session = runtime.InferenceSession(str(tmp_path / "onnx" / f"query-{domain}.onnx"))
        expected = recommender.query_vectors(histories=pairs, domain=domain)
        query, score = session.run(None, {"item": items, "length": np.array(LENGTHS)})
        assert export_onnx.difference(query, expected) <= 1e-5
        products = expected @ recommender.item_vectors(domain)[1].T
        assert export_onnx.difference(score, products) <= 1e-5
        junk = np.where(np.arange(items.shape[1]) < np.array(LENGTHS)[:, None], items, 7)
        again, _ = session.run(None, {"item": junk[3:4], "length": np.array(LENGTHS)[3:4]})
        assert export_onnx.difference(again, expected[3:4]) <= 1e-5, "what is behind the end of a row does not count"


def test_onnx_says_which_number_an_item_has(fitted, tmp_path):
    recommender = fitted("bprmf", **CASES["bprmf"])
    export_onnx.export_onnx(recommender, tmp_path / "onnx")
    rows = pq.read_table(tmp_path / "onnx" / "items.parquet").to_pylist()
    assert len(rows) == sum(SIZES.values())
    for row in rows:
        place = recommender.data.items[row["domain"]].index([row["id"]])[0]
        assert place == row["place"] == row["number"] - recommender.data.catalogue.block(row["domain"]).start


@pytest.mark.parametrize("name, settings", [("itemknn", {}), ("pop", {}), ("bprmf", {"row": "user"})])
def test_onnx_refuses_what_is_no_graph(fitted, tmp_path, name, settings):
    with pytest.raises(InputError, match=f"{name} cannot be exported to onnx.*sasrec, gru4rec"):
        export_onnx.export_onnx(fitted(name, **settings), tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


def test_a_graph_that_differs_is_not_written(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(export_onnx, "CLOSE", -1.0)
    with pytest.raises(InputError, match="differs from torch"):
        export_onnx.export_onnx(fitted("bprmf", **CASES["bprmf"]), tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


def test_faiss_finds_what_recommend_gives(fitted, tmp_path):
    recommender = fitted("sasrec", **CASES["sasrec merged"])
    card = export_faiss(recommender, tmp_path / "faiss")
    assert json.loads((tmp_path / "faiss" / "card.json").read_text()) == card
    assert card["indexes"].keys() == {TARGET, SOURCE}
    index = faiss.read_index(str(tmp_path / "faiss" / f"items-{TARGET}.faiss"))
    ids = pq.read_table(tmp_path / "faiss" / f"items-{TARGET}.parquet")["id"].to_pylist()
    _, place = index.search(recommender.query_vectors(["u1", "u2"]), 5)
    expected = recommender.recommend(["u1", "u2"], k=5, filter_seen=False)["item"].to_pylist()
    assert [ids[p] for p in place.ravel()] == expected
    assert card["indexes"][TARGET]["recall@100"] == 1.0


def test_faiss_refuses_what_has_no_vectors(fitted, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="its score is no product"):
        export_faiss(fitted("itemknn"), tmp_path / "faiss")
    assert not (tmp_path / "faiss").exists()
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError, match=r"pip install 'crossrec\[ann\]'"):
        approximate.faiss()


def test_a_missing_extra_is_one_sentence(fitted, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install 'crossrec\[onnx\]'"):
        export_onnx.export_onnx(fitted("bprmf", **CASES["bprmf"]), tmp_path / "onnx")
