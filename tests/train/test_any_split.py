"""Every split trains, and is made again from what the run recorded."""

from __future__ import annotations

import pytest

from crossrec.data.splits import ColdUsers, GlobalTime, Ratio, Windows
from crossrec.evaluation.run import evaluate_run
from crossrec.testing.worlds import tiny_world
from crossrec.train.fit import fit


@pytest.mark.parametrize(
    "kind",
    [
        Windows("toys", days=6 / 86_400, min_per_domain=2),
        Windows("toys", days=6 / 86_400, min_per_domain=2, assign="paper", seed=2),
        Ratio("toys", seed=1),
        Ratio("toys", 0.2, 0.2, by="time"),
        GlobalTime("toys", 0.5, 0.7),
        GlobalTime("toys", 8, "1970-01-01T00:00:12", per_user="all"),
        ColdUsers("toys", 0.2, 0.2, keep=1),
    ],
    ids=lambda kind: kind.name,
)
def test_a_run_under_any_split_is_evaluated_under_the_same(kind, tiny, tmp_path):
    split = kind.apply(tiny_world(users=60, events=30))
    fit("sasrec", split, out=tmp_path / "run", **{**tiny, "epochs": 1})
    ranking = evaluate_run(tmp_path / "run", "sampled:9")
    assert ranking.table()["item_id"].to_pylist() == [f"toys{item - 1}" for item in split.test.item_N]
    assert ranking.part.leak == split.leak
