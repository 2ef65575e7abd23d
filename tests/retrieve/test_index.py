"""Indexes: exact equals every score sorted; filters are inside; versions and files are checked."""

from __future__ import annotations

import json

import numpy as np
import pytest

from crossrec.errors import InputError
from crossrec.retrieve import approximate, index_files
from crossrec.retrieve import index as module
from crossrec.retrieve.index import Exact, LeftOut, make_index, recall
from crossrec.retrieve.index_files import load_index, save_index

V, D, Q = 1500, 8, 7


def small(rng, *shape):
    """Vectors of few whole numbers: many products are equal, and none is rounded."""
    return rng.integers(-2, 3, shape).astype(np.float32)


def brute(item_VD, query_QD, k, allowed_V=None, left_out=None):
    """Every score, sorted; ties by the lower place."""
    score_QV = (query_QD @ item_VD.T).astype(np.float64)
    if allowed_V is not None:
        score_QV[:, ~allowed_V] = -np.inf
    if left_out is not None:
        score_QV[left_out.row_L, left_out.place_L] = -np.inf
    order = np.argsort(-score_QV, axis=1, kind="stable")[:, :k]
    score = np.take_along_axis(score_QV, order, 1)
    return np.where(np.isinf(score), -1, order), score


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def some_pairs(rng, rows=Q, each=40):
    row_L = np.repeat(np.arange(rows), each)
    return LeftOut(row_L, rng.integers(V, size=len(row_L)))


@pytest.mark.parametrize("share", [None, 0.9, 0.05], ids=["all", "most", "few"])
@pytest.mark.parametrize("paired", [False, True], ids=["shared", "per query"])
def test_exact_is_brute_force_over_any_blocks(rng, monkeypatch, share, paired):
    monkeypatch.setattr(module, "ITEMS", 400)
    monkeypatch.setattr(module, "QUERIES", 3)
    item_VD, query_QD = small(rng, V, D), small(rng, Q, D)
    allowed_V = None if share is None else rng.random(V) < share
    out = some_pairs(rng) if paired else None
    for k in (1, 10, 60):
        place, score = Exact(item_VD, version="v").search(query_QD, k, allowed_V, version="v", left_out=out)
        expected, products = brute(item_VD, query_QD, k, allowed_V, out)
        np.testing.assert_array_equal(place, expected)
        np.testing.assert_array_equal(score, products)


def test_fewer_than_k_are_followed_by_none(rng):
    item_VD, query_QD = small(rng, V, D), small(rng, Q, D)
    allowed_V = np.zeros(V, dtype=bool)
    allowed_V[[3, 900]] = True
    for index in (Exact(item_VD, version="v"), approximate.Approximate.build(item_VD, version="v")):
        place, score = index.search(query_QD, 5, allowed_V, version="v")
        assert {frozenset(row) for row in place[:, :2].tolist()} == {frozenset({3, 900})}
        assert (place[:, 2:] == -1).all()
        assert np.isneginf(score[:, 2:]).all()
        assert index.search(query_QD, 5, np.zeros(V, dtype=bool), version="v")[0].max() == -1
        assert index.search(query_QD[:0], 5, version="v")[0].shape == (0, 5)
        assert (index.search(query_QD, V + 3, version="v")[0][:, V:] == -1).all()


@pytest.fixture
def lists(rng, monkeypatch):
    """A faiss index of few vectors in many lists, of which one is looked through."""
    monkeypatch.setattr(approximate, "FLAT", 100)
    monkeypatch.setattr(approximate, "GOAL", 0.0)
    item_VD = rng.normal(size=(V, D)).astype(np.float32)
    index = approximate.Approximate.build(item_VD, version="v")
    index.index.nprobe = 1
    return item_VD, index


@pytest.mark.parametrize("left", [1200, 40, 12])
def test_filters_of_faiss_never_leak_and_still_give_k(rng, lists, left):
    _, index = lists
    assert index.lists > 30
    allowed_V = np.zeros(V, dtype=bool)
    allowed_V[rng.permutation(V)[:left]] = True
    out = LeftOut(np.repeat(np.arange(Q), 2), np.tile(np.flatnonzero(allowed_V)[:2], Q))
    place, score = index.search(rng.normal(size=(Q, D)), 10, allowed_V, version="v", left_out=out)
    assert (place >= 0).all()
    assert allowed_V[place].all()
    assert not np.isin(place, out.place_L).any()
    assert (np.diff(score, axis=1) <= 0).all()
    assert [len(set(row)) for row in place.tolist()] == [10] * Q


def test_faiss_without_available_neighbours_is_exact(rng, lists):
    item_VD, index = lists
    allowed_V = rng.random(V) < 0.01
    query_QD = rng.normal(size=(Q, D)).astype(np.float32)
    place, _ = index.search(query_QD, 5, allowed_V, version="v")
    np.testing.assert_array_equal(place, brute(item_VD, query_QD, 5, allowed_V)[0])


def test_what_is_left_out_twice_or_is_not_available_takes_no_place(rng, lists):
    _, index = lists
    allowed_V = np.zeros(V, dtype=bool)
    allowed_V[:10] = True
    out = LeftOut(np.zeros(6, dtype=np.int64), np.array([0, 0, 0, 50, 51, 52]))
    assert (index.search(rng.normal(size=(1, D)), 9, allowed_V, version="v", left_out=out)[0] >= 0).all()


def test_recall_is_told_and_right(rng, monkeypatch):
    monkeypatch.setattr(approximate, "FLAT", 100)
    centre = rng.normal(size=(30, D))
    item_VD = (centre[rng.integers(30, size=V)] + 0.3 * rng.normal(size=(V, D))).astype(np.float32)
    index, exact = make_index(item_VD, version="v", kind="faiss"), make_index(item_VD, version="v")
    sample = item_VD[np.random.default_rng(0).permutation(V)[:50]]
    assert recall(exact, exact, sample, 20) == 1.0 == exact.recall
    assert 0.8 < index.recall <= 1
    found, right = index.search(sample, 20, version="v")[0], exact.search(sample, 20, version="v")[0]
    by_hand = np.mean([len(set(a) & set(b)) / 20 for a, b in zip(found.tolist(), right.tolist(), strict=True)])
    assert recall(index, exact, sample, 20) == pytest.approx(by_hand)


def test_auto_is_exact_until_it_is_not(rng, monkeypatch):
    item_VD = small(rng, 200, D)
    assert make_index(item_VD, version="v").kind == "exact"
    monkeypatch.setattr(module, "MANY", 200)
    assert make_index(item_VD, version="v").kind == "faiss"
    with pytest.raises(InputError, match="Did you mean 'exact'"):
        make_index(item_VD, version="v", kind="exakt")


@pytest.mark.parametrize("kind", ["exact", "faiss"])
def test_what_cannot_be_asked_is_refused(rng, kind):
    index, query_QD = make_index(small(rng, V, D), version="v1", kind=kind), small(rng, Q, D)
    with pytest.raises(InputError, match="version v2, the index of version v1"):
        index.search(query_QD, 3, version="v2")
    with pytest.raises(InputError, match="k must be at least 1"):
        index.search(query_QD, 0, version="v1")
    with pytest.raises(InputError, match="9 numbers wide"):
        index.search(small(rng, Q, 9), 3, version="v1")
    with pytest.raises(InputError, match="truth values"):
        index.search(query_QD, 3, np.ones(V - 1, dtype=bool), version="v1")
    with pytest.raises(InputError, match="no number"):
        index.search(np.full((1, D), np.nan), 3, version="v1")
    with pytest.raises(InputError, match="two dimensions"):
        make_index(np.zeros(4), version="v1", kind=kind)


@pytest.mark.parametrize("kind", ["exact", "faiss"])
def test_saved_is_loaded(rng, tmp_path, kind):
    index, query_QD = make_index(small(rng, V, D), version="v1", kind=kind), small(rng, Q, D)
    card = save_index(index, tmp_path / "index")
    loaded = load_index(tmp_path / "index", version="v1")
    assert (loaded.kind, loaded.recall, len(loaded)) == (kind, index.recall, card["items"])
    for found, expected in zip(*(i.search(query_QD, 9, version="v1") for i in (loaded, index)), strict=True):
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(InputError, match="of version v1, the run of version v2"):
        load_index(tmp_path / "index", version="v2")


def test_what_is_not_whole_is_refused(rng, tmp_path):
    place = tmp_path / "index"
    card = save_index(make_index(small(rng, V, D), version="v", kind="faiss"), place)
    whole = (place / card["file"]).read_bytes()
    (place / card["file"]).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(InputError, match="its hash is not the one"):
        load_index(place)
    (place / card["file"]).unlink()
    with pytest.raises(InputError, match="not a whole index"):
        load_index(place)
    for text in ("{", "[]", json.dumps({"kind": "exact"})):
        (place / index_files.CARD).write_text(text)
        with pytest.raises(InputError, match="not a whole index"):
            load_index(place)
    with pytest.raises(InputError, match="not a whole index"):
        load_index(tmp_path / "nowhere")
