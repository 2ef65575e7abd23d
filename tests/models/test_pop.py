"""Pop."""

from __future__ import annotations

import numpy as np

from crossrec.data.splits import LeaveLastOut
from crossrec.models.pop import Pop
from crossrec.testing import ModelTests
from crossrec.testing.worlds import tiny_world
from crossrec.train.fit import fit


class TestPop(ModelTests):
    model = Pop()
    least = None


def test_counts_are_those_of_the_training_rows() -> None:
    split = LeaveLastOut("games").apply(tiny_world())
    expected = np.zeros(20)
    block = split.data.catalogue.block("games")
    for start, stop in zip(split.train.start_N, split.train.stop_N, strict=True):
        for item in split.events.item_E[start:stop]:
            if item in block:
                expected[item - block.start] += 1
    recommender = fit("pop", split)
    assert recommender.item_vectors()[1][:, 0].tolist() == expected.tolist()
    best = recommender.recommend(users=["u0"], k=1, filter_seen=False).column("item")[0].as_py()
    assert best == f"games{expected.argmax()}"
