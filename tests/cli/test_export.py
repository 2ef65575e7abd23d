"""crossrec export to faiss and onnx; to vectors: see the tests of recommend."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from crossrec.data.dataset import Dataset
from crossrec.recommender import Recommender


def test_export_faiss(crossrec, run, tmp_path):
    faiss = pytest.importorskip("faiss")
    told = crossrec("export", run, "--to", "faiss", "--out", tmp_path / "index", "--json").json()
    assert told["indexes"]["toys"]["recall@100"] == 1.0
    ids = pq.read_table(tmp_path / "index" / "items-toys.parquet")["id"].to_pylist()
    people = Dataset.load(run / "data").users.ids([0, 1, 2]).to_pylist()
    recommender = Recommender.load(run)
    index = faiss.read_index(str(tmp_path / "index" / "items-toys.faiss"))
    _, place = index.search(recommender.query_vectors(people), 4)
    expected = recommender.recommend(people, k=4, filter_seen=False)["item"].to_pylist()
    assert [ids[p] for p in place.ravel()] == expected


def test_export_onnx(crossrec, merged, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    outcome = crossrec("export", merged, "--to", "onnx", "--out", tmp_path / "graph")
    assert (outcome.code, outcome.err) == (0, "")
    assert "query-games.onnx" in outcome.out
    session = runtime.InferenceSession(str(tmp_path / "graph" / "query-toys.onnx"))
    query, score = session.run(None, {"item": np.array([[1, 2]]), "length": np.array([2])})
    assert (query.shape[0], score.shape[0]) == (1, 1)


def test_export_refuses_in_one_sentence(crossrec, prepared, run, tmp_path):
    assert "Did you mean 'onnx'?" in crossrec("export", run, "--to", "onx", "--out", tmp_path / "g").err
    counts = tmp_path / "itemknn"
    crossrec("train", prepared, "--target", "toys", "--model", "itemknn", "--out", counts)
    for form, said in (("onnx", "What can be: sasrec"), ("faiss", "its score is no product")):
        outcome = crossrec("export", counts, "--to", form, "--out", tmp_path / "out")
        assert outcome.code == 2
        assert said in " ".join(outcome.err.split())
        assert not (tmp_path / "out").exists()
