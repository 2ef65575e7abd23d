"""Who may ask, and that the same history gives the same answer however it is told."""

from __future__ import annotations

import numpy as np
import pytest

from crossrec.errors import InputError
from crossrec.models.sasrec import SASRec
from crossrec.testing.law import law_split
from crossrec.train.fit import fit


@pytest.fixture(scope="module")
def recommender():
    return fit(SASRec(dim=8, max_len=20, domains="merged"), law_split(), epochs=1, seed=1)


def rows(table):
    return list(zip(table["item"].to_pylist(), table["score"].to_pylist(), strict=True))


def test_a_history_may_be_told_in_the_order_of_time(recommender):
    by_domain = {"games": ["games1", "games2"], "toys": ["toys3", "toys4"]}
    in_order = [("games", "games1"), ("games", "games2"), ("toys", "toys3"), ("toys", "toys4")]
    mixed = [("toys", "toys3"), ("games", "games1"), ("toys", "toys4"), ("games", "games2")]
    asked = [by_domain, in_order, mixed]
    tables = [recommender.recommend(histories=[one], k=5) for one in asked]
    assert rows(tables[0]) == rows(tables[1])
    assert rows(tables[0]) != rows(tables[2])
    together = recommender.recommend(histories=asked, k=5)
    assert together["user"].to_pylist() == [0] * 5 + [1] * 5 + [2] * 5
    assert np.allclose([row[1] for row in rows(together)[10:]], [row[1] for row in rows(tables[2])], atol=1e-6)


def test_a_known_user_may_have_a_newer_history(recommender):
    history = [("toys", "toys7"), ("toys", "toys8")]
    newer = recommender.recommend(users=["u1"], histories=[history], k=5)
    assert rows(newer) == rows(recommender.recommend(histories=[history], k=5))
    assert newer["user"].to_pylist() == ["u1"] * 5
    assert rows(newer) != rows(recommender.recommend(users=["u1"], k=5))


def test_query_vectors_score_as_recommended(recommender):
    histories = [[("toys", "toys7"), ("games", "games8")], []]
    ids, item_VD = recommender.item_vectors("toys")
    score_NV = recommender.query_vectors(histories=histories) @ item_VD.T
    table = recommender.recommend(histories=histories, k=1, filter_seen=False)
    assert table["item"].to_pylist() == [ids[place].as_py() for place in score_NV.argmax(1)]


def test_nobody_and_unequal_numbers_are_refused(recommender):
    with pytest.raises(InputError, match="Say users"):
        recommender.recommend()
    with pytest.raises(InputError, match="one history per user"):
        recommender.recommend(users=["u1", "u2"], histories=[[]])
    with pytest.raises(InputError, match="no domain 'toy'"):
        recommender.recommend(histories=[[("toy", "toys1")]])
