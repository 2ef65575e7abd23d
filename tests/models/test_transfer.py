"""Planted worlds: a model that claims transfer finds it where it is, and loses nothing where there is none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import ttest_rel

import crossrec as cr
from crossrec.evaluation.metrics import per_user

TRAINING = {"epochs": 40, "patience": 8, "lr": 3e-3, "negatives": 128, "batch": 64, "seed": 1}


def ndcg(tables: Mapping[str, pa.Table], domains: str) -> np.ndarray:
    """NDCG@10 of every test user of a SASRec for games, of the target alone or merged with toys."""
    data = cr.Dataset.from_frames(tables, time="timestamp")
    split = cr.LeaveLastOut(target="games").apply(data)
    model = cr.SASRec(dim=32, max_len=40, dropout=0.3, scale=12.0, domains=domains)
    found = cr.evaluate(cr.fit(model, split, **TRAINING), split.test)
    return per_user("ndcg@10", found.rank_N, found.candidates_N)


def world(transfer: float) -> dict[str, pa.Table]:
    """Few events in games, many in toys; the same people in both."""
    events = {"games": 4, "toys": 12}
    made = cr.simulate(
        cr.World(users=1000, items=200, events=events, overlap=1.0, transfer=transfer, interests=10, seed=3)
    )
    return dict(made.tables)


@pytest.fixture(scope="module")
def strong() -> dict[str, pa.Table]:
    return world(0.9)


@pytest.fixture(scope="module")
def single(strong: dict[str, pa.Table]) -> np.ndarray:
    return ndcg(strong, "target")


def test_merged_beats_single_where_interests_transfer(strong: dict[str, pa.Table], single: np.ndarray) -> None:
    merged = ndcg(strong, "merged")
    assert merged.mean() > 1.1 * single.mean()
    assert ttest_rel(merged, single).pvalue < 0.01


def test_the_gain_is_gone_when_the_source_is_shuffled(strong: dict[str, pa.Table], single: np.ndarray) -> None:
    shuffled = ndcg(cr.shuffle_domain(strong, "toys", seed=0), "merged")
    assert 0.99 * single.mean() <= shuffled.mean() <= 1.02 * single.mean()


def test_merged_loses_nothing_where_nothing_transfers() -> None:
    tables = world(0.0)
    assert ndcg(tables, "merged").mean() >= 0.99 * ndcg(tables, "target").mean()
